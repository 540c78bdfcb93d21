//! A chain of editors in as few walks as the planner allows equals each in a walk of its own.

use proptest::prelude::*;
use throughline_component::{AccessPattern, ComponentId, Context};
use throughline_otlp::edit::{Level, rewrite};
use throughline_otlp::path::{Node, Path};
use throughline_otlp::view::AnyValue;
use throughline_otlp::wire::put_message;

use super::*;
use crate::ledger::{Direction, Ledger};
use crate::plan::fuses;

const LEVELS: [Levels; 8] = [
    Levels::RESOURCE,
    Levels::SCOPE,
    Levels::SPAN,
    Levels::LOG,
    Levels::METRIC,
    Levels::EVENT,
    Levels::LINK,
    Levels::POINT,
];

/// Where an editor reads or writes, seen from what it visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Own,
    Resource,
    Scope,
    /// The first event of a span, the first point of a metric.
    Part,
}

/// An editor that writes a number which depends on the one that it has read.
#[derive(Clone, Debug)]
struct Numbers {
    visits: Vec<usize>,
    reads: Where,
    writes: Where,
    number: i64,
    drops: bool,
}

impl Where {
    /// The levels above the visited one.
    fn above(self) -> Levels {
        match self {
            Self::Own | Self::Part => Levels::NONE,
            Self::Resource => Levels::RESOURCE,
            Self::Scope => Levels::SCOPE,
        }
    }

    fn path(self, level: Level) -> Path {
        let text = match (self, level) {
            (Self::Resource, level) if level != Level::Resource => "resource.attributes[\"n\"]",
            (Self::Scope, level) if !matches!(level, Level::Resource | Level::Scope) => {
                "scope.attributes[\"n\"]"
            }
            (Self::Part, Level::Span) => "events[0].attributes[\"n\"]",
            (Self::Part, Level::Metric) => "data_points[0].attributes[\"n\"]",
            (_, Level::Metric) => "metadata[\"n\"]",
            _ => "attributes[\"n\"]",
        };
        Path::parse(text).expect("a path")
    }
}

impl DynEditor for Numbers {
    fn access(&self) -> AccessPattern {
        let visits = self.visits.iter().fold(Levels::NONE, |all, level| all | LEVELS[*level]);
        let (reads_above, writes_above) = (self.reads.above(), self.writes.above());
        AccessPattern { visits, reads_above, writes: visits, writes_above, whole: false }
    }
    fn begin<'a>(&'a self, _: Signal, _: &'a Chunk) -> Option<Box<dyn Pass + 'a>> {
        Some(Box::new(Numbering(self)))
    }
}

struct Numbering<'a>(&'a Numbers);

impl Pass for Numbering<'_> {
    fn edit(&mut self, record: &mut Record<'_>) -> Verdict {
        let read = match record.get(&self.0.reads.path(record.level())) {
            Some(Node::Value(AnyValue::Int(number))) => number,
            _ => 0,
        };
        let number = read.wrapping_mul(31).wrapping_add(self.0.number);
        // Some write now and then. A part that is not there cannot be written.
        if self.0.number % 3 > 0 || number.rem_euclid(2) == 0 {
            drop(record.set(&self.0.writes.path(record.level()), number));
        }
        if self.0.drops && number.rem_euclid(5) == 0 { Verdict::Drop("number") } else { Verdict::Keep }
    }
}

/// A request of which everything has a number.
fn request(signal: Signal, shape: &[u8]) -> Bytes {
    let mut shape = shape.iter().copied().chain(std::iter::repeat(1));
    let mut some = || 0..shape.next().unwrap_or(1) % 3;
    let mut out = Vec::new();
    for _ in 0..2 {
        put_message(&mut out, 1, |group| {
            for _ in some() {
                put_message(group, 2, |scope| {
                    for _ in some() {
                        put_message(scope, 2, |record| match signal {
                            Signal::Traces => {
                                some().for_each(|_| put_message(record, 11, |_| {}));
                                some().for_each(|_| put_message(record, 13, |_| {}));
                            }
                            Signal::Metrics => {
                                put_message(record, 5, |gauge| {
                                    some().for_each(|_| put_message(gauge, 1, |_| {}))
                                });
                            }
                            Signal::Logs => {}
                        });
                    }
                });
            }
        });
    }
    let mut number = 0;
    rewrite(signal, &out.into(), Levels::ALL | Levels::NESTED, &mut |record| {
        number += 7;
        record.set(&Where::Own.path(record.level()), number).expect("it has attributes");
        Keep::Yes
    })
    .bytes
}

/// What becomes of a request in walks of these editors, and how many items are left.
fn walked(signal: Signal, bytes: Bytes, walks: Vec<Vec<Arc<dyn DynEditor>>>) -> Option<(Bytes, u32)> {
    let ledger = Ledger::default();
    let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
    let items = throughline_otlp::batch::count(signal, &bytes);
    let mut chunk = Chunk { bytes, items, position: None, context, settle: Settle::nobody() };
    for (number, editors) in walks.into_iter().enumerate() {
        let hop = |step| ledger.hop(Direction::Stage, &format!("{number} {step}"), signal);
        let editors = editors.into_iter().enumerate().map(|(step, editor)| (editor, hop(step))).collect();
        chunk = FusedWalk { editors, memory: None }.run(signal, chunk)?;
    }
    assert_eq!(ledger.imbalances(), []);
    assert_eq!(chunk.items, throughline_otlp::batch::count(signal, &chunk.bytes));
    Some((chunk.bytes, chunk.items))
}

fn place() -> impl Strategy<Value = Where> {
    prop_oneof![3 => Just(Where::Own), 1 => Just(Where::Resource), 1 => Just(Where::Scope), 1 => Just(Where::Part)]
}

fn editor() -> impl Strategy<Value = Numbers> {
    let visits = prop::collection::vec(0..LEVELS.len(), 1..3);
    (visits, place(), place(), 0..100_i64, prop::bool::weighted(0.2))
        .prop_map(|(visits, reads, writes, number, drops)| Numbers { visits, reads, writes, number, drops })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_chain_in_the_planners_walks_equals_its_editors_one_by_one(
        chain in prop::collection::vec(editor(), 1..6),
        shape in prop::collection::vec(any::<u8>(), 0..30),
        signal in prop_oneof![Just(Signal::Traces), Just(Signal::Metrics), Just(Signal::Logs)],
    ) {
        let mut fused: Vec<Vec<Arc<dyn DynEditor>>> = Vec::new();
        let mut walk: Vec<AccessPattern> = Vec::new();
        for editor in &chain {
            let access = editor.access();
            if walk.is_empty() || !fuses(&walk, access) {
                walk.clear();
                fused.push(Vec::new());
            }
            walk.push(access);
            fused.last_mut().expect("there is one").push(Arc::new(editor.clone()));
        }
        let alone: Vec<Vec<Arc<dyn DynEditor>>> =
            chain.iter().map(|editor| vec![Arc::new(editor.clone()) as Arc<dyn DynEditor>]).collect();
        let bytes = request(signal, &shape);
        prop_assert_eq!(walked(signal, bytes.clone(), fused), walked(signal, bytes, alone));
    }
}
