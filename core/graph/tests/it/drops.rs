//! What editors drop is counted by step and by reason, also where they share a walk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use throughline_component::{
    AccessPattern, Batch, Build, Chunk, ConfigError, Delivery, Editor, Exporter, Factory, Outcome, Pass,
    Transport, Verdict,
};
use throughline_graph::Role;
use throughline_otlp::Signal;
use throughline_otlp::edit::{Levels, Record};

use crate::harness::{Harness, NoSettings};

/// Drops records by their time: every `N`th, for one of two reasons.
struct Every<const N: u64>;

fn of_logs() -> AccessPattern {
    AccessPattern { visits: Levels::LOG, writes: Levels::LOG, ..AccessPattern::default() }
}

impl<const N: u64> Editor for Every<N> {
    type Config = NoSettings;
    fn build(_: NoSettings, _: &Build) -> Result<Self, ConfigError> {
        Ok(Self)
    }
    fn access(&self) -> AccessPattern {
        of_logs()
    }
    fn begin<'a>(&'a self, _: Signal, _: &'a Chunk) -> Option<Box<dyn Pass + 'a>> {
        Some(Box::new(Self))
    }
}

impl<const N: u64> Pass for Every<N> {
    fn edit(&mut self, record: &mut Record<'_>) -> Verdict {
        let time = record.as_log().map_or(0, |log| log.time_unix_nano());
        match time {
            time if time % (2 * N) == 0 => Verdict::Drop("even"),
            time if time % N == 0 => Verdict::Drop("odd"),
            _ => Verdict::Keep,
        }
    }
}

struct Nowhere;

impl Exporter for Nowhere {
    type Config = NoSettings;
    const DELIVERY: Delivery = Delivery::Direct;
    fn build(_: NoSettings, _: &Build) -> Result<Self, ConfigError> {
        Ok(Self)
    }
    async fn export(&self, _: &Batch) -> Outcome {
        Outcome::DONE
    }
}

#[tokio::test]
async fn each_step_of_a_fused_walk_has_an_account_with_its_own_reasons() {
    let running = Harness::new(&Arc::new(()))
        .processor(Factory::editor::<Every<3>>("threes"), Role::Editor(of_logs()))
        .processor(Factory::editor::<Every<5>>("fives"), Role::Editor(of_logs()))
        .exporter("nowhere", Factory::exporter::<Nowhere>("nowhere"), Value::Null, (None, &[]))
        .start()
        .await;
    for time in 1..=60 {
        assert_eq!(running.send(time).await, Outcome::DONE);
    }
    let rows = running.ledger.rows();
    let of = |name: &str| {
        let row = rows.iter().find(|row| row.name == name).expect("each step has one");
        (row.taken, row.dropped.clone(), row.out)
    };
    let reasons = |even, odd| BTreeMap::from([("even", even), ("odd", odd)]);
    // Of 60 records 20 are divisible by three, ten of them by six; of the other 40 eight are divisible by five.
    assert_eq!(of("logs:threes"), (60, reasons(10, 10), 40));
    assert_eq!(of("logs:fives"), (40, reasons(4, 4), 32));
    assert_eq!(running.ledger.imbalances(), []);
    running.graph.stop(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn what_a_receiver_does_not_send_on_stands_in_its_account() {
    let running = Harness::new(&Arc::new(()))
        .exporter("nowhere", Factory::exporter::<Nowhere>("nowhere"), Value::Null, (None, &[]))
        .start()
        .await;
    assert_eq!(running.send(1).await, Outcome::DONE);
    running.output().dropped(Signal::Logs, Transport::Internal, "no_record", 3);
    let rows = running.ledger.rows();
    let row = rows.iter().find(|row| row.name == "door").expect("the receiver has one");
    assert_eq!((row.taken, row.out, row.dropped.get("no_record")), (4, 1, Some(&3)));
    assert_eq!(running.ledger.imbalances(), []);
    running.graph.stop(Duration::from_secs(60)).await;
}
