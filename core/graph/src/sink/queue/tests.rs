use throughline_component::{Chunk, Context, Settle};
use throughline_otlp::Signal;

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A queue, a clock that the test turns, and no jitter.
struct World {
    queue: Queue,
    policy: Policy,
    now: u64,
}

fn world() -> World {
    let retry = RetrySettings { randomization_factor: 0.0, ..RetrySettings::default() };
    let max_senders = Some(Duration::from_secs(300));
    World {
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

impl World {
    fn push(&mut self, names: impl IntoIterator<Item = u8>, stored: bool) {
        for name in names {
            let slot = stored.then_some(Slot(None));
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
                Next::Try(job) => return job,
                Next::Wait(until) => self.now = until,
                Next::Expired(_) | Next::Nothing => panic!("something is to be tried"),
            }
        }
    }
}

#[test]
fn a_destination_that_fails_is_tried_with_one_batch_at_a_time_in_rotation_over_what_waits() {
    let mut world = world();
    world.push(0..5, true);
    let (first, second) = (world.take().expect("it waits"), world.take().expect("it waits"));
    world.fail(first, None);
    assert!(!world.queue.is_parked(), "it may be this one's own fault");
    world.fail(second, None);
    assert!(world.queue.is_parked());
    assert!(world.take().is_none(), "nobody is given anything but by turns");
    let mut order = Vec::new();
    for _ in 0..8 {
        let job = world.tried();
        assert!(world.take().is_none());
        order.push(name(&job));
        world.fail(job, None);
    }
    assert_eq!(order, [2, 3, 4, 0, 1, 2, 3, 4], "first who was never tried, then who was tried longest ago");
}

#[test]
fn intervals_grow_while_nothing_succeeds_and_all_goes_once_one_got_through() {
    let mut world = world();
    world.push(0..20, true);
    for _ in 0..2 {
        let job = world.take().expect("it waits");
        world.fail(job, None);
    }
    let mut waits = Vec::new();
    for _ in 0..6 {
        let before = world.now;
        let job = world.tried();
        waits.push((world.now - before) as f64 / SECOND as f64);
        world.fail(job, None);
    }
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]) && waits[5] == 30.0, "{waits:?}");
    let job = world.tried();
    assert_eq!(world.pass(&job), Some(0), "it had been failing since the first failure");
    let taken: Vec<u8> = std::iter::from_fn(|| world.take()).map(|job| name(&job)).collect();
    assert_eq!(taken.len(), 10, "as many as there are consumers");
    assert_eq!(taken[..4], [0, 1, 2, 3], "what failed with the rest comes first: {taken:?}");
}

#[test]
fn a_batch_that_fails_while_others_pass_is_tried_alone_and_keeps_nobody_waiting() {
    let mut world = world();
    world.push([66], true);
    let poison = world.take().expect("it waits");
    world.fail(poison, None);
    for round in 0..50u8 {
        world.push([round], true);
        loop {
            let job = world.take().unwrap_or_else(|| panic!("round {round}: a fresh batch goes at once"));
            if name(&job) == round {
                world.pass(&job);
                break;
            }
            // It goes with the others once more.
            world.fail(job, None);
        }
        world.now += SECOND;
        if let Next::Try(job) = world.next() {
            assert_eq!(name(&job), 66);
            world.fail(job, None);
        }
    }
    assert_eq!(world.queue.alone(), 1);
    assert!(!world.queue.is_failing(), "the destination works");
}

#[test]
fn many_that_keep_failing_do_not_park_a_destination_that_takes_the_others() {
    let mut world = world();
    world.push(100..150, true);
    let poisons: Vec<Job> =
        (0..5).flat_map(|_| std::iter::from_fn(|| world.take()).collect::<Vec<_>>()).collect();
    assert_eq!(poisons.len(), 10, "no more than consumers at once");
    poisons.into_iter().for_each(|job| drop(world.fail(job, None)));
    world.push([1], true);
    // It was parked by them, until something passes.
    loop {
        let job = world.tried();
        if name(&job) == 1 {
            world.pass(&job);
            break;
        }
        world.fail(job, None);
    }
    // Everything has its second chance, and fails for itself now.
    while let Some(job) = world.take() {
        world.fail(job, None);
    }
    assert!(!world.queue.is_parked());
    world.push([2], true);
    assert_eq!(world.take().map(|job| name(&job)), Some(2), "a fresh one goes at once");
    assert_eq!(world.queue.alone(), 50);
}

#[test]
fn a_destination_that_asks_to_be_left_alone_is_left_alone_for_no_longer_than_it_may_ask() {
    let mut world = world();
    world.push(0..3, true);
    let job = world.take().expect("it waits");
    world.fail(job, Some(Duration::from_secs(90)));
    assert!(world.take().is_none(), "it asked on behalf of all");
    assert!(matches!(world.next(), Next::Wait(until) if until == 90 * SECOND));
    world.tried();
    let mut world = self::world();
    world.push(0..2, true);
    let job = world.take().expect("it waits");
    world.fail(job, Some(Duration::from_secs(1_000_000_000_000)));
    assert!(matches!(world.next(), Next::Wait(until) if until == 300 * SECOND));
}

#[test]
fn what_a_sender_waits_for_goes_back_when_its_time_is_up_wherever_it_waits_and_stored_data_stays() {
    let mut world = world();
    world.push(0..5, false);
    world.push(10..12, true);
    for _ in 0..3 {
        let job = world.take();
        if let Some(job) = job {
            world.fail(job, None);
        }
    }
    let mut expired = Vec::new();
    while world.now < 301 * SECOND {
        match world.next() {
            Next::Try(job) => match world.fail(job, None) {
                Verdict::Expired(job) => {
                    world.queue.left(&job);
                    expired.push(name(&job));
                }
                Verdict::Kept { .. } => {}
                Verdict::Returned(_) => panic!("nobody drains"),
            },
            Next::Wait(until) => world.now = until,
            Next::Expired(jobs) => {
                jobs.iter().for_each(|job| world.queue.left(job));
                expired.extend(jobs.iter().map(name));
            }
            Next::Nothing => break,
        }
    }
    expired.sort_unstable();
    assert_eq!(expired, [0, 1, 2, 3, 4]);
    assert_eq!(world.queue.senders(), 0);
    let (waiting, failed) = world.queue.lengths();
    assert_eq!(waiting + failed, 2, "what is stored is tried for ever");
}

#[test]
fn a_single_record_is_too_large_only_once_something_as_large_got_through_since() {
    let mut world = world();
    world.push([0], true);
    let mut large = world.take().expect("it waits");
    assert!(large.oversize() == Oversize::No);
    world.queue.doubt(&mut large);
    world.fail(large, None);
    for (bytes, expected) in [(9, Oversize::Doubted), (1, Oversize::Doubted), (10, Oversize::Proven)] {
        world.queue.push(Job::new(batch(1, bytes), Lane::None, Some(Slot(None)), 0));
        let other = world.take().expect("it waits");
        world.pass(&other);
        let large = world.tried();
        assert!(large.oversize() == expected, "after {bytes} bytes got through");
        world.fail(large, None);
    }
}

#[test]
fn a_drain_gives_back_what_failed_and_lets_the_rest_have_its_attempt() {
    let mut world = world();
    world.push(0..4, false);
    let (a, b) = (world.take().expect("it waits"), world.take().expect("it waits"));
    world.pass(&b);
    world.fail(a, None);
    let given: Vec<u8> = world.queue.drain().iter().map(name).collect();
    assert_eq!(given, [0]);
    let next = world.take().expect("the destination works: the rest is delivered");
    assert!(matches!(world.fail(next, None), Verdict::Returned(_)), "one attempt each");
}

#[test]
fn what_has_no_time_left_for_another_attempt_goes_back_at_once() {
    for (limit, is_kept) in [(5_000, false), (5_001, true)] {
        let mut world = world();
        world.policy.max_senders = Some(Duration::from_millis(limit));
        world.push([1], false);
        let job = world.take().expect("it waits");
        let verdict = world.fail(job, None);
        assert_eq!(matches!(verdict, Verdict::Kept { .. }), is_kept, "the next attempt is in five seconds");
        assert_eq!(matches!(verdict, Verdict::Expired(_)), !is_kept);
    }
}

#[test]
fn a_queue_is_measured_in_requests_items_or_bytes_of_those_that_senders_wait_for() {
    for (sizer, of_one) in [(Sizer::Requests, 1), (Sizer::Items, 1), (Sizer::Bytes, 10)] {
        let mut world = World { queue: Queue::new(sizer), ..world() };
        world.push([1, 2], false);
        world.push([3], true);
        assert!(!world.queue.has_room(2 * of_one), "{sizer:?}: two are here");
        assert!(world.queue.has_room(2 * of_one + 1), "{sizer:?}: what is stored takes no room");
        let first = world.take().expect("one waits");
        world.pass(&first);
        assert!(world.queue.has_room(2 * of_one) && !world.queue.has_room(of_one), "{sizer:?}: one has left");
        let second = world.take().expect("one waits");
        let parts = vec![second.part(batch(4, 5)), second.part(batch(5, 5))];
        world.queue.idle(Lane::None);
        world.queue.replace(&second, parts);
        for _ in 0..2 {
            let part = world.take().expect("its parts wait");
            world.pass(&part);
        }
        assert!(world.queue.has_room(1), "{sizer:?}: nobody waits any more");
    }
}

#[test]
fn of_a_lane_one_is_on_its_way_and_none_overtakes_one_that_is_to_be_tried_again() {
    let mut world = world();
    for (name, lane) in [(1, 7), (2, 7), (3, 8)] {
        world.queue.push(Job::new(batch(name, 10), Lane::Of(lane), Some(Slot(None)), 0));
    }
    let (first, other) = (world.take().expect("it waits"), world.take().expect("another lane is free"));
    assert_eq!((name(&first), name(&other)), (1, 3));
    assert!(world.take().is_none(), "one of its lane is on its way");
    world.pass(&other);
    world.fail(first, None);
    assert!(!world.queue.is_parked() && world.take().is_none(), "one of its lane goes before it");
    let first = world.tried();
    assert_eq!(name(&first), 1);
    world.pass(&first);
    assert_eq!(world.take().map(|job| name(&job)), Some(2));
}

#[test]
fn once_somebody_may_have_mended_it_what_failed_is_tried_at_once() {
    for parked in [true, false] {
        let mut world = world();
        world.push(0..2, true);
        for _ in 0..1 + usize::from(parked) {
            let job = world.take().expect("it waits");
            world.fail(job, None);
        }
        assert_eq!(world.queue.is_parked(), parked);
        world.now += SECOND;
        assert!(matches!(world.next(), Next::Wait(_)));
        world.queue.hurry(world.now);
        assert!(matches!(world.next(), Next::Try(_)), "parked: {parked}");
    }
}

#[test]
fn what_is_stored_stays_in_a_drain_and_goes_with_all_else_when_the_time_is_up() {
    let mut world = world();
    world.push(0..2, true);
    world.push(2..4, false);
    for _ in 0..2 {
        let job = world.take().expect("it waits");
        world.fail(job, None);
    }
    let mut next = world.queue.drain();
    assert_eq!(next.iter().map(name).collect::<Vec<_>>(), [2, 3], "the destination fails, and so would they");
    next = world.queue.clear();
    assert_eq!(next.iter().map(name).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(world.queue.lengths(), (0, 0));
}
