//! The same over S3, with a service in this process whose answers can be made to fail.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bucket::{Credentials, Origin};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use plan::Class;
use plan::ports::{Repository as _, StopFlag};
use repository::{Location, Retention, RusticRepository, S3};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

use crate::scene::*;

/// Which requests fail: method, part of the URL, and how many times.
#[derive(Clone, Debug)]
struct Fault {
    method: &'static str,
    url_has: &'static str,
    times: u64,
}

#[derive(Default)]
struct Faults {
    armed: Mutex<Option<Fault>>,
    /// What the policy of the bucket does not allow: a method and a part of the URL.
    denied: Mutex<Vec<(&'static str, &'static str)>>,
    /// Whether the bucket has a default retention: what is written without a digest is refused (S3 API reference, PutObject).
    locks_what_is_written: AtomicBool,
    hit: AtomicU64,
    requests: AtomicU64,
}

impl Faults {
    fn arm(&self, method: &'static str, url_has: &'static str, times: u64) {
        *self.armed.lock().unwrap() = Some(Fault { method, url_has, times });
        self.hit.store(0, Ordering::SeqCst);
    }

    /// Disarms; a fault that was never hit tests nothing.
    fn disarm(&self) {
        self.armed.lock().unwrap().take();
        assert!(self.hit.load(Ordering::SeqCst) > 0, "the fault was never hit");
    }

    fn denies(&self, method: &str, url: &str) -> bool {
        self.denied.lock().unwrap().iter().any(|(denied, url_has)| *denied == method && url.contains(url_has))
    }

    /// The answer to a request to delete many objects, when one of them may not be deleted.
    fn refusal(&self, request: &str) -> Option<String> {
        let keys: Vec<_> = request.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>")).map(|(key, _)| key).collect();
        let is_denied = keys.iter().any(|key| self.denies("DELETE", &format!("/{key}")));
        let error = |key: &&str| format!("<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>");
        let errors: String = keys.iter().map(error).collect();
        is_denied.then(|| format!("<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{errors}</DeleteResult>"))
    }

    fn strikes(&self, method: &str, url: &str) -> bool {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let mut armed = self.armed.lock().unwrap();
        let Some(fault) = armed.as_mut().filter(|fault| fault.times > 0 && fault.method == method && url.contains(fault.url_has)) else {
            return false;
        };
        fault.times -= 1;
        self.hit.fetch_add(1, Ordering::SeqCst);
        true
    }
}

pub(crate) struct Service {
    folder: tempfile::TempDir,
    faults: Arc<Faults>,
    port: u16,
    _runtime: tokio::runtime::Runtime,
}

impl Service {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let service = {
            let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
            builder.set_auth(SimpleAuth::from_single("AKIATEST", "s3-secret-key"));
            builder.build()
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Arc::new(Faults::default());
        let shared = Arc::clone(&faults);
        let conditional = Arc::new(tokio::sync::Mutex::new(()));
        runtime.spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let (service, faults, conditional) = (service.clone(), Arc::clone(&shared), Arc::clone(&conditional));
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (method, url) = (request.method().as_str().to_owned(), request.uri().to_string());
                    let (service, fails, denied) = (service.clone(), faults.strikes(&method, &url), faults.denies(&method, &url));
                    let (one_at_a_time, policy) = (Arc::clone(&conditional), Arc::clone(&faults));
                    let has_digest = ["content-md5", "x-amz-checksum-sha256"].iter().any(|name| request.headers().contains_key(*name));
                    let lacks_digest = faults.locks_what_is_written.load(Ordering::SeqCst) && method == "PUT" && !has_digest;
                    async move {
                        if lacks_digest {
                            let body = s3s::Body::from("<Error><Code>InvalidRequest</Code></Error>".to_owned());
                            return Ok::<_, Infallible>(Response::builder().status(400).body(body).unwrap());
                        }
                        // A service looks and writes in one; this one's library does not.
                        let _turn = if request.headers().contains_key("if-none-match") { Some(one_at_a_time.lock().await) } else { None };
                        if denied {
                            let body =
                                s3s::Body::from("<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>".to_owned());
                            return Ok::<_, Infallible>(Response::builder().status(403).body(body).unwrap());
                        }
                        if fails {
                            let body = s3s::Body::from("<Error><Code>InternalError</Code></Error>".to_owned());
                            return Ok::<_, Infallible>(Response::builder().status(500).body(body).unwrap());
                        }
                        let (head, body) = request.into_parts();
                        let mut body = s3s::Body::from(body);
                        if head.method == "POST" && head.uri.query().is_some_and(|query| query.starts_with("delete")) {
                            // Many objects at a time: who may not delete them is told in the answer.
                            let wanted = body.store_all_limited(1 << 20).await.unwrap();
                            if let Some(refusal) = policy.refusal(&String::from_utf8_lossy(&wanted)) {
                                return Ok(Response::builder().status(200).body(s3s::Body::from(refusal)).unwrap());
                            }
                            body = s3s::Body::from(wanted);
                        }
                        Ok(service.call(Request::from_parts(head, body)).await.unwrap())
                    }
                });
                tokio::spawn(async move { drop(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), answer).await) });
            }
        });
        Self { folder, faults, port, _runtime: runtime }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Where its bucket has the repository.
    pub(crate) fn files(&self) -> std::path::PathBuf {
        self.folder.path().join("bucket/some/prefix")
    }

    /// From now on the bucket's policy allows no such request.
    pub(crate) fn deny(&self, method: &'static str, url_has: &'static str) {
        self.faults.denied.lock().unwrap().push((method, url_has));
    }

    /// Everything is allowed again.
    pub(crate) fn allow_all(&self) {
        self.faults.denied.lock().unwrap().clear();
    }

    pub(crate) fn requests(&self) -> u64 {
        self.faults.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn location(&self) -> Location {
        let s3 = S3 {
            bucket: String::new(),
            prefix: String::new(),
            service: bucket::Service {
                endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
                region: "us-east-1".into(),
                credentials: Credentials::Keys { id: "AKIATEST".into(), secret: "s3-secret-key".into() },
                path_style: true,
                dial: None,
                ca_file: None,
                origin: Origin::Section("[repository.s3]".to_owned()),
            },
            retry_seconds: 1,
            stop: StopFlag::default(),
            object_lock: None,
        };
        Location::parse("s3://bucket/some/prefix", Some(s3)).unwrap()
    }

    fn init(&self) -> RusticRepository {
        RusticRepository::init(&self.location(), &password()).unwrap();
        self.open()
    }

    fn open(&self) -> RusticRepository {
        RusticRepository::open(&self.location(), &password()).unwrap()
    }

    fn stored(&self) -> Vec<std::path::PathBuf> {
        files(&self.folder.path().join("bucket/some/prefix"))
    }
}

fn fails(error: &plan::Error) {
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    assert!(!error_text(error).contains("s3-secret-key"), "{error:?}");
}

#[test]
fn a_set_is_kept_and_read_over_s3() {
    let service = Service::start();
    let error = RusticRepository::open(&service.location(), &password()).unwrap_err();
    assert_eq!(error.class(), Class::NoRepository, "{error:?}");
    let repository = service.init();
    assert_eq!(RusticRepository::init(&service.location(), &password()).unwrap_err().class(), Class::Refused);
    assert_eq!(RusticRepository::open(&service.location(), &"wrong".into()).unwrap_err().class(), Class::WrongPassword);
    let kept = take(&repository, "one", parts(1, 30, 1 << 20));
    let before = service.faults.requests.load(Ordering::SeqCst);
    assert!(contents(&service.open(), &kept).unwrap() == expected(parts(1, 30, 1 << 20)));
    let requests = service.faults.requests.load(Ordering::SeqCst) - before;
    assert!(requests < 40, "{requests} requests for 30 MiB in some 240 chunks");
    let second = take(&service.open(), "two", parts(1, 30, 1 << 20));
    assert!(second.stored_bytes < 100_000);
    let report = check(&repository);
    assert!(report.is_whole() && report.notes.is_empty() && report.sets.len() == 2, "{report:?}");
    // What lies in the bucket is a repository as any other.
    let output = restic(&service.folder.path().join("bucket/some/prefix"), &["check", "--read-data"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_bucket_that_locks_what_is_written_takes_sets() {
    let service = Service::start();
    service.faults.locks_what_is_written.store(true, Ordering::SeqCst);
    let repository = service.init();
    let kept = take(&repository, "one", parts(1, 30, 1 << 20));
    assert!(contents(&service.open(), &kept).unwrap() == expected(parts(1, 30, 1 << 20)));
    let report = check(&repository);
    assert!(report.is_whole() && report.sets.len() == 1, "{report:?}");
}

#[test]
fn a_service_that_is_not_there_is_transient() {
    let service = Service::start();
    let with = |change: &dyn Fn(&mut bucket::Service)| {
        let Location::S3(mut s3) = service.location() else { unreachable!() };
        change(&mut s3.service);
        Location::S3(s3)
    };
    let nowhere = with(&|service| service.endpoint = Some("http://127.0.0.1:9".into()));
    fails(&RusticRepository::open(&nowhere, &password()).unwrap_err());
    let stranger = with(&|service| service.credentials = Credentials::Keys { id: "AKIATEST".into(), secret: "other".into() });
    let error = RusticRepository::open(&stranger, &password()).unwrap_err();
    assert_eq!(error.class(), Class::Refused, "{error:?}");
    assert!(error_text(&error).contains("secret-access-key"), "{error:?}");
}

#[test]
fn short_faults_are_retried() {
    let service = Service::start();
    let repository = service.init();
    for (method, url) in [("PUT", "/data/"), ("PUT", "/index/"), ("PUT", "/snapshots/"), ("GET", "prefix=some"), ("GET", "/index/")] {
        service.faults.arm(method, url, 2);
        let set = format!("{method}{url}").replace(|letter: char| !letter.is_alphanumeric(), "");
        take(&repository, &set, parts(set.len() as u64, 3, 1 << 20));
        service.faults.disarm();
    }
    let report = check(&repository);
    assert!(report.is_whole() && report.sets.len() == 5, "{report:?}");
}

#[test]
fn a_failed_put_leaves_no_set() {
    let service = Service::start();
    let repository = service.init();
    take(&repository, "before", parts(1, 3, 1000));
    for url in ["/data/", "/index/", "/snapshots/"] {
        service.faults.arm("PUT", url, u64::MAX);
        let error = repository.keep(&context(), &keep_of("failed"), Script::parts(parts(2, 30, 1 << 20))).unwrap_err();
        fails(&error);
        service.faults.disarm();
        assert_eq!(set_names(&repository), ["before"], "{url}");
    }
    let kept = take(&service.open(), "after", parts(2, 30, 1 << 20));
    assert!(contents(&repository, &kept).unwrap() == expected(parts(2, 30, 1 << 20)));
    assert!(check(&repository).is_whole());
}

#[test]
fn a_failed_list_is_never_an_empty_one() {
    let service = Service::start();
    let repository = service.init();
    take(&repository, "one", parts(1, 3, 1 << 20));
    let before = service.stored();
    let retention = Retention { last: 1, ..Retention::default() };
    for list in ["snapshots", "index", "data"] {
        let url: &'static str = match list {
            "snapshots" => "prefix%2Fsnapshots",
            "index" => "prefix%2Findex",
            _ => "prefix%2Fdata",
        };
        service.faults.arm("GET", url, u64::MAX);
        let mut options = forget_options(true, true);
        options.at_once = true;
        fails(&service.open().forget(&retention, &options).unwrap_err());
        // Each operation, as far as it needs that listing.
        if list != "data" {
            fails(&service.open().manifests().unwrap_err());
        }
        if list != "snapshots" {
            fails(&service.open().keep(&context(), &keep_of("failed"), Script::parts(parts(2, 3, 1000))).unwrap_err());
        }
        service.open().check(repository::ReadData::All, &plan::ports::StopFlag::default(), &plan::ports::Silent).unwrap_err();
        service.faults.disarm();
        assert!(before.iter().all(|file| service.stored().contains(file)), "{list}: something was deleted");
    }
    assert_eq!(set_names(&service.open()), ["one"]);
    assert!(check(&service.open()).is_whole());
}

#[test]
fn a_failed_get_is_an_error_of_the_reader() {
    let service = Service::start();
    let kept = take(&service.init(), "one", parts(1, 8, 1 << 20));
    let repository = service.open();
    let snapshot = repository.open(&kept.snapshot).unwrap();
    service.faults.arm("GET", "/data/", u64::MAX);
    contents(&repository, &kept).unwrap_err();
    service.faults.disarm();
    let entry = snapshot.find("tables/t0/000000".as_ref()).unwrap();
    assert!(snapshot.read_all(&entry).unwrap() == noise(1000, 1 << 20));
}

#[test]
fn forgetting_works_over_s3() {
    let service = Service::start();
    let repository = service.init();
    take(&repository, "one", parts(1, 4, 1 << 20));
    let two = take(&repository, "two", parts(2, 4, 1 << 20));
    let mut options = forget_options(true, true);
    options.at_once = true;
    repository.forget(&Retention { last: 1, ..Retention::default() }, &options).unwrap();
    assert_eq!(set_names(&repository), ["two"]);
    assert!(contents(&service.open(), &two).unwrap() == expected(parts(2, 4, 1 << 20)));
    let report = check(&service.open());
    assert!(report.is_whole() && report.notes.is_empty(), "{report:?}");
}

#[test]
fn of_many_inits_at_once_in_a_bucket_one_makes_it_and_a_killed_one_is_finished() {
    let service = Service::start();
    let results: Vec<_> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4).map(|_| scope.spawn(|| RusticRepository::init(&service.location(), &password()))).collect();
        tries.into_iter().map(|tried| tried.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(results.iter().filter_map(|result| result.as_ref().err()).all(|error| error.class() == Class::Refused), "{results:?}");
    let keys = || service.stored().into_iter().filter(|file| file.to_str().unwrap().contains("/keys/")).count();
    assert_eq!(keys(), 1);
    service.open();
    // Killed before its last object.
    std::fs::remove_file(service.folder.path().join("bucket/some/prefix/config")).unwrap();
    assert_eq!(RusticRepository::open(&service.location(), &password()).unwrap_err().class(), Class::NoRepository);
    take(&service.init(), "one", parts(1, 2, 1000));
    assert_eq!(keys(), 1);
    // With data in it, none is made: what is there could never be opened again.
    std::fs::remove_file(service.folder.path().join("bucket/some/prefix/config")).unwrap();
    assert_eq!(RusticRepository::init(&service.location(), &password()).unwrap_err().class(), Class::Refused);
}

#[test]
fn locks_are_honoured_in_a_bucket_and_what_is_damaged_is_set_aside_there() {
    let service = Service::start();
    let repository = service.init();
    take(&repository, "one", parts(1, 3, 1000));
    let before = service.stored();
    let two = take(&repository, "two", parts(2, 3, 1000));
    let mut now = forget_options(true, true);
    now.at_once = true;
    // A backup under way.
    let other = service.open();
    let kept = other.keep(&context(), &keep_of("three"), Script::parts(parts(3, 3, 1000))).unwrap();
    assert_eq!(service.open().forget(&Retention { last: 3, ..Retention::default() }, &now).unwrap_err().class(), Class::Locked);
    assert!(!restic(&service.folder.path().join("bucket/some/prefix"), &["prune"]).status.success());
    other.write_manifest(&manifest("three", &kept)).unwrap();
    drop(other);
    service.open().forget(&Retention { last: 3, ..Retention::default() }, &now).unwrap();
    // One snapshot of a set is damaged.
    let is_snapshot = |file: &&std::path::PathBuf| file.to_str().unwrap().contains("/snapshots/") && !before.contains(file);
    let damaged = service.stored().iter().find(is_snapshot).unwrap().clone();
    std::fs::write(&damaged, b"nothing of a snapshot").unwrap();
    let report = service.open().repair(true, &StopFlag::default()).unwrap();
    assert_eq!(report.set_aside.len(), 1, "{report:?}");
    assert!(!damaged.exists());
    let aside: Vec<_> = service.stored().into_iter().filter(|file| file.to_str().unwrap().contains("/damaged/")).collect();
    assert_eq!(aside.iter().map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>(), [b"nothing of a snapshot"]);
    assert!(set_names(&service.open()).contains(&"one".to_owned()) && two.parts > 0);
}
