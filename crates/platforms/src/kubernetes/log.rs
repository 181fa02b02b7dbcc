//! Logs of containers, as streams.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use http::Method;
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::client::Cluster;
use super::error::{ApiError, chain};
use super::request::Call;

/// Which lines of a container's log.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// The container; needed when the pod has several.
    pub container: Option<String>,
    /// Goes on while the container does.
    pub follow: bool,
    /// Only the last lines.
    pub tail_lines: Option<u32>,
}

impl Cluster {
    /// The log of a container, as a stream. With `follow`, its end says nothing about the container's: the API server ends such streams after hours.
    ///
    /// # Errors
    /// When it cannot be begun.
    pub fn log(&self, pod: &str, options: &LogOptions) -> Result<Box<dyn Read + Send>, ApiError> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        options.container.as_ref().map(|name| query.append_pair("container", name));
        options.tail_lines.map(|lines| query.append_pair("tailLines", &lines.to_string()));
        if options.follow {
            query.append_pair("follow", "true");
        }
        let call = Call::new(Method::GET, &format!("{}/log?{}", self.path("v1", "pods", Some(pod)), query.finish()));
        let (call, line) = (call, self.line());
        let response = self.run(async move { line.send(&call).await })?;
        let (sender, receiver) = mpsc::channel(16);
        self.handle().spawn(async move {
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame.map(|frame| frame.into_data().unwrap_or_default()).map_err(|error| io::Error::other(chain(&error)));
                if sender.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Ok(Box::new(Frames { receiver, left: Bytes::new() }))
    }
}

/// A blocking reader of what arrives.
struct Frames {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    left: Bytes,
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() {
            match self.receiver.blocking_recv() {
                Some(frame) => self.left = frame?,
                None => return Ok(0),
            }
        }
        let count = self.left.len().min(buffer.len());
        self.left.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
