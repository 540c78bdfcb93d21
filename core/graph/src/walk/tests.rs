use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use throughline_component::{AccessPattern, ComponentId, Context, Ticket};
use throughline_otlp::build;
use throughline_otlp::edit::Level;

use super::*;
use crate::ledger::{Direction, Ledger, Row};

/// Visits some levels, and drops so many records.
struct Drops {
    visits: Levels,
    drops: u32,
    /// How much it adds to each.
    adds: usize,
    seen: Mutex<Vec<Level>>,
    barrier: Mutex<Option<Barrier>>,
}

struct Dropping<'a>(&'a Drops, u32);

impl DynEditor for Drops {
    fn access(&self) -> AccessPattern {
        AccessPattern { visits: self.visits, writes: self.visits, ..AccessPattern::default() }
    }
    fn begin<'a>(&'a self, _: Signal, chunk: &'a Chunk) -> Option<Box<dyn Pass + 'a>> {
        (chunk.items < 100).then(|| Box::new(Dropping(self, 0)) as Box<dyn Pass>)
    }
}

impl Pass for Dropping<'_> {
    fn edit(&mut self, record: &mut Record<'_>) -> Verdict {
        self.0.seen.lock().expect("no panic").push(record.level());
        assert_ne!(self.0.drops, 99, "told to");
        if self.0.adds > 0 {
            record.append_attribute("added", "x".repeat(self.0.adds).as_str());
        }
        self.1 += 1;
        if self.1 <= self.0.drops { Verdict::Drop("editor") } else { Verdict::Keep }
    }
    fn groups(&mut self, _: Signal, request: &Bytes) -> Option<Bytes> {
        // What no record holds: it is told by an unknown field behind everything else.
        (self.0.drops == 1).then(|| [&request[..], &[0xfa, 0x3f, 0]].concat().into())
    }
    fn finish(self: Box<Self>) -> Option<Barrier> {
        self.0.barrier.lock().expect("no panic").take()
    }
}

fn drops(visits: Levels, drops: u32) -> Arc<Drops> {
    adds(visits, drops, 0)
}

fn adds(visits: Levels, drops: u32, adds: usize) -> Arc<Drops> {
    Arc::new(Drops { visits, drops, adds, seen: Mutex::default(), barrier: Mutex::default() })
}

/// Sends a chunk of so many log records through a walk; says what became of it, and the account.
fn walk(editors: &[&Arc<Drops>], items: u32) -> (Option<Chunk>, Ticket, Row) {
    walk_within(None, editors, items)
}

fn walk_within(
    memory: Option<&Arc<Budget>>,
    editors: &[&Arc<Drops>],
    items: u32,
) -> (Option<Chunk>, Ticket, Row) {
    let bytes = build::logs(|request| {
        request.resource(&[], |resource| {
            resource.scope("s", "1", |scope| {
                (0..items).for_each(|time| {
                    scope.log_record(|log| {
                        log.time_unix_nano(u64::from(time));
                    });
                });
            });
        });
    });
    let ledger = Ledger::default();
    // Each with an account of its own; those of the first are looked at.
    let editors = editors.iter().enumerate().map(|(number, editor)| {
        let hop = ledger.hop(Direction::Stage, &format!("step {number}"), Signal::Logs);
        (Arc::<Drops>::clone(editor) as Arc<dyn DynEditor>, hop)
    });
    let walk = FusedWalk { editors: editors.collect(), memory: memory.cloned() };
    let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
    let (settle, ticket) = Settle::ticket();
    let chunk = Chunk { bytes, items, position: None, context, settle };
    let walked = catch_unwind(AssertUnwindSafe(|| walk.run(Signal::Logs, chunk))).unwrap_or_default();
    assert_eq!(ledger.imbalances(), []);
    (walked, ticket, ledger.rows().remove(0))
}

#[tokio::test]
async fn what_is_dropped_is_counted_and_a_chunk_of_which_nothing_is_left_is_done() {
    for (items, dropped) in [(3, 0), (3, 2), (0, 0), (100, 0)] {
        let (walked, _ticket, row) = walk(&[&drops(Levels::LOG, dropped)], items);
        let left = walked.map(|chunk| chunk.items);
        assert_eq!((left, row.out), (Some(items - dropped), u64::from(items - dropped)));
        assert_eq!(row.dropped.get("editor").copied().unwrap_or_default(), u64::from(dropped));
    }
    let (walked, ticket, row) = walk(&[&drops(Levels::LOG, 3)], 3);
    assert_eq!((walked.is_none(), row.dropped["editor"], ticket.await), (true, 3, Outcome::DONE));
}

#[tokio::test]
async fn each_editor_sees_the_levels_that_it_visits_and_no_record_that_another_dropped() {
    let (resources, logs, later) = (drops(Levels::RESOURCE, 0), drops(Levels::LOG, 1), drops(Levels::LOG, 0));
    let _walked = walk(&[&resources, &logs, &later], 3);
    let seen = |editor: &Drops| editor.seen.lock().expect("no panic").clone();
    assert_eq!(seen(&resources), [Level::Resource]);
    assert_eq!((seen(&logs), seen(&later)), (vec![Level::Log; 3], vec![Level::Log; 2]));
}

#[tokio::test]
async fn what_is_changed_of_groups_is_kept_with_what_was_dropped() {
    let (walked, _ticket, row) = walk(&[&drops(Levels::LOG, 1)], 3);
    let chunk = walked.expect("two are left");
    assert!(chunk.bytes.ends_with(&[0xfa, 0x3f, 0]));
    assert_eq!((chunk.items, row.dropped["editor"]), (2, 1));
    let (walked, _ticket, row) = walk(&[&drops(Levels::SPAN, 1)], 3);
    let chunk = walked.expect("it has no spans");
    assert!(chunk.bytes.ends_with(&[0xfa, 0x3f, 0]), "no record was changed");
    assert_eq!((chunk.items, row.out), (3, 3));
}

#[tokio::test]
async fn what_an_editor_waits_for_is_waited_for() {
    let editor = drops(Levels::LOG, 0);
    let (work, barrier) = Settle::barrier();
    *editor.barrier.lock().expect("no panic") = Some(barrier);
    let (walked, ticket, _) = walk(&[&editor], 3);
    walked.expect("it goes on").settle.settle(Outcome::DONE);
    let lost = Outcome::retry("the journal is full");
    work.settle(lost.clone());
    assert_eq!(ticket.await, lost);
}

#[tokio::test]
async fn a_chunk_over_which_an_editor_panics_goes_back() {
    let (walked, ticket, row) = walk(&[&drops(Levels::LOG, 99)], 3);
    assert_eq!((walked.is_none(), row.returned), (true, 3));
    assert!(matches!(ticket.await, Outcome::Retry { .. }));
}

#[test]
fn what_edits_add_is_charged_until_it_is_settled() {
    let memory = Budget::new(1_000);
    let before = Bytes::from(vec![0; 100]);
    let room = |before: usize| OutputMemory::new(Some(&memory), before);
    let grown = room(0).hold(before.slice(..0), 5_000, Settle::nobody());
    assert_eq!(memory.used(), 5_000, "nothing makes a million of it");
    let copy = room(100).hold(before.clone(), 120, Settle::nobody());
    assert_eq!(memory.used(), 5_070, "another pipeline has it as it was");
    grown.settle(Outcome::DONE);
    copy.settle(Outcome::DONE);
    assert_eq!(memory.used(), 0);
    let _alone = room(100).hold(before, 140, Settle::nobody());
    assert_eq!(memory.used(), 0, "a little more is free");
}

#[test]
fn room_is_taken_while_it_is_written_and_refused_before_it_is_used() {
    let memory = Budget::new(20 << 20);
    let mut memory_use = OutputMemory::new(Some(&memory), 1 << 20);
    assert_eq!(memory_use.more(1 << 20), Some(3 << 19), "half as much again is free");
    assert_eq!(memory_use.more(2 << 20), Some(2 << 20));
    assert_eq!(memory.used(), 1 << 19, "the rest is held before it is settled");
    let mut other = memory.charge();
    assert!(other.grow(19 << 20));
    assert_eq!(memory_use.more(3 << 20), None);
    assert!(matches!(memory_use.refused, Some(Outcome::Retry { .. })), "others hold it: later");
    drop(other);
    assert_eq!(memory_use.more(9 << 20), Some(9 << 20));
    assert_eq!(memory_use.more(16 << 20), None);
    assert!(matches!(memory_use.refused, Some(Outcome::Reject { kind: RejectKind::TooLarge, .. })));
    drop(memory_use);
    assert_eq!(memory.used(), 0);
}

#[test]
fn room_is_taken_in_steps_up_to_half_of_the_budget_and_one_step() {
    let memory = Budget::new(20 << 20);
    let most = (10 << 20) + STEP;
    let mut memory_use = OutputMemory::new(Some(&memory), 1000);
    assert_eq!((memory_use.more(1500), memory.used()), (Some(1500), 0), "all of that is free");
    assert_eq!((memory_use.more(1501), memory.used()), (Some(1500 + (256 << 10)), 256 << 10));
    assert_eq!(memory_use.more(1500 + STEP), Some(1500 + STEP), "it is taken already");
    drop(memory_use);
    let room = || OutputMemory::new(Some(&memory), 0);
    assert_eq!(room().more(most), Some(most));
    assert_eq!(room().more(most + 1), None);
    assert_eq!(OutputMemory::new(None, 0).more(usize::MAX), Some(usize::MAX), "nobody counts");
}

#[tokio::test]
async fn what_edits_add_is_held_while_it_is_on_its_way_and_refused_where_there_is_no_room() {
    let memory = Budget::new(4 << 20);
    let editor = adds(Levels::LOG, 0, 400_000);
    let (walked, ticket, row) = walk_within(Some(&memory), &[&editor], 3);
    assert!((1_200_000..1_300_000).contains(&memory.used()), "{}", memory.used());
    walked.expect("there is room").settle.settle(Outcome::DONE);
    assert_eq!((ticket.await, row.out, memory.used()), (Outcome::DONE, 3, 0));
    let (walked, ticket, row) = walk_within(Some(&memory), &[&editor], 9);
    assert_eq!((walked.is_none(), row.rejected["too_large"], memory.used()), (true, 9, 0));
    assert!(matches!(ticket.await, Outcome::Reject { kind: RejectKind::TooLarge, .. }));
    let mut others = memory.charge();
    assert!(others.grow(4_000_000));
    let (walked, ticket, row) = walk_within(Some(&memory), &[&editor], 3);
    assert_eq!((walked.is_none(), row.returned, memory.used()), (true, 3, 4_000_000));
    assert!(matches!(ticket.await, Outcome::Retry { .. }));
}
