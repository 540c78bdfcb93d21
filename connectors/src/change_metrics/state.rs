//! All series, and the changes that they are made of.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use throughline_change::timeline::ChangeEvent;
use throughline_component::{Counter, Replay, Unreadable};

use super::change_state::{ChangeState, Observation};
use super::moment::{Moment, hash};
use super::table::{Kind, METRICS, is_read};

/// How many event ids are remembered to count each once.
const REMEMBERED_EVENTS: usize = 200_000;

/// The values of a metric's labels, in the order of its row.
pub(super) type Labels = Vec<Box<str>>;

/// One series of one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Series {
    /// How many observations, by bucket.
    pub(super) counts: Vec<u64>,
    /// Their sum in nanoseconds. (Sums of floating-point numbers depend on the order.)
    pub(super) nanos: u64,
    /// The newest observation.
    pub(super) last: Option<Last>,
}

/// An observation, and the change it was of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Last {
    pub(super) at: u64,
    pub(super) change_id: Box<str>,
    pub(super) nanos: u64,
}

/// What a component is bounded by and reports.
#[derive(Debug)]
pub(super) struct Settings {
    /// Upper bounds of the histograms' buckets, in seconds.
    pub(super) bounds: Vec<f64>,
    /// For how many nanoseconds after its end was heard of an observation may be corrected.
    pub(super) lateness: u64,
    pub(super) max_changes: usize,
    pub(super) max_series: usize,
    pub(super) forgotten: Counter,
    pub(super) refused: Counter,
    pub(super) late: Counter,
}

/// All series, and what they will be made of.
pub(super) struct State {
    pub(super) settings: Settings,
    /// Since when the counts count, Unix nanoseconds.
    pub(super) since: u64,
    /// By metric.
    pub(super) series: Vec<BTreeMap<Labels, Series>>,
    /// Ages and numbers of active objects that were emitted last time, by metric.
    emitted: BTreeSet<(usize, Labels)>,
    changes: HashMap<Box<str>, ChangeState>,
    order: VecDeque<Box<str>>,
    /// Former names of changes, and what they are now; as many as changes, the oldest go first.
    renamed: HashMap<Box<str>, Box<str>>,
    rename_order: VecDeque<Box<str>>,
    /// When events that are not final were heard, and of which change.
    pending: BTreeSet<(u64, Box<str>)>,
    events: HashSet<u64>,
    event_order: VecDeque<u64>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was new.
    New,
    /// It was counted before.
    Repeated,
    /// No metric is made of its kind.
    Unread,
}

/// What there is to show beside the series: since when the oldest waits, or how many there are; nothing of one that was
/// emitted before and has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Now {
    Since(u64),
    Active(u64),
    Ended,
}

impl State {
    pub(super) fn new(settings: Settings, since: u64) -> Self {
        Self {
            settings,
            since,
            series: METRICS.iter().map(|_| BTreeMap::new()).collect(),
            emitted: BTreeSet::new(),
            changes: HashMap::new(),
            order: VecDeque::new(),
            renamed: HashMap::new(),
            rename_order: VecDeque::new(),
            pending: BTreeSet::new(),
            events: HashSet::new(),
            event_order: VecDeque::new(),
        }
    }

    /// Takes an event that was heard of now. Call [`advance`](Self::advance) before the first of a batch and behind the last.
    pub(super) fn take(&mut self, event: &ChangeEvent, heard: u64) -> Taken {
        if !is_read(event.kind.name) {
            return Taken::Unread;
        }
        if !self.remember(hash(&event.event_id)) {
            return Taken::Repeated;
        }
        for (index, change) in event.change_ids.iter().enumerate() {
            let is_carried = index + 1 < event.change_ids.len();
            let change = self.renamed.get(change).unwrap_or(change).clone();
            self.file(&change, Moment::new(event, heard, is_carried));
        }
        Taken::New
    }

    /// A change has another name from now on; says whether that was new. What is not final yet is counted under the new one.
    pub(super) fn rename(&mut self, old: &str, new: &str) -> bool {
        if old == new || self.renamed.contains_key(old) {
            return false;
        }
        self.renamed.insert(old.into(), new.into());
        self.rename_order.push_back(old.into());
        if self.rename_order.len() > self.settings.max_changes
            && let Some(oldest) = self.rename_order.pop_front()
        {
            self.renamed.remove(&oldest);
        }
        let Some(before) = self.changes.remove(old) else { return true };
        self.order.retain(|change| **change != *old);
        for heard in before.pending() {
            self.pending.remove(&(heard, old.into()));
            self.pending.insert((heard, new.into()));
        }
        self.make_room(new);
        self.changes.entry(new.into()).or_default().merge(before);
        let mut observed = Vec::new();
        while let Some(known) = self.changes.get_mut(new).filter(|known| known.is_over_full()) {
            observed.extend(known.finish(u64::MAX));
            known.leave_out_oldest();
        }
        self.observe(new, observed);
        true
    }

    fn file(&mut self, change: &str, moment: Moment) {
        self.make_room(change);
        let known = self.changes.entry(change.into()).or_default();
        let mut observed = Vec::new();
        if known.is_full() {
            observed = known.finish(u64::MAX);
            known.leave_out_oldest();
        }
        if known.is_late(&moment) {
            self.settings.late.add(1);
        }
        self.pending.insert((moment.heard, change.into()));
        known.take(moment);
        self.observe(change, observed);
    }

    /// Forgets the change first heard of longest ago, if another would be too many; what is known of it is counted first.
    fn make_room(&mut self, change: &str) {
        if self.changes.contains_key(change) {
            return;
        }
        self.order.push_back(change.into());
        if self.order.len() > self.settings.max_changes
            && let Some(oldest) = self.order.pop_front()
            && let Some(mut known) = self.changes.remove(&oldest)
        {
            known.pending().for_each(|heard| _ = self.pending.remove(&(heard, oldest.clone())));
            self.observe(&oldest, known.finish(u64::MAX));
            self.settings.forgotten.add(1);
        }
    }

    /// Makes final what was heard of so long before `now` that nothing can correct it any more; says whether that changed a
    /// series.
    pub(super) fn advance(&mut self, now: u64) -> bool {
        let until = now.saturating_sub(self.settings.lateness);
        let mut any = false;
        while self.pending.first().is_some_and(|(heard, _)| *heard <= until) {
            let Some((_, change)) = self.pending.pop_first() else { break };
            let observed = self.changes.get_mut(&change).map(|known| known.finish(until)).unwrap_or_default();
            any |= !observed.is_empty();
            self.observe(&change, observed);
        }
        any
    }

    /// When something will be final next, Unix nanoseconds.
    pub(super) fn next_final(&self) -> Option<u64> {
        self.pending.first().map(|(heard, _)| heard.saturating_add(self.settings.lateness))
    }

    fn observe(&mut self, change: &str, observed: Vec<Observation>) {
        for Observation { metric, series, nanos, at } in observed {
            let all = &mut self.series[metric];
            if all.len() >= self.settings.max_series && !all.contains_key(&series) {
                self.settings.refused.add(1);
                continue;
            }
            all.entry(series).or_default().observe(&self.settings.bounds, nanos, change, at);
        }
    }

    /// Ages and numbers of active objects, by metric.
    pub(super) fn now(&mut self) -> BTreeMap<(usize, Labels), Now> {
        let mut now = BTreeMap::new();
        for (number, metric) in METRICS.iter().enumerate() {
            let most = now.len() + self.settings.max_series;
            let mut add = |labels: super::moment::Labels, of: Now| {
                let key = (number, metric.series(&labels, ""));
                if now.len() < most || now.contains_key(&key) {
                    now.entry(key).and_modify(|held: &mut Now| *held = held.with(of)).or_insert(of);
                }
            };
            match metric.kind {
                Kind::Age { begins, ends } => {
                    let waiting = self.changes.values().filter_map(|known| known.waits(begins, ends));
                    waiting.for_each(|(since, labels)| add(labels, Now::Since(since)));
                }
                Kind::Active { begins, ends } => {
                    let active = self.changes.values().flat_map(|known| known.active(begins, ends));
                    active.for_each(|labels| add(labels, Now::Active(1)));
                }
                _ => {}
            }
        }
        let ended: Vec<_> = self.emitted.iter().filter(|key| !now.contains_key(key)).cloned().collect();
        self.emitted = now.keys().cloned().collect();
        now.extend(ended.into_iter().map(|key| (key, Now::Ended)));
        now
    }

    fn remember(&mut self, event: u64) -> bool {
        if !self.events.insert(event) {
            return false;
        }
        self.event_order.push_back(event);
        if self.event_order.len() > REMEMBERED_EVENTS
            && let Some(oldest) = self.event_order.pop_front()
        {
            self.events.remove(&oldest);
        }
        true
    }
}

impl Now {
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Since(one), Self::Since(other)) => Self::Since(one.min(other)),
            (Self::Active(some), Self::Active(more)) => Self::Active(some + more),
            (_, other) => other,
        }
    }
}

impl Series {
    fn observe(&mut self, bounds: &[f64], nanos: u64, change_id: &str, at: u64) {
        self.counts.resize(bounds.len() + 1, 0);
        let bucket = bounds.partition_point(|bound| *bound < nanos as f64 / 1e9);
        self.counts[bucket] += 1;
        self.nanos = self.nanos.saturating_add(nanos);
        let last = Last { at, change_id: change_id.into(), nanos };
        self.last = self.last.take().max(Some(last));
    }

    /// How many observations.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// A line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line<F, T> {
    Event {
        #[serde(rename = "h")]
        heard: u64,
        #[serde(rename = "f")]
        event: F,
    },
    Renamed {
        #[serde(rename = "h")]
        heard: u64,
        old: T,
        new: T,
    },
}

/// Appends an event as a line of the journal.
pub(super) fn write(event: &ChangeEvent, heard: u64, into: &mut Vec<u8>) {
    put(&Line::<_, ()>::Event { heard, event }, into);
}

/// Appends a new name as a line of the journal.
pub(super) fn write_renamed(old: &str, new: &str, heard: u64, into: &mut Vec<u8>) {
    put(&Line::<(), _>::Renamed { heard, old, new }, into);
}

fn put(line: &impl Serialize, into: &mut Vec<u8>) {
    if serde_json::to_writer(&mut *into, line).is_ok() {
        into.push(b'\n');
    }
}

/// The state as a snapshot has it: lists, since JSON's keys are text.
#[derive(Serialize, Deserialize)]
struct Saved {
    bounds: Vec<f64>,
    since: u64,
    /// By the metric's name, so that rows can be added.
    series: Vec<(String, Vec<(Labels, Series)>)>,
    emitted: Vec<(String, Labels)>,
    changes: Vec<(Box<str>, ChangeState)>,
    #[serde(default)]
    renamed: Vec<(Box<str>, Box<str>)>,
    events: Vec<u64>,
}

impl Replay for State {
    /// 1 had a form for each metric.
    const VERSION: u8 = 2;

    fn replay(&mut self, entry: &[u8]) -> Result<(), Unreadable> {
        if let Ok(saved) = serde_json::from_slice::<Saved>(entry) {
            self.restore(saved);
            return Ok(());
        }
        // An entry is a batch: what it says is of one moment.
        let mut last = 0;
        for line in entry.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = serde_json::from_slice::<Line<ChangeEvent, String>>(line).map_err(|_| Unreadable)?;
            let (Line::Event { heard, .. } | Line::Renamed { heard, .. }) = line;
            if last == 0 {
                self.advance(heard);
            }
            match line {
                Line::Event { event, .. } => _ = self.take(&event, heard),
                Line::Renamed { old, new, .. } => _ = self.rename(&old, &new),
            }
            last = heard;
        }
        self.advance(last);
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        let name = |number: usize| METRICS[number].name.to_owned();
        let list = |all: &BTreeMap<Labels, Series>| all.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let changes = self.order.iter().filter_map(|id| Some((id.clone(), self.changes.get(id)?.clone())));
        let saved = Saved {
            bounds: self.settings.bounds.clone(),
            since: self.since,
            series: self.series.iter().enumerate().map(|(number, all)| (name(number), list(all))).collect(),
            emitted: self.emitted.iter().map(|(number, labels)| (name(*number), labels.clone())).collect(),
            changes: changes.collect(),
            renamed: self
                .rename_order
                .iter()
                .filter_map(|old| Some((old.clone(), self.renamed.get(old)?.clone())))
                .collect(),
            events: self.event_order.iter().copied().collect(),
        };
        serde_json::to_vec(&saved).unwrap_or_default() // plain data always serialises
    }
}

impl State {
    fn restore(&mut self, saved: Saved) {
        let number = |name: &str| METRICS.iter().position(|metric| metric.name == name);
        self.since = saved.since;
        for (name, all) in saved.series {
            let Some(number) = number(&name) else { continue };
            // Durations that were counted for other buckets cannot be shown in these.
            let keeps = saved.bounds == self.settings.bounds
                || !matches!(METRICS[number].kind, Kind::Duration { .. });
            self.series[number] = if keeps { all.into_iter().collect() } else { BTreeMap::new() };
        }
        self.emitted =
            saved.emitted.into_iter().filter_map(|(name, labels)| Some((number(&name)?, labels))).collect();
        self.order = saved.changes.iter().map(|(id, _)| id.clone()).collect();
        let pending = |(id, known): &(Box<str>, ChangeState)| {
            let id = id.clone();
            known.pending().map(move |heard| (heard, id.clone())).collect::<Vec<_>>()
        };
        self.pending = saved.changes.iter().flat_map(pending).collect();
        self.changes = saved.changes.into_iter().map(|(id, known)| (id, known.shared())).collect();
        self.rename_order = saved.renamed.iter().map(|(old, _)| old.clone()).collect();
        self.renamed = saved.renamed.into_iter().collect();
        self.events = saved.events.iter().copied().collect();
        self.event_order = saved.events.into();
    }
}
