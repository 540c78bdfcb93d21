use std::sync::atomic::AtomicU64;

use throughline_component::{Chunk, ComponentId, Context, RejectKind, Settle, Stopper, Ticket};
use throughline_otlp::Signal;

use super::*;
use crate::ledger::{Direction, Ledger, Row};

/// What a processor does with what it is given.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Keep,
    Refuse,
    Reject,
    /// Makes two batches of five items each of it.
    Fold,
    Panic,
}

/// Keeps what it is given until its time.
struct Keeper {
    does: Arc<Mutex<Does>>,
    kept: Vec<Batch>,
    at: Option<u64>,
    /// What the next batch sets as its time.
    wakes_at: Arc<AtomicU64>,
}

impl DynProcessor for Keeper {
    fn holds(&self) -> bool {
        false
    }
    fn accept(&mut self, batch: Batch, out: &mut Emitter) {
        let does = *self.does.lock().expect("no panic");
        match does {
            Does::Keep => {
                self.kept.push(batch);
                self.at = Some(self.wakes_at.load(Ordering::Relaxed)).filter(|at| *at > 0);
            }
            Does::Refuse => out.settle(batch, &Outcome::retry("full")),
            Does::Reject => out.settle(batch, &Outcome::reject(RejectKind::Invalid, "bad")),
            Does::Fold => {
                out.fold(batch.items());
                (0..2).for_each(|_| out.send(self::batch(5).0));
            }
            Does::Panic => std::panic::panic_any("told to"),
        }
    }
    fn wakes_at(&self) -> Option<u64> {
        self.at
    }
    fn tick(&mut self, _: u64, out: &mut Emitter) {
        self.flush(out);
    }
    fn flush(&mut self, out: &mut Emitter) {
        self.at = None;
        self.kept.drain(..).for_each(|batch| out.send(batch));
    }
}

fn batch(items: u32) -> (Batch, Ticket) {
    let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
    let (settle, ticket) = Settle::ticket();
    let chunk = Chunk { bytes: bytes::Bytes::new(), items, position: None, context, settle };
    (Batch::one(Signal::Logs, chunk), ticket)
}

struct Harness {
    step: Arc<RunningProcessor>,
    ledger: Ledger,
    health: Arc<Health>,
    does: Arc<Mutex<Does>>,
    wakes_at: Arc<AtomicU64>,
    /// Whether the processor can be built.
    builds: Arc<AtomicBool>,
}

fn harness(connects: bool) -> Harness {
    let (ledger, health) = (Ledger::default(), Arc::<Health>::default());
    health.started();
    let (does, wakes_at) = (Arc::new(Mutex::new(Does::Keep)), Arc::<AtomicU64>::default());
    let builds = Arc::new(AtomicBool::new(true));
    let build = {
        let (does, wakes_at, builds) = (Arc::clone(&does), Arc::clone(&wakes_at), Arc::clone(&builds));
        move || -> Option<Box<dyn DynProcessor>> {
            let (does, wakes_at) = (Arc::clone(&does), Arc::clone(&wakes_at));
            let keeper = Keeper { does, kept: Vec::new(), at: None, wakes_at };
            builds.load(Ordering::Relaxed).then(|| Box::new(keeper) as Box<dyn DynProcessor>)
        }
    };
    let processor = build().expect("it can be built");
    let hop = ledger.hop(Direction::Stage, "keeper", Signal::Logs);
    let (name, health) = ("keeper".to_owned(), Arc::clone(&health));
    let step = RunningProcessor::new(name, connects, processor, Box::new(build), hop, Arc::clone(&health));
    Harness { step: Arc::new(step), ledger, health, does, wakes_at, builds }
}

impl Harness {
    fn does(&self, does: Does) {
        *self.does.lock().expect("no panic") = does;
    }

    /// Gives it a batch of so many items; says how many it emits.
    fn accept(&self, items: u32) -> u64 {
        self.step.accept(batch(items).0).iter().map(Batch::items).sum()
    }

    fn row(&self) -> Row {
        assert_eq!(self.ledger.imbalances(), []);
        self.ledger.rows().remove(0)
    }
}

#[test]
fn what_it_keeps_is_held_and_what_it_gives_out_has_gone_on() {
    let harness = harness(false);
    assert_eq!((harness.accept(3), harness.accept(4)), (0, 0));
    assert_eq!((harness.row().taken, harness.row().held, harness.row().out), (7, 7, 0));
    assert_eq!(harness.step.flush().len(), 2);
    assert_eq!((harness.row().held, harness.row().out, harness.row().created), (0, 7, 0));
}

#[test]
fn what_it_ends_is_booked_by_how_it_ended() {
    let harness = harness(false);
    harness.does(Does::Refuse);
    harness.accept(3);
    harness.does(Does::Reject);
    harness.accept(4);
    let row = harness.row();
    assert_eq!((row.returned, row.rejected.get("invalid"), row.held), (3, Some(&4), 0));
}

#[test]
fn what_a_connector_takes_is_merged_into_what_it_creates() {
    let harness = harness(true);
    harness.does(Does::Fold);
    assert_eq!(harness.accept(3), 10);
    let row = harness.row();
    assert_eq!((row.taken, row.merged, row.created, row.out, row.held), (3, 3, 10, 10, 0));
}

#[tokio::test]
async fn one_that_panics_gives_back_what_it_kept_and_is_built_anew_by_the_next_batch() {
    let harness = harness(false);
    let (kept, ticket) = batch(3);
    harness.step.accept(kept);
    harness.does(Does::Panic);
    harness.accept(4);
    assert!(matches!(ticket.await, Outcome::Retry { .. }));
    assert_eq!((harness.row().returned, harness.row().held), (7, 0));
    assert_eq!(harness.health.trouble(0, 0).as_deref(), Some("keeper is dead: told to"));
    harness.does(Does::Keep);
    harness.accept(5);
    assert_eq!((harness.row().held, harness.health.trouble(0, 0)), (5, None));
}

#[test]
fn while_it_cannot_be_built_it_stays_dead() {
    let harness = harness(false);
    harness.does(Does::Panic);
    harness.accept(4);
    harness.builds.store(false, Ordering::Relaxed);
    assert!(harness.step.flush().is_empty());
    assert!(harness.health.trouble(0, 0).is_some());
    harness.builds.store(true, Ordering::Relaxed);
    harness.step.flush();
    assert_eq!(harness.health.trouble(0, 0), None);
}

#[test]
fn in_a_drain_nothing_is_kept_back() {
    let harness = harness(false);
    assert_eq!(harness.accept(3), 0);
    harness.step.drain();
    assert_eq!(harness.accept(4), 7);
}

#[test]
fn a_panic_is_told_in_its_words() {
    let said: [Box<dyn std::any::Any + Send>; 3] = [Box::new("a"), Box::new("b".to_owned()), Box::new(7_u8)];
    assert_eq!(said.map(|panic| message(&*panic)), ["a", "b", "a panic without a message"]);
}

/// The clock of the runtime, which the test stops.
struct Paused(tokio::time::Instant);

impl Clock for Paused {
    fn unix_nanos(&self) -> u64 {
        self.monotonic_nanos()
    }
    fn monotonic_nanos(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).expect("it is not that late")
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_ticked_when_it_wants_to_be_also_if_it_wants_to_be_sooner_and_not_before() {
    const SECOND: u64 = 1_000_000_000;
    let harness = harness(false);
    let (stopper, stop) = Stopper::new();
    let emitted = Arc::<AtomicU64>::default();
    let ticking = {
        let (step, emitted) = (Arc::clone(&harness.step), Arc::clone(&emitted));
        let clock = Paused(tokio::time::Instant::now());
        tokio::spawn(async move {
            let count = |batch: Batch| {
                emitted.fetch_add(batch.items(), Ordering::Relaxed);
            };
            step.tick(&clock, stop, count).await;
        })
    };
    let after = async |seconds: f64| {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        emitted.load(Ordering::Relaxed)
    };
    assert_eq!(after(0.5).await, 0);
    harness.wakes_at.store(10 * SECOND, Ordering::Relaxed);
    harness.accept(3);
    assert_eq!(after(8.0).await, 0, "it is not time");
    assert_eq!(after(2.0).await, 3);
    harness.wakes_at.store(60 * SECOND, Ordering::Relaxed);
    harness.accept(4);
    assert_eq!(after(1.0).await, 3);
    harness.wakes_at.store(20 * SECOND, Ordering::Relaxed);
    harness.accept(5);
    assert_eq!(after(8.0).await, 3);
    assert_eq!(after(2.0).await, 12, "sooner than it had said at first");
    harness.does(Does::Panic);
    harness.accept(1);
    harness.does(Does::Keep);
    assert!(harness.health.trouble(0, 0).is_some());
    after(2.0).await;
    assert_eq!(harness.health.trouble(0, 0), None, "it is built anew without a batch");
    stopper.stop();
    ticking.await.expect("it stops");
}
