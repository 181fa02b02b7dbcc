//! A loopback port that is nobody else's for as long as the value lives, also while no server listens on it.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

use plan::error::During;
use plan::{Error, Result};

use crate::folder;

/// Below Linux' range of ephemeral ports (`ip_local_port_range`, 32768 and up), so that no outgoing connection takes
/// the port of a server that is being started again; above the ports of usual services.
const RANGE: std::ops::Range<u32> = 20_000..32_000;

/// A reserved port.
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a port on which nobody listens.
    pub(crate) fn reserve() -> Result<Self> {
        let folder = folder::shared("ports")?;
        let span = RANGE.end - RANGE.start;
        let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos() ^ std::process::id());
        for step in 0..span {
            // A stride that is coprime with the span visits every port once.
            let Ok(number) = u16::try_from(RANGE.start + (start % span + step * 7) % span) else { continue };
            let path = folder.join(number.to_string());
            let lock = File::create(&path).during(|| format!("create {}", path.display()))?;
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        Err(Error::transient("no free port on loopback"))
    }

    pub(crate) const fn number(&self) -> u16 {
        self.number
    }
}
