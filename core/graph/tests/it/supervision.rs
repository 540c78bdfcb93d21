//! Panics, refusals and drains: what the graph promises whatever its components do (architecture invariants 5 and 6).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throughline_component::port::Charge;
use throughline_component::{
    AccessPattern, Batch, Build, Chunk, ComponentId, ConfigError, Context, Editor, Emitter, Exporter,
    Factory, Outcome, Pass, Processor, RejectKind, Verdict,
};
use throughline_graph::Role;
use throughline_otlp::Signal;
use throughline_otlp::edit::{Levels, Record};
use tokio::sync::Semaphore;

use crate::harness::{self, Harness, NoSettings, one_attempt, script, until};

/// What the components of one test are told to do.
#[derive(Default)]
struct Script {
    editor_panics: AtomicBool,
    editor_drops: AtomicBool,
    exporter_panics: AtomicBool,
    /// How often `sink/b` was asked.
    attempts: AtomicU32,
    /// Makes the processor hold what it is given until it is ticked.
    holds: AtomicBool,
    /// What `sink/b` answers; `sink/a` always answers Done.
    answer: Mutex<Option<Outcome>>,
    /// Exports wait for it, if it is there.
    gate: Mutex<Option<Arc<Semaphore>>>,
}

/// Passes everything on; if told to hold, when it is ticked.
struct Later(Arc<Script>, Vec<Batch>);

impl Processor for Later {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(script(cx), Vec::new()))
    }
    fn accept(&mut self, batch: Batch, out: &mut Emitter) {
        if self.0.holds.load(Ordering::Relaxed) { self.1.push(batch) } else { out.send(batch) }
    }
    fn wakes_at(&self) -> Option<u64> {
        (!self.1.is_empty()).then_some(0)
    }
    fn tick(&mut self, _: u64, out: &mut Emitter) {
        self.flush(out);
    }
    fn flush(&mut self, out: &mut Emitter) {
        self.1.drain(..).for_each(|batch| out.send(batch));
    }
}

struct Touchy(Arc<Script>);

impl Editor for Touchy {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(script(cx)))
    }
    fn access(&self) -> AccessPattern {
        AccessPattern { visits: Levels::LOG, writes: Levels::LOG, ..AccessPattern::default() }
    }
    fn begin<'a>(&'a self, _: Signal, _: &'a Chunk) -> Option<Box<dyn Pass + 'a>> {
        Some(Box::new(TouchyPass(&self.0)))
    }
}

struct TouchyPass<'a>(&'a Script);

impl Pass for TouchyPass<'_> {
    fn edit(&mut self, _: &mut Record<'_>) -> Verdict {
        assert!(!self.0.editor_panics.load(Ordering::Relaxed), "told to");
        if self.0.editor_drops.load(Ordering::Relaxed) { Verdict::Drop("told_to") } else { Verdict::Keep }
    }
}

struct Sink(Arc<Script>, bool);

impl Exporter for Sink {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(script(cx), cx.id.as_str() == "sink/b"))
    }
    async fn export(&self, _: &Batch) -> Outcome {
        self.0.attempts.fetch_add(u32::from(self.1), Ordering::Relaxed);
        let gate = self.0.gate.lock().expect("no panic").clone();
        if let Some(gate) = gate {
            gate.acquire().await.expect("it stays open").forget();
        }
        assert!(!(self.1 && self.0.exporter_panics.load(Ordering::Relaxed)), "told to");
        let answer = self.0.answer.lock().expect("no panic").clone();
        answer.filter(|_| self.1).unwrap_or(Outcome::DONE)
    }
}

struct Running {
    world: harness::Running,
    script: Arc<Script>,
}

async fn start(queue_size: u32) -> Running {
    start_with(one_attempt(queue_size)).await
}

async fn start_with(delivery: serde_json::Value) -> Running {
    let script = Arc::<Script>::default();
    let access = AccessPattern { visits: Levels::LOG, writes: Levels::LOG, ..AccessPattern::default() };
    let mut world = Harness::new(&script)
        .processor(Factory::processor::<Later>("later"), Role::Processor { holds: false })
        .processor(Factory::editor::<Touchy>("touchy"), Role::Editor(access));
    for id in ["sink/a", "sink/b"] {
        let sink = Factory::exporter::<Sink>("sink");
        world = world.exporter(id, sink, delivery.clone(), (None, &[]));
    }
    Running { world: world.start().await, script }
}

impl Running {
    fn send(&self) -> throughline_component::Ticket {
        self.world.send(1)
    }

    fn trouble(&self) -> Option<String> {
        self.world.trouble()
    }

    async fn end(self) {
        self.world.end().await;
    }
}

#[tokio::test]
async fn an_editor_that_panics_turns_readiness_red_and_its_chunk_into_a_retry() {
    let running = start(10).await;
    assert_eq!(running.send().await, Outcome::DONE);
    running.script.editor_panics.store(true, Ordering::Relaxed);
    assert!(matches!(running.send().await, Outcome::Retry { .. }));
    assert!(
        running.trouble().is_some_and(|why| why.contains("pipeline logs is dead") && why.contains("told to"))
    );
    running.script.editor_panics.store(false, Ordering::Relaxed);
    assert_eq!(running.send().await, Outcome::DONE);
    assert_eq!(running.trouble(), None);
    running.end().await;
}

#[tokio::test]
async fn an_editor_that_panics_behind_a_tick_does_not_end_the_ticking() {
    let running = start(10).await;
    running.script.holds.store(true, Ordering::Relaxed);
    running.script.editor_panics.store(true, Ordering::Relaxed);
    assert!(matches!(running.send().await, Outcome::Retry { .. }));
    assert!(running.trouble().is_some_and(|why| why.contains("told to")));
    running.script.editor_panics.store(false, Ordering::Relaxed);
    assert_eq!(running.send().await, Outcome::DONE, "it is ticked again");
    assert_eq!(running.trouble(), None);
    running.end().await;
}

#[tokio::test]
async fn an_exporter_that_panics_returns_its_batch_and_takes_the_next() {
    let running = start(10).await;
    running.script.exporter_panics.store(true, Ordering::Relaxed);
    assert!(matches!(running.send().await, Outcome::Retry { .. }));
    assert!(running.trouble().is_some());
    running.script.exporter_panics.store(false, Ordering::Relaxed);
    assert_eq!(running.send().await, Outcome::DONE);
    assert_eq!(running.trouble(), None);
    running.end().await;
}

#[tokio::test]
async fn a_receiver_that_dies_is_restarted() {
    let running = start(10).await;
    running.world.gate.dies.store(true, Ordering::Relaxed);
    until("it is opened again", || running.world.gate.opened.load(Ordering::Relaxed) == 2).await;
    until("readiness is green", || running.trouble().is_none()).await;
    assert_eq!(running.send().await, Outcome::DONE);
    running.end().await;
}

#[tokio::test]
async fn the_worst_of_two_destinations_answers() {
    let running = start(10).await;
    let partial = Outcome::Done { rejected: 1, why: Some("one of them".into()) };
    for answer in [partial, Outcome::reject(RejectKind::Invalid, "never"), Outcome::retry("later")] {
        *running.script.answer.lock().expect("no panic") = Some(answer.clone());
        assert_eq!(running.send().await, answer);
    }
    running.end().await;
}

#[tokio::test]
async fn who_has_taken_a_request_is_not_given_it_again_when_its_sender_tries_again() {
    let running = start(10).await;
    *running.script.answer.lock().expect("no panic") = Some(Outcome::retry("it is down"));
    for _ in 0..5 {
        assert!(matches!(running.world.send(1).await, Outcome::Retry { .. }));
        assert!(matches!(running.world.send(2).await, Outcome::Retry { .. }));
    }
    let sent = |id: &str| {
        let rows = running.world.ledger.rows();
        rows.iter().filter(|row| row.name == id).map(|row| row.out).sum::<u64>()
    };
    assert_eq!(sent("sink/a"), 2, "each request once");
    *running.script.answer.lock().expect("no panic") = None;
    assert_eq!(running.world.send(1).await, Outcome::DONE);
    assert_eq!(running.world.send(2).await, Outcome::DONE);
    assert_eq!((sent("sink/a"), sent("sink/b")), (2, 2));
    assert_eq!(running.world.send(1).await, Outcome::DONE);
    assert_eq!((sent("sink/a"), sent("sink/b")), (3, 3), "after success the same bytes are a new request");
    running.end().await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_what_is_queued_is_delivered() {
    let running = start(1).await;
    let gate = Arc::new(Semaphore::new(0));
    *running.script.gate.lock().expect("no panic") = Some(Arc::clone(&gate));
    let (on_its_way, waiting, refused) = (running.send(), running.send(), running.send());
    assert!(matches!(refused.await, Outcome::Retry { why, .. } if why.contains("full")));
    gate.add_permits(100);
    assert_eq!(on_its_way.await, Outcome::DONE);
    assert_eq!(waiting.await, Outcome::DONE);
    running.end().await;
}

#[tokio::test]
async fn what_was_tried_for_max_elapsed_time_goes_back_to_its_sender() {
    let retry =
        serde_json::json!({ "initial_interval": "1ms", "max_interval": "5ms", "max_elapsed_time": "20ms" });
    let running = start_with(serde_json::json!({ "retry_on_failure": retry })).await;
    *running.script.answer.lock().expect("no panic") = Some(Outcome::retry("it is down"));
    assert!(matches!(running.send().await, Outcome::Retry { why, .. } if why.contains("it is down")));
    let attempts = running.script.attempts.load(Ordering::Relaxed);
    assert!(attempts > 1, "it was tried again: {attempts}");
    running.end().await;
}

#[tokio::test]
async fn a_drain_delivers_what_was_taken_in() {
    let running = start(10).await;
    let gate = Arc::new(Semaphore::new(0));
    *running.script.gate.lock().expect("no panic") = Some(Arc::clone(&gate));
    let tickets: Vec<_> = (0..5).map(|_| running.send()).collect();
    let ledger = Arc::clone(&running.world.ledger);
    let stopped = tokio::spawn(running.world.graph.stop(Duration::from_secs(60)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    gate.add_permits(100);
    assert_eq!(stopped.await.expect("no panic"), 0);
    for ticket in tickets {
        assert_eq!(ticket.await, Outcome::DONE);
    }
    assert_eq!(ledger.imbalances(), []);
}

#[tokio::test]
async fn what_a_drain_cannot_deliver_in_time_goes_back_to_its_sender() {
    let running = start(10).await;
    *running.script.gate.lock().expect("no panic") = Some(Arc::new(Semaphore::new(0)));
    let ticket = running.send();
    let left = running.world.graph.stop(Duration::from_millis(50)).await;
    assert_eq!(left, 2, "one batch for each destination");
    drop(running.script);
    let answer = tokio::time::timeout(Duration::from_secs(60), ticket).await;
    assert!(matches!(answer, Ok(Outcome::Retry { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_chunk_that_an_editor_drops_whole_is_done_and_accounted_for() {
    let running = start(10).await;
    running.script.editor_drops.store(true, Ordering::Relaxed);
    assert_eq!(running.send().await, Outcome::DONE);
    let rows = running.world.ledger.rows();
    assert!(rows.iter().any(|row| row.dropped.get("told_to") == Some(&1)), "{rows:?}");
    running.end().await;
}

/// Gives nothing out until it must.
struct Hoards(Vec<Batch>);

impl Processor for Hoards {
    type Config = NoSettings;
    fn build(_: NoSettings, _: &Build) -> Result<Self, ConfigError> {
        Ok(Self(Vec::new()))
    }
    fn accept(&mut self, batch: Batch, _: &mut Emitter) {
        self.0.push(batch);
    }
    fn flush(&mut self, out: &mut Emitter) {
        self.0.drain(..).for_each(|batch| out.send(batch));
    }
}

#[tokio::test]
async fn a_drain_delivers_once_what_a_step_keeps_and_who_comes_later_is_answered() {
    let script = Arc::<Script>::default();
    let sink = Factory::exporter::<Sink>("sink");
    let running = Harness::new(&script)
        .processor(Factory::processor::<Hoards>("hoards"), Role::Processor { holds: false })
        .exporter("sink/b", sink, one_attempt(10), (None, &[]))
        .start()
        .await;
    let reused: Vec<_> = (0..3).map(|time| running.send(time)).collect();
    let (out, ledger) = (running.output(), Arc::clone(&running.ledger));
    running.end().await;
    for ticket in reused {
        assert_eq!(ticket.await, Outcome::DONE);
    }
    let rows = ledger.rows();
    let step = rows.iter().find(|row| row.name == "logs:hoards").expect("it has an account");
    assert_eq!((step.taken, step.out, script.attempts.load(Ordering::Relaxed)), (3, 3, 3));
    let context = Arc::new(Context::internal(ComponentId::new("door"), 1));
    let late = out.send(Signal::Logs, harness::request(9), context, Charge::none());
    let answer = tokio::time::timeout(Duration::from_secs(60), late).await;
    assert!(matches!(answer, Ok(Outcome::Retry { .. })), "no step keeps anything back any more");
}

#[tokio::test]
async fn an_exporter_that_panics_gives_its_batch_back_although_it_would_be_tried_again() {
    let retry = serde_json::json!({ "initial_interval": "1ms", "max_interval": "2ms" });
    let running = start_with(serde_json::json!({ "retry_on_failure": retry })).await;
    running.script.exporter_panics.store(true, Ordering::Relaxed);
    assert!(matches!(running.send().await, Outcome::Retry { .. }), "it may be this batch that it panics at");
    assert_eq!(running.script.attempts.load(Ordering::Relaxed), 1);
    running.script.exporter_panics.store(false, Ordering::Relaxed);
    assert_eq!(running.send().await, Outcome::DONE);
    running.end().await;
}

#[tokio::test]
async fn who_waits_for_another_attempt_gets_it_although_that_of_another_panicked() {
    let retry = serde_json::json!({ "initial_interval": "1ms", "max_interval": "2ms" });
    let running = start_with(serde_json::json!({ "retry_on_failure": retry })).await;
    *running.script.answer.lock().expect("no panic") = Some(Outcome::retry("not now"));
    let tickets: Vec<_> = (0..100).map(|_| running.send()).collect();
    until("they are tried again", || running.script.attempts.load(Ordering::Relaxed) > 20).await;
    running.script.exporter_panics.store(true, Ordering::Relaxed);
    until("one panics", || running.trouble().is_some()).await;
    running.script.exporter_panics.store(false, Ordering::Relaxed);
    *running.script.answer.lock().expect("no panic") = None;
    let mut delivered = 0;
    for ticket in tickets {
        let answer = tokio::time::timeout(Duration::from_secs(60), ticket).await;
        delivered += u32::from(answer.expect("it is tried again") == Outcome::DONE);
    }
    assert!(delivered > 0, "not all of them were tried in that moment");
    running.end().await;
}
