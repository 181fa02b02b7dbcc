//! How much room there is where a server keeps its files, where that can be seen: through the container that mounts them, or because the server is on this machine.

use std::io::Read;
use std::path::Path;

use plan::ports::{Context, Program};

use super::{RedisStore, ServerAt};
use crate::address::Endpoint;
use crate::connection::{Connection, Reply};
use crate::server::Server;

/// A line for the volume of a folder, in kilobytes: its device, size, what is used, what is free.
const FREE: &str = r#"df -Pk "$1""#;

/// A volume, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) free: u64,
    pub(crate) size: u64,
}

/// From where a volume is seen. Asking through a container takes much longer than asking here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Here(String),
    InContainer,
}

impl RedisStore {
    /// From where the volume of a server can be seen; `None`: from nowhere.
    pub(crate) fn sees_volume(&self, at: &ServerAt, connection: &mut Connection, server: &Server) -> plan::Result<Option<Seen>> {
        if self.file_road().is_ok() {
            return Ok(Some(Seen::InContainer));
        }
        let is_near = match at.address.endpoint() {
            Endpoint::Unix(_) => true,
            Endpoint::Tcp(host, _) => matches!(host.as_str(), "127.0.0.1" | "::1" | "localhost"),
            Endpoint::Group(_) => false,
        };
        if !is_near || self.options.known_as.is_some() || !is_process_here(server) {
            return Ok(None);
        }
        let dir = connection.ask(&[b"CONFIG", b"GET", b"dir"])?.list().get(1).map(Reply::text);
        Ok(dir.filter(|dir| Path::new(dir).is_dir()).map(Seen::Here))
    }

    /// The volume; `None` when it does not say.
    pub(crate) fn volume(&self, context: &Context, seen: &Seen) -> Option<Volume> {
        match seen {
            Seen::Here(dir) => {
                let found = rustix::fs::statvfs(dir.as_str()).ok()?;
                Some(Volume { free: found.f_bavail * found.f_frsize, size: found.f_blocks * found.f_frsize })
            }
            Seen::InContainer => {
                let (road, _) = self.file_road().ok()?;
                let mut process = road.remote.start(context, &Program::script(FREE, &[&road.data_folder])).ok()?;
                let mut said = String::new();
                process.output()?.read_to_string(&mut said).ok()?;
                process.finish().ok()?.success("look at the volume").ok()?;
                let mut words = said.lines().nth(1)?.split_whitespace().skip(1);
                let mut bytes = |skip: usize| Some(words.nth(skip)?.parse::<u64>().ok()? * 1024);
                Some(Volume { size: bytes(0)?, free: bytes(1)? })
            }
        }
    }
}

/// Behind a forwarded port, or in a container, the number would be another process here, or none.
fn is_process_here(server: &Server) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{}/comm", server.number("process_id"))).unwrap_or_default();
    name.starts_with("redis") || name.starts_with("valkey")
}
