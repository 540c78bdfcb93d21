//! Settlement: who is told what became of a chunk, and when.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::Outcome;
use crate::port::Charge;

/// The duty to say what became of a chunk. It is not `Clone`: whoever sends a chunk two ways must [`fork`](Self::fork),
/// and the worst outcome wins. Dropped without a word, it says `Retry`, so that a lost chunk is never an acknowledged one.
#[derive(Debug)]
pub struct Settle {
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// Nobody waits: replayed data, or data the agent made itself and may lose.
    Nobody,
    Ticket(oneshot::Sender<Outcome>),
    Branch(Arc<Join>),
    Hook(Hook),
}

struct Hook(Box<dyn FnOnce(Outcome) + Send + Sync>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

/// Where the branches of one chunk meet. The last branch to settle passes on what all of them come to.
#[derive(Debug)]
struct Join {
    meet: fn(Outcome, Outcome) -> Outcome,
    state: Mutex<(usize, Outcome, Option<Settle>)>,
}

/// A duty that is divided among parts as they come. Dropped unfinished, it says `Retry` for the rest.
#[derive(Debug)]
#[must_use = "the whole is not settled before it is finished"]
pub struct Dividing {
    rest: Settle,
    join: Arc<Join>,
}

impl Dividing {
    /// The duty for one more part, of so many items.
    pub fn part(&self, items: u32) -> Settle {
        self.join.state.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
        let branch = Settle { target: Target::Branch(Arc::clone(&self.join)) };
        branch.map(move |outcome| outcome.part(items))
    }

    /// How many parts are not settled yet.
    pub fn open(&self) -> usize {
        self.join.state.lock().unwrap_or_else(PoisonError::into_inner).0.saturating_sub(1)
    }

    /// There are no more parts, or none that are sent: `outcome` is what becomes of the rest.
    pub fn finish(self, outcome: Outcome) {
        self.rest.settle(outcome);
    }
}

/// The other end of a [`Settle`]: a future that resolves to the chunk's outcome. Dropping it cancels nothing.
#[derive(Debug)]
#[must_use = "a ticket is the settlement; await it before telling the sender anything"]
pub struct Ticket(oneshot::Receiver<Outcome>);

/// Something a chunk's settlement must wait for besides its delivery: a journal's sync, say.
pub struct Barrier(Box<dyn FnOnce(Settle) + Send>);

impl Settle {
    /// A token and the ticket that hears of it.
    pub fn ticket() -> (Self, Ticket) {
        let (tx, rx) = oneshot::channel();
        (Self { target: Target::Ticket(tx) }, Ticket(rx))
    }

    /// A token for work that begins at once, and the barrier that holds somebody's settlement back until it is told.
    pub fn barrier() -> (Self, Barrier) {
        let join = Arc::new(Join { meet: Outcome::worst, state: Mutex::new((2, Outcome::DONE, None)) });
        let work = Self { target: Target::Branch(Arc::clone(&join)) };
        let barrier = Barrier::new(move |settle| {
            join.state.lock().unwrap_or_else(PoisonError::into_inner).2 = Some(settle);
            join.arrive(Outcome::DONE);
        });
        (work, barrier)
    }

    /// A token whose outcome nobody waits for.
    pub fn nobody() -> Self {
        Self { target: Target::Nobody }
    }

    /// A token that calls `hook` with the outcome, on whatever thread settles it; the hook must be quick.
    pub fn hook(hook: impl FnOnce(Outcome) + Send + Sync + 'static) -> Self {
        Self { target: Target::Hook(Hook(Box::new(hook))) }
    }

    /// Tells the outcome.
    pub fn settle(mut self, outcome: Outcome) {
        self.report(outcome);
    }

    /// Splits the duty into `ways`: the whole is settled with the worst outcome once every branch is.
    ///
    /// # Panics
    /// If `ways` is zero: a chunk that goes nowhere must be settled, not forked.
    pub fn fork(self, ways: usize) -> Vec<Self> {
        assert!(ways > 0, "a chunk cannot be forked into nothing");
        if ways == 1 {
            return vec![self];
        }
        self.branches(ways, Outcome::worst)
    }

    /// Divides the duty among parts of the chunk's data, of so many items each: what they refuse adds up.
    ///
    /// # Panics
    /// If there is no part.
    pub fn divide(self, parts: &[u32]) -> Vec<Self> {
        assert!(!parts.is_empty(), "a chunk cannot be divided into nothing");
        if parts.len() == 1 {
            return vec![self];
        }
        let branches = self.branches(parts.len(), Outcome::together).into_iter().zip(parts.iter().copied());
        branches.map(|(branch, items)| branch.map(move |outcome| outcome.part(items))).collect()
    }

    /// The same for parts that come one by one: the whole is settled once every part is, and [`Dividing::finish`] was called.
    pub fn dividing(self) -> Dividing {
        let join =
            Arc::new(Join { meet: Outcome::together, state: Mutex::new((1, Outcome::DONE, Some(self))) });
        Dividing { rest: Self { target: Target::Branch(Arc::clone(&join)) }, join }
    }

    fn branches(self, ways: usize, meet: fn(Outcome, Outcome) -> Outcome) -> Vec<Self> {
        let join = Arc::new(Join { meet, state: Mutex::new((ways, Outcome::DONE, Some(self))) });
        (0..ways).map(|_| Self { target: Target::Branch(Arc::clone(&join)) }).collect()
    }

    /// Makes the settlement wait for `barrier` too.
    #[must_use]
    pub fn and(self, barrier: Barrier) -> Self {
        let mut ways = self.fork(2);
        let (own, other) = (ways.pop(), ways.pop());
        if let Some(other) = other {
            barrier.join(other);
        }
        own.unwrap_or_else(Self::nobody)
    }

    /// Wraps the token so that `map` may change the outcome on its way, to add what admission rejected, say.
    #[must_use]
    pub fn map(self, map: impl FnOnce(Outcome) -> Outcome + Send + Sync + 'static) -> Self {
        Self::hook(move |outcome| self.settle(map(outcome)))
    }

    /// The same token, which holds memory until it is settled.
    #[must_use]
    pub fn holding(self, charge: Charge) -> Self {
        self.map(move |outcome| {
            drop(charge);
            outcome
        })
    }

    fn report(&mut self, outcome: Outcome) {
        match std::mem::replace(&mut self.target, Target::Nobody) {
            Target::Nobody => {}
            // The receiver may have gone: the client closed its connection. The outcome stands all the same.
            Target::Ticket(tx) => drop(tx.send(outcome)),
            Target::Branch(join) => join.arrive(outcome),
            Target::Hook(Hook(hook)) => hook(outcome),
        }
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        if !matches!(self.target, Target::Nobody) {
            self.report(Outcome::retry("the chunk was dropped before anyone settled it"));
        }
    }
}

impl Join {
    fn arrive(&self, outcome: Outcome) {
        let done = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let so_far = std::mem::replace(&mut state.1, Outcome::DONE);
            state.1 = (self.meet)(so_far, outcome);
            state.0 -= 1;
            if state.0 == 0 { state.2.take().map(|whole| (whole, state.1.clone())) } else { None }
        };
        if let Some((whole, outcome)) = done {
            whole.settle(outcome);
        }
    }
}

impl Barrier {
    /// A barrier made of what takes over one branch of the settlement and settles it when its own work is done.
    pub fn new(join: impl FnOnce(Settle) + Send + 'static) -> Self {
        Self(Box::new(join))
    }

    /// Hands a branch of the settlement over.
    pub fn join(self, settle: Settle) {
        (self.0)(settle);
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        // The sender half settles on drop, so an error here means the process is coming down around us.
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|told| told.unwrap_or_else(|_| Outcome::retry("the agent is stopping")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RejectKind;

    #[tokio::test]
    async fn a_token_dropped_unsettled_is_a_retry() {
        let (settle, ticket) = Settle::ticket();
        drop(settle);
        let dropped = Outcome::retry("the chunk was dropped before anyone settled it");
        assert_eq!(ticket.await, dropped);
        let (hold, told) = std::sync::mpsc::channel();
        drop(Settle::hook(move |outcome| hold.send(outcome).expect("the test listens")));
        assert_eq!(told.try_recv(), Ok(dropped));
    }

    #[tokio::test]
    async fn a_fork_settles_once_all_branches_did_and_with_the_worst() {
        let (settle, ticket) = Settle::ticket();
        let mut ways = settle.fork(3);
        ways.pop().expect("three").settle(Outcome::DONE);
        ways.pop().expect("two").settle(Outcome::reject(RejectKind::Invalid, "no"));
        let mut ticket = std::pin::pin!(ticket);
        assert!(futures_poll(&mut ticket).is_none(), "one branch is still out");
        ways.pop().expect("one").settle(Outcome::DONE);
        assert_eq!(ticket.await, Outcome::reject(RejectKind::Invalid, "no"));
    }

    #[tokio::test]
    async fn what_two_destinations_refuse_of_the_same_data_is_not_added_up() {
        let (settle, ticket) = Settle::ticket();
        let some = |rejected: u32| Outcome::Done { rejected, why: Some(format!("{rejected}").into()) };
        for (way, rejected) in settle.fork(3).into_iter().zip([2, 5, 3]) {
            way.settle(some(rejected));
        }
        assert_eq!(ticket.await, some(5));
    }

    #[tokio::test]
    async fn parts_of_a_chunk_add_up_what_they_refuse_and_one_to_retry_is_all_to_retry() {
        let divided = |outcomes: [Outcome; 3]| async move {
            let (settle, ticket) = Settle::ticket();
            let parts = settle.divide(&[10, 20, 5]).into_iter().zip(outcomes);
            parts.for_each(|(part, outcome)| part.settle(outcome));
            ticket.await
        };
        let some = Outcome::Done { rejected: 2, why: Some("two".into()) };
        let none = Outcome::reject(RejectKind::TooLarge, "all of it");
        let told = divided([Outcome::DONE, none.clone(), some.clone()]).await;
        assert_eq!(told, Outcome::Done { rejected: 22, why: Some("all of it".into()) });
        let later = Outcome::retry("later");
        assert_eq!(divided([none, later.clone(), some]).await, later);
    }

    #[tokio::test]
    async fn parts_that_come_one_by_one_settle_the_whole_once_there_are_no_more() {
        let (settle, ticket) = Settle::ticket();
        let dividing = settle.dividing();
        dividing.part(10).settle(Outcome::reject(RejectKind::Invalid, "no"));
        assert_eq!(dividing.open(), 0);
        let late = dividing.part(5);
        assert_eq!(dividing.open(), 1);
        dividing.finish(Outcome::DONE);
        let mut ticket = std::pin::pin!(ticket);
        assert!(futures_poll(&mut ticket).is_none(), "a part is out");
        late.settle(Outcome::DONE);
        assert_eq!(ticket.await, Outcome::Done { rejected: 10, why: Some("no".into()) });
        let (settle, ticket) = Settle::ticket();
        drop(settle.dividing());
        assert!(matches!(ticket.await, Outcome::Retry { .. }), "what was left is not lost");
    }

    #[tokio::test]
    async fn a_barrier_holds_the_settlement_back() {
        let (settle, ticket) = Settle::ticket();
        let (hold, held) = std::sync::mpsc::channel();
        let settle = settle.and(Barrier::new(move |branch| hold.send(branch).expect("the test listens")));
        settle.settle(Outcome::DONE);
        let mut ticket = std::pin::pin!(ticket);
        assert!(futures_poll(&mut ticket).is_none());
        held.recv().expect("the barrier took a branch").settle(Outcome::DONE);
        assert_eq!(ticket.await, Outcome::DONE);
    }

    #[tokio::test]
    async fn a_barrier_over_work_that_began_waits_for_it_whoever_comes_first() {
        for work_first in [true, false] {
            let (work, barrier) = Settle::barrier();
            let (settle, ticket) = Settle::ticket();
            let failed = Outcome::retry("the disk is full");
            if work_first {
                work.settle(failed.clone());
                barrier.join(settle);
            } else {
                barrier.join(settle);
                work.settle(failed.clone());
            }
            assert_eq!(ticket.await, failed);
        }
    }

    fn futures_poll(ticket: &mut Pin<&mut Ticket>) -> Option<Outcome> {
        match ticket.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }
}
