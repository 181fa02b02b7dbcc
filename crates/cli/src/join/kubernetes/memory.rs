//! Certificates and keys from Secrets, as files that are in memory only: clients want paths, and a secret must not be in an unencrypted file.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use plan::Result;
use plan::error::During;
use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
use secrecy::{ExposeSecret, SecretString};

/// A file without a place on any disk; it is gone with this value. Readable by its path to this process and its children.
pub(super) struct InMemory {
    file: File,
}

impl InMemory {
    pub(super) fn of(content: &SecretString) -> Result<Self> {
        let what = || "failed to make a file in memory".to_owned();
        let file = File::from(memfd_create("certificate", MemfdFlags::CLOEXEC).during(what)?);
        // libpq takes no key that others may read.
        fchmod(&file, Mode::RUSR | Mode::WUSR).during(what)?;
        (&file).write_all(content.expose_secret().as_bytes()).during(what)?;
        Ok(Self { file })
    }

    pub(super) fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_key_is_read_by_its_path_and_by_nobody_else() {
        use std::os::unix::fs::PermissionsExt;
        let kept = InMemory::of(&"a key".to_owned().into()).unwrap();
        assert_eq!(std::fs::read_to_string(kept.path()).unwrap(), "a key");
        assert_eq!(std::fs::metadata(kept.path()).unwrap().permissions().mode() & 0o077, 0);
        let path = kept.path();
        drop(kept);
        assert!(std::fs::read_to_string(path).is_err());
    }
}
