//! What waits for a destination, and what is tried next. Knows no time but what it is told, and no task.
//!
//! A destination that answers is given up to `consumers` batches at a time. One that fails is *parked* while nothing
//! succeeds: one batch at a time is tried, in rotation over what waits, at growing intervals. A batch that fails while
//! others pass is tried again alone, and keeps nobody waiting but the later ones of its own lane.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use throughline_component::{Batch, Lane, RetrySettings, Sizer};
use throughline_net::Backoff;
use tokio::sync::OwnedSemaphorePermit;

/// A batch on its way to a destination.
pub(super) struct Job {
    pub(super) batch: Batch,
    /// It came out of a storage, and so is safe without being delivered.
    pub(super) stored: bool,
    /// Bounds how many batches a stream's reader hands over at once; given back when the first attempt fails.
    slot: Option<OwnedSemaphorePermit>,
    /// Its reader takes it back when others need the room, and is told by this that it was.
    set_aside: Option<Arc<AtomicBool>>,
    /// It was given back so before.
    again: bool,
    accepted_at: u64,
    /// How many batches had got through when its attempt began.
    successes: u64,
    /// Set by the first failure.
    failure: Option<Failure>,
    oversize: Oversize,
    /// Within which order holds.
    lane: Lane,
    /// What it takes in the queue's measure.
    weight: u64,
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
    pub(super) fn new(batch: Batch, lane: Lane, slot: Option<Slot>, now: u64) -> Self {
        let stored = slot.is_some();
        let Slot { permit: slot, set_aside, again } = slot.unwrap_or_default();
        let oversize = Oversize::No;
        Self {
            batch,
            stored,
            slot,
            set_aside,
            again,
            accepted_at: now,
            successes: 0,
            failure: None,
            oversize,
            lane,
            weight: 0,
        }
    }

    /// A part of this batch, with its age.
    pub(super) fn part(&self, batch: Batch) -> Self {
        Self {
            batch,
            stored: self.stored,
            slot: None,
            set_aside: None,
            again: self.again,
            accepted_at: self.accepted_at,
            successes: 0,
            failure: None,
            oversize: Oversize::No,
            lane: self.lane,
            weight: 0,
        }
    }

    pub(super) fn lane(&self) -> Lane {
        self.lane
    }

    pub(super) fn oversize(&self) -> Oversize {
        self.oversize
    }

    fn expires_at(&self, limit: impl Fn(bool) -> Option<Duration>) -> u64 {
        limit(self.stored).map_or(u64::MAX, |limit| self.accepted_at.saturating_add(nanos(limit)))
    }
}

/// Where a stream's reader waits until the sink has room.
#[derive(Default)]
pub(crate) struct Slot {
    /// Without one the sink holds one batch at a time anyway.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// Set when the reader is to take the batch back until later; without it the batch stays.
    pub(crate) set_aside: Option<Arc<AtomicBool>>,
    /// It was taken back so before: it is tried behind what was never tried.
    pub(crate) again: bool,
}

/// What waits, and how the destination does.
pub(super) struct Queue {
    /// Not tried yet, or to be tried again with the others.
    waiting: VecDeque<Job>,
    /// Tried in vain, by when that was.
    failed: VecDeque<Job>,
    busy: usize,
    /// The lanes of which a batch is on its way.
    lanes: HashSet<u64>,
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
    Reused { since: Option<u64>, delay: Duration },
    /// Its time is up.
    Expired(Job),
    /// Its sender is told to try again.
    Returned(Job),
}

/// What is to be done about batches that failed.
pub(super) enum Next {
    /// Try this one, alone.
    Try(Box<Job>),
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
            lanes: HashSet::new(),
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
    pub(super) fn push(&mut self, mut job: Job) {
        job.weight = self.weigh(&job);
        self.senders += usize::from(!job.stored);
        self.size += job.weight;
        self.waiting.push_back(job);
    }

    /// Takes in a batch that has failed before and was set aside since.
    pub(super) fn push_again(&mut self, mut job: Job, retry: &RetrySettings, now: u64) {
        job.slot = None;
        let (backoff, successes, alone) = (Backoff::new(retry), self.successes, self.successes > 0);
        job.failure = Some(Failure { backoff, due: now, successes, episode: 0, alone });
        self.failed.push_back(job);
    }

    /// Takes in the parts of a batch that is here, to be tried before all others.
    pub(super) fn replace(&mut self, whole: &Job, mut parts: Vec<Job>) {
        self.divided(whole, parts.iter_mut());
        parts.into_iter().rev().for_each(|part| self.waiting.push_front(part));
    }

    /// A batch has left.
    pub(super) fn left(&mut self, job: &Job) {
        self.senders -= usize::from(!job.stored);
        self.size = self.size.saturating_sub(job.weight);
    }

    /// The next batch for one of `consumers`, if the destination is not parked. Whoever is given one is busy until it calls
    /// [`idle`](Self::idle).
    pub(super) fn take(&mut self, consumers: usize) -> Option<Job> {
        if self.busy >= consumers || self.is_parked() {
            return None;
        }
        let job = self.take_waiting()?;
        Some(self.begin(job))
    }

    /// The first that waits and may go: none of its lane is on its way, or has to be tried again before it.
    fn take_waiting(&mut self) -> Option<Job> {
        let first = self.waiting.iter().position(|job| self.may_go(job.lane))?;
        self.waiting.remove(first)
    }

    fn may_go(&self, lane: Lane) -> bool {
        match lane {
            Lane::None => true,
            Lane::Of(key) => !self.lanes.contains(&key) && self.failed.iter().all(|job| job.lane != lane),
        }
    }

    fn begin(&mut self, mut job: Job) -> Job {
        self.busy += 1;
        if let Lane::Of(key) = job.lane {
            self.lanes.insert(key);
        }
        job.successes = self.successes;
        job
    }

    /// A consumer is through with its batch, which was of this lane.
    pub(super) fn idle(&mut self, lane: Lane) {
        self.busy -= 1;
        if let Lane::Of(key) = lane {
            self.lanes.remove(&key);
        }
    }

    /// A batch that is here is dealt with in parts.
    pub(super) fn divided<'j>(&mut self, whole: &Job, parts: impl Iterator<Item = &'j mut Job>) {
        for part in parts {
            part.weight = self.weigh(part);
            self.senders += usize::from(!whole.stored);
            self.size += part.weight;
        }
        self.senders -= usize::from(!whole.stored);
        self.size = self.size.saturating_sub(whole.weight);
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
        if job.again {
            // What was wrong with it may be mended for all that were set aside.
            let again =
                self.remove(|queue| &mut queue.failed, |job| job.again && job.oversize == Oversize::No);
            self.waiting.extend(again);
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
        if policy.limit(job.stored).is_some_and(|limit| tried >= nanos(limit)) {
            return Verdict::Expired(job);
        }
        self.failed.push_back(job);
        Verdict::Reused { since, delay }
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
            return match self.take_waiting().or_else(|| self.failed.pop_front()) {
                Some(job) => Next::Try(Box::new(self.begin(job))),
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
            Some(job) => Next::Try(Box::new(self.begin(job))),
            None => Next::Nothing,
        }
    }

    /// Gives out a batch that has failed and that its reader takes back: the one that is due last. One of a lane stays, since later
    /// ones of its lane wait for it.
    pub(super) fn set_aside(&mut self) -> Option<Job> {
        let may_go =
            |job: &Job| job.set_aside.is_some() && job.lane == Lane::None && job.oversize == Oversize::No;
        let due = |job: &Job| job.failure.as_ref().map_or(0, |failure| failure.due);
        let failed = self.failed.iter().enumerate().filter(|(_, job)| may_go(job));
        let (at, _) = failed.max_by_key(|(_, job)| due(job))?;
        let job = self.failed.remove(at)?;
        job.set_aside.iter().for_each(|told| told.store(true, Ordering::Relaxed));
        Some(job)
    }

    /// What has failed is due now: somebody may have mended it.
    pub(super) fn retry_now(&mut self, now: u64) {
        self.failing.iter_mut().for_each(|failing| failing.next = failing.next.min(now));
        let failures = self.failed.iter_mut().filter_map(|job| job.failure.as_mut());
        failures.for_each(|failure| failure.due = failure.due.min(now));
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
