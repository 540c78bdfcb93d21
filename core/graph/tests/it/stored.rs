//! Destinations that are fed from a storage: a success reply is the disk's, delivery follows (architecture, "Streams").

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use throughline_component::port::{Disk, SystemClock, SystemDisk, SystemRandom};
use throughline_component::{
    Auth, Batch, Build, ComponentId, ConfigError, Context, Exporter, Factory, Metadata, Outcome, Position,
};

use throughline_queue::{Log, Ports, Settings};
use throughline_testkit::{Fault, LossyDisk};

use crate::harness::{Harness, NoSettings, Running, script, until};
use crate::heard::Heard;

/// What the exporters of one test were given, and whether one of them is down.
#[derive(Default)]
struct Backend {
    down: AtomicBool,
    plain_is_down: AtomicBool,
    /// Whether the exporters are given `max_elapsed_time`.
    gives_up: AtomicBool,
    got: Mutex<BTreeMap<ComponentId, Vec<Option<Position>>>>,
    /// The metadata that came with what was stored.
    metadata: Mutex<Vec<Metadata>>,
}

struct Sink(Arc<Backend>, ComponentId);

impl Exporter for Sink {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(script(cx), cx.id.clone()))
    }
    async fn export(&self, batch: &Batch) -> Outcome {
        if self.1.as_str() == "sink/plain" && self.0.plain_is_down.load(Ordering::Relaxed) {
            return Outcome::retry("it is down");
        }
        if self.1.as_str() == "sink/kept" && self.0.down.load(Ordering::Relaxed) {
            return Outcome::retry("it is down");
        }
        if self.1.as_str() == "sink/kept" {
            let metadata = batch.chunks.iter().map(|chunk| chunk.context.metadata.clone());
            self.0.metadata.lock().expect("no panic").extend(metadata);
            assert!(batch.chunks.iter().all(|chunk| chunk.context.auth.is_none()), "never on a disk");
        }
        let positions = batch.chunks.iter().map(|chunk| chunk.position);
        self.0.got.lock().expect("no panic").entry(self.1.clone()).or_default().extend(positions);
        Outcome::DONE
    }
}

async fn start(folder: &Path, backend: &Arc<Backend>) -> Running {
    start_on(Arc::new(SystemDisk), folder, backend).await
}

async fn start_on(disk: Arc<dyn Disk>, folder: &Path, backend: &Arc<Backend>) -> Running {
    let retry = if backend.gives_up.load(Ordering::Relaxed) {
        json!({ "initial_interval": "1ms", "max_interval": "5ms", "max_elapsed_time": "20ms" })
    } else {
        json!({ "enabled": false })
    };
    let mut world = Harness::new(backend).storage("file_storage", Arc::clone(&disk), folder).storage(
        "file_storage/other",
        disk,
        &folder.join("other"),
    );
    for (id, storage) in [
        ("sink/plain", None),
        ("sink/kept", Some("file_storage")),
        ("sink/other", Some("file_storage/other")),
    ] {
        let settings = json!({ "retry_on_failure": retry });
        let sink = Factory::exporter::<Sink>("sink");
        world = world.exporter(id, sink, settings, (storage, &["X-Tenant"]));
    }
    world.start().await
}

async fn send(running: &Running) -> Outcome {
    let mut context = Context::internal(ComponentId::new("door"), 1);
    let header = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
    context.metadata = Metadata(BTreeMap::from([header("x-tenant", "a"), header("cookie", "a secret")]));
    context.auth = Some(Auth { subject: "somebody".into() });
    running.send_as(1, context).await
}

fn got(backend: &Backend, id: &str) -> Vec<Option<Position>> {
    backend.got.lock().expect("no panic").get(&ComponentId::new(id)).cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_dead_destination_keeps_nobody_waiting_and_gets_everything_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let backend = Arc::new(Backend::default());
    backend.down.store(true, Ordering::Relaxed);
    let running = start(folder.path(), &backend).await;
    for _ in 0..50 {
        assert_eq!(send(&running).await, Outcome::DONE, "it is on the disk");
    }
    assert_eq!(got(&backend, "sink/plain").len(), 50);
    assert_eq!(got(&backend, "sink/kept"), []);
    until("the other storage's gets all", || got(&backend, "sink/other").len() == 50).await;
    running.end().await;

    backend.down.store(false, Ordering::Relaxed);
    let running = start(folder.path(), &backend).await;
    until("the dead one gets all", || got(&backend, "sink/kept").len() == 50).await;
    let mut kept = got(&backend, "sink/kept");
    kept.sort_unstable();
    assert_eq!(kept, got(&backend, "sink/plain"), "both were told where in the stream it lies");
    let asked_for = Metadata(BTreeMap::from([("x-tenant".to_owned(), vec!["a".to_owned()])]));
    assert_eq!(*backend.metadata.lock().expect("no panic"), vec![asked_for; 50]);
    running.end().await;
}

#[tokio::test]
async fn stored_data_is_dropped_after_max_elapsed_time_and_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let backend = Arc::new(Backend::default());
    backend.down.store(true, Ordering::Relaxed);
    backend.gives_up.store(true, Ordering::Relaxed);
    let running = start(folder.path(), &backend).await;
    assert_eq!(send(&running).await, Outcome::DONE, "it is on the disk");
    let dropped = || {
        let rows = running.ledger.rows();
        rows.iter().filter_map(|row| row.dropped.get("max_elapsed_time")).sum::<u64>()
    };
    until("it is given up", || dropped() == 1).await;
    running.end().await;

    backend.down.store(false, Ordering::Relaxed);
    let running = start(folder.path(), &backend).await;
    send(&running).await;
    until("the next is delivered", || !got(&backend, "sink/kept").is_empty()).await;
    assert_eq!(got(&backend, "sink/kept").len(), 1, "what was given up does not come again");
    running.end().await;
}

#[tokio::test]
async fn a_sender_that_tries_again_for_the_sake_of_another_destination_fills_no_storage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let backend = Arc::new(Backend::default());
    backend.plain_is_down.store(true, Ordering::Relaxed);
    let running = start(folder.path(), &backend).await;
    for _ in 0..20 {
        assert!(matches!(send(&running).await, Outcome::Retry { .. }));
    }
    until("the stored ones are delivered", || got(&backend, "sink/kept").len() == 1).await;
    backend.plain_is_down.store(false, Ordering::Relaxed);
    assert_eq!(send(&running).await, Outcome::DONE);
    assert_eq!(
        got(&backend, "sink/plain"),
        got(&backend, "sink/kept"),
        "it is told where the first one lies"
    );
    running.end().await;
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_shows_in_health_and_loses_nothing_once_it_can_be_read_again() {
    let (disk, backend) = (LossyDisk::default(), Arc::new(Backend::default()));
    backend.down.store(true, Ordering::Relaxed);
    let running = start_on(Arc::new(disk.clone()), Path::new("/log"), &backend).await;
    for _ in 0..200 {
        assert_eq!(send(&running).await, Outcome::DONE);
    }
    disk.fail(Some(Fault::ReadsFail));
    backend.down.store(false, Ordering::Relaxed);
    let unreadable = || {
        let failing = running.health.all_failing();
        failing.into_iter().find(|failing| failing.part.contains("sink/kept, reading the stream logs"))
    };
    until("health says so", || unreadable().is_some()).await;
    assert!(unreadable().is_some_and(|failing| failing.why.contains("cannot be read") && failing.since > 0));
    assert_eq!(send(&running).await, Outcome::DONE, "what comes in is kept meanwhile");
    disk.fail(None);
    until("it gets all", || got(&backend, "sink/kept").len() == 201).await;
    assert_eq!(unreadable(), None, "nothing is wrong any more");
    running.end().await;
}

#[tokio::test]
async fn a_storage_that_takes_nothing_in_is_not_ready_until_it_does_however_often() {
    let (disk, backend) = (LossyDisk::default(), Arc::new(Backend::default()));
    let running = start_on(Arc::new(disk.clone()), Path::new("/log"), &backend).await;
    for _ in 0..3 {
        assert_eq!(running.trouble(), None);
        disk.fail(Some(Fault::FullAfter(0)));
        assert!(matches!(send(&running).await, Outcome::Retry { .. }));
        assert!(running.trouble().is_some_and(|why| why.contains("storage file_storage")));
        disk.fail(None);
        let mut tries = 0;
        while send(&running).await != Outcome::DONE {
            tries += 1;
            assert!(tries < 10_000, "there is room again");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    running.end().await;
}

/// Cannot be built.
struct Broken;

impl Exporter for Broken {
    type Config = NoSettings;
    fn build(_: NoSettings, _: &Build) -> Result<Self, ConfigError> {
        Err(ConfigError::new("", "it is broken"))
    }
    async fn export(&self, _: &Batch) -> Outcome {
        unreachable!("it was never built")
    }
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_cursor_behind() {
    let (disk, backend) = (LossyDisk::default(), Arc::new(Backend::default()));
    let folder = Path::new("/log");
    let world = |broken| {
        let sink = Factory::exporter::<Sink>("sink");
        let world = Harness::new(&backend).storage("file_storage", Arc::new(disk.clone()), folder);
        let world = world.exporter("sink/kept", sink, json!({}), (Some("file_storage"), &[]));
        let factory = Factory::exporter::<Broken>("broken");
        if broken { world.exporter("broken", factory, json!({}), (None, &[])) } else { world }
    };
    let cursors = || {
        let (clock, random) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom::default()));
        let ports = Ports { disk: Arc::new(disk.clone()), clock, random };
        let log = Log::open_still(ports, Settings::new(folder.to_owned())).expect("nobody has it open");
        log.backlogs().len()
    };
    assert!(world(true).try_start().await.is_err());
    assert_eq!(cursors(), 0);
    world(false).start().await.die().await;
    assert_eq!(cursors(), 1);
    assert!(world(true).try_start().await.is_err());
    assert_eq!(cursors(), 1, "what was there before stays");
}

#[tokio::test]
async fn data_that_waits_for_nobody_who_is_configured_is_said_at_a_start() {
    let (disk, backend, heard) = (LossyDisk::default(), Arc::new(Backend::default()), Heard::default());
    let _guard = tracing::subscriber::set_default(heard.clone());
    tracing::callsite::rebuild_interest_cache();
    backend.down.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let running = start_on(Arc::new(disk.clone()), Path::new("/log"), &backend).await;
        assert_eq!(send(&running).await, Outcome::DONE);
        until("all others have it", || {
            got(&backend, "sink/other").len() == got(&backend, "sink/plain").len()
        })
        .await;
        running.die().await;
    }
    assert_eq!(heard.lines("data waits here"), Vec::<String>::new(), "somebody is fed with it");
    let folder = Path::new("/log");
    let world = Harness::new(&backend).storage("file_storage", Arc::new(disk.clone()), folder);
    let world = world.storage("file_storage/other", Arc::new(disk.clone()), &folder.join("other"));
    let sink = Factory::exporter::<Sink>("sink");
    world.exporter("sink/plain", sink, json!({}), (None, &[])).start().await.die().await;
    let lines = heard.lines("data waits here");
    assert!(lines.len() == 1 && lines[0].contains("destination=sink/kept"), "{lines:#?}");
}
