//! What the threads of a line share: when bytes moved last, who waits, why it was cut.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plan::{Class, Error};

use crate::end::End;
use crate::watchdog::Peer;

/// See the module.
pub(crate) struct State {
    /// The server, for messages.
    pub(crate) server: String,
    epoch: Instant,
    moved_ms: AtomicU64,
    waiters: AtomicUsize,
    waiting_since_ms: AtomicU64,
    is_closed: AtomicBool,
    /// Its owner has gone: what is on the way still arrives.
    is_released: AtomicBool,
    connections: AtomicUsize,
    /// The sockets of all connections, to be shut.
    sockets: Mutex<Vec<End>>,
    fault: Mutex<Option<Fault>>,
    peer: Mutex<Option<Arc<dyn Peer>>>,
    ticks: (Mutex<()>, Condvar),
}

/// Why a line is no more.
#[derive(Debug, Clone)]
struct Fault {
    class: Class,
    what: String,
    hints: Vec<String>,
}

impl State {
    pub(crate) fn new(server: String) -> Self {
        Self {
            server,
            epoch: Instant::now(),
            moved_ms: AtomicU64::new(0),
            waiters: AtomicUsize::new(0),
            waiting_since_ms: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            is_released: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            sockets: Mutex::default(),
            fault: Mutex::default(),
            peer: Mutex::default(),
            ticks: (Mutex::new(()), Condvar::new()),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Bytes moved.
    pub(crate) fn touch(&self) {
        self.moved_ms.fetch_max(self.now_ms(), Ordering::SeqCst);
    }

    /// How long somebody has waited without a byte moving; `None` when nobody waits.
    pub(crate) fn quiet(&self) -> Option<Duration> {
        if self.waiters.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let since = self.moved_ms.load(Ordering::SeqCst).max(self.waiting_since_ms.load(Ordering::SeqCst));
        Some(Duration::from_millis(self.now_ms().saturating_sub(since)))
    }

    pub(crate) fn begin_waiting(&self) {
        self.waiting_since_ms.fetch_max(self.now_ms(), Ordering::SeqCst);
        self.waiters.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn end_waiting(&self) {
        self.waiters.fetch_sub(1, Ordering::SeqCst);
    }

    /// A connection's sockets, to be shut with the line.
    pub(crate) fn keep(&self, sockets: [End; 2]) {
        let mut kept = lock(&self.sockets);
        if self.is_closed() {
            sockets.iter().for_each(|socket| socket.shut(Shutdown::Both));
        } else {
            kept.extend(sockets);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    pub(crate) fn begin_connection(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn end_connection(&self) {
        self.connections.fetch_sub(1, Ordering::SeqCst);
        self.ticks.1.notify_all();
    }

    pub(crate) fn has_connections(&self) -> bool {
        self.connections.load(Ordering::SeqCst) > 0
    }

    /// Nobody connects any more.
    pub(crate) fn release(&self) {
        self.is_released.store(true, Ordering::SeqCst);
        self.ticks.1.notify_all();
    }

    pub(crate) fn is_released(&self) -> bool {
        self.is_released.load(Ordering::SeqCst) || self.is_closed()
    }

    /// Ends all connections; whoever waits comes back with an error.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Shut, and closed: a client that writes to a socket that is only shut waits on.
        for socket in lock(&self.sockets).drain(..) {
            socket.shut(Shutdown::Both);
        }
        self.ticks.1.notify_all();
    }

    /// The same, with the reason.
    pub(crate) fn cut(&self, why: &Error) {
        let fault = Fault { class: why.class(), what: why.chain(), hints: why.hints().to_vec() };
        // The first one is the cause.
        lock(&self.fault).get_or_insert(fault);
        self.close();
    }

    /// The first reason for which it was cut.
    pub(crate) fn fault(&self) -> Option<Error> {
        let fault = lock(&self.fault).clone()?;
        Some(fault.hints.into_iter().fold(Error::new(fault.class, fault.what), Error::hint))
    }

    pub(crate) fn set_peer(&self, peer: Arc<dyn Peer>) {
        *lock(&self.peer) = Some(peer);
    }

    pub(crate) fn peer(&self) -> Option<Arc<dyn Peer>> {
        lock(&self.peer).clone()
    }

    /// Sleeps for that long, or until the line is closed.
    pub(crate) fn sleep(&self, time: Duration) {
        let guard = lock(&self.ticks.0);
        if !self.is_closed() {
            drop(self.ticks.1.wait_timeout(guard, time));
        }
    }
}

/// A lock whose holder panicked is still a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
