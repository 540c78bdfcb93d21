//! What every component must do, whatever it does: its settings are checked, it starts, stops and starts again in time, it
//! settles each batch once, and it loses nothing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value as Json, json};
use throughline_component::port::{SystemClock, SystemRandom};
use throughline_component::{
    Batch, Build, Built, Chunk, ComponentId, Context, DynEditor, DynExporter, DynProcessor, Emitter, Factory,
    Kind, Origin, Outcome, Output, Sender, Services, Settle, Stop, Stopper, Ticket, Transport, Verdict,
};
use throughline_otlp::build::{self, NumberPoint};
use throughline_otlp::edit::{Keep, rewrite};
use throughline_otlp::view::Number;
use throughline_otlp::{Limits, Signal, Value, admit};
use tokio::time::timeout;

/// How long anything may take that should take next to nothing: long enough for a machine that does ten other things.
const SOON: Duration = Duration::from_secs(30);
const BATCHES: usize = 20;

/// A component to be checked.
pub struct Subject<'a> {
    /// Its factory.
    pub factory: &'a Factory,
    /// Settings that are right. Addresses must be free again once it has stopped.
    pub settings: Json,
    /// What it finds.
    pub services: Services,
}

/// Checks it.
///
/// # Errors
/// What it does wrong.
pub async fn check(subject: &Subject<'_>) -> Result<(), String> {
    subject.settings_are_checked()?;
    subject.lives().await?;
    // What is stopped can be built and started again. A socket closes in its own time, for which the graph's supervisor has
    // the same patience.
    let mut again = subject.lives().await;
    for _ in 0..50 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        again = subject.lives().await;
    }
    again.map_err(|why| format!("the second time: {why}"))
}

impl Subject<'_> {
    /// Builds it, has it do its work, and stops it.
    async fn lives(&self) -> Result<(), String> {
        match self.build()? {
            Built::Receiver(receiver) => {
                let out = Output::new(Arc::new(Refuses));
                runs(|stop| receiver.run(out, stop)).await?;
            }
            Built::Extension(extension, _) => runs(|stop| extension.run(stop)).await?,
            Built::Editor(editor) => {
                for signal in self.factory.signals {
                    edits(&*editor, *signal).await.map_err(|why| format!("{signal:?}: {why}"))?;
                }
            }
            Built::Processor(mut processor) => {
                let keeps = self.factory.kind == Kind::Processor;
                for signal in self.factory.signals {
                    passes_on(&mut *processor, *signal, keeps).map_err(|why| format!("{signal:?}: {why}"))?;
                }
            }
            Built::Exporter(exporter, _) => {
                for signal in self.factory.signals {
                    exports(&exporter, *signal).await.map_err(|why| format!("{signal:?}: {why}"))?;
                }
                runs(|stop| Arc::clone(&exporter).run(stop)).await?;
            }
        }
        Ok(())
    }

    fn build(&self) -> Result<Built, String> {
        self.factory
            .build(self.settings.clone(), &self.cx())
            .map_err(|error| format!("{}: {}", error.path.join("::"), error.message))
    }

    fn cx(&self) -> Build {
        Build {
            id: ComponentId::new(self.factory.name),
            clock: Arc::new(SystemClock::default()),
            random: Arc::new(SystemRandom::default()),
            services: self.services.clone(),
        }
    }

    fn settings_are_checked(&self) -> Result<(), String> {
        let built = |settings| self.factory.build(settings, &self.cx()).is_ok();
        if built(Json::Null) != built(json!({})) {
            return Err("no settings and empty settings are not the same".into());
        }
        match self.factory.build(json!("no settings"), &self.cx()) {
            Ok(_) => Err("a text is taken for settings".into()),
            Err(error) if error.message.is_empty() => Err("a mistake is refused without a word".into()),
            Err(_) => self.build().map(drop),
        }
    }
}

/// Runs until it is in service, if it says so, then stops it.
async fn runs<E: std::fmt::Debug + Send + 'static>(
    run: impl FnOnce(Stop) -> std::pin::Pin<Box<dyn Future<Output = Result<(), E>> + Send>>,
) -> Result<(), String> {
    let (stopper, stop) = Stopper::new();
    let (stop, mut ready) = stop.watched();
    let mut running = tokio::spawn(run(stop));
    tokio::select! {
        ended = &mut running => return match ended {
            Ok(Ok(())) => Ok(()),
            ended => Err(format!("it ended by itself: {ended:?}")),
        },
        _ = timeout(Duration::from_millis(100), ready.wait_for(|ready| *ready)) => {}
    }
    stopper.stop();
    match timeout(SOON, running).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(ended) => Err(format!("it did not stop in peace: {ended:?}")),
        Err(_) => Err("it was told to stop and did not".into()),
    }
}

/// A pipeline that refuses everything.
struct Refuses;

impl Sender for Refuses {
    fn takes(&self, _: Signal) -> bool {
        true
    }

    fn dropped(&self, _: Signal, _: Transport, _: &'static str, _: u64) {}

    fn send(&self, _: Signal, _: Bytes, _: Origin) -> Ticket {
        let (settle, ticket) = Settle::ticket();
        settle.settle(Outcome::retry("refused"));
        ticket
    }
}

async fn edits(editor: &dyn DynEditor, signal: Signal) -> Result<(), String> {
    let seen = Arc::<Recorder>::default();
    let chunk = seen.chunk(signal, 3);
    if let Some(mut pass) = editor.begin(signal, &chunk) {
        let edited =
            rewrite(signal, &chunk.bytes, editor.access().visits, &mut |record| match pass.edit(record) {
                Verdict::Keep => Keep::Yes,
                Verdict::Drop(_) => Keep::No(0),
            });
        let bytes = pass.groups(signal, &edited.bytes).unwrap_or(edited.bytes);
        let barrier = pass.finish();
        let admitted =
            admit(signal, bytes, &Limits::default()).map_err(|error| format!("it wrote no OTLP: {error}"))?;
        if admitted.rewritten || admitted.items + edited.dropped_items != chunk.items {
            return Err("what it wrote is not canonical, or its items do not add up".into());
        }
        if let Some(barrier) = barrier {
            let (settle, ticket) = Settle::ticket();
            barrier.join(settle);
            timeout(SOON, ticket).await.map_err(|_| "its barrier never settles")?;
        }
    }
    drop(chunk);
    seen.each_settled_once(1).map(drop)
}

/// Gives batches to a processor or connector, time to work, and settles what it emits.
fn passes_on(processor: &mut dyn DynProcessor, signal: Signal, keeps: bool) -> Result<(), String> {
    for outcome in [Outcome::DONE, Outcome::retry("the backend is down")] {
        let seen = Arc::<Recorder>::default();
        let mut out = Emitter::default();
        let (mut taken, mut given) = (0, 0);
        let mut settle = |out: &mut Emitter| {
            let (batches, ended) = out.take();
            given += batches.iter().map(Batch::items).sum::<u64>()
                + ended.iter().map(|(items, _)| items).sum::<u64>();
            batches.into_iter().for_each(|batch| batch.settle(&outcome));
        };
        for items in 1..=BATCHES {
            let batch = Batch::one(signal, seen.chunk(signal, items as u32));
            taken += batch.items();
            processor.accept(batch, &mut out);
            settle(&mut out);
            if let Some(due) = processor.wakes_at() {
                processor.tick(due, &mut out);
                settle(&mut out);
            }
        }
        processor.flush(&mut out);
        settle(&mut out);
        // Before the component goes: what it keeps beyond a flush would say Retry once it is dropped.
        let outcomes = seen.each_settled_once(BATCHES)?;
        if keeps && taken != given {
            return Err(format!("{taken} items went in, {given} came out or were accounted for"));
        }
        if keeps
            && matches!(outcome, Outcome::Retry { .. })
            && outcomes.iter().any(|o| matches!(o, Outcome::Done { .. }))
        {
            return Err("it said Done of what its destination had refused".into());
        }
    }
    Ok(())
}

async fn exports(exporter: &Arc<dyn DynExporter>, signal: Signal) -> Result<(), String> {
    let seen = Arc::<Recorder>::default();
    let batch = Batch::one(signal, seen.chunk(signal, 3));
    let outcome = timeout(SOON, exporter.export(&batch)).await.map_err(|_| "an export never ends")?;
    batch.settle(&outcome);
    seen.each_settled_once(1).map(drop)
}

/// How often each token was settled, and with what.
#[derive(Default)]
struct Recorder {
    given: AtomicU32,
    outcomes: Mutex<Vec<Outcome>>,
}

impl Recorder {
    fn chunk(self: &Arc<Self>, signal: Signal, items: u32) -> Chunk {
        let seen = Arc::clone(self);
        self.given.fetch_add(1, Ordering::Relaxed);
        let settle = Settle::hook(move |outcome| {
            seen.outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
        });
        let context = Arc::new(Context::internal(ComponentId::new("conformance"), 0));
        Chunk { bytes: request(signal, items), items, position: None, context, settle }
    }

    fn each_settled_once(&self, expected: usize) -> Result<Vec<Outcome>, String> {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match outcomes.len() {
            settled if settled == expected => Ok(outcomes),
            settled => Err(format!("of {expected} batches {settled} were settled")),
        }
    }
}

/// A request of so many records, with something in it for everybody.
fn request(signal: Signal, items: u32) -> Bytes {
    let attributes = [
        ("commit_sha", Value::Str("0123456789abcdef0123456789abcdef01234567")),
        ("repository", Value::Str("github.com/acme/live")),
        ("note", Value::Str("DB_PASSWORD=correcthorsebattery")),
    ];
    let resource = [("service.name", Value::Str("conformance"))];
    match signal {
        Signal::Traces => build::traces(|request| {
            request.resource(&resource, |resource| {
                resource.scope("conformance", "1", |scope| {
                    (0..items).for_each(|_| {
                        scope.span(|span| {
                            span.trace_id(&[1; 16])
                                .span_id(&[2; 8])
                                .name("plan")
                                .time(1, 2)
                                .attributes(&attributes);
                        });
                    });
                });
            });
        }),
        Signal::Logs => build::logs(|request| {
            request.resource(&resource, |resource| {
                resource.scope("conformance", "1", |scope| {
                    (0..items).for_each(|_| {
                        scope.log_record(|log| {
                            log.event_name("change.opened").attributes(&attributes);
                        });
                    });
                });
            });
        }),
        Signal::Metrics => build::metrics(|request| {
            request.resource(&resource, |resource| {
                resource.scope("conformance", "1", |scope| {
                    let point = NumberPoint {
                        start_time_unix_nano: 1,
                        time_unix_nano: 2,
                        value: Number::Int(1),
                        attributes: &attributes,
                        exemplars: &[],
                        flags: 0,
                    };
                    scope.metric("conformance.runs").unit("{run}").gauge(&vec![point; items as usize]);
                });
            });
        }),
    }
}
