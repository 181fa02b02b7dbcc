//! Which process holds a lock: told apart from another one of the same number, on another machine, in another container, or after a restart.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// This process.
pub fn this() -> String {
    of(std::process::id()).unwrap_or_default()
}

/// Whose process this is: user and group.
pub fn owner() -> (u32, u32) {
    fs::metadata("/proc/self").map_or((0, 0), |metadata| (metadata.uid(), metadata.gid()))
}

/// A process of this machine: boot, PID namespace, number, and when it began. `None` when there is none, or the system does not tell.
pub fn of(pid: u32) -> Option<String> {
    Some(format!("{} {pid} {}", machine()?, began(pid)?))
}

/// Whether the process still lives. `None` when it was none of this machine, or nobody can tell.
pub fn is_alive(process: &str) -> Option<bool> {
    let mut words = process.rsplitn(3, ' ');
    let (then, pid, machine_then) = (words.next()?, words.next()?, words.next()?);
    if machine()? != machine_then {
        return None;
    }
    let pid = pid.parse().ok()?;
    if !fs::exists(format!("/proc/{pid}")).ok()? {
        return Some(false);
    }
    Some(began(pid)? == then)
}

fn machine() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Ticks since boot, as the kernel counts them. The second field may hold spaces and brackets.
fn began(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}
