//! Memory as a resource: a bounded number of bytes that requests may hold until they settle, and fair shares of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use tokio::sync::Notify;

/// How many bytes all requests together may hold. Charged as bytes arrive, given back when the chunk has settled.
///
/// A peer that is alone may use seven eighths of it, and a single request may even go beyond: one that is larger than the budget
/// can be taken when nothing else is. Where it is getting scarce, one connection may hold half of it and one peer three
/// quarters, and what a connection holds beyond that is not held against the others: a body that stands still cannot keep everybody
/// else out.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    /// The same, with no connection counted beyond its share.
    within_shares: AtomicUsize,
    /// Those that wait for bytes to be given back.
    waiters: AtomicUsize,
    freed: Notify,
}

/// What one connection holds, and the peer behind it.
#[derive(Debug, Default)]
pub struct Account {
    used: AtomicUsize,
    /// What all connections of the peer hold, none counted beyond its share.
    peer: Arc<AtomicUsize>,
}

impl Account {
    /// An account of a connection, and of the peer that it shares with others.
    pub fn new(peer: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), peer })
    }

    /// Bytes that the connection holds now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Books bytes; says how many of them count against others, of whom none is counted beyond `share`.
    fn grow(&self, bytes: usize, share: usize) -> usize {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let counted = (before + bytes).min(share) - before.min(share);
        self.peer.fetch_add(counted, Ordering::Relaxed);
        counted
    }

    /// Takes bytes from the books; says how many of them counted.
    fn shrink(&self, bytes: usize, share: usize) -> usize {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        let counted = before.min(share) - (before - bytes).min(share);
        self.peer.fetch_sub(counted, Ordering::Relaxed);
        counted
    }
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            within_shares: AtomicUsize::new(0),
            waiters: AtomicUsize::new(0),
            freed: Notify::new(),
        })
    }

    /// Bytes in use now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be in use.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// An empty charge that can grow.
    pub fn charge(self: &Arc<Self>) -> Charge {
        Charge { held: 0, budget: Some(Arc::clone(self)), account: None }
    }

    /// Waits until `bytes` are granted: for receivers that pull, whose source keeps what they do not take yet. Nobody is served in
    /// any order.
    pub async fn reserve(self: &Arc<Self>, bytes: usize) -> Charge {
        let mut charge = self.charge();
        if charge.grow(bytes) {
            return charge;
        }
        let _waiting = Waiting::new(self);
        loop {
            // Made before looking, so that nothing that is given back in between is missed.
            let freed = self.freed.notified();
            if charge.grow(bytes) {
                return charge;
            }
            freed.await;
        }
    }

    /// The same for what a connection sends.
    pub fn charge_to(self: &Arc<Self>, account: &Arc<Account>) -> Charge {
        Charge { held: 0, budget: Some(Arc::clone(self)), account: Some(Arc::clone(account)) }
    }

    /// The most that one connection's bytes count against others.
    fn share(&self) -> usize {
        self.limit / 2
    }

    /// Takes `bytes` for a charge that holds `held`.
    fn take(&self, bytes: usize, held: usize, account: Option<&Account>) -> bool {
        let Some(account) = account else {
            let grown =
                |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit || used == held);
            let granted =
                self.within_shares.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
            if granted {
                self.used.fetch_add(bytes, Ordering::Relaxed);
            }
            return granted;
        };
        let (mine, peer) = (account.used(), account.peer.load(Ordering::Relaxed));
        let counts = |own: usize| own.min(self.share());
        let Some(more) = mine.checked_add(bytes).map(|grown| counts(grown) - counts(mine)) else {
            return false;
        };
        let alone = self.used() == held;
        let grown = |used: usize| {
            let sum = used.checked_add(more)?;
            // An eighth is for whoever comes next from somewhere else.
            let most = self.limit - self.limit / 8;
            let only_connection = self.used() == mine && mine.saturating_add(bytes) <= most;
            let others = used.saturating_sub(peer) > 0;
            let of_peer = if others { self.limit / 4 * 3 } else { most };
            // Within its share a connection is refused only where the budget, or its peer's part of it, is spent.
            let fair = mine + bytes <= self.share() && peer + more <= of_peer;
            (alone || only_connection || (sum <= self.limit && fair)).then_some(sum)
        };
        let granted = self.within_shares.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        if granted {
            self.used.fetch_add(bytes, Ordering::Relaxed);
            // Another request of this connection may have grown meanwhile: what counts is what really becomes of the sum.
            self.correct(account.grow(bytes, self.share()), more);
        }
        granted
    }

    /// Books bytes that nobody was asked for.
    fn add(&self, bytes: usize, account: Option<&Account>) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        let counted = account.map_or(bytes, |account| account.grow(bytes, self.share()));
        self.within_shares.fetch_add(counted, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize, account: Option<&Account>) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        let counted = account.map_or(bytes, |account| account.shrink(bytes, self.share()));
        self.within_shares.fetch_sub(counted, Ordering::Relaxed);
        // Either we see who waits, or it sees what we gave back.
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::Relaxed) > 0 {
            self.freed.notify_waiters();
        }
    }

    fn correct(&self, is: usize, was_taken: usize) {
        if is >= was_taken {
            self.within_shares.fetch_add(is - was_taken, Ordering::Relaxed);
        } else {
            self.within_shares.fetch_sub(was_taken - is, Ordering::Relaxed);
        }
    }
}

/// One that waits for bytes.
struct Waiting<'a>(&'a Budget);

impl<'a> Waiting<'a> {
    fn new(budget: &'a Budget) -> Self {
        budget.waiters.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Self(budget)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes held of a [`Budget`]; dropping it gives them back.
#[derive(Debug, Default)]
pub struct Charge {
    held: usize,
    budget: Option<Arc<Budget>>,
    account: Option<Arc<Account>>,
}

impl Charge {
    /// A charge to nothing: for data that is accounted for elsewhere.
    pub fn none() -> Self {
        Self::default()
    }

    /// The limit of the budget it is charged to, if it is charged to one.
    pub fn limit(&self) -> Option<usize> {
        self.budget.as_ref().map(|budget| budget.limit)
    }

    /// Whether it is charged to this budget.
    pub fn is_to(&self, budget: &Arc<Budget>) -> bool {
        self.budget.as_ref().is_some_and(|own| Arc::ptr_eq(own, budget))
    }

    /// Holds `bytes` more, unless that would break the budget; says whether it could.
    #[must_use = "bytes that the budget does not grant must be refused"]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let account = self.account.as_deref();
        let granted = self.budget.as_ref().is_none_or(|budget| budget.take(bytes, self.held, account));
        if granted {
            self.held += bytes;
        }
        granted
    }

    /// Holds `bytes` more that are there already, be it beyond the limit: nothing else is granted until they are given back.
    pub fn owe(&mut self, bytes: usize) {
        if let Some(budget) = &self.budget {
            budget.add(bytes, self.account.as_deref());
            self.held += bytes;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give_back(self.held, self.account.as_deref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_stops_at_the_limit_and_gives_back_when_dropped() {
        let budget = Budget::new(100);
        let mut charge = budget.charge();
        assert!(charge.grow(60));
        let mut other = budget.charge();
        assert!(!other.grow(41), "101 bytes do not fit into 100");
        assert!(other.grow(40));
        assert_eq!(budget.used(), 100);
        drop((charge, other));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn who_pulls_waits_until_there_is_room_and_who_gives_up_waiting_leaves_nothing_behind() {
        let budget = Budget::new(100);
        let mut held = budget.charge();
        assert!(held.grow(80));
        let poll = |future: std::pin::Pin<&mut dyn Future<Output = Charge>>| {
            future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
        };
        {
            let mut given_up = std::pin::pin!(budget.reserve(30));
            assert!(poll(given_up.as_mut()).is_pending());
        }
        let mut waiting = std::pin::pin!(budget.reserve(30));
        assert!(poll(waiting.as_mut()).is_pending());
        drop(held);
        let std::task::Poll::Ready(charge) = poll(waiting.as_mut()) else { panic!("there is room") };
        assert_eq!((budget.used(), budget.waiters.load(Ordering::Relaxed)), (30, 0));
        drop(charge);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn it_is_known_who_holds_how_much_and_of_what() {
        let (budget, other) = (Budget::new(100), Budget::new(200));
        let account = Account::new(Arc::default());
        let mut charge = budget.charge_to(&account);
        assert!(charge.grow(30));
        charge.owe(12);
        assert_eq!((account.used(), budget.used(), budget.limit()), (42, 42, 100));
        assert_eq!((charge.limit(), Charge::none().limit()), (Some(100), None));
        assert!(charge.is_to(&budget) && !charge.is_to(&other) && !Charge::none().is_to(&budget));
        drop(charge);
        assert_eq!((account.used(), budget.used()), (0, 0));
    }

    #[test]
    fn what_is_owed_is_refused_to_others_until_it_is_given_back() {
        let budget = Budget::new(100);
        let (mut owing, mut other) = (budget.charge(), budget.charge());
        assert!(owing.grow(60));
        owing.owe(500);
        assert!(!other.grow(1));
        drop(owing);
        assert!(other.grow(100));
    }

    #[test]
    fn a_charge_that_is_alone_may_go_beyond_the_limit() {
        for account in [None, Some(Account::new(Arc::default()))] {
            let budget = Budget::new(100);
            let charge =
                || account.as_ref().map_or_else(|| budget.charge(), |account| budget.charge_to(account));
            let (mut large, mut small) = (charge(), budget.charge());
            assert!(large.grow(80) && large.grow(80), "nothing else is held");
            drop(large);
            assert!(small.grow(1));
            assert!(!charge().grow(101), "something else is held");
        }
    }

    #[test]
    fn requests_of_the_only_connection_may_hold_seven_eighths_together() {
        let (budget, account) = (Budget::new(80), Account::new(Arc::default()));
        let [mut one, mut other] = [(); 2].map(|()| budget.charge_to(&account));
        assert!(one.grow(30) && other.grow(40));
        assert!(!other.grow(1), "an eighth is for whoever comes next");
        drop(one);
        assert!(other.grow(100), "it is alone");
    }

    #[test]
    fn one_that_holds_more_than_everything_leaves_half_of_it_to_the_others() {
        let budget = Budget::new(100);
        let (hog, others) = (Account::new(Arc::default()), [(); 2].map(|()| Account::new(Arc::default())));
        let mut stalled = budget.charge_to(&hog);
        assert!(stalled.grow(300), "it is alone");
        let mut charges = others.each_ref().map(|account| budget.charge_to(account));
        assert!(charges[0].grow(30) && charges[1].grow(20));
        assert!(!charges[1].grow(1), "the other half is spent");
        assert!(!stalled.grow(1), "it is not alone any more");
        drop(charges);
        drop(stalled);
        assert_eq!((budget.used(), budget.within_shares.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_body_that_came_piece_by_piece_counts_no_more_than_its_share() {
        let budget = Budget::new(20 << 20);
        let (hog, other) = (Account::new(Arc::default()), Account::new(Arc::default()));
        let mut stalled = budget.charge_to(&hog);
        assert!((0..480).all(|_| stalled.grow(64 << 10)), "it is alone");
        let mut charge = budget.charge_to(&other);
        assert!((0..80).all(|_| charge.grow(64 << 10)), "five MiB of the other half");
    }

    #[test]
    fn a_peer_with_many_connections_leaves_a_quarter_to_others_and_an_eighth_to_who_may_come() {
        let budget = Budget::new(100);
        let (many, other) = (Arc::<AtomicUsize>::default(), Account::new(Arc::default()));
        let connections = [(); 10].map(|()| Account::new(Arc::clone(&many)));
        let mut held = connections.each_ref().map(|account| budget.charge_to(account));
        let granted = held.iter_mut().filter_map(|charge| charge.grow(10).then_some(())).count();
        assert_eq!(granted, 8, "nobody else is here, but somebody may come");
        assert!(budget.charge_to(&other).grow(12), "and finds room");
        drop(held);
        let mut one = budget.charge_to(&other);
        assert!(one.grow(1));
        let mut held = connections.each_ref().map(|account| budget.charge_to(account));
        let granted = held.iter_mut().filter_map(|charge| charge.grow(10).then_some(())).count();
        assert_eq!(granted, 7, "three quarters");
        assert!(one.grow(20), "the rest is the other's");
    }

    #[test]
    fn what_was_taken_by_an_old_sum_is_put_right() {
        let budget = Budget::new(100);
        budget.add(50, None);
        for (is, was_taken, sum) in [(10, 30, 30), (30, 10, 50), (7, 7, 50)] {
            budget.correct(is, was_taken);
            assert_eq!(budget.within_shares.load(Ordering::Relaxed), sum);
        }
    }

    #[test]
    fn accounts_balance_however_charges_interleave() {
        let budget = Budget::new(1 << 20);
        let peer = Arc::<AtomicUsize>::default();
        let account = Account::new(Arc::clone(&peer));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (budget, account) = (&budget, &account);
                scope.spawn(move || {
                    for round in 0..2000usize {
                        let mut charges: Vec<Charge> = (0..4).map(|_| budget.charge_to(account)).collect();
                        for charge in &mut charges {
                            let _ = charge.grow((round * 7919 + thread * 104_729) % 300_000);
                        }
                    }
                });
            }
        });
        let sums = (budget.used(), budget.within_shares.load(Ordering::Relaxed), account.used());
        assert_eq!((sums, peer.load(Ordering::Relaxed)), ((0, 0, 0), 0));
    }
}
