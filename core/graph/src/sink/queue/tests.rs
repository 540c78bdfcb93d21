use throughline_component::{Chunk, Context, Settle};
use throughline_otlp::Signal;

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A queue, a clock that the test turns, and no jitter.
struct Harness {
    queue: Queue,
    policy: Policy,
    now: u64,
}

fn harness() -> Harness {
    let retry = RetrySettings { randomization_factor: 0.0, ..RetrySettings::default() };
    let max_senders = Some(Duration::from_secs(300));
    Harness {
        queue: Queue::new(Sizer::Requests),
        policy: Policy { retry, senders: true, max_stored: None, max_senders },
        now: 0,
    }
}

fn batch(name: u8, bytes: usize) -> Batch {
    let context = Arc::new(Context::internal(throughline_component::ComponentId::new("test"), 0));
    let bytes = vec![name; bytes].into();
    Batch::one(Signal::Logs, Chunk { bytes, items: 1, position: None, context, settle: Settle::nobody() })
}

fn name(job: &Job) -> u8 {
    job.batch.chunks[0].bytes[0]
}

impl Harness {
    fn push(&mut self, names: impl IntoIterator<Item = u8>, stored: bool) {
        for name in names {
            let slot = stored.then_some(Slot::default());
            self.queue.push(Job::new(batch(name, 10), Lane::None, slot, self.now));
        }
    }

    fn take(&mut self) -> Option<Job> {
        self.queue.take(10)
    }

    fn fail(&mut self, job: Job, asked: Option<Duration>) -> Verdict {
        self.queue.idle(job.lane());
        self.queue.failed(job, asked, &self.policy, (self.now, self.now, 0.5))
    }

    fn pass(&mut self, job: &Job) -> Option<u64> {
        self.queue.idle(job.lane());
        let since = self.queue.succeeded(job);
        self.queue.left(job);
        since
    }

    fn next(&mut self) -> Next {
        self.queue.next(&self.policy, self.now)
    }

    /// Waits for as long as the queue says, and takes what is tried then.
    fn tried(&mut self) -> Job {
        loop {
            match self.next() {
                Next::Try(job) => return *job,
                Next::Wait(until) => self.now = until,
                Next::Expired(_) | Next::Nothing => panic!("something is to be tried"),
            }
        }
    }
}

#[test]
fn a_destination_that_fails_is_tried_with_one_batch_at_a_time_in_rotation_over_what_waits() {
    let mut harness = harness();
    harness.push(0..5, true);
    let (first, second) = (harness.take().expect("it waits"), harness.take().expect("it waits"));
    harness.fail(first, None);
    assert!(!harness.queue.is_parked(), "it may be this one's own fault");
    harness.fail(second, None);
    assert!(harness.queue.is_parked());
    assert!(harness.take().is_none(), "nobody is given anything but by turns");
    let mut order = Vec::new();
    for _ in 0..8 {
        let job = harness.tried();
        assert!(harness.take().is_none());
        order.push(name(&job));
        harness.fail(job, None);
    }
    assert_eq!(order, [2, 3, 4, 0, 1, 2, 3, 4], "first who was never tried, then who was tried longest ago");
}

#[test]
fn intervals_grow_while_nothing_succeeds_and_all_goes_once_one_got_through() {
    let mut harness = harness();
    harness.push(0..20, true);
    for _ in 0..2 {
        let job = harness.take().expect("it waits");
        harness.fail(job, None);
    }
    let mut waits = Vec::new();
    for _ in 0..6 {
        let before = harness.now;
        let job = harness.tried();
        waits.push((harness.now - before) as f64 / SECOND as f64);
        harness.fail(job, None);
    }
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]) && waits[5] == 30.0, "{waits:?}");
    let job = harness.tried();
    assert_eq!(harness.pass(&job), Some(0), "it had been failing since the first failure");
    let taken: Vec<u8> = std::iter::from_fn(|| harness.take()).map(|job| name(&job)).collect();
    assert_eq!(taken.len(), 10, "as many as there are consumers");
    assert_eq!(taken[..4], [0, 1, 2, 3], "what failed with the rest comes first: {taken:?}");
}

#[test]
fn a_batch_that_fails_while_others_pass_is_tried_alone_and_keeps_nobody_waiting() {
    let mut harness = harness();
    harness.push([66], true);
    let poison = harness.take().expect("it waits");
    harness.fail(poison, None);
    for round in 0..50u8 {
        harness.push([round], true);
        loop {
            let job = harness.take().unwrap_or_else(|| panic!("round {round}: a fresh batch goes at once"));
            if name(&job) == round {
                harness.pass(&job);
                break;
            }
            // It goes with the others once more.
            harness.fail(job, None);
        }
        harness.now += SECOND;
        if let Next::Try(job) = harness.next() {
            assert_eq!(name(&job), 66);
            harness.fail(*job, None);
        }
    }
    assert_eq!(harness.queue.alone(), 1);
    assert!(!harness.queue.is_failing(), "the destination works");
}

#[test]
fn many_that_keep_failing_do_not_park_a_destination_that_takes_the_others() {
    let mut harness = harness();
    harness.push(100..150, true);
    let poisons: Vec<Job> =
        (0..5).flat_map(|_| std::iter::from_fn(|| harness.take()).collect::<Vec<_>>()).collect();
    assert_eq!(poisons.len(), 10, "no more than consumers at once");
    poisons.into_iter().for_each(|job| drop(harness.fail(job, None)));
    harness.push([1], true);
    // It was parked by them, until something passes.
    loop {
        let job = harness.tried();
        if name(&job) == 1 {
            harness.pass(&job);
            break;
        }
        harness.fail(job, None);
    }
    // Everything has its second chance, and fails for itself now.
    while let Some(job) = harness.take() {
        harness.fail(job, None);
    }
    assert!(!harness.queue.is_parked());
    harness.push([2], true);
    assert_eq!(harness.take().map(|job| name(&job)), Some(2), "a fresh one goes at once");
    assert_eq!(harness.queue.alone(), 50);
}

#[test]
fn a_destination_that_asks_to_be_left_alone_is_left_alone_for_no_longer_than_it_may_ask() {
    let mut harness = harness();
    harness.push(0..3, true);
    let job = harness.take().expect("it waits");
    harness.fail(job, Some(Duration::from_secs(90)));
    assert!(harness.take().is_none(), "it asked on behalf of all");
    assert!(matches!(harness.next(), Next::Wait(until) if until == 90 * SECOND));
    harness.tried();
    let mut harness = self::harness();
    harness.push(0..2, true);
    let job = harness.take().expect("it waits");
    harness.fail(job, Some(Duration::from_secs(1_000_000_000_000)));
    assert!(matches!(harness.next(), Next::Wait(until) if until == 300 * SECOND));
}

#[test]
fn what_a_sender_waits_for_goes_back_when_its_time_is_up_wherever_it_waits_and_stored_data_stays() {
    let mut harness = harness();
    harness.push(0..5, false);
    harness.push(10..12, true);
    for _ in 0..3 {
        let job = harness.take();
        if let Some(job) = job {
            harness.fail(job, None);
        }
    }
    let mut expired = Vec::new();
    while harness.now < 301 * SECOND {
        match harness.next() {
            Next::Try(job) => match harness.fail(*job, None) {
                Verdict::Expired(job) => {
                    harness.queue.left(&job);
                    expired.push(name(&job));
                }
                Verdict::Reused { .. } => {}
                Verdict::Returned(_) => panic!("nobody drains"),
            },
            Next::Wait(until) => harness.now = until,
            Next::Expired(jobs) => {
                jobs.iter().for_each(|job| harness.queue.left(job));
                expired.extend(jobs.iter().map(name));
            }
            Next::Nothing => break,
        }
    }
    expired.sort_unstable();
    assert_eq!(expired, [0, 1, 2, 3, 4]);
    assert_eq!(harness.queue.senders(), 0);
    let (waiting, failed) = harness.queue.lengths();
    assert_eq!(waiting + failed, 2, "what is stored is tried for ever");
}

#[test]
fn a_single_record_is_too_large_only_once_something_as_large_got_through_since() {
    let mut harness = harness();
    harness.push([0], true);
    let mut large = harness.take().expect("it waits");
    assert!(large.oversize() == Oversize::No);
    harness.queue.doubt(&mut large);
    harness.fail(large, None);
    for (bytes, expected) in [(9, Oversize::Doubted), (1, Oversize::Doubted), (10, Oversize::Proven)] {
        harness.queue.push(Job::new(batch(1, bytes), Lane::None, Some(Slot::default()), 0));
        let other = harness.take().expect("it waits");
        harness.pass(&other);
        let large = harness.tried();
        assert!(large.oversize() == expected, "after {bytes} bytes got through");
        harness.fail(large, None);
    }
}

#[test]
fn a_drain_gives_back_what_failed_and_lets_the_rest_have_its_attempt() {
    let mut harness = harness();
    harness.push(0..4, false);
    let (a, b) = (harness.take().expect("it waits"), harness.take().expect("it waits"));
    harness.pass(&b);
    harness.fail(a, None);
    let given: Vec<u8> = harness.queue.drain().iter().map(name).collect();
    assert_eq!(given, [0]);
    let next = harness.take().expect("the destination works: the rest is delivered");
    assert!(matches!(harness.fail(next, None), Verdict::Returned(_)), "one attempt each");
}

#[test]
fn what_has_no_time_left_for_another_attempt_goes_back_at_once() {
    for (limit, is_kept) in [(5_000, false), (5_001, true)] {
        let mut harness = harness();
        harness.policy.max_senders = Some(Duration::from_millis(limit));
        harness.push([1], false);
        let job = harness.take().expect("it waits");
        let verdict = harness.fail(job, None);
        assert_eq!(matches!(verdict, Verdict::Reused { .. }), is_kept, "the next attempt is in five seconds");
        assert_eq!(matches!(verdict, Verdict::Expired(_)), !is_kept);
    }
}

#[test]
fn a_queue_is_measured_in_requests_items_or_bytes_of_those_that_senders_wait_for() {
    for (sizer, of_one) in [(Sizer::Requests, 1), (Sizer::Items, 1), (Sizer::Bytes, 10)] {
        let mut harness = Harness { queue: Queue::new(sizer), ..harness() };
        harness.push([1, 2], false);
        harness.push([3], true);
        assert!(!harness.queue.has_room(2 * of_one), "{sizer:?}: two are here");
        assert!(harness.queue.has_room(2 * of_one + 1), "{sizer:?}: what is stored takes no room");
        let first = harness.take().expect("one waits");
        harness.pass(&first);
        assert!(
            harness.queue.has_room(2 * of_one) && !harness.queue.has_room(of_one),
            "{sizer:?}: one has left"
        );
        let second = harness.take().expect("one waits");
        let parts = vec![second.part(batch(4, 5)), second.part(batch(5, 5))];
        harness.queue.idle(Lane::None);
        harness.queue.replace(&second, parts);
        for _ in 0..2 {
            let part = harness.take().expect("its parts wait");
            harness.pass(&part);
        }
        assert!(harness.queue.has_room(1), "{sizer:?}: nobody waits any more");
    }
}

#[test]
fn of_a_lane_one_is_on_its_way_and_none_overtakes_one_that_is_to_be_tried_again() {
    let mut harness = harness();
    for (name, lane) in [(1, 7), (2, 7), (3, 8)] {
        harness.queue.push(Job::new(batch(name, 10), Lane::Of(lane), Some(Slot::default()), 0));
    }
    let (first, other) = (harness.take().expect("it waits"), harness.take().expect("another lane is free"));
    assert_eq!((name(&first), name(&other)), (1, 3));
    assert!(harness.take().is_none(), "one of its lane is on its way");
    harness.pass(&other);
    harness.fail(first, None);
    assert!(!harness.queue.is_parked() && harness.take().is_none(), "one of its lane goes before it");
    let first = harness.tried();
    assert_eq!(name(&first), 1);
    harness.pass(&first);
    assert_eq!(harness.take().map(|job| name(&job)), Some(2));
}

#[test]
fn once_somebody_may_have_mended_it_what_failed_is_tried_at_once() {
    for parked in [true, false] {
        let mut harness = harness();
        harness.push(0..2, true);
        for _ in 0..1 + usize::from(parked) {
            let job = harness.take().expect("it waits");
            harness.fail(job, None);
        }
        assert_eq!(harness.queue.is_parked(), parked);
        harness.now += SECOND;
        assert!(matches!(harness.next(), Next::Wait(_)));
        harness.queue.retry_now(harness.now);
        assert!(matches!(harness.next(), Next::Try(_)), "parked: {parked}");
    }
}

#[test]
fn what_is_stored_stays_in_a_drain_and_goes_with_all_else_when_the_time_is_up() {
    let mut harness = harness();
    harness.push(0..2, true);
    harness.push(2..4, false);
    for _ in 0..2 {
        let job = harness.take().expect("it waits");
        harness.fail(job, None);
    }
    let mut next = harness.queue.drain();
    assert_eq!(next.iter().map(name).collect::<Vec<_>>(), [2, 3], "the destination fails, and so would they");
    next = harness.queue.clear();
    assert_eq!(next.iter().map(name).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(harness.queue.lengths(), (0, 0));
}
