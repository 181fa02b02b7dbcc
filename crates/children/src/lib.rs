//! STARTS: every child process of this program begins here, without this program's secrets in its environment.
//!
//! A program's environment can be read by its whole family, lands in crash reports and in `docker inspect`, and outlives what it was given for. The variables of
//! this program that may hold a secret are for this program alone; the others go on, because commands of the operator's own may be written with them.

use std::ffi::{OsStr, OsString};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process_group};

/// What the names of this program's variables begin with.
pub const PREFIX: &str = "THREESCALE_BACKUP_";

/// Ends of the names of variables that may hold a secret. The table of the configuration is held against it by a test of the command line.
const SECRET_ENDS: [&str; 5] = ["PASSWORD", "URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SENTINEL_HOSTS"];

/// A program, not yet started: [`Command::new`] without the secrets of this program.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in withheld() {
        command.env_remove(name);
    }
    command
}

/// The variables of this process that no child gets.
#[must_use]
pub fn withheld() -> Vec<OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(|name| is_secret(&name.to_string_lossy())).collect()
}

/// Whether a variable of this name may hold a secret: a value, or a command with the value in it. A file's name is none.
#[must_use]
pub fn is_secret(variable: &str) -> bool {
    let Some(rest) = variable.strip_prefix(PREFIX) else { return false };
    let rest = rest.strip_suffix("_COMMAND").unwrap_or(rest);
    SECRET_ENDS.iter().any(|end| rest.ends_with(end))
}

/// Ends a child that began a process group of its own (`process_group(0)`), and all that it started in it.
pub fn end_group(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may be gone already.
        kill_process_group(group, Signal::KILL).ok();
    }
    drop(child.wait());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_a_secret_is_withheld_and_all_else_goes_on() {
        for name in ["PASSWORD", "REPOSITORY_PASSWORD", "SYSTEM_DATABASE_URL", "BACKEND_REDIS_STORAGE_URL", "REPOSITORY_PASSWORD_COMMAND"] {
            assert!(is_secret(&format!("{PREFIX}{name}")), "{name}");
        }
        for name in ["THREESCALE_BACKUP_NAMESPACE", "THREESCALE_BACKUP_REPOSITORY_PASSWORD_FILE", "PATH", "DATABASE_URL"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
