//! A bucket of an S3 service in this process, with objects in memory: for tests of what reads and writes buckets. It checks every signature, and can be told to fail.
//!
//! Knows what the API reference says of listing, getting, putting, copying and removing objects, of uploads in parts, and of object lock. Times are whole seconds, as Amazon's are.

mod answer;
mod gate;
mod http;
mod objects;
mod roles;
mod signature;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use plan::Result;
use plan::error::During as _;

use self::http::Request;
use self::objects::Bucket;
pub use self::objects::S3Object;
use self::roles::Roles;
use self::versions::Versions;
pub use self::versions::{S3Lock, S3Version};

/// The bucket's name.
const BUCKET: &str = "system-files";
/// The access key's id.
const KEY_ID: &str = "AKIALAB";
/// The secret access key.
const SECRET: &str = "lab-secret-access-key";

/// What shall fail, and how.
#[derive(Debug, Clone)]
pub struct S3Fault {
    /// The right that the request needs: `s3:PutObject`.
    pub right: &'static str,
    /// Part of the key, or of the query.
    pub has: String,
    /// Requests that work before.
    pub after: u64,
    /// How many fail.
    pub times: u64,
    /// The status; 0 breaks the connection in the middle of the body.
    pub status: u16,
    /// The code in the answer: `SlowDown`.
    pub code: &'static str,
}

/// What is the same for all connections.
#[derive(Default)]
struct Shared {
    bucket: Mutex<Bucket>,
    roles: Mutex<Roles>,
    faults: Mutex<Vec<S3Fault>>,
    denied: Mutex<BTreeSet<String>>,
    asked: Mutex<BTreeMap<String, u64>>,
    gate: gate::Gate,
    is_over: AtomicBool,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module. Ends with this value.
pub struct S3 {
    shared: Arc<Shared>,
    port: u16,
}

impl S3 {
    /// Starts one with an empty bucket.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during(|| "listen on loopback".to_owned())?;
        let port = listener.local_addr().during(|| "look at a port".to_owned())?.port();
        let shared = Arc::new(Shared::default());
        let of_connections = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if of_connections.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(connection), shared) = (connection, Arc::clone(&of_connections)) else { continue };
                std::thread::spawn(move || http::serve(&connection, |request| shared.answer(request)));
            }
        });
        Ok(Self { shared, port })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where it is.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The bucket's name.
    #[must_use]
    pub const fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// Access key id and secret access key.
    #[must_use]
    pub const fn keys(&self) -> (&'static str, &'static str) {
        (KEY_ID, SECRET)
    }

    /// From now on a role is given for a token, with keys that are good for some seconds.
    pub fn give_role(&self, role: &str, token: &str, seconds: u32) {
        lock(&self.shared.roles).role = Some((role.to_owned(), token.to_owned(), SignedDuration::from_secs(seconds.into())));
    }

    /// Ends all keys that were given for a role.
    pub fn end_keys(&self) {
        lock(&self.shared.roles).end();
    }

    /// How many keys were given for a role.
    #[must_use]
    pub fn keys_given(&self) -> usize {
        lock(&self.shared.roles).given()
    }

    /// Puts an object, as another client would.
    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        lock(&self.shared.bucket).put(key, Arc::new(bytes.into()), headers);
    }

    /// Removes an object, as another client would.
    pub fn remove(&self, key: &str) {
        lock(&self.shared.bucket).remove(key);
    }

    /// Gives the bucket object lock, as it is when it is made: versions are kept from now on.
    pub fn lock_objects(&self) {
        self.say(true, true);
        lock(&self.shared.bucket).versions = Some(Versions::default());
    }

    /// All versions of all objects, oldest first; none where the bucket has no object lock.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, Vec<S3Version>> {
        lock(&self.shared.bucket).versions.as_ref().map(|versions| versions.of.clone()).unwrap_or_default()
    }

    /// Removes a version or a delete marker, as another client would with every right but that to get round a lock. Whether the service did it.
    pub fn remove_version(&self, key: &str, id: &str) -> bool {
        lock(&self.shared.bucket).remove_version(key, id).is_ok()
    }

    /// Lets all locks end so much sooner, as if that time had passed.
    pub fn age_locks(&self, by: SignedDuration) {
        lock(&self.shared.bucket).age_locks(by);
    }

    /// Holds requests back that need this right, after so many of them.
    pub fn hold_back(&self, right: &str, after: u64) {
        self.shared.gate.close(right, after);
    }

    /// How many requests are held back.
    #[must_use]
    pub fn held_back(&self) -> u64 {
        self.shared.gate.waiting()
    }

    /// Loses the requests that are held back; what comes later passes.
    pub fn let_go(&self) {
        self.shared.gate.open();
    }

    /// Puts the service's clock ahead.
    pub fn pass(&self, seconds: u32) {
        lock(&self.shared.bucket).clock.pass(seconds);
    }

    /// Lets the service's clock stand still, but for [`S3::pass`].
    pub fn stop_clock(&self) {
        lock(&self.shared.bucket).clock.stop();
    }

    /// Sets the service's clock, which then stands still.
    pub fn set_clock(&self, at: Timestamp) {
        lock(&self.shared.bucket).clock.set(at);
    }

    /// All objects.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, S3Object> {
        lock(&self.shared.bucket).objects.clone()
    }

    /// Keys of uploads in parts that nobody has ended.
    #[must_use]
    pub fn uploads(&self) -> Vec<String> {
        lock(&self.shared.bucket).uploads.values().map(|upload| upload.key.clone()).collect()
    }

    /// How much one request may write or copy, in bytes; 5 GiB else, as on Amazon's (user guide, "Uploading objects").
    pub fn allow(&self, largest_bytes: usize) {
        lock(&self.shared.bucket).largest_bytes = largest_bytes;
    }

    /// Objects on one page of a listing; 1000 else.
    pub fn page(&self, objects: usize) {
        lock(&self.shared.bucket).page = objects;
    }

    /// Lets the third page of a listing go on with the second.
    pub fn go_round(&self) {
        lock(&self.shared.bucket).goes_round = true;
    }

    /// Whether versions are said to be kept, and objects to be locked.
    pub fn say(&self, versions: bool, locks: bool) {
        let mut bucket = lock(&self.shared.bucket);
        (bucket.says_versions, bucket.says_locks) = (versions, locks);
    }

    /// Gives the bucket a default retention: what is written without a digest is refused (API reference, PutObject).
    pub fn lock_what_is_written(&self) {
        self.say(true, true);
        lock(&self.shared.bucket).locks_what_is_written = true;
    }

    /// Makes requests fail.
    pub fn fail(&self, fault: S3Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// Nothing fails any more; gives how many requests were still to fail.
    pub fn mend(&self) -> u64 {
        std::mem::take(&mut *lock(&self.shared.faults)).iter().map(|fault| fault.times).sum()
    }

    /// Takes rights away: `s3:PutObject`.
    pub fn deny(&self, rights: &[&str]) {
        *lock(&self.shared.denied) = rights.iter().map(|right| (*right).to_owned()).collect();
    }

    /// How often each right was needed since it was asked last.
    #[must_use]
    pub fn asked(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *lock(&self.shared.asked))
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.gate.open();
        // Wakes the thread that listens.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Shared {
    fn answer(&self, request: &Request) -> http::Response {
        let mut response = self.answered(request);
        response.headers.push(("date".to_owned(), objects::http_date(lock(&self.bucket).clock.now())));
        response
    }

    fn answered(&self, request: &Request) -> http::Response {
        if roles::is_for_keys(request) {
            return lock(&self.roles).answer(request);
        }
        if let Err((status, code)) = self.check_keys(request) {
            return answer::error(status, code);
        }
        let right = answer::right(request, BUCKET);
        *lock(&self.asked).entry(right.to_owned()).or_default() += 1;
        let locks = request.header("x-amz-object-lock-mode").is_some();
        let is_denied = |right: &str| lock(&self.denied).contains(right);
        if is_denied(right) || locks && is_denied("s3:PutObjectRetention") {
            return answer::error(403, "AccessDenied");
        }
        if !self.gate.passes(right) {
            return http::Response { status: 503, breaks: true, ..http::Response::default() };
        }
        if let Some(fault) = self.strikes(right, request) {
            return if fault.status == 0 {
                http::Response { breaks: true, ..answer::answer(&mut lock(&self.bucket), BUCKET, request) }
            } else {
                answer::error(fault.status, fault.code)
            };
        }
        answer::answer(&mut lock(&self.bucket), BUCKET, request)
    }

    fn check_keys(&self, request: &Request) -> std::result::Result<(), (u16, &'static str)> {
        let id = signature::key_id(request).ok_or((403, "AccessDenied"))?;
        let roles = lock(&self.roles);
        let secret = if id == KEY_ID { SECRET } else { roles.secret(id, request)? };
        signature::check(request, secret).map_err(|code| (403, code))
    }

    fn strikes(&self, right: &str, request: &Request) -> Option<S3Fault> {
        let mut faults = lock(&self.faults);
        let is_it = |fault: &&mut S3Fault| fault.times > 0 && fault.right == right && request.target.contains(&fault.has);
        let fault = faults.iter_mut().find(is_it)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.clone())
    }
}
