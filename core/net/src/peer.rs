//! What one connection costs us: the memory its requests hold, and the replies that its peer does not read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use throughline_component::port::{Account, Budget, Charge};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::written::Written;

/// What an answered request costs until its reply is sent: the stream's state, headers and buffers.
const REPLY: usize = 4 << 10;
/// A connection may always have so many replies waiting.
const FEW: usize = 8;
/// Over how long it is measured how fast a peer takes what we write.
const WINDOW: Duration = Duration::from_secs(5);
/// How long it may take nothing at all where no rate is asked for.
const UNREAD: Duration = Duration::from_mins(1);

/// What a request costs until it is answered, beside its body: a stream's state and the task that answers it.
const REQUEST: usize = 2 << 10;
/// What a header costs beside its bytes.
const HEADER: usize = 160;

/// The peers that are connected now, by address.
#[derive(Default)]
pub(crate) struct Peers {
    known: Mutex<HashMap<IpAddr, Weak<AtomicUsize>>>,
    waiting: Arc<AtomicUsize>,
}

impl Peers {
    /// A connection's accounts; all connections of one address share the peer's.
    pub(crate) fn connection(&self, address: IpAddr, budget: Option<&Arc<Budget>>) -> Arc<Connection> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > 64 && known.len() == known.capacity() {
            known.retain(|_, peer| peer.strong_count() > 0);
        }
        let peer = known.get(&address).and_then(Weak::upgrade).unwrap_or_default();
        known.insert(address, Arc::downgrade(&peer));
        Arc::new(Connection {
            account: Account::new(peer),
            budget: budget.cloned(),
            unread: Mutex::default(),
            taken: AtomicU64::new(0),
            socket: Written::default(),
            overdrawn: Notify::new(),
            cut_short: Notify::new(),
            waiting: Arc::clone(&self.waiting),
        })
    }
}

/// One connection.
pub(crate) struct Connection {
    account: Arc<Account>,
    budget: Option<Arc<Budget>>,
    unread: Mutex<Unread>,
    /// Bytes of replies that were written.
    taken: AtomicU64,
    pub(crate) socket: Written,
    /// Its unread replies hold more than they may.
    overdrawn: Notify,
    /// Whoever still waits for an answer is told to try again.
    cut_short: Notify,
    /// Bytes of all connections' unread replies.
    waiting: Arc<AtomicUsize>,
}

/// Replies that were given and are not sent.
#[derive(Default)]
struct Unread {
    count: usize,
    /// When one was sent last, or the first of them was given.
    since: Option<Instant>,
}

impl Connection {
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Requests that wait for their answer are answered now.
    pub(crate) fn cut_short(&self) {
        self.cut_short.notify_waiters();
    }

    /// Resolves when a request is to wait no more.
    pub(crate) async fn is_cut_short(&self) {
        self.cut_short.notified().await;
    }

    /// Charges a request with these headers until it is answered. `None`: there is no room for it.
    pub(crate) fn asked(&self, headers: &HeaderMap) -> Option<Charge> {
        let Some(budget) = &self.budget else { return Some(Charge::none()) };
        let mut charge = budget.charge_to(&self.account);
        let bytes = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + HEADER;
        charge.grow(REQUEST + headers.iter().map(bytes).sum::<usize>()).then_some(charge)
    }

    /// A reply of so many bytes was given. What is returned goes with it and notices when it is sent.
    pub(crate) fn replied(self: &Arc<Self>, bytes: usize) -> UnsentReply {
        let mut charge =
            self.budget.as_ref().map_or_else(Charge::none, |budget| budget.charge_to(&self.account));
        let size = REPLY + bytes;
        let all = self.waiting.fetch_add(size, Ordering::Relaxed);
        // Requests need the rest.
        let few = self.budget.as_ref().is_none_or(|budget| all + size <= budget.limit() / 4);
        let granted = few && charge.grow(size);
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.count += 1;
        unread.since.get_or_insert_with(Instant::now);
        if !granted && unread.count > FEW {
            self.overdrawn.notify_one();
        }
        drop(unread);
        UnsentReply { connection: Arc::clone(self), size, _charge: charge }
    }

    /// Resolves when the peer has left its replies unread for too long, or too many of them: less than `least` bytes a second
    /// were taken, and none to its end, while some waited, be it behind a window of HTTP/2 or in a socket that takes no more.
    pub(crate) async fn is_ignored(&self, least: u64) {
        let (patience, least) = match least {
            0 => (UNREAD, 1),
            least => (WINDOW, least.saturating_mul(WINDOW.as_secs())),
        };
        let mut before = (0, 0);
        loop {
            tokio::select! {
                () = self.overdrawn.notified() => break,
                () = tokio::time::sleep(patience) => {}
            }
            let now = (self.taken.load(Ordering::Relaxed), self.socket.bytes());
            let waits = self.unread.lock().unwrap_or_else(PoisonError::into_inner).since;
            let is_slow = |since: Option<Instant>, moved: u64| {
                moved < least && since.is_some_and(|since| since.elapsed() >= patience)
            };
            if is_slow(waits, now.0 - before.0) || is_slow(self.socket.blocked(), now.1 - before.1) {
                break;
            }
            before = now;
        }
        self.socket.give_up();
    }
}

/// A reply on its way.
pub(crate) struct UnsentReply {
    connection: Arc<Connection>,
    size: usize,
    _charge: Charge,
}

impl UnsentReply {
    /// So many bytes of it were written.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.connection.taken.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for UnsentReply {
    fn drop(&mut self) {
        self.connection.waiting.fetch_sub(self.size, Ordering::Relaxed);
        let mut unread = self.connection.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.count -= 1;
        unread.since = (unread.count > 0).then(Instant::now);
    }
}

impl std::fmt::Debug for UnsentReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnsentReply")
    }
}
