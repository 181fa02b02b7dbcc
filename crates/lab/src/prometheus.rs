//! A throw-away Prometheus that scrapes one address, and its tool that checks rules and metrics.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use plan::error::During;
use plan::{Error, Result};
use rustix::process::Signal;

use crate::folder::Folder;
use crate::port::Port;
use crate::process::mortal;
use crate::programs::find_prometheus;
use crate::server::{Kind, Reach, Server};

/// A running server. Ends with the value.
pub struct Prometheus {
    server: Server,
}

impl Prometheus {
    /// Starts one that scrapes `/metrics` at `target` (`host:port`) each second, and evaluates the rules of a file.
    ///
    /// # Errors
    /// When the program is missing or it does not start; the end of its log is in the hints.
    pub fn start(target: &str, rules: &Path) -> Result<Self> {
        let folder = Folder::create("prometheus")?;
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{:?}]\nscrape_configs:\n  - job_name: threescale-backup\n    static_configs: [{{targets: [{target:?}]}}]\n",
            rules.display().to_string()
        );
        std::fs::write(folder.join("prometheus.yml"), config).during(|| "write the configuration of Prometheus".to_owned())?;
        let port = Port::reserve()?;
        let number = port.number();
        let kind = Kind {
            name: "Prometheus",
            stop_signal: Signal::TERM,
            launch: Box::new(|folder, port| {
                let mut command = mortal(&find_prometheus("prometheus")?)?;
                command.arg("--config.file").arg(folder.join("prometheus.yml"));
                command.arg("--storage.tsdb.path").arg(folder.join("data"));
                command.args(["--web.listen-address", &format!("127.0.0.1:{port}"), "--log.level", "warn"]);
                Ok(command)
            }),
            ready: Box::new(move || get(number, "/-/ready").map(drop)),
            reach: Reach::Loopback,
        };
        Ok(Self { server: Server::start(kind, folder, port, String::new())? })
    }

    /// What it says to a path of its API, as text.
    ///
    /// # Errors
    /// When it cannot be reached, or does not answer 200.
    pub fn get(&self, path: &str) -> Result<String> {
        get(self.server.port(), path)
    }

    /// The answer to an instant query, as JSON.
    ///
    /// # Errors
    /// As `get`.
    pub fn query(&self, expression: &str) -> Result<String> {
        let escaped: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.get(&format!("/api/v1/query?query={escaped}"))
    }

    /// The file of `promtool`.
    ///
    /// # Errors
    /// When it is not on this machine, with the way to install it.
    pub fn tool() -> Result<PathBuf> {
        find_prometheus("promtool")
    }
}

fn get(port: u16, path: &str) -> Result<String> {
    let what = || "ask Prometheus".to_owned();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).during(what)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).during(what)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").during(what)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).during(what)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        _ => Err(Error::failed(format!("Prometheus said {answer}"))),
    }
}

impl Deref for Prometheus {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Prometheus {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
