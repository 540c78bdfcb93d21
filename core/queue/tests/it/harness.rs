//! A log, its readers and its disk, driven by a list of actions, and watched by an oracle.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use throughline_component::port::{Journal, SyncSite, SystemRandom};
use throughline_component::{ComponentId, Metadata, Outcome, Settle};
use throughline_otlp::Signal;
use throughline_queue::{Ack, Delivered, Log, Polled, Ports, Reader, Record, Settings};
use throughline_testkit::{FakeClock, Fault, Keep, LossyDisk, Rng};

use crate::oracle::Oracle;

pub(crate) const STREAMS: [&str; 2] = ["traces", "logs/audit"];
pub(crate) const DESTINATIONS: [&str; 2] = ["otlp", "loki"];

/// Where the first head of a file has the digit of its version.
const VERSION: usize = 3;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Append { stream: usize, size: usize },
    Entry,
    Compact,
    Turn,
    Read { stream: usize, destination: usize },
    Ack { which: usize },
    Return { which: usize },
    SetAside { which: usize },
    LookAgain { stream: usize, destination: usize },
    Fail(Fault),
    Heal,
    Crash(Kind, u64),
    Flip { file: usize, byte: usize, bit: u8 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Kill,
    Blackout,
    Torn,
}

impl Action {
    /// Something that happens in a harness where the disk, once it fails, fails as disks do.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let at = u32::try_from(rng.below(6)).expect("below six");
        match rng.below(100) {
            0..30 => Self::Append { stream: rng.below(2), size: rng.below(200) },
            30..36 => Self::Entry,
            36..38 => Self::Compact,
            38..58 => Self::Turn,
            58..72 => Self::Read { stream: rng.below(2), destination: rng.below(2) },
            72 => Self::LookAgain { stream: rng.below(2), destination: rng.below(2) },
            73..76 => Self::SetAside { which: rng.below(1000) },
            76..88 => Self::Ack { which: rng.below(1000) },
            88..90 => Self::Return { which: rng.below(1000) },
            90..92 => Self::Fail(Fault::SyncFailsAfter(at)),
            92 => Self::Fail(Fault::FullAfter(at)),
            93 => Self::Fail(Fault::DeadAfter(at * 3)),
            94..96 => Self::Heal,
            96 => Self::Crash(Kind::Kill, 0),
            97 => Self::Crash(Kind::Blackout, 0),
            _ => Self::Crash(Kind::Torn, rng.bits()),
        }
    }
}

/// Everything that is lost at a crash.
struct Running {
    readers: Vec<Option<Reader>>,
    acks: Vec<(usize, usize, u64, Ack)>,
    journal: Box<dyn Journal>,
    streams: [u64; 2],
    log: Log,
}

pub(crate) struct Harness {
    pub(crate) disk: LossyDisk,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    running: Option<Running>,
    settings: Settings,
    flips: usize,
    /// Which bytes of a file were flipped.
    flipped: BTreeMap<PathBuf, Vec<usize>>,
}

impl Harness {
    pub(crate) fn new(skip: Option<SyncSite>) -> Self {
        let disk = LossyDisk::default();
        skip.into_iter().for_each(|site| disk.skip(site));
        let settings = Settings {
            create_directory: true,
            segment_bytes: 700,
            tail_bytes: 400,
            reserve_bytes: 100,
            ..Settings::new(PathBuf::from("/data/log"))
        };
        Self { disk, oracle: Arc::default(), running: None, settings, flips: 0, flipped: BTreeMap::new() }
    }

    /// Does everything, then lets the power fail, and looks at what is left.
    pub(crate) fn run(mut self, actions: &[Action]) -> Result<(), String> {
        for action in actions {
            self.act(action)?;
        }
        self.crash(Keep::Nothing);
        self.open()?;
        self.drain()?;
        self.oracle.lock().expect("no panic").nothing_is_missing(self.flips)
    }

    fn act(&mut self, action: &Action) -> Result<(), String> {
        if self.running.is_none() && !self.try_open()? {
            // The disk failed while the log was opened: a crash during recovery.
            self.crash(Keep::Some(Rng::new(1)));
            self.open()?;
        }
        match action {
            Action::Append { stream, size } => self.append(*stream, *size)?,
            Action::Entry => self.journal(false),
            Action::Compact => self.journal(true),
            Action::Turn => drop(self.now().log.flush_group()),
            Action::Read { stream, destination } => drop(self.read(*stream, *destination)?),
            Action::Ack { which } => self.ack(*which),
            Action::Return { which } => {
                let acks = &mut self.now().acks;
                if !acks.is_empty() {
                    let which = which % acks.len();
                    drop(acks.swap_remove(which));
                }
            }
            Action::SetAside { which } => {
                let acks = &mut self.now().acks;
                if !acks.is_empty() {
                    let which = which % acks.len();
                    acks.swap_remove(which).3.set_aside();
                }
            }
            Action::LookAgain { stream, destination } => self.look_again(*stream, *destination),
            Action::Fail(fault) => self.disk.fail(Some(*fault)),
            Action::Heal => self.disk.fail(None),
            Action::Crash(Kind::Kill, _) => self.crash(Keep::All),
            Action::Crash(Kind::Blackout, _) => self.crash(Keep::Nothing),
            Action::Crash(Kind::Torn, seed) => self.crash(Keep::Some(Rng::new(*seed))),
            Action::Flip { file, byte, bit } => self.flip(*file, *byte, *bit),
        }
        Ok(())
    }

    fn now(&mut self) -> &mut Running {
        self.running.as_mut().expect("act opens it")
    }

    fn crash(&mut self, keep: Keep) {
        // A dead process writes nothing more, not even on its way out.
        self.disk.fail(Some(Fault::DeadAfter(0)));
        self.running = None;
        self.disk.crash(keep);
    }

    fn open(&mut self) -> Result<(), String> {
        if self.try_open()? { Ok(()) } else { Err("a sound disk cannot be opened".into()) }
    }

    fn try_open(&mut self) -> Result<bool, String> {
        let disk = Arc::new(self.disk.clone());
        let ports =
            Ports { disk, clock: Arc::new(FakeClock::default()), random: Arc::new(SystemRandom::default()) };
        let Ok(log) = Log::open_still(ports, self.settings.clone()) else { return Ok(false) };
        let stats = log.stats();
        if self.flips == 0 && (stats.missing, stats.lost_cursors) != (0, 0) {
            return Err(format!("something is missing on a sound disk: {stats:?}"));
        }
        let streams = STREAMS.map(|name| log.stream(name).expect("no two names have one number"));
        let mut readers = Vec::new();
        for stream in streams {
            for destination in DESTINATIONS {
                if log.subscribe(stream, destination).is_err() {
                    return Ok(false);
                }
                readers.push(Some(ready(log.reader(stream, destination)).expect("it has subscribed")));
            }
        }
        let Ok(opened) = log.journal(&ComponentId::new("change")) else { return Ok(false) };
        self.oracle.lock().expect("no panic").reopened(&opened.entries)?;
        self.running = Some(Running { readers, acks: Vec::new(), journal: opened.journal, streams, log });
        Ok(true)
    }

    fn append(&mut self, stream: usize, size: usize) -> Result<(), String> {
        let oracle = Arc::clone(&self.oracle);
        let (id, payload) = oracle.lock().expect("no panic").offer(stream, size);
        let told = Arc::clone(&oracle);
        let settle = Settle::hook(move |outcome| {
            if outcome == Outcome::DONE {
                told.lock().expect("no panic").promise(stream, id);
            }
        });
        let now = self.now();
        let position = now.log.append(now.streams[stream], record(payload), settle);
        match position {
            Some(position) => oracle.lock().expect("no panic").is_at(stream, position.sequence, id),
            None => Ok(()),
        }
    }

    fn journal(&mut self, compact: bool) {
        let oracle = Arc::clone(&self.oracle);
        let (id, entry) = oracle.lock().expect("no panic").entry(compact);
        let settle = Settle::hook(move |outcome| {
            if outcome == Outcome::DONE {
                oracle.lock().expect("no panic").keep_entry(id);
            }
        });
        let journal = &self.now().journal;
        if compact { journal.compact(entry, settle) } else { journal.append(entry, settle) }
    }

    /// Takes the next record for a destination; says whether there was one.
    fn read(&mut self, stream: usize, destination: usize) -> Result<bool, String> {
        let oracle = Arc::clone(&self.oracle);
        let now = self.now();
        let reader = now.readers[stream * 2 + destination].as_mut().expect("all are there");
        let Some(delivered) = next(reader)? else { return Ok(false) };
        let (sequence, payload) = (delivered.position.sequence, &delivered.record.payload);
        let id = oracle.lock().expect("no panic").delivered(stream, sequence, payload)?;
        now.acks.push((stream, destination, id, delivered.ack));
        Ok(true)
    }

    fn ack(&mut self, which: usize) {
        let acks = &mut self.now().acks;
        if acks.is_empty() {
            return;
        }
        let which = which % acks.len();
        let (stream, destination, id, ack) = acks.swap_remove(which);
        self.oracle.lock().expect("no panic").settled(stream, destination, id);
        ack.done();
    }

    fn look_again(&mut self, stream: usize, destination: usize) {
        if let Some(reader) = &mut self.now().readers[stream * 2 + destination] {
            reader.look_again();
        }
    }

    /// Delivers everything to everybody.
    fn drain(&mut self) -> Result<(), String> {
        for (stream, destination) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            while self.read(stream, destination)? {
                let last = self.now().acks.len() - 1;
                self.ack(last);
                self.now().log.flush_group();
            }
        }
        Ok(())
    }

    fn flip(&mut self, file: usize, byte: usize, bit: u8) {
        let files: BTreeMap<PathBuf, usize> = self.disk.files();
        let streams: Vec<_> = files
            .into_iter()
            .filter(|(path, size)| path.to_string_lossy().contains("/stream-") && *size > 0)
            .collect();
        let Some((path, size)) = streams.get(file % streams.len().max(1)) else { return };
        // A file that names another version and in which nothing else is sound either is rightly taken for one of that version.
        let at = byte % size;
        let names_version = |at: usize| at == VERSION;
        let before = self.flipped.entry(path.clone()).or_default();
        if before.is_empty() || !names_version(at) && !before.iter().copied().any(names_version) {
            before.push(at);
            self.disk.flip(path, at, bit);
            self.flips += 1;
        }
    }
}

pub(crate) fn record(payload: Bytes) -> Record {
    Record {
        signal: Signal::Logs,
        items: 1,
        received_at: u64::try_from(Duration::from_secs(1).as_nanos()).expect("a second"),
        source: ComponentId::new("otlp"),
        metadata: Metadata::default(),
        payload,
    }
}

/// What a reader gives out next; nothing where there is nothing, or the disk cannot be read.
pub(crate) fn next(reader: &mut Reader) -> Result<Option<Delivered>, String> {
    for _ in 0..1000 {
        match reader.poll() {
            Polled::Record(delivered) => return Ok(Some(delivered)),
            Polled::Wait => return Ok(None),
            Polled::Load if reader.load().is_err() => return Ok(None),
            Polled::Load => {}
        }
    }
    Err("a reader loads for ever".into())
}

/// The value of a future that has it at once.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it has to wait"),
    }
}
