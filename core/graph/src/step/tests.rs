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
    fn accept(&mut self, batch: Batch, out: &mut Outlet) {
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
    fn tick(&mut self, _: u64, out: &mut Outlet) {
        self.flush(out);
    }
    fn flush(&mut self, out: &mut Outlet) {
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

struct World {
    step: Arc<Step>,
    ledger: Ledger,
    health: Arc<Health>,
    does: Arc<Mutex<Does>>,
    wakes_at: Arc<AtomicU64>,
    /// Whether the processor can be built.
    builds: Arc<AtomicBool>,
}

fn world(connects: bool) -> World {
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
    let step = Step::new(name, connects, processor, Box::new(build), hop, Arc::clone(&health));
    World { step: Arc::new(step), ledger, health, does, wakes_at, builds }
}

impl World {
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
    let world = world(false);
    assert_eq!((world.accept(3), world.accept(4)), (0, 0));
    assert_eq!((world.row().taken, world.row().held, world.row().out), (7, 7, 0));
    assert_eq!(world.step.flush().len(), 2);
    assert_eq!((world.row().held, world.row().out, world.row().created), (0, 7, 0));
}

#[test]
fn what_it_ends_is_booked_by_how_it_ended() {
    let world = world(false);
    world.does(Does::Refuse);
    world.accept(3);
    world.does(Does::Reject);
    world.accept(4);
    let row = world.row();
    assert_eq!((row.returned, row.rejected.get("invalid"), row.held), (3, Some(&4), 0));
}

#[test]
fn what_a_connector_takes_is_merged_into_what_it_creates() {
    let world = world(true);
    world.does(Does::Fold);
    assert_eq!(world.accept(3), 10);
    let row = world.row();
    assert_eq!((row.taken, row.merged, row.created, row.out, row.held), (3, 3, 10, 10, 0));
}

#[tokio::test]
async fn one_that_panics_gives_back_what_it_kept_and_is_built_anew_by_the_next_batch() {
    let world = world(false);
    let (kept, ticket) = batch(3);
    world.step.accept(kept);
    world.does(Does::Panic);
    world.accept(4);
    assert!(matches!(ticket.await, Outcome::Retry { .. }));
    assert_eq!((world.row().returned, world.row().held), (7, 0));
    assert_eq!(world.health.trouble(0, 0).as_deref(), Some("keeper is dead: told to"));
    world.does(Does::Keep);
    world.accept(5);
    assert_eq!((world.row().held, world.health.trouble(0, 0)), (5, None));
}

#[test]
fn while_it_cannot_be_built_it_stays_dead() {
    let world = world(false);
    world.does(Does::Panic);
    world.accept(4);
    world.builds.store(false, Ordering::Relaxed);
    assert!(world.step.flush().is_empty());
    assert!(world.health.trouble(0, 0).is_some());
    world.builds.store(true, Ordering::Relaxed);
    world.step.flush();
    assert_eq!(world.health.trouble(0, 0), None);
}

#[test]
fn in_a_drain_nothing_is_kept_back() {
    let world = world(false);
    assert_eq!(world.accept(3), 0);
    world.step.drain();
    assert_eq!(world.accept(4), 7);
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
    let world = world(false);
    let (stopper, stop) = Stopper::new();
    let emitted = Arc::<AtomicU64>::default();
    let ticking = {
        let (step, emitted) = (Arc::clone(&world.step), Arc::clone(&emitted));
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
    world.wakes_at.store(10 * SECOND, Ordering::Relaxed);
    world.accept(3);
    assert_eq!(after(8.0).await, 0, "it is not time");
    assert_eq!(after(2.0).await, 3);
    world.wakes_at.store(60 * SECOND, Ordering::Relaxed);
    world.accept(4);
    assert_eq!(after(1.0).await, 3);
    world.wakes_at.store(20 * SECOND, Ordering::Relaxed);
    world.accept(5);
    assert_eq!(after(8.0).await, 3);
    assert_eq!(after(2.0).await, 12, "sooner than it had said at first");
    world.does(Does::Panic);
    world.accept(1);
    world.does(Does::Keep);
    assert!(world.health.trouble(0, 0).is_some());
    after(2.0).await;
    assert_eq!(world.health.trouble(0, 0), None, "it is built anew without a batch");
    stopper.stop();
    ticking.await.expect("it stops");
}
