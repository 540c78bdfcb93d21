use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use serde_json::{Value, json};
use throughline_component::{Chunk, Context, Fatal, RejectKind, Settle, SnapshotWatermark, Ticket};
use throughline_otlp::build;
use tokio::sync::Semaphore;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::*;
use crate::ledger::{Direction, Ledger, Row};

/// Answers what it is told to, one answer an attempt, and then Done.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Outcome>>,
    /// Items and chunks of each attempt.
    attempts: Mutex<Vec<(u64, usize)>>,
    /// Attempts wait for it, if it is there.
    gate: Option<Semaphore>,
}

impl DynExporter for Script {
    fn export<'a>(&'a self, batch: &'a Batch) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(async {
            self.attempts.lock().expect("no panic").push((batch.items(), batch.chunks.len()));
            if let Some(gate) = &self.gate {
                gate.acquire().await.expect("it stays open").forget();
            }
            self.answers.lock().expect("no panic").pop_front().unwrap_or(Outcome::DONE)
        })
    }
    fn export_each<'a>(&'a self, batch: &'a Batch) -> Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>> {
        Box::pin(async { Outcomes::All(self.export(batch).await) })
    }
    fn lane(&self, _: Signal, _: &Chunk) -> Lane {
        Lane::None
    }
    fn metadata_keys(&self) -> Vec<String> {
        Vec::new()
    }
    fn snapshot_watermark(&self) -> Option<Arc<SnapshotWatermark>> {
        None
    }
    fn run(self: Arc<Self>, _: Stop) -> Pin<Box<dyn Future<Output = Result<(), Fatal>> + Send>> {
        Box::pin(async { Ok(()) })
    }
}

/// The clock of the runtime, which the tests stop; and no jitter.
struct Still(tokio::time::Instant);

impl Clock for Still {
    fn unix_nanos(&self) -> u64 {
        1_000_000_000 + self.monotonic_nanos()
    }
    fn monotonic_nanos(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).expect("it is not that late")
    }
}

impl Random for Still {
    fn bits(&self) -> u64 {
        1 << 63
    }
}

struct Harness {
    sink: Arc<Sink>,
    script: Arc<Script>,
    ledger: Ledger,
    health: Arc<Health>,
}

fn harness(settings: Value) -> Harness {
    world_with(settings, false)
}

fn world_with(settings: Value, gated: bool) -> Harness {
    let script = Arc::new(Script { gate: gated.then(|| Semaphore::new(0)), ..Script::default() });
    let (ledger, health) = (Ledger::default(), Arc::<Health>::default());
    health.started();
    let still = Arc::new(Still(tokio::time::Instant::now()));
    let services = SinkServices {
        clock: Arc::<Still>::clone(&still),
        random: Arc::<Still>::clone(&still),
        health: Arc::clone(&health),
        warnings: Arc::new(Warnings::new(still)),
        memory: None,
    };
    let settings: Option<DeliverySettings> = serde_json::from_value(settings).expect("they are right");
    let hops = Signal::ALL.map(|signal| ledger.hop(Direction::Exporter, "test", signal));
    let exporter = Arc::<Script>::clone(&script);
    let sink = Sink::new(ComponentId::new("test"), exporter, settings.as_ref(), services, hops);
    Harness { sink: Arc::new(sink), script, ledger, health }
}

/// A chunk of so many log records.
fn chunk(items: u32) -> (Chunk, Ticket) {
    let bytes = build::logs(|request| {
        request.resource(&[], |resource| {
            resource.scope("s", "1", |scope| {
                for time in 0..items {
                    scope.log_record(|log| {
                        log.time_unix_nano(u64::from(time));
                    });
                }
            });
        });
    });
    let (settle, ticket) = Settle::ticket();
    let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
    (Chunk { bytes, items, position: None, context, settle }, ticket)
}

impl Harness {
    fn answers(&self, answers: impl IntoIterator<Item = Outcome>) {
        self.script.answers.lock().expect("no panic").extend(answers);
    }

    fn offer(&self, items: u32) -> Ticket {
        let (chunk, ticket) = chunk(items);
        self.sink.offer(Batch::one(Signal::Logs, chunk));
        ticket
    }

    fn attempts(&self) -> Vec<(u64, usize)> {
        self.script.attempts.lock().expect("no panic").clone()
    }

    fn open(&self, attempts: usize) {
        self.script.gate.as_ref().expect("there is a gate").add_permits(attempts);
    }

    /// The account of logs, once nothing is here any more.
    fn end(&self) -> Row {
        assert_eq!(self.ledger.imbalances(), []);
        let row = self.ledger.rows().into_iter().find(|row| row.signal == Signal::Logs).expect("it is there");
        assert_eq!((row.held, row.batches, self.sink.load()), (0, 0, 0));
        row
    }
}

fn no_retries() -> Value {
    json!({ "retry_on_failure": { "enabled": false } })
}

fn partly(rejected: u32) -> Outcome {
    Outcome::Done { rejected, why: Some("some are bad".into()) }
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_refused_in_part_and_refused_is_booked_as_that() {
    let harness = harness(json!({}));
    let invalid = Outcome::reject(RejectKind::Invalid, "bad");
    let answers = [Outcome::DONE, partly(1), partly(9), invalid];
    harness.answers(answers.clone());
    for answer in answers {
        assert_eq!(harness.offer(3).await, answer);
    }
    let row = harness.end();
    assert_eq!((row.taken, row.out), (12, 5));
    assert_eq!((row.rejected["partial_success"], row.rejected["invalid"]), (4, 3));
    assert_eq!(harness.health.all_failing(), []);
}

#[tokio::test(start_paused = true)]
async fn whose_data_a_part_of_a_merged_batch_was_is_not_known_and_told_to_nobody() {
    let harness = harness(json!({}));
    harness.answers([partly(1)]);
    let ((one, first), (other, second)) = (chunk(2), chunk(3));
    harness.sink.offer(Batch { signal: Signal::Logs, chunks: [one, other].into_iter().collect() });
    for ticket in [first, second] {
        assert!(matches!(ticket.await, Outcome::Done { rejected: 0, .. }));
    }
    let row = harness.end();
    assert_eq!((row.out, row.rejected["partial_success"]), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_bad_chunk_takes_none_of_its_neighbours_with_it() {
    let harness = harness(json!({ "sending_queue": { "num_consumers": 1 } }));
    let invalid = Outcome::reject(RejectKind::Invalid, "bad");
    harness.answers([invalid.clone(), Outcome::DONE, invalid.clone()]);
    let ((one, first), (other, second)) = (chunk(2), chunk(3));
    harness.sink.offer(Batch { signal: Signal::Logs, chunks: [one, other].into_iter().collect() });
    assert_eq!((first.await, second.await), (Outcome::DONE, invalid));
    assert_eq!(harness.attempts(), [(5, 2), (2, 1), (3, 1)]);
    harness.end();
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_goes_in_parts() {
    let harness = harness(json!({}));
    harness.answers([Outcome::reject(RejectKind::TooLarge, "4 MiB at most")]);
    assert_eq!(harness.offer(4).await, Outcome::DONE);
    assert_eq!(harness.attempts(), [(4, 1), (2, 1), (2, 1)]);
    harness.end();
}

#[tokio::test(start_paused = true)]
async fn one_record_is_too_large_only_if_the_destination_takes_another_as_large() {
    let harness = harness(json!({}));
    let large = Outcome::reject(RejectKind::TooLarge, "throttled?");
    harness.answers([large.clone(), Outcome::DONE, large.clone()]);
    let refused = harness.offer(1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.health.all_failing().len(), 1, "it may be throttling");
    assert_eq!(harness.offer(1).await, Outcome::DONE);
    assert_eq!(refused.await, large);
    assert_eq!(harness.end().rejected["too_large"], 1);
}

#[tokio::test(start_paused = true)]
async fn one_record_that_is_too_large_is_dropped_at_once_where_the_configuration_drops() {
    let harness = harness(json!({ "retry_on_failure": { "on_permanent_error": "drop" } }));
    let large = Outcome::reject(RejectKind::TooLarge, "4 MiB at most");
    harness.answers([large.clone(), Outcome::misdirected("no such route")]);
    assert_eq!(harness.offer(1).await, large);
    assert!(matches!(harness.offer(2).await, Outcome::Done { rejected: 2, .. }));
    let row = harness.end();
    assert_eq!((row.rejected["too_large"], row.dropped["permanent_error"]), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_shown_with_its_words_and_tried_again_until_it_passes() {
    let harness = harness(json!({}));
    harness.answers([Outcome::misdirected("no such route"), Outcome::retry("it is down")]);
    let ticket = harness.offer(3);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let failing = harness.health.all_failing();
    assert_eq!((&*failing[0].part, failing[0].since), ("exporter test", 1_000_000_000));
    assert!(failing[0].why.contains("no such route"));
    assert_eq!(harness.attempts().len(), 1);
    assert_eq!(ticket.await, Outcome::DONE);
    assert_eq!((harness.attempts().len(), harness.health.all_failing()), (3, vec![]));
    assert_eq!(harness.end().out, 3);
}

#[tokio::test(start_paused = true)]
async fn without_retries_senders_hear_of_each_failure_and_readiness_of_all_until_one_passes() {
    let harness = harness(no_retries());
    harness.answers([Outcome::misdirected("no such route"), Outcome::retry("it is down")]);
    for why in ["no such route", "it is down"] {
        assert_eq!(harness.offer(3).await, Outcome::retry(why));
        let trouble = harness.health.trouble(0, 0).expect("nothing passes");
        assert!(trouble.contains("exporter test refuses everything: no such route"), "{trouble}");
        let failing = harness.health.all_failing().remove(0);
        assert!(failing.why.contains(why));
        assert_eq!(failing.since, 1_000_000_000, "since the first that failed");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(harness.offer(3).await, Outcome::DONE);
    assert_eq!((harness.health.trouble(0, 0), harness.health.all_failing()), (None, vec![]));
    let row = harness.end();
    assert_eq!((row.returned, row.overflowed, row.out), (6, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_full_refuses_and_shows_it_if_its_destination_fails() {
    let settings = json!({ "sending_queue": { "num_consumers": 1, "queue_size": 2 } });
    let harness = world_with(settings, true);
    assert_eq!(harness.sink.consumers(), 1);
    let tickets: Vec<Ticket> = (0..3).map(|_| harness.offer(2)).collect();
    let full = Outcome::retry("the queue of test is full");
    assert_eq!((harness.offer(2).await, harness.sink.load()), (full.clone(), 3));
    assert_eq!(harness.health.trouble(0, 0), None, "it is busy, no more");
    harness.answers([Outcome::retry("it is down")]);
    harness.open(1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.offer(2).await, full);
    assert!(harness.health.trouble(0, 0).is_some_and(|why| why.contains("its queue is full")));
    harness.open(9);
    for ticket in tickets {
        assert_eq!(ticket.await, Outcome::DONE);
    }
    assert_eq!(harness.health.trouble(0, 0), None);
    let row = harness.end();
    assert_eq!((row.overflowed, row.returned, row.out), (4, 4, 6));
    assert_eq!((row.capacity, row.consumers), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_takes_no_longer_than_it_may_and_as_long_as_it_likes_without_a_timeout() {
    for (timeout, ends) in [("3s", true), ("0s", false)] {
        let settings = json!({ "timeout": timeout, "retry_on_failure": { "enabled": false } });
        let harness = world_with(settings, true);
        let ticket = harness.offer(2);
        match tokio::time::timeout(Duration::from_secs(4), ticket).await {
            Ok(outcome) => {
                assert!(ends);
                assert_eq!(outcome, Outcome::retry("test did not answer within 3s"));
                harness.end();
            }
            Err(_) => assert!(!ends, "{timeout}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_every_sender_waits_for_an_export_of_its_own() {
    let harness = world_with(json!({ "sending_queue": { "enabled": false } }), true);
    let tickets: Vec<Ticket> = (0..50).map(|_| harness.offer(1)).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.attempts().len(), 50);
    harness.open(50);
    for ticket in tickets {
        assert_eq!(ticket.await, Outcome::DONE);
    }
    assert_eq!(harness.end().capacity, 0);
}

#[tokio::test(start_paused = true)]
async fn a_straight_sink_takes_one_batch_at_a_time() {
    let harness = world_with(Value::Null, true);
    let tickets: Vec<Ticket> = (0..3).map(|_| harness.offer(1)).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.attempts().len(), 1);
    harness.answers([Outcome::retry("the disk is full")]);
    harness.open(3);
    let heard: Vec<Outcome> = {
        let mut heard = Vec::new();
        for ticket in tickets {
            heard.push(ticket.await);
        }
        heard
    };
    assert_eq!(heard, [Outcome::retry("the disk is full"), Outcome::DONE, Outcome::DONE]);
    harness.end();
}

#[tokio::test(start_paused = true)]
async fn what_was_tried_for_as_long_as_it_may_goes_back_or_is_dropped_if_it_is_stored() {
    let retry = json!({ "initial_interval": "1s", "max_interval": "1s", "max_elapsed_time": "10s" });
    let harness = harness(json!({ "retry_on_failure": retry }));
    harness.answers((0..100).map(|_| Outcome::retry("it is down")));
    let sender = harness.offer(2);
    let (stored, ticket) = chunk(3);
    harness.sink.offer_stored(Batch::one(Signal::Logs, stored), Slot::default());
    assert_eq!(harness.sink.load(), 1, "nobody waits for what is stored");
    assert_eq!(sender.await, Outcome::retry("it is down"));
    assert!(matches!(ticket.await, Outcome::Done { rejected: 3, .. }));
    assert!(harness.sink.services.clock.monotonic_nanos() <= 11_000_000_000);
    let row = harness.end();
    assert_eq!((row.returned, row.dropped["max_elapsed_time"]), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_back_what_waits_for_a_destination_that_fails() {
    let harness = harness(json!({}));
    harness.answers((0..9).map(|_| Outcome::retry("it is down")));
    let tickets = [harness.offer(2), harness.offer(3)];
    tokio::time::sleep(Duration::from_secs(1)).await;
    harness.sink.drain();
    for ticket in tickets {
        assert_eq!(ticket.await, Outcome::retry("the agent stops, and the destination fails"));
    }
    assert_eq!(harness.end().returned, 5);
    assert_eq!(harness.offer(1).await, Outcome::retry("it is down"), "one attempt each");
    assert_eq!(harness.health.all_failing().len(), 1);
    harness.sink.clear_health();
    assert_eq!(harness.health.all_failing(), []);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_failed_until_nothing_was_left_is_tried_with_what_comes_next() {
    let retry = json!({ "initial_interval": "1s", "max_interval": "1s", "max_elapsed_time": "10s" });
    let harness = harness(json!({ "retry_on_failure": retry }));
    assert_eq!(harness.sink.consumers(), 10);
    harness.answers((0..1000).map(|_| Outcome::retry("it is down")));
    for ticket in [harness.offer(2), harness.offer(2)] {
        assert_eq!(ticket.await, Outcome::retry("it is down"));
    }
    harness.script.answers.lock().expect("no panic").clear();
    let next = tokio::time::timeout(Duration::from_secs(60), harness.offer(2)).await;
    assert_eq!(next.expect("it is tried"), Outcome::DONE);
    assert_eq!(harness.health.all_failing(), []);
    harness.end();
}

/// The warnings that are heard.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("no panic").push(line.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_loss_speaks_with_its_count_and_success_does_not() {
    let heard = Heard::default();
    let _guard = tracing::subscriber::set_default(heard.clone());
    // Another test may be the first to warn just now, and nobody hears it there.
    let others = harness(json!({}));
    let is_heard = (0..1000).any(|part| {
        others.sink.services.warnings.warn(&part, "listening", 1, "");
        tracing::callsite::rebuild_interest_cache();
        !heard.0.lock().expect("no panic").drain(..).as_slice().is_empty()
    });
    assert!(is_heard);
    let drops = json!({ "retry_on_failure": { "on_permanent_error": "drop" } });
    let cases = [
        (drops.clone(), Outcome::DONE, None),
        (drops.clone(), partly(2), Some("refused a part as bad")),
        (drops.clone(), Outcome::reject(RejectKind::Invalid, "bad"), Some("refused data as bad")),
        (drops, Outcome::misdirected("no such route"), Some("permanent error")),
        (no_retries(), Outcome::retry("it is down"), Some("the senders try again")),
    ];
    for (settings, answer, said) in cases {
        let harness = harness(settings);
        harness.answers([answer]);
        drop(harness.offer(2).await);
        let lines = std::mem::take(&mut *heard.0.lock().expect("no panic"));
        assert_eq!(lines.len(), usize::from(said.is_some()), "{lines:?}");
        for (line, said) in lines.iter().zip(said) {
            assert!(line.contains(said) && line.contains("items=2"), "{line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_tried_at_once_when_somebody_may_have_mended_it() {
    let harness = harness(json!({ "retry_on_failure": { "initial_interval": "30s" } }));
    harness.answers([Outcome::retry("it is down")]);
    let ticket = harness.offer(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    harness.sink.retry_now();
    assert_eq!(ticket.await, Outcome::DONE);
    assert!(harness.sink.services.clock.monotonic_nanos() < 2_000_000_000);
    harness.end();
}
