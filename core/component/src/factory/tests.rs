use std::task::{Context as Task, Poll, Waker};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::build::tests::bare;
use crate::port::{Charge, Journals, NoopJournals};
use crate::{
    AccessPattern, Batch, Chunk, ComponentId, Context, Emitter, Fatal, Outcome, Output, Pass, Sender, Settle,
    SnapshotWatermark, Stop, Stopper, Ticket,
};

/// Settings that all components here have.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// How much.
    size: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self { size: 7 }
    }
}

/// A component that leaves everything to the defaults of its contract.
struct Plain(u8);

/// A component that leaves nothing to them.
struct Own(u8);

impl Receiver for Plain {
    type Config = Settings;
    fn build(config: Settings, _: &Build) -> Result<Self, ConfigError> {
        Ok(Self(config.size))
    }
    async fn run(self, out: Output, _: Stop) -> Result<(), Fatal> {
        let context = Arc::new(Context::internal(ComponentId::new("plain"), 0));
        let ticket = out.send(Signal::Logs, vec![self.0].into(), context, Charge::none());
        match ticket.await {
            Outcome::DONE => Ok(()),
            _ => Err(Fatal("it was refused".into())),
        }
    }
}

impl Editor for Plain {
    type Config = Settings;
    const SIGNALS: &'static [Signal] = &[Signal::Traces];
    fn build(config: Settings, _: &Build) -> Result<Self, ConfigError> {
        Ok(Self(config.size))
    }
    fn access(&self) -> AccessPattern {
        use throughline_otlp::edit::Levels;
        AccessPattern {
            visits: Levels::SPAN,
            reads_above: Levels::RESOURCE,
            writes: Levels::SPAN,
            whole: true,
            ..AccessPattern::default()
        }
    }
    fn begin<'a>(&'a self, signal: Signal, _: &'a Chunk) -> Option<Box<dyn Pass + 'a>> {
        (signal == Signal::Traces).then(|| Box::new(Nothing) as Box<dyn Pass>)
    }
}

struct Nothing;

impl Pass for Nothing {
    fn edit(&mut self, _: &mut throughline_otlp::edit::Record<'_>) -> crate::Verdict {
        crate::Verdict::Keep
    }
}

impl Processor for Plain {
    type Config = Settings;
    const EMITS: &'static [Signal] = &[Signal::Metrics];
    fn build(config: Settings, _: &Build) -> Result<Self, ConfigError> {
        Ok(Self(config.size))
    }
    fn accept(&mut self, batch: Batch, out: &mut Emitter) {
        out.send(batch);
    }
}

/// Keeps a batch until it is time, or nobody waits any more.
#[derive(Default)]
struct Holder(Vec<Batch>);

impl Processor for Holder {
    type Config = Settings;
    fn build(_: Settings, _: &Build) -> Result<Self, ConfigError> {
        Ok(Self::default())
    }
    fn holds(&self) -> bool {
        true
    }
    fn accept(&mut self, batch: Batch, _: &mut Emitter) {
        self.0.push(batch);
    }
    fn wakes_at(&self) -> Option<u64> {
        Some(self.0.len() as u64 + 40)
    }
    fn tick(&mut self, now: u64, out: &mut Emitter) {
        out.fold(now);
    }
    fn flush(&mut self, out: &mut Emitter) {
        self.0.drain(..).for_each(|batch| out.settle(batch, &Outcome::retry("not now")));
    }
}

impl Exporter for Plain {
    type Config = Settings;
    const DELIVERY: Delivery = Delivery::Direct;
    fn build(config: Settings, _: &Build) -> Result<Self, ConfigError> {
        Ok(Self(config.size))
    }
    async fn export(&self, batch: &Batch) -> Outcome {
        Outcome::Done { rejected: batch.items() as u32, why: None }
    }
}

impl Exporter for Own {
    type Config = Settings;
    const TIMEOUT: Duration = Duration::from_secs(9);
    fn build(config: Settings, _: &Build) -> Result<Self, ConfigError> {
        match config.size {
            0 => Err(ConfigError::new("size", "must be at least 1")),
            size => Ok(Self(size)),
        }
    }
    async fn export(&self, _: &Batch) -> Outcome {
        Outcome::DONE
    }
    fn metadata_keys(&self) -> Vec<String> {
        vec![format!("x-{}", self.0)]
    }
    fn snapshot_watermark(&self) -> Option<Arc<SnapshotWatermark>> {
        Some(Arc::new(SnapshotWatermark::new(ComponentId::new("file_storage"))))
    }
    async fn run(&self, _: Stop) -> Result<(), Fatal> {
        Err(Fatal("it is over".into()))
    }
}

impl Extension for Plain {
    type Config = Settings;
    fn build(config: Settings, _: &Build, offers: &mut Services) -> Result<Self, ConfigError> {
        offers.offer(Arc::new(config.size));
        Ok(Self(config.size))
    }
}

impl Extension for Own {
    type Config = Settings;
    fn build(config: Settings, _: &Build, _: &mut Services) -> Result<Self, ConfigError> {
        Ok(Self(config.size))
    }
    async fn run(&self, _: Stop) -> Result<(), Fatal> {
        Err(Fatal("it is over".into()))
    }
}

const PLAIN: Factory = Factory::exporter::<Plain>("plain");
const OWN: Factory = Factory::exporter::<Own>("own").aliases(&["old"]);

fn batch(items: u32) -> (Batch, Ticket) {
    let (settle, ticket) = Settle::ticket();
    let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
    let chunk = Chunk { bytes: bytes::Bytes::new(), items, position: None, context, settle };
    (Batch::one(Signal::Logs, chunk), ticket)
}

fn exporter(factory: &Factory) -> (Arc<dyn DynExporter>, Option<DeliverySettings>) {
    match factory.build(Value::Null, &bare("test")) {
        Ok(Built::Exporter(exporter, delivery)) => (exporter, delivery),
        _ => panic!("it is an exporter"),
    }
}

fn processor(factory: &Factory) -> Box<dyn DynProcessor> {
    match factory.build(Value::Null, &bare("test")) {
        Ok(Built::Processor(processor)) => processor,
        _ => panic!("it is a processor"),
    }
}

fn wrong(factory: &Factory, settings: Value) -> String {
    let wrong = factory.build(settings, &bare("test")).err();
    wrong.map(|error| error.path.join("::")).unwrap_or_default()
}

#[test]
fn a_factory_says_what_its_component_is() {
    assert_eq!((OWN.kind, OWN.name, OWN.aliases), (Kind::Exporter, "own", &["old"][..]));
    let editor = Factory::editor::<Plain>("plain");
    assert_eq!(
        (editor.kind, editor.signals, editor.emits),
        (Kind::Processor, &[Signal::Traces][..], &[][..])
    );
    let processor = Factory::processor::<Plain>("plain");
    assert_eq!((processor.kind, processor.signals.len(), processor.emits), (Kind::Processor, 3, &[][..]));
    let connector = Factory::connector::<Plain>("plain");
    assert_eq!((connector.kind, connector.emits), (Kind::Connector, &[Signal::Metrics][..]));
    assert_eq!(Factory::receiver::<Plain>("plain").kind, Kind::Receiver);
    assert_eq!(Factory::extension::<Plain>("plain").kind, Kind::Extension);
}

#[test]
fn the_settings_of_delivery_are_in_the_schema_of_who_is_fed_through_a_queue_and_of_nobody_else() {
    let properties = |factory: &Factory| {
        let schema = factory.schema();
        let properties = schema.get("properties").and_then(Value::as_object).expect("there are some");
        properties.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(properties(&PLAIN), ["size"]);
    let mut queued = properties(&OWN);
    queued.sort_unstable();
    assert_eq!(queued, ["retry_on_failure", "sending_queue", "size", "timeout"]);
    let schema = OWN.schema();
    let defined = schema.get("$defs").and_then(Value::as_object).expect("there are some");
    assert!(defined.contains_key("RetrySettings") && defined.contains_key("QueueSettings"));
}

#[test]
fn what_is_wrong_with_settings_is_said_with_the_path_of_the_key() {
    assert_eq!(wrong(&OWN, json!({})), "");
    assert_eq!(wrong(&OWN, json!({"size": 0})), "size");
    assert_eq!(wrong(&OWN, json!({"size": 256})), "size");
    assert_eq!(wrong(&OWN, json!({"sending_queue": {"queue_size": 0}})), "sending_queue::queue_size");
    assert_eq!(wrong(&OWN, json!({"retry_on_failure": {"enabled": 3}})), "retry_on_failure::enabled");
    assert_eq!(wrong(&OWN, json!({"sending_queue": {"storage": "none"}})), "sending_queue::storage");
    assert!(OWN.build(json!("text"), &bare("test")).is_err());
    assert!(PLAIN.build(json!({"timeout": "1s"}), &bare("test")).is_err(), "it has no queue");
}

#[test]
fn who_is_fed_through_a_queue_has_its_settings_and_the_timeout_of_its_protocol_unless_set() {
    assert!(exporter(&PLAIN).1.is_none());
    let delivery = exporter(&OWN).1.expect("it has a queue");
    assert_eq!(delivery.timeout.map(|timeout| timeout.0), Some(Duration::from_secs(9)));
    let mut cx = bare("test");
    cx.services.offer_as::<dyn Journals>(ComponentId::new("file_storage"), Arc::new(NoopJournals));
    let settings = json!({"timeout": "0s", "sending_queue": {"storage": "file_storage"}});
    let Ok(Built::Exporter(_, Some(delivery))) = OWN.build(settings, &cx) else { panic!("it is there") };
    assert_eq!(delivery.timeout.map(|timeout| timeout.0), Some(Duration::ZERO));
}

#[test]
fn a_component_knows_its_kind_while_it_is_built() {
    struct Curious;
    impl Extension for Curious {
        type Config = Settings;
        fn build(_: Settings, cx: &Build, _: &mut Services) -> Result<Self, ConfigError> {
            Err(ConfigError::new("", cx.key().to_string()))
        }
    }
    let error = Factory::extension::<Curious>("curious").build(Value::Null, &bare("curious")).err();
    assert_eq!(error.expect("it says so").message, "extension curious");
}

#[tokio::test]
async fn a_receiver_is_run_with_its_settings_and_its_output() {
    struct Sevens;
    impl Sender for Sevens {
        fn takes(&self, _: Signal) -> bool {
            true
        }
        fn dropped(&self, _: Signal, _: crate::Transport, _: &'static str, _: u64) {}
        fn send(&self, _: Signal, request: bytes::Bytes, _: crate::Origin) -> Ticket {
            let (settle, ticket) = Settle::ticket();
            settle.settle(if request[..] == [7] { Outcome::DONE } else { Outcome::retry("no seven") });
            ticket
        }
    }
    let factory = Factory::receiver::<Plain>("plain");
    for (settings, works) in [(json!({}), true), (json!({"size": 8}), false)] {
        let Ok(Built::Receiver(receiver)) = factory.build(settings, &bare("test")) else {
            panic!("it is one")
        };
        let ran = receiver.run(Output::new(Arc::new(Sevens)), Stopper::new().1).await;
        assert_eq!(ran.is_ok(), works);
    }
}

#[test]
fn an_editor_is_asked_for_its_levels_and_begins_on_what_it_takes() {
    let factory = Factory::editor::<Plain>("plain");
    let Ok(Built::Editor(editor)) = factory.build(Value::Null, &bare("test")) else { panic!("it is one") };
    assert!(editor.access().whole);
    let (batch, _ticket) = batch(1);
    assert!(editor.begin(Signal::Logs, &batch.chunks[0]).is_none());
    let mut pass = editor.begin(Signal::Traces, &batch.chunks[0]).expect("there is something to do");
    assert!(pass.groups(Signal::Traces, &bytes::Bytes::new()).is_none(), "they stay");
    assert!(pass.finish().is_none(), "nothing is waited for");
}

#[tokio::test]
async fn a_processor_passes_on_what_it_takes_and_holds_nothing_unless_it_says_so() {
    for factory in [Factory::processor::<Plain>("plain"), Factory::connector::<Plain>("plain")] {
        let (mut plain, mut out) = (processor(&factory), Emitter::default());
        assert_eq!((plain.holds(), plain.wakes_at()), (false, None));
        let (batch, _ticket) = batch(2);
        plain.accept(batch, &mut out);
        plain.tick(1, &mut out);
        plain.flush(&mut out);
        let (sent, settled) = out.take();
        assert_eq!((sent.len(), settled.len()), (1, 0));
        assert!(out.take().0.is_empty(), "it is taken once");
    }
}

#[tokio::test]
async fn what_a_holder_keeps_folds_and_refuses_is_in_the_accounts_of_its_outlet() {
    let (mut holder, mut out) = (processor(&Factory::processor::<Holder>("holder")), Emitter::default());
    let (batch, ticket) = batch(3);
    assert!(holder.holds());
    holder.accept(batch, &mut out);
    assert_eq!(holder.wakes_at(), Some(41));
    holder.tick(5, &mut out);
    holder.flush(&mut out);
    let (sent, settled) = out.take();
    let refused = Outcome::retry("not now");
    assert_eq!((sent.len(), settled), (0, vec![(5, Outcome::DONE), (3, refused.clone())]));
    assert_eq!(ticket.await, refused);
}

#[tokio::test]
async fn an_exporter_is_asked_for_what_it_needs_and_what_it_keeps() {
    let (batch, _ticket) = batch(3);
    let (plain, own) = (exporter(&PLAIN).0, exporter(&OWN).0);
    assert_eq!(plain.export(&batch).await, Outcome::Done { rejected: 3, why: None });
    assert_eq!(own.export(&batch).await, Outcome::DONE);
    assert_eq!((plain.metadata_keys(), own.metadata_keys()), (vec![], vec!["x-7".to_owned()]));
    assert!(plain.snapshot_watermark().is_none());
    assert_eq!(own.snapshot_watermark().expect("it keeps").storage().as_str(), "file_storage");
    assert!(own.run(Stopper::new().1).await.is_err());
}

#[test]
fn who_does_nothing_beside_is_ready_at_once_and_runs_until_it_is_told_to_stop() {
    let extension = |factory: Factory| match factory.build(Value::Null, &bare("test")) {
        Ok(Built::Extension(extension, offers)) => (extension, offers),
        _ => panic!("it is an extension"),
    };
    let (plain, offers) = extension(Factory::extension::<Plain>("plain"));
    assert_eq!(offers.get::<u8>().as_deref(), Some(&7));
    let (stopper, stop) = Stopper::new();
    let ((one, one_ready), (other, other_ready)) = (stop.watched(), stop.watched());
    let mut running = [exporter(&PLAIN).0.run(one), plain.run(other)];
    let mut task = Task::from_waker(Waker::noop());
    assert!(running.iter_mut().all(|run| run.as_mut().poll(&mut task).is_pending()));
    assert!(*one_ready.borrow() && *other_ready.borrow());
    stopper.stop();
    assert!(running.iter_mut().all(|run| matches!(run.as_mut().poll(&mut task), Poll::Ready(Ok(())))));
    let (own, _) = extension(Factory::extension::<Own>("own"));
    assert!(matches!(own.run(stop).as_mut().poll(&mut task), Poll::Ready(Err(_))));
}
