//! A repository in a bucket of an S3 service, on `object_store`.
//!
//! Every listing is whole or an error. Requests are tried again as long as that may help (`request.rs`), and not when it cannot.
//! `config` is created only when there is none. Where object lock is asked for, all but locks is locked when it is written (`locking.rs`).

mod locking;
mod request;
mod signed;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredentialProvider, Checksum};
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, RetryConfig};
use plan::error::During as _;
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};
use tokio::runtime::Runtime;

use super::{LocksObjects, Seen, Storage};
use crate::location::S3;
use locking::{Locking, LockingBucket};
use request::{Fault, Patience};
use signed::Signed;

/// See the module.
#[derive(Debug)]
pub struct Bucket {
    store: AmazonS3,
    prefix: String,
    shown: String,
    patience: Patience,
    locking: Option<Locking>,
    runtime: Runtime,
}

impl Bucket {
    /// # Errors
    /// When the client cannot be made from these settings.
    pub fn new(s3: &S3) -> plan::Result<Self> {
        let service = &s3.service;
        let keys = service.keys()?;
        let keys_of_client: AwsCredentialProvider = Arc::clone(&keys) as _;
        // Here, where what cannot get better is known.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let (base, options) = (service.base(&s3.bucket)?, service.options()?.with_timeout(Duration::from_secs(120)));
        let signed = |wanted| Ok::<_, plan::Error>(Locking::new(wanted, Signed::new(service, &options, base.clone())?, &s3.bucket));
        let locking = s3.object_lock.map(signed).transpose()?;
        let store = AmazonS3Builder::new()
            .with_bucket_name(&s3.bucket)
            .with_region(&service.region)
            // It has the bucket in it, wherever it stands.
            .with_endpoint(base)
            .with_virtual_hosted_style_request(true)
            .with_client_options(options)
            .with_retry(retry)
            // A bucket that locks what is written takes nothing without a digest (S3 API reference, PutObject); it is the one that the signature has.
            .with_checksum_algorithm(Checksum::SHA256)
            .with_credentials(keys_of_client)
            .build()
            .map_err(|error| service.unusable(error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("repository-s3")
            .enable_all()
            .build()
            .during(|| "start the threads of the S3 client".to_owned())?;
        let shown = crate::Location::S3(Box::new(s3.clone())).to_string();
        let patience = Patience { retry: Duration::from_secs(s3.retry_seconds), stop: s3.stop.clone(), service: service.clone(), keys };
        Ok(Self { store, prefix: s3.prefix.clone(), shown, patience, locking, runtime })
    }

    fn folder(&self, name: &str) -> Path {
        if self.prefix.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.prefix)) }
    }

    fn path_of(&self, tpe: FileType, id: &Id) -> Path {
        let hex = id.to_hex();
        match tpe {
            FileType::Config => self.folder("config"),
            FileType::Pack => self.folder(&format!("data/{}/{}", &hex[..2], hex.as_str())),
            _ => self.folder(&format!("{}/{}", tpe.dirname(), hex.as_str())),
        }
    }

    /// Copies an object below `damaged/` and removes it.
    pub fn set_aside(&self, path: &str) -> RusticResult<()> {
        let (from, target) = (self.folder(path), self.folder(&format!("damaged/{path}")));
        let moved = self.ask(|| self.store.copy(&from, &target)).and_then(|()| self.ask(|| self.store.delete(&from)));
        moved.map_err(|error| fault("failed to move `{path}`", &from, error))
    }

    fn ask<T, F: Future<Output = object_store::Result<T>>>(&self, request: impl FnMut() -> F) -> Result<T, Fault> {
        self.runtime.block_on(self.patience.ask(request))
    }

    fn list_all(&self, tpe: FileType) -> Result<Vec<(Id, u64)>, Fault> {
        if tpe == FileType::Config {
            let path = self.folder("config");
            return match self.ask(|| self.store.head(&path)) {
                Ok(meta) => Ok(vec![(Id::default(), meta.size)]),
                Err(Fault::NotFound(_)) => self.look_for_bucket().map(|()| Vec::new()),
                Err(error) => Err(error),
            };
        }
        let folder = self.folder(tpe.dirname());
        let objects: Vec<_> = self.ask(|| self.store.list(Some(&folder)).try_collect())?;
        let id_of = |path: &Path| path.filename().and_then(|name| Id::parse_some(name, tpe));
        Ok(objects.iter().filter_map(|object| id_of(&object.location).map(|id| (id, object.size))).collect())
    }

    fn delete(&self, path: &Path) -> RusticResult<()> {
        match self.ask(|| self.store.delete(path)) {
            Ok(()) | Err(Fault::NotFound(_)) => Ok(()),
            Err(error) => Err(fault("failed to remove `{path}`", path, error)),
        }
    }

    /// An object that is not there may be in a bucket that is not there: only a listing says so.
    fn look_for_bucket(&self) -> Result<(), Fault> {
        let folder = self.folder("keys");
        match self.ask(|| self.store.list_with_delimiter(Some(&folder))) {
            Ok(_) | Err(Fault::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn put(&self, tpe: FileType, id: &Id, content: BytesList) -> Result<(), Fault> {
        let path = self.path_of(tpe, id);
        let payload: PutPayload = content.into_vec().into_iter().collect();
        let put = |only_new: bool| match &self.locking {
            Some(locking) => self.put_locked(locking, &path, &payload, only_new),
            None => {
                let mode = || if only_new { PutMode::Create } else { PutMode::Overwrite };
                self.ask(|| self.store.put_opts(&path, payload.clone(), PutOptions::from(mode()))).map(drop)
            }
        };
        match put(tpe == FileType::Config) {
            // A service without conditional writes: the caller has looked for a repository before.
            Err(Fault::Other(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }))
                if tpe == FileType::Config =>
            {
                put(false)
            }
            other => other,
        }
    }
}

fn fault(what: &'static str, path: &Path, fault: Fault) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, what, fault.into_source()).attach_context("path", path.to_string())
}

impl ReadBackend for Bucket {
    fn location(&self) -> String {
        self.shown.clone()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let folder = self.folder(tpe.dirname());
        let objects = self.list_all(tpe).map_err(|error| fault("failed to list `{path}`", &folder, error))?;
        let fits = |(id, size): (Id, u64)| u32::try_from(size).map(|size| (id, size));
        objects.into_iter().map(fits).collect::<Result<_, _>>().map_err(|error| {
            RusticError::with_source(ErrorKind::Backend, "an object in `{path}` is larger than 4 GiB", error)
                .attach_context("path", folder.to_string())
        })
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        let path = self.path_of(tpe, id);
        let read = || async { self.store.get(&path).await?.bytes().await };
        self.ask(read).map_err(|error| fault("failed to read `{path}`", &path, error))
    }

    fn read_partial(&self, tpe: FileType, id: &Id, _cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        let path = self.path_of(tpe, id);
        let range = u64::from(offset)..u64::from(offset) + u64::from(length);
        let bytes =
            self.ask(|| self.store.get_range(&path, range.clone())).map_err(|error| fault("failed to read `{path}`", &path, error))?;
        if bytes.len() == length as usize {
            return Ok(bytes);
        }
        Err(RusticError::new(ErrorKind::Backend, "`{path}` is shorter than expected").attach_context("path", path.to_string()))
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.path_of(tpe, id).to_string()
    }
}

impl WriteBackend for Bucket {
    fn write_bytes(&self, tpe: FileType, id: &Id, _cacheable: bool, content: BytesList) -> RusticResult<()> {
        self.put(tpe, id, content).map_err(|error| fault("failed to write `{path}`", &self.path_of(tpe, id), error))
    }

    fn remove(&self, tpe: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        self.delete(&self.path_of(tpe, id))
    }
}

impl Storage for Bucket {
    fn survey(&self, folder: Option<&str>) -> RusticResult<Vec<Seen>> {
        let root = Path::from(self.prefix.as_str());
        let folder = folder.map_or_else(|| root.clone(), |folder| self.folder(folder));
        let listed = self.ask(|| self.store.list(Some(&folder)).try_collect::<Vec<_>>());
        let objects = listed.map_err(|error| fault("failed to list `{path}`", &folder, error))?;
        let seen = |object: object_store::ObjectMeta| {
            let path: Vec<_> = object.location.prefix_match(&root)?.map(|part| part.as_ref().to_owned()).collect();
            let modified = Timestamp::from_millisecond(object.last_modified.timestamp_millis()).ok()?;
            Some(Seen { path: path.join("/"), bytes: object.size, modified })
        };
        let unclear = || RusticError::new(ErrorKind::Backend, "a time or a name in `{path}` makes no sense");
        objects.into_iter().map(seen).collect::<Option<_>>().ok_or_else(|| unclear().attach_context("path", folder.to_string()))
    }

    fn read_at(&self, path: &str) -> RusticResult<Bytes> {
        let path = self.folder(path);
        let read = || async { self.store.get(&path).await?.bytes().await };
        self.ask(read).map_err(|error| fault("failed to read `{path}`", &path, error))
    }

    fn write_at(&self, path: &str, content: Vec<u8>) -> RusticResult<()> {
        let path = self.folder(path);
        let content = PutPayload::from(content);
        let written = self.ask(|| self.store.put(&path, content.clone()));
        written.map(drop).map_err(|error| fault("failed to write `{path}`", &path, error))
    }

    fn remove_at(&self, path: &str) -> RusticResult<()> {
        self.delete(&self.folder(path))
    }

    fn object_lock(&self) -> Option<Box<dyn LocksObjects + '_>> {
        Some(Box::new(LockingBucket { bucket: self, locking: self.locking.as_ref()? }))
    }
}

/// Dropping a runtime inside another one panics; let its threads end by themselves.
impl Drop for Bucket {
    fn drop(&mut self) {
        if let Ok(idle) = tokio::runtime::Builder::new_current_thread().build() {
            std::mem::replace(&mut self.runtime, idle).shutdown_background();
        }
    }
}

const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Arc<Bucket>>();
};
