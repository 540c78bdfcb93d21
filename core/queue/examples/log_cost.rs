//! What a synced record costs, against the bare disk: `cargo run --release -p throughline-queue --example log_cost [DIR]`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use throughline_component::port::{SystemClock, SystemDisk, SystemRandom};
use throughline_component::{ComponentId, Metadata, Outcome, Settle};
use throughline_otlp::Signal;
use throughline_queue::{Durability, Log, Ports, Record, Settings};
use tokio::task::JoinSet;

/// A request of 512 spans of about 500 bytes.
const LARGE: usize = 256 << 10;
const IN_FLIGHT: usize = 64;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "this is what it is for")]
async fn main() {
    let at = std::env::args().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let kind = file_system(&at);
    assert!(kind != "tmpfs", "a tmpfs syncs nothing; name a directory on a disk");
    println!("file system: {kind}");
    for size in [512, LARGE] {
        // Alternating, so that a disk that slows down slows both.
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for round in 0..5 {
            bare.extend(bare_appends(&at, size, 100));
            ours.extend(appends(&at, size, 100, round).await);
        }
        let (ours, bare) = (median(ours), median(bare));
        println!(
            "{size:>7} B, one in flight: p50 {ours:.0?}, bare append + fdatasync {bare:.0?}: {:.2}",
            ratio(ours, bare)
        );
    }
    for (size, count) in [(512, 40_000), (LARGE, 1500)] {
        let synced = rate(&at, size, count, Durability::Synced).await;
        let unsynced = rate(&at, size, count, Durability::Memory).await;
        let bare = bare_groups(&at, size, count);
        println!(
            "{size:>7} B, {IN_FLIGHT} in flight: {synced:.0}/s synced, {unsynced:.0}/s unsynced, {bare:.0}/s a bare group \
             writer: {:.2} of the smaller",
            synced / unsynced.min(bare)
        );
    }
}

fn ports() -> Ports {
    Ports {
        disk: Arc::new(SystemDisk),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(SystemRandom::default()),
    }
}

fn record(payload: &Bytes) -> Record {
    Record {
        signal: Signal::Traces,
        items: 512,
        received_at: 0,
        source: ComponentId::new("otlp"),
        metadata: Metadata::default(),
        payload: payload.clone(),
    }
}

fn open(folder: &Path, durability: Durability) -> (Log, u64) {
    let settings = Settings { durability, max_bytes: 8 << 30, ..Settings::new(folder.to_owned()) };
    let log = Log::open(ports(), settings).expect("a fresh folder");
    let stream = log.stream("traces").expect("the only one");
    (log, stream)
}

async fn appends(at: &Path, size: usize, count: usize, round: usize) -> Vec<Duration> {
    let folder =
        tempfile::Builder::new().prefix(&format!("cost-{round}-")).tempdir_in(at).expect("a writable folder");
    let (log, stream) = open(folder.path(), Durability::Synced);
    log.subscribe(stream, "nobody").expect("a sound disk");
    let payload = Bytes::from(vec![0xa5; size]);
    let mut took = Vec::new();
    for _ in 0..count {
        let began = now();
        let (settle, ticket) = Settle::ticket();
        log.append(stream, record(&payload), settle);
        assert_eq!(ticket.await, Outcome::DONE);
        took.push(began.elapsed());
    }
    took
}

fn bare_appends(at: &Path, size: usize, count: usize) -> Vec<Duration> {
    let (mut file, _folder) = bare_file(at);
    let payload = vec![0xa5; size];
    let append = |_| {
        let began = now();
        file.write_all(&payload).and_then(|()| file.sync_data()).expect("a sound disk");
        began.elapsed()
    };
    (0..count).map(append).collect()
}

async fn rate(at: &Path, size: usize, count: usize, durability: Durability) -> f64 {
    let folder = tempfile::tempdir_in(at).expect("a writable folder");
    let (log, stream) = open(folder.path(), durability);
    log.subscribe(stream, "nobody").expect("a sound disk");
    let (log, payload) = (Arc::new(log), Bytes::from(vec![0xa5; size]));
    let began = now();
    let mut senders = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (log, payload) = (Arc::clone(&log), payload.clone());
        senders.spawn(async move {
            for _ in 0..count / IN_FLIGHT {
                let (settle, ticket) = Settle::ticket();
                log.append(stream, record(&payload), settle);
                assert_eq!(ticket.await, Outcome::DONE);
            }
        });
    }
    while senders.join_next().await.is_some() {}
    count as f64 / began.elapsed().as_secs_f64()
}

/// Writes as many as are in flight at once, then syncs, and so on.
fn bare_groups(at: &Path, size: usize, count: usize) -> f64 {
    let (mut file, _folder) = bare_file(at);
    let group = vec![0xa5; size * IN_FLIGHT];
    let began = now();
    for _ in 0..count / IN_FLIGHT {
        file.write_all(&group).and_then(|()| file.sync_data()).expect("a sound disk");
    }
    count as f64 / began.elapsed().as_secs_f64()
}

fn bare_file(at: &Path) -> (File, tempfile::TempDir) {
    let folder = tempfile::tempdir_in(at).expect("a writable folder");
    let file = OpenOptions::new().create(true).append(true).open(folder.path().join("bare"));
    (file.expect("a writable folder"), folder)
}

/// The type of the file system that a path is on.
fn file_system(path: &Path) -> String {
    let path = path.canonicalize().expect("a folder that is there");
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    let above = mounts.lines().filter_map(mount).filter(|(point, _)| path.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map_or_else(|| "unknown".into(), |(_, kind)| kind)
}

#[expect(clippy::disallowed_methods, reason = "this measures")]
fn now() -> Instant {
    Instant::now()
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}
