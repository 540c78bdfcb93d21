//! A log, who reads it, and what befalls them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use throughline_component::port::{Journal, SystemRandom};
use throughline_component::{ComponentId, Outcome, Settle};
use throughline_queue::{Ack, Log, Overflow, Ports, Reader, Settings};
use throughline_testkit::{Damage, FakeClock, Fault, Keep, LossyDisk, Rng};

use super::oracle::{Oracle, Pair};
use crate::harness::{next, ready, record};

const STREAMS: [&str; 3] = ["traces", "logs/audit", "metrics"];
const DESTINATIONS: [&str; 4] = ["otlp", "loki", "kafka", "otlp/renamed"];

/// Everything that is lost at a crash.
struct Running {
    log: Log,
    numbers: BTreeMap<usize, u64>,
    readers: BTreeMap<Pair, Reader>,
    acks: Vec<(Pair, u64, Ack)>,
    journal: Option<Box<dyn Journal>>,
}

pub(super) struct Harness {
    disk: LossyDisk,
    clock: Arc<FakeClock>,
    oracle: Arc<Mutex<Oracle>>,
    settings: Settings,
    /// Who is configured.
    fed: BTreeSet<Pair>,
    running: Option<Running>,
    /// To be put back some time. Not where the manifest was damaged, which tells that they are old.
    old_cursors: Option<(PathBuf, Vec<u8>)>,
    damaged: BTreeSet<&'static str>,
    /// Whether somebody meddles with files in this history.
    meddles: bool,
    pub(super) reached: BTreeMap<&'static str, usize>,
}

impl Harness {
    pub(super) fn new(seed: u64) -> Self {
        let overflows = [Overflow::DropNewest, Overflow::DropOldest, Overflow::Block];
        let settings = Settings {
            create_directory: true,
            max_bytes: 40_000,
            segment_bytes: 700,
            tail_bytes: 400,
            window_bytes: 2000,
            cursors_bytes: 5000,
            reserve_bytes: 400,
            quota: Some(6000),
            overflow: overflows[usize::try_from(seed % 3).expect("below three")],
            orphan_expiry: Duration::from_hours(5),
            ..Settings::new(PathBuf::from("/data/log"))
        };
        let fed = [(0, 0), (0, 1), (1, 0), (1, 2), (2, 1)];
        Self {
            disk: LossyDisk::default(),
            clock: Arc::default(),
            oracle: Arc::default(),
            settings,
            fed: fed.into(),
            running: None,
            old_cursors: None,
            damaged: BTreeSet::new(),
            meddles: seed % 2 == 1,
            reached: BTreeMap::new(),
        }
    }

    fn reach(&mut self, state: &'static str) {
        *self.reached.entry(state).or_default() += 1;
    }

    fn oracle<T>(&self, ask: impl FnOnce(&mut Oracle) -> T) -> T {
        ask(&mut self.oracle.lock().expect("no panic"))
    }

    pub(super) fn step(&mut self, rng: &mut Rng) -> Result<(), String> {
        if self.running.is_none() && !self.open()? {
            // The disk failed while the log was opened.
            self.crash(Keep::Some(rng.clone()));
            if !self.open()? && self.damaged.contains("manifest") {
                // A new one takes room, which here is more than the reserve.
                self.disk.limit(None);
            }
            if self.running.is_none() && !self.open()? {
                return Err("the log cannot be opened".into());
            }
        }
        self.clock.advance(Duration::from_millis(100));
        let at = u32::try_from(rng.below(8)).expect("below eight");
        match rng.below(200) {
            0..60 => self.append(rng)?,
            60..95 => self.flush_group(),
            95..135 => drop(self.read(rng.below(3), rng.below(4))?),
            135..160 => self.ack(rng.below(1000)),
            160..163 => {
                let acks = &mut self.now().acks;
                if !acks.is_empty() {
                    let which = rng.below(acks.len());
                    let (_, _, ack) = acks.swap_remove(which);
                    if rng.once_in(2) {
                        ack.set_aside();
                        self.reach("set aside");
                    } else {
                        drop(ack);
                        self.reach("given back");
                    }
                }
                if rng.once_in(3) && self.look_again() {
                    self.reach("looked again");
                }
            }
            163..166 => self.journal(rng.once_in(4)),
            166..169 => self.reload(rng)?,
            169 => self.adjust(rng),
            170..173 => self.clock.advance(Duration::from_mins(rng.below(600) as u64)),
            173 => self.clock.jump(Duration::from_hours(rng.below(100_000) as u64)),
            174..176 => {
                self.disk.fail(Some(Fault::SyncFailsAfter(at)));
                self.reach("sync failed");
            }
            176 => self.disk.fail(Some(Fault::FullAfter(at))),
            177 => self.disk.fail(Some(Fault::DeadAfter(at * 4))),
            178..181 => {
                let used: usize = self.disk.files().values().sum();
                self.disk.limit(Some(used + rng.below(3000)));
                self.reach("disk full");
            }
            181..187 => {
                self.disk.fail(None);
                self.disk.limit(None);
            }
            187..190 => self.crash(Keep::All),
            190..192 => self.crash(Keep::Nothing),
            192..195 => self.crash(Keep::Some(rng.clone())),
            195 => {
                let cursors = self.files("/cursors-").into_iter().next();
                self.old_cursors = cursors.and_then(|path| Some((path.clone(), self.disk.contents(&path)?)));
            }
            _ if self.meddles => self.damage(rng),
            _ => {}
        }
        Ok(())
    }

    /// The power fails; then the disk is sound, everybody is configured, and everything is delivered.
    pub(super) fn end(&mut self) -> Result<(), String> {
        self.crash(Keep::Nothing);
        self.disk.limit(None);
        self.fed = (0..3).flat_map(|stream| (0..4).map(move |destination| (stream, destination))).collect();
        if !self.open()? {
            return Err("a sound disk cannot be opened".into());
        }
        self.drain()?;
        let oracle = Arc::clone(&self.oracle);
        let log = &self.now().log;
        oracle.lock().expect("no panic").note_dropped(log);
        oracle.lock().expect("no panic").nothing_is_missing(&STREAMS, &DESTINATIONS)?;
        // It takes more, and keeps no more than it must.
        log.drop_destination(None, "(unknown)");
        self.clock.advance(Duration::from_secs(2));
        self.flush_group();
        for (stream, name) in STREAMS.iter().enumerate() {
            let taken = (0..4).any(|_| self.put(stream, 10).is_ok_and(|taken| taken));
            if !taken {
                return Err(format!("{name} takes no more: {:?}", self.now().log.stats()));
            }
        }
        for (stream, destination) in self.fed.clone() {
            if self.read(stream, destination)? {
                let (_, _, ack) = self.now().acks.pop().expect("it was just read");
                ack.set_aside();
            }
        }
        self.drain()?;
        let (segments, left) = (self.files("/stream-"), self.now().log.list());
        if left.iter().any(|backlog| backlog.records > 0) {
            return Err(format!("everybody has everything, and still {left:?} wait"));
        }
        if segments.len() > 2 * STREAMS.len() {
            return Err(format!("everybody has everything, and {segments:?} are left"));
        }
        if self.oracle(|oracle| oracle.has_dropped()) {
            self.reach("a record was dropped");
        }
        Ok(())
    }

    fn now(&mut self) -> &mut Running {
        self.running.as_mut().expect("a step opens it")
    }

    fn files(&self, what: &str) -> Vec<PathBuf> {
        self.disk.files().into_keys().filter(|path| path.to_string_lossy().contains(what)).collect()
    }

    fn crash(&mut self, keep: Keep) {
        if let Some(mut running) = self.running.take() {
            // What is on its way goes with us; if it was dropped meanwhile, it counts now.
            running.acks.clear();
            self.oracle(|oracle| oracle.note_dropped(&running.log));
            self.running = Some(running);
        }
        // A dead process writes nothing more, not even on its way out.
        self.disk.fail(Some(Fault::DeadAfter(0)));
        self.running = None;
        self.disk.crash(keep);
        self.reach("crashed");
    }

    fn open(&mut self) -> Result<bool, String> {
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::<FakeClock>::clone(&self.clock));
        let ports = Ports { disk, clock, random: Arc::new(SystemRandom::default()) };
        let Ok(log) = Log::open_still(ports, self.settings.clone()) else { return Ok(false) };
        let (stats, damaged) = (log.stats(), self.damaged.clone());
        if stats.missing > 0 && !damaged.contains("segment") {
            return Err(format!("something is missing, and nobody took it: {stats:?}"));
        }
        if stats.lost_cursors > 0 && !damaged.contains("cursors") {
            return Err(format!("cursors are lost, and nobody took them: {stats:?}"));
        }
        if stats.missing > 0 {
            self.reach("segment missing");
        }
        if stats.lost_cursors > 0 {
            self.reach("cursors lost");
        }
        if stats.disk_full {
            self.reach("opened on a full disk");
        }
        self.running = Some(Running {
            log,
            numbers: BTreeMap::new(),
            readers: BTreeMap::new(),
            acks: Vec::new(),
            journal: None,
        });
        let opened = self.subscribe();
        if !opened {
            self.crash(Keep::All);
            return Ok(false);
        }
        let log = &self.now().log;
        let opened = log.journal(&ComponentId::new("change"));
        match opened {
            Ok(opened) => self.now().journal = Some(opened.journal),
            Err(error) if error.to_string().contains("damaged") || error.to_string().contains("gone") => {
                if !damaged.contains("journal") && !damaged.contains("manifest") {
                    return Err(format!("nobody touched a journal: {error}"));
                }
                // Somebody decides that it begins anew.
                if log.forget_journal("change").is_ok() {
                    self.reach("journal forgotten");
                }
            }
            Err(_) => {}
        }
        Ok(true)
    }

    /// Subscribes whoever is configured, and lets the others go.
    fn subscribe(&mut self) -> bool {
        let fed = self.fed.clone();
        if (0..3).any(|stream| fed.iter().all(|pair| pair.0 != stream)) {
            self.reach("started without a stream");
        }
        let now = self.now();
        for pair in &fed {
            let number = now.log.stream(STREAMS[pair.0]).expect("no two names have one number");
            now.numbers.insert(pair.0, number);
            if now.log.subscribe(number, DESTINATIONS[pair.1]).is_err() {
                return false;
            }
        }
        now.acks.retain(|(pair, ..)| fed.contains(pair));
        now.readers.retain(|pair, _| fed.contains(pair));
        for pair in fed {
            let number = now.numbers[&pair.0];
            let reader = || ready(now.log.reader(number, DESTINATIONS[pair.1])).expect("it has subscribed");
            now.readers.entry(pair).or_insert_with(reader);
        }
        true
    }

    fn reload(&mut self, rng: &mut Rng) -> Result<(), String> {
        match rng.below(3) {
            0 => {
                let which = rng.below(self.fed.len());
                if let Some(pair) = self.fed.iter().nth(which).copied().filter(|_| self.fed.len() > 1) {
                    self.fed.remove(&pair);
                    self.reach("destination left");
                }
            }
            1 => {
                let which = rng.below(self.fed.len());
                if let Some(pair) = self.fed.iter().nth(which).copied() {
                    self.fed.remove(&pair);
                    self.fed.insert((pair.0, (pair.1 + 1) % 4));
                    self.reach("destination renamed");
                }
            }
            _ => drop(self.fed.insert((rng.below(3), rng.below(4)))),
        }
        if !self.subscribe() {
            self.crash(Keep::All);
        }
        Ok(())
    }

    fn adjust(&mut self, rng: &mut Rng) {
        let overflows = [Overflow::DropNewest, Overflow::DropOldest, Overflow::Block];
        self.settings.overflow = overflows[rng.below(3)];
        self.settings.quota = Some(2000 + rng.below(8000) as u64);
        let settings = self.settings.clone();
        self.now().log.adjust(&settings);
        self.reach("adjusted");
    }

    fn append(&mut self, rng: &mut Rng) -> Result<(), String> {
        let stream = rng.below(3);
        if self.fed.iter().any(|pair| pair.0 == stream) {
            self.put(stream, rng.below(200))?;
        }
        Ok(())
    }

    /// Appends a record; whether it was taken is known at once where the log takes a turn.
    fn put(&mut self, stream: usize, size: usize) -> Result<bool, String> {
        let (id, payload) = self.oracle(|oracle| oracle.offer(stream, size));
        let to: Vec<usize> = self.fed.iter().filter(|pair| pair.0 == stream).map(|pair| pair.1).collect();
        let told = Arc::clone(&self.oracle);
        let settle = Settle::hook(move |outcome| {
            if outcome == Outcome::DONE {
                told.lock().expect("no panic").promise(stream, id, &to);
            }
        });
        let now = self.now();
        let number = now.numbers[&stream];
        let position = now.log.append(number, record(payload), settle);
        match position {
            Some(position) => {
                self.oracle(|oracle| oracle.is_at(stream, position.sequence, id))?;
                self.reach("appended");
            }
            None => self.reach("refused"),
        }
        if position.is_some() && size == 10 {
            self.flush_group();
        } else if position.is_none() {
            self.clock.advance(Duration::from_secs(2));
            self.flush_group();
        }
        Ok(position.is_some())
    }

    fn flush_group(&mut self) {
        let files = |harness: &Self| (harness.files("/cursors-"), harness.files("/stream-").len());
        let (before, expired) = (files(self), self.now().log.stats().expired);
        self.now().log.flush_group();
        let after = files(self);
        if before.0 != after.0 {
            self.reach("cursors compacted");
        }
        let log = &self.now().log;
        if log.stats().expired > expired {
            self.reach("an orphan expired");
        }
        if after.1 < before.1 && self.now().log.backlogs().iter().any(|backlog| backlog.bytes > 700) {
            self.reach("segment removed while a cursor is behind it");
        }
    }

    fn read(&mut self, stream: usize, destination: usize) -> Result<bool, String> {
        let (oracle, pair) = (Arc::clone(&self.oracle), (stream, destination));
        let now = self.now();
        let Some(reader) = now.readers.get_mut(&pair) else { return Ok(false) };
        let Some(delivered) = next(reader)? else { return Ok(false) };
        let (sequence, payload) = (delivered.position.sequence, &delivered.record.payload);
        let id = oracle.lock().expect("no panic").delivered(stream, sequence, payload)?;
        now.acks.push((pair, id, delivered.ack));
        self.reach("delivered");
        Ok(true)
    }

    /// Has what is set aside read again. Says whether it was anything.
    fn look_again(&mut self) -> bool {
        let aside: Vec<_> = self.now().readers.values_mut().filter(|reader| reader.aside() > 0).collect();
        let any = !aside.is_empty();
        aside.into_iter().for_each(Reader::look_again);
        any
    }

    fn ack(&mut self, which: usize) {
        let acks = &mut self.now().acks;
        if acks.is_empty() {
            return;
        }
        let which = which % acks.len();
        let (pair, id, ack) = acks.swap_remove(which);
        self.oracle(|oracle| oracle.settled(pair, id));
        ack.done();
    }

    fn drain(&mut self) -> Result<(), String> {
        loop {
            for (stream, destination) in self.fed.clone() {
                while self.read(stream, destination)? {
                    let last = self.now().acks.len() - 1;
                    self.ack(last);
                    self.flush_group();
                }
            }
            if !self.look_again() {
                break;
            }
            self.reach("looked again");
        }
        self.flush_group();
        Ok(())
    }

    fn journal(&mut self, snapshot: bool) {
        let Some(journal) = &self.now().journal else { return };
        let entry = Bytes::from_static(b"an entry");
        if snapshot {
            journal.compact(entry, Settle::nobody());
        } else {
            journal.append(entry, Settle::nobody());
        }
    }

    /// Somebody meddles with a file while the agent is down.
    fn damage(&mut self, rng: &mut Rng) {
        self.crash(Keep::All);
        if rng.once_in(5)
            && !self.damaged.contains("manifest")
            && let Some((path, contents)) = self.old_cursors.clone()
        {
            self.files("/cursors-").iter().for_each(|path| self.disk.damage(path, Damage::Gone));
            self.disk.put(&path, &contents);
            self.damaged.insert("cursors");
            self.oracle(Oracle::forget_numbers);
            return self.reach("cursors of before put back");
        }
        let files: Vec<(PathBuf, usize)> =
            self.disk.files().into_iter().filter(|(_, size)| *size > 0).collect();
        let Some((path, size)) = files.get(rng.below(files.len())).cloned() else { return };
        let name = path.to_string_lossy().into_owned();
        let is = |what: &str| name.contains(what);
        if is("MANIFEST") && self.damaged.contains("cursors") {
            return;
        }
        let damage = match rng.below(5) {
            0 => Some(Damage::Gone),
            1 => Some(Damage::Zeros),
            2 => Some(Damage::Cut(rng.below(size))),
            _ => None,
        };
        if is("/stream-") {
            self.damaged.insert("segment");
            if damage.is_some() {
                let contents = self.disk.contents(&path).unwrap_or_default();
                self.oracle(|oracle| oracle.destroy(&contents));
                self.reach("segment cut, zeroed or removed");
            } else {
                self.oracle(Oracle::flip);
            }
        } else if is("/cursors-") {
            self.damaged.insert("cursors");
        } else if is("MANIFEST") {
            self.damaged.insert("manifest");
            self.reach("manifest damaged");
        } else if is("/journal-") {
            self.damaged.insert("journal");
        }
        self.oracle(Oracle::forget_numbers);
        match damage {
            Some(damage) => self.disk.damage(&path, damage),
            None => self.disk.flip(&path, rng.below(size), u8::try_from(rng.below(8)).expect("below eight")),
        }
    }
}
