//! What waits for a destination, and what is tried next. Knows no time but what it is told, and no task.
//!
//! A destination that answers is given up to `consumers` batches at a time. One that fails is *parked* while nothing
//! succeeds: one batch at a time is tried, in rotation over what waits, at growing intervals. A batch that fails while
//! others pass is tried again alone, and keeps nobody waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use throughline_component::{Batch, RetrySettings, Sizer};
use throughline_net::Backoff;
use tokio::sync::OwnedSemaphorePermit;

/// A batch on its way to a destination.
pub(super) struct Job {
    pub(super) batch: Batch,
    /// It came out of a storage, and so is safe without being delivered.
    pub(super) stored: bool,
    /// Bounds how many batches a stream's reader hands over at once; given back when the first attempt fails.
    slot: Option<OwnedSemaphorePermit>,
    accepted_at: u64,
    /// How many batches had got through when its attempt began.
    successes: u64,
    /// Set by the first failure.
    failure: Option<Failure>,
    oversize: Oversize,
}

/// What is known of a batch that has failed.
struct Failure {
    backoff: Backoff,
    due: u64,
    /// How many batches had got through when it first failed.
    successes: u64,
    /// The episode of failing in which it was counted last.
    episode: u64,
    /// Others got through since it first failed: the fault is its own.
    alone: bool,
}

/// Whether a single record was refused as too large.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Oversize {
    No,
    /// It was; nothing as large has got through since, so that the destination may just be throttling.
    Doubted,
    /// It was, and a request no smaller got through since.
    Proven,
}

impl Job {
    pub(super) fn new(batch: Batch, slot: Option<Slot>, now: u64) -> Self {
        let stored = slot.is_some();
        let slot = slot.and_then(|Slot(permit)| permit);
        Self { batch, stored, slot, accepted_at: now, successes: 0, failure: None, oversize: Oversize::No }
    }

    /// A part of this batch, with its age.
    pub(super) fn part(&self, batch: Batch) -> Self {
        Self {
            batch,
            stored: self.stored,
            slot: None,
            accepted_at: self.accepted_at,
            successes: 0,
            failure: None,
            oversize: Oversize::No,
        }
    }

    pub(super) fn oversize(&self) -> Oversize {
        self.oversize
    }

    fn expires_at(&self, limit: impl Fn(bool) -> Option<Duration>) -> u64 {
        limit(self.stored).map_or(u64::MAX, |limit| self.accepted_at.saturating_add(nanos(limit)))
    }
}

/// Where a stream's reader waits until the sink has room; without a permit the sink holds one batch at a time anyway.
pub(crate) struct Slot(pub(crate) Option<OwnedSemaphorePermit>);

/// What waits, and how the destination does.
pub(super) struct Queue {
    /// Not tried yet, or to be tried again with the others.
    waiting: VecDeque<Job>,
    /// Tried in vain, by when that was.
    failed: VecDeque<Job>,
    busy: usize,
    /// Batches here that a sender waits for, those on their way included.
    senders: usize,
    /// What those take in the queue's own measure.
    size: u64,
    /// What the queue measures.
    sizer: Sizer,
    successes: u64,
    episodes: u64,
    failing: Option<Failing>,
    /// What was wrong with the last attempt that failed.
    pub(super) last_words: Arc<str>,
    draining: bool,
}

/// Nothing got through since.
struct Failing {
    since: u64,
    /// How many different batches have failed.
    batches: u32,
    backoff: Backoff,
    next: u64,
}

/// What became of an attempt that failed.
pub(super) enum Verdict {
    /// It is kept and tried again. `parked`: the destination as a whole is left alone meanwhile.
    Kept { since: Option<u64>, delay: Duration },
    /// Its time is up.
    Expired(Job),
    /// Its sender is told to try again.
    Returned(Job),
}

/// What is to be done about batches that failed.
pub(super) enum Next {
    /// Try this one, alone.
    Try(Job),
    /// These have been here for too long.
    Expired(Vec<Job>),
    /// Nothing before this moment.
    Wait(u64),
    /// Nothing until another one fails.
    Nothing,
}

/// How batches are retried, and how long at most: of stored data, and of data that a sender waits for.
pub(super) struct Policy {
    pub(super) retry: RetrySettings,
    /// Whether a batch that a sender waits for is tried again at all.
    pub(super) senders: bool,
    pub(super) max_stored: Option<Duration>,
    pub(super) max_senders: Option<Duration>,
}

impl Policy {
    fn limit(&self, stored: bool) -> Option<Duration> {
        if stored { self.max_stored } else { self.max_senders }
    }
}

impl Queue {
    pub(super) fn new(sizer: Sizer) -> Self {
        Self {
            size: 0,
            sizer,
            waiting: VecDeque::new(),
            failed: VecDeque::new(),
            busy: 0,
            senders: 0,
            successes: 0,
            episodes: 0,
            failing: None,
            last_words: "its time is up".into(),
            draining: false,
        }
    }

    /// Whether one more batch that a sender waits for finds room.
    pub(super) fn has_room(&self, capacity: u64) -> bool {
        self.size < capacity
    }

    fn weigh(&self, job: &Job) -> u64 {
        match self.sizer {
            _ if job.stored => 0,
            Sizer::Requests => 1,
            Sizer::Items => job.batch.items(),
            Sizer::Bytes => job.batch.len_bytes() as u64,
        }
    }

    /// Batches that a sender waits for.
    pub(super) fn senders(&self) -> usize {
        self.senders
    }

    /// Nothing gets through, so that one batch at a time is tried.
    pub(super) fn is_parked(&self) -> bool {
        self.failing.as_ref().is_some_and(|failing| failing.batches > 1)
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// Since when nothing has got through, in nanoseconds since the Unix epoch.
    pub(super) fn failing_since(&self) -> Option<u64> {
        self.failing.as_ref().map(|failing| failing.since)
    }

    /// Takes in a batch.
    pub(super) fn push(&mut self, job: Job) {
        self.senders += usize::from(!job.stored);
        self.size += self.weigh(&job);
        self.waiting.push_back(job);
    }

    /// Takes in the parts of a batch that is here, to be tried before all others.
    pub(super) fn replace(&mut self, whole: &Job, parts: Vec<Job>) {
        if !whole.stored {
            self.senders = (self.senders + parts.len()).saturating_sub(1);
        }
        let parts_size: u64 = parts.iter().map(|part| self.weigh(part)).sum();
        self.size = (self.size + parts_size).saturating_sub(self.weigh(whole));
        parts.into_iter().rev().for_each(|part| self.waiting.push_front(part));
    }

    /// A batch has left.
    pub(super) fn left(&mut self, job: &Job) {
        self.senders -= usize::from(!job.stored);
        // What was divided need not add up to the byte.
        self.size = if self.senders == 0 { 0 } else { self.size.saturating_sub(self.weigh(job)) };
    }

    /// The next batch for one of `consumers`, if the destination is not parked. Whoever is given one is busy until it calls
    /// [`idle`](Self::idle).
    pub(super) fn take(&mut self, consumers: usize) -> Option<Job> {
        if self.busy >= consumers || self.is_parked() {
            return None;
        }
        let job = self.waiting.pop_front()?;
        Some(self.begin(job))
    }

    fn begin(&mut self, mut job: Job) -> Job {
        self.busy += 1;
        job.successes = self.successes;
        job
    }

    /// A consumer is through with its batch.
    pub(super) fn idle(&mut self) {
        self.busy -= 1;
    }

    /// A batch got through, or was refused for what it is: the destination works. If it had been failing, says since when.
    pub(super) fn succeeded(&mut self, job: &Job) -> Option<u64> {
        self.successes += 1;
        let bytes = job.batch.len_bytes();
        for job in self.failed.iter_mut().filter(|job| job.oversize == Oversize::Doubted) {
            if bytes >= job.batch.len_bytes() {
                job.oversize = Oversize::Proven;
            }
        }
        let failing = self.failing.take()?;
        // What failed with everything else goes with everything else.
        let (alone, others): (VecDeque<Job>, VecDeque<Job>) =
            std::mem::take(&mut self.failed).into_iter().partition(|job| {
                job.failure.as_ref().is_some_and(|failure| failure.alone) || job.oversize != Oversize::No
            });
        self.failed = alone;
        others.into_iter().rev().for_each(|job| self.waiting.push_front(job));
        Some(failing.since)
    }

    /// A single record was refused as too large.
    pub(super) fn doubt(&self, job: &mut Job) {
        job.oversize = Oversize::Doubted;
    }

    /// An attempt failed. `asked`: the destination wants to be left alone.
    pub(super) fn failed(
        &mut self,
        mut job: Job,
        asked: Option<Duration>,
        policy: &Policy,
        (now, unix, unit): (u64, u64, f64),
    ) -> Verdict {
        job.slot = None;
        let failure = job.failure.get_or_insert_with(|| Failure {
            backoff: Backoff::new(&policy.retry),
            due: 0,
            successes: self.successes,
            episode: 0,
            alone: false,
        });
        failure.alone |= self.successes > failure.successes;
        let delay = failure.backoff.next(&policy.retry, asked, unit);
        failure.due = now.saturating_add(nanos(delay));
        if self.successes == job.successes && !failure.alone {
            let failing = self.failing.get_or_insert_with(|| {
                self.episodes += 1;
                Failing { since: unix, batches: 0, backoff: Backoff::new(&policy.retry), next: 0 }
            });
            // Without retries every sender has its own attempt, whatever became of the others.
            if job.stored || policy.senders {
                if failure.episode != self.episodes {
                    failure.episode = self.episodes;
                    failing.batches += 1;
                }
                if asked.is_some() {
                    // It speaks of all its senders, not of this batch.
                    failing.batches = failing.batches.max(2);
                }
            }
            failing.next = now.saturating_add(nanos(failing.backoff.next(&policy.retry, asked, unit)));
        }
        let since = self.failing.as_ref().map(|failing| failing.since);
        if !job.stored && (self.draining || !policy.senders) {
            return Verdict::Returned(job);
        }
        let tried = now.saturating_sub(job.accepted_at).saturating_add(nanos(delay));
        if policy.limit(job.stored).is_some_and(|limit| tried > nanos(limit)) {
            return Verdict::Expired(job);
        }
        self.failed.push_back(job);
        Verdict::Kept { since, delay }
    }

    /// What is to be done at this moment about batches that failed, and about those that wait while the destination is parked.
    /// Whoever is given one is busy until it calls [`idle`](Self::idle).
    pub(super) fn next(&mut self, policy: &Policy, now: u64) -> Next {
        let expires_at = |job: &Job| job.expires_at(|stored| policy.limit(stored));
        let parked = self.is_parked();
        let mut soonest = u64::MAX;
        let mut expired = Vec::new();
        let mut sift = |jobs: &mut VecDeque<Job>| {
            if jobs.iter().map(expires_at).inspect(|at| soonest = soonest.min(*at)).any(|at| at <= now) {
                let (old, kept) = std::mem::take(jobs)
                    .into_iter()
                    .partition::<VecDeque<Job>, _>(|job| expires_at(job) <= now);
                *jobs = kept;
                expired.extend(old);
            }
        };
        sift(&mut self.failed);
        if parked {
            sift(&mut self.waiting);
        }
        if !expired.is_empty() {
            return Next::Expired(expired);
        }
        if let Some(failing) = self.failing.as_ref().filter(|_| parked) {
            if failing.next > now {
                return Next::Wait(failing.next.min(soonest));
            }
            // In rotation: first who was never tried, then who was tried longest ago.
            return match self.waiting.pop_front().or_else(|| self.failed.pop_front()) {
                Some(job) => Next::Try(self.begin(job)),
                None => Next::Nothing,
            };
        }
        let due = |job: &Job| job.failure.as_ref().map_or(0, |failure| failure.due);
        let Some((at, first)) = self.failed.iter().map(due).enumerate().min_by_key(|(_, due)| *due) else {
            return Next::Nothing;
        };
        if first > now {
            return Next::Wait(first.min(soonest));
        }
        match self.failed.remove(at) {
            Some(job) => Next::Try(self.begin(job)),
            None => Next::Nothing,
        }
    }

    /// Whether nothing is wrong with the destination.
    pub(super) fn is_well(&self) -> bool {
        self.failing.is_none() && self.failed.is_empty()
    }

    /// How many batches keep failing while others pass.
    pub(super) fn alone(&self) -> usize {
        self.failed.iter().filter(|job| job.failure.as_ref().is_some_and(|failure| failure.alone)).count()
    }

    /// From now on nothing that a sender waits for is tried again. Gives out what would have been, and all that waits for
    /// a destination that is failing.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        self.draining = true;
        self.hopeless()
    }

    /// What senders can keep of that which waits for a destination that fails, once the agent stops.
    pub(super) fn hopeless(&mut self) -> Vec<Job> {
        if !self.draining {
            return Vec::new();
        }
        let mut given = self.remove(|queue| &mut queue.failed, |job| !job.stored);
        if self.is_failing() {
            given.extend(self.remove(|queue| &mut queue.waiting, |job| !job.stored));
        }
        given
    }

    /// Gives out everything that is not on its way.
    pub(super) fn clear(&mut self) -> Vec<Job> {
        self.draining = true;
        let mut given = self.remove(|queue| &mut queue.failed, |_| true);
        given.extend(self.remove(|queue| &mut queue.waiting, |_| true));
        given
    }

    fn remove(&mut self, from: fn(&mut Self) -> &mut VecDeque<Job>, which: fn(&Job) -> bool) -> Vec<Job> {
        let (given, kept): (Vec<Job>, Vec<Job>) = std::mem::take(from(self)).into_iter().partition(which);
        *from(self) = kept.into();
        given
    }

    #[cfg(test)]
    fn lengths(&self) -> (usize, usize) {
        (self.waiting.len(), self.failed.len())
    }
}

/// The words with which a failing destination is shown.
pub(super) fn keeps_failing(alone: usize, why: &str) -> Arc<str> {
    format!("{alone} batches keep failing while others pass; the last one: {why}").into()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
