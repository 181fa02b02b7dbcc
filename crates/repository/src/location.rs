//! Where a repository is. Never shows a key.

use std::path::PathBuf;

use bucket::Service;
use plan::ports::StopFlag;
use plan::{Error, Result};

use crate::object_lock::ObjectLock;

/// Where a repository is.
#[derive(Debug, Clone)]
pub enum Location {
    /// A folder.
    Folder(PathBuf),
    /// A prefix in a bucket of an S3 service.
    S3(Box<S3>),
}

/// A prefix in a bucket of an S3 service. Keys are redacted in `Debug`.
#[derive(Debug, Clone)]
pub struct S3 {
    /// Bucket.
    pub bucket: String,
    /// Prefix without slashes at its ends; may be empty.
    pub prefix: String,
    /// The service, and by whose right it is used.
    pub service: Service,
    /// How long a request that fails is tried again, with growing pauses. 90 is a good value.
    pub retry_seconds: u64,
    /// Raised by a signal: a request that is under way then has a few seconds.
    pub stop: StopFlag,
    /// How what is written is locked, in a bucket that has object lock.
    pub object_lock: Option<ObjectLock>,
}

impl Location {
    /// Reads `s3://bucket/prefix` or the path of a folder. For S3, `s3` says the rest; its bucket and prefix are replaced by those of the address.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when the address is of another kind, has no bucket, or `s3` is missing.
    pub fn parse(url: &str, s3: Option<S3>) -> Result<Self> {
        let Some(rest) = url.strip_prefix("s3://") else {
            refuse_other_kinds(url)?;
            return Ok(Self::Folder(PathBuf::from(url)));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || bucket.contains('@') {
            return Err(
                Error::refused("repository address names no bucket").hint("Write s3://bucket/prefix; keys do not belong into the address.")
            );
        }
        let s3 = s3.ok_or_else(|| {
            Error::refused("keys of the S3 repository are missing").hint("Set access-key-id and secret-access-key in [repository.s3].")
        })?;
        Ok(Self::S3(Box::new(S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned(), ..s3 })))
    }
}

/// Whatever has a colon before its first slash is an address of some kind, not a folder: it must not become a folder of that name.
fn refuse_other_kinds(url: &str) -> Result<()> {
    let supported = "A repository is a folder, also a mounted one, or a bucket of S3: write /backups/3scale or s3://bucket/prefix.";
    if url.is_empty() {
        return Err(Error::refused("the repository's address is empty").hint(supported));
    }
    let start = url.split('/').next().unwrap_or_default();
    let Some((scheme, _)) = start.split_once(':') else { return Ok(()) };
    // Behind the colon, or before an `@`, there may be a password.
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let what = if is_scheme {
        format!("a repository at {scheme}: is not supported")
    } else {
        "a repository on another host is not supported".to_owned()
    };
    let error = Error::refused(what).hint(supported);
    Err(match scheme.to_ascii_lowercase().as_str() {
        "s3" => error.hint("What is not Amazon's is named by endpoint in [repository.s3]."),
        "file" => error.hint("Leave out file:// and write the path alone."),
        _ if is_scheme => error.hint(format!("A folder whose name begins so is written ./{scheme}:…")),
        _ => error,
    })
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::S3(s3) if s3.prefix.is_empty() => write!(f, "s3://{}", s3.bucket),
            Self::S3(s3) => write!(f, "s3://{}/{}", s3.bucket, s3.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use bucket::{Credentials, Origin};

    use super::*;

    fn s3() -> S3 {
        S3 {
            bucket: String::new(),
            prefix: String::new(),
            service: Service {
                endpoint: None,
                region: "us-east-1".into(),
                credentials: Credentials::Keys { id: "AKIAVISIBLE".into(), secret: "hunter2-secret".into() },
                path_style: true,
                dial: None,
                ca_file: None,
                origin: Origin::Section("[repository.s3]".to_owned()),
            },
            retry_seconds: 90,
            stop: StopFlag::default(),
            object_lock: None,
        }
    }

    #[test]
    fn an_address_is_a_folder_or_a_bucket() {
        assert_eq!(Location::parse("/backups/3scale", None).unwrap().to_string(), "/backups/3scale");
        assert_eq!(Location::parse("s3://b/x/y/", Some(s3())).unwrap().to_string(), "s3://b/x/y");
        assert_eq!(Location::parse("s3://b", Some(s3())).unwrap().to_string(), "s3://b");
        let others = [
            "sftp:user@host:/x",
            "b2:bucket",
            "rest:https://h/",
            "gs:b:/x",
            "azure:c:/x",
            "swift:c:/x",
            "rclone:r:x",
            "https://h/x",
            "file:///x",
        ];
        let wrong = ["", "ftp://x", "s3://", "s3:///x", "s3://key:secret@b/x", "s3:https://h/b", "S3://b/x", "user@host:/x", "host:x"];
        for wrong in wrong.into_iter().chain(others) {
            assert_eq!(Location::parse(wrong, Some(s3())).unwrap_err().class(), plan::Class::Refused, "{wrong}");
        }
        let shown = format!("{:?}", Location::parse("rest:https://me:hunter2@h/", None).unwrap_err());
        assert!(shown.contains("rest:") && !shown.contains("hunter2"), "{shown}");
        assert_eq!(Location::parse("/a:b/c", None).unwrap().to_string(), "/a:b/c");
        assert_eq!(Location::parse("s3://b", None).unwrap_err().class(), plan::Class::Refused);
    }

    #[test]
    fn keys_are_not_shown() {
        let shown = format!("{:?}", Location::parse("s3://b/x", Some(s3())).unwrap());
        assert!(!shown.contains("AKIAVISIBLE") && !shown.contains("hunter2"), "{shown}");
    }
}
