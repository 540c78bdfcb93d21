//! What is known of each change, and the series made of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use throughline_change::event;
use throughline_change::labels::cut;
use throughline_component::{Counter, Replay, Unreadable};
use throughline_otlp::view::{AnyValue, LogRecord, ResourceLookup};

/// How many event ids are remembered to count each once.
const REMEMBERED_EVENTS: usize = 200_000;

/// What an event says, as far as metrics need it. Names and times only: it may be journaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Fact {
    pub(super) event_id: String,
    pub(super) event_type: String,
    pub(super) change_id: String,
    pub(super) at: u64,
    pub(super) labels: Labels,
    pub(super) success: bool,
    /// How long what ended took, if its source says so, in milliseconds.
    pub(super) duration_ms: Option<u64>,
}

/// The bounded labels of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Labels {
    pub(super) environment: String,
    pub(super) owner_team: String,
    pub(super) risk_tier: String,
    pub(super) repository: String,
    pub(super) runner_pool: String,
    pub(super) stack_id: String,
}

impl Fact {
    /// Reads a domain event; any other record is none.
    pub(super) fn read(log: LogRecord<'_>, resource: &ResourceLookup<'_>) -> Option<Self> {
        let kind = event::of_record(log.event_name())?;
        let text = |key: &str| {
            let own = log.attributes().get_str(key);
            cut(own.or_else(|| resource.get_str(key)).unwrap_or_default()).to_owned()
        };
        let (event_id, change_id) = (text("event_id"), text("change_id"));
        if event_id.is_empty() || change_id.is_empty() {
            return None;
        }
        let payload = match log.body() {
            Some(AnyValue::Map(map)) => Some(map),
            _ => None,
        };
        let result = payload.and_then(|payload| payload.get_str("result"));
        let duration = payload.and_then(|payload| payload.get("duration_ms"));
        Some(Self {
            event_type: kind.name.to_owned(),
            event_id,
            change_id,
            at: log.time_unix_nano(),
            labels: Labels {
                environment: text("environment"),
                owner_team: text("owner_team"),
                risk_tier: text("risk_tier"),
                repository: text("repository"),
                runner_pool: text("runner_pool"),
                stack_id: text("stack_id"),
            },
            success: result.is_none_or(|result| result == "success"),
            duration_ms: duration.and_then(|value| match value {
                AnyValue::Int(millis) => u64::try_from(millis).ok(),
                _ => None,
            }),
        })
    }
}

/// What is known of one change.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    opened: Option<u64>,
    /// Times at which its content changed, for the latency of the plan that followed.
    edited: Vec<u64>,
    /// The first deployment to production, and its labels.
    deployed: Option<(u64, Labels)>,
    approved: Option<u64>,
    apply_started: Option<u64>,
    closed: bool,
    labels: Labels,
    lead_counted: bool,
    /// Plans whose beginning is not known yet.
    plans: Vec<(u64, Labels)>,
}

/// How an apply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Ended {
    Success,
    Failure,
}

impl Ended {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// A histogram's series.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Histogram {
    pub(super) counts: Vec<u64>,
    pub(super) sum: f64,
    /// The last value and the change it was of.
    pub(super) exemplar: Option<(f64, String, u64)>,
}

/// All series, and what they will be made of.
pub(super) struct State {
    pub(super) bounds: Vec<f64>,
    /// Since when the counts count, Unix nanoseconds.
    pub(super) since: u64,
    pub(super) lead_time: BTreeMap<Labels, Histogram>,
    pub(super) plan_latency: BTreeMap<Labels, Histogram>,
    /// By labels and result.
    pub(super) apply_duration: BTreeMap<(Labels, Ended), Histogram>,
    pub(super) applies: BTreeMap<(Labels, Ended), u64>,
    /// Ages that were told last time.
    told: BTreeSet<Labels>,
    changes: HashMap<String, Known>,
    order: VecDeque<String>,
    max_changes: usize,
    events: HashSet<String>,
    event_order: VecDeque<String>,
    forgotten: Counter,
    room: Room,
}

/// How many series of each kind there may be.
pub(super) struct Room {
    pub(super) max_series: usize,
    /// Observations that found no room.
    pub(super) refused: Counter,
}

impl Room {
    /// The series of a key, if it is there or there is room for it.
    fn of<'m, K: Ord, V: Default>(&self, map: &'m mut BTreeMap<K, V>, key: K) -> Option<&'m mut V> {
        if map.len() >= self.max_series && !map.contains_key(&key) {
            self.refused.add(1);
            return None;
        }
        Some(map.entry(key).or_default())
    }
}

/// How many edits of a change, and how many of its plans whose beginning is not known yet, are kept.
const KEPT: usize = 64;

impl Known {
    fn edit(&mut self, at: u64) {
        // Of many the newest count: a plan is of what was edited last.
        if self.edited.len() == KEPT
            && let Some(oldest) = (0..KEPT).min_by_key(|index| self.edited[*index])
        {
            self.edited.swap_remove(oldest);
        }
        self.edited.push(at);
    }
}

impl State {
    pub(super) fn new(
        bounds: Vec<f64>,
        max_changes: usize,
        since: u64,
        forgotten: Counter,
        room: Room,
    ) -> Self {
        Self {
            bounds,
            since,
            lead_time: BTreeMap::new(),
            plan_latency: BTreeMap::new(),
            apply_duration: BTreeMap::new(),
            applies: BTreeMap::new(),
            told: BTreeSet::new(),
            changes: HashMap::new(),
            order: VecDeque::new(),
            max_changes,
            events: HashSet::new(),
            event_order: VecDeque::new(),
            forgotten,
            room,
        }
    }

    /// Takes a fact; says whether it was new.
    pub(super) fn take(&mut self, fact: &Fact) -> bool {
        if !self.remember(&fact.event_id) {
            return false;
        }
        let known = self.known(&fact.change_id);
        known.labels.fill(&fact.labels);
        let labels = known.labels.clone();
        match &*fact.event_type {
            "ChangeOpened" => {
                known.opened = Some(known.opened.map_or(fact.at, |at| at.min(fact.at)));
                known.edit(fact.at);
            }
            "ChangeUpdated" => known.edit(fact.at),
            "ChangeClosed" => known.closed = true,
            "ApprovalGranted" | "ApplyQueued" => {
                known.approved = Some(known.approved.map_or(fact.at, |at| at.min(fact.at)));
            }
            "PlanCompleted" if known.plans.len() < KEPT => known.plans.push((fact.at, fact.labels.clone())),
            "PlanCompleted" => self.room.refused.add(1),
            "ApplyStarted" => {
                known.apply_started = Some(known.apply_started.map_or(fact.at, |at| at.max(fact.at)))
            }
            "ApplySucceeded" | "ApplyFailed" => {
                let result =
                    if fact.event_type == "ApplySucceeded" { Ended::Success } else { Ended::Failure };
                let started = fact
                    .duration_ms
                    .map_or(fact.at, |millis| fact.at.saturating_sub(millis.saturating_mul(1_000_000)));
                known.apply_started = Some(known.apply_started.map_or(started, |at| at.max(started)));
                if let Some(count) = self.room.of(&mut self.applies, (labels.clone(), result)) {
                    *count += 1;
                }
                if let Some(millis) = fact.duration_ms
                    && let Some(series) = self.room.of(&mut self.apply_duration, (labels, result))
                {
                    series.observe(&self.bounds, millis as f64 / 1e3, &fact.change_id, fact.at);
                }
            }
            "DeploymentFinished" if fact.success && fact.labels.environment == "production" => {
                let first = known.deployed.as_ref().is_none_or(|(at, _)| fact.at < *at);
                if first && !known.lead_counted {
                    known.deployed = Some((fact.at, labels));
                }
            }
            _ => {}
        }
        self.conclude(&fact.change_id);
        true
    }

    /// Counts what has now both a beginning and an end.
    fn conclude(&mut self, change_id: &str) {
        let Some(known) = self.changes.get_mut(change_id) else { return };
        if let (Some(opened), Some((deployed, labels)), false) =
            (known.opened, &known.deployed, known.lead_counted)
        {
            known.lead_counted = true;
            let labels = Labels {
                repository: String::new(),
                runner_pool: String::new(),
                stack_id: String::new(),
                ..labels.clone()
            };
            if let Some(series) = self.room.of(&mut self.lead_time, labels) {
                series.observe(&self.bounds, seconds(opened, *deployed), change_id, *deployed);
            }
        }
        let edited = &known.edited;
        let began = |at: u64| edited.iter().copied().filter(|began| *began <= at).max();
        let mut open = Vec::new();
        for (at, labels) in std::mem::take(&mut known.plans) {
            match began(at) {
                None => open.push((at, labels)),
                Some(began) => {
                    let Labels { environment, risk_tier, repository, .. } = labels;
                    let labels = Labels { environment, risk_tier, repository, ..Labels::default() };
                    if let Some(series) = self.room.of(&mut self.plan_latency, labels) {
                        series.observe(&self.bounds, seconds(began, at), change_id, at);
                    }
                }
            }
        }
        known.plans = open;
    }

    /// Since when the oldest approved change waits for its apply, by environment and runner pool.
    pub(super) fn waiting(&self) -> BTreeMap<Labels, u64> {
        let mut oldest: BTreeMap<Labels, u64> = BTreeMap::new();
        for known in self.changes.values().filter(|known| !known.closed) {
            let Some(approved) = known.approved else { continue };
            if known.apply_started.is_some_and(|started| started >= approved) {
                continue;
            }
            let Labels { environment, runner_pool, .. } = known.labels.clone();
            let labels = Labels { environment, runner_pool, ..Labels::default() };
            if oldest.len() < self.room.max_series || oldest.contains_key(&labels) {
                let since = oldest.entry(labels).or_insert(approved);
                *since = approved.min(*since);
            }
        }
        oldest
    }

    /// What to say of ages now: since when each has grown, or that one which was told before has ended.
    pub(super) fn ages(&mut self) -> BTreeMap<Labels, Option<u64>> {
        let waiting = self.waiting();
        let ended = self.told.iter().filter(|labels| !waiting.contains_key(labels)).cloned();
        let mut ages: BTreeMap<Labels, Option<u64>> = ended.map(|labels| (labels, None)).collect();
        self.told = waiting.keys().cloned().collect();
        ages.extend(waiting.into_iter().map(|(labels, since)| (labels, Some(since))));
        ages
    }

    fn remember(&mut self, event_id: &str) -> bool {
        if !self.events.insert(event_id.to_owned()) {
            return false;
        }
        self.event_order.push_back(event_id.to_owned());
        if self.event_order.len() > REMEMBERED_EVENTS
            && let Some(oldest) = self.event_order.pop_front()
        {
            self.events.remove(&oldest);
        }
        true
    }

    fn known(&mut self, change_id: &str) -> &mut Known {
        if !self.changes.contains_key(change_id) {
            self.order.push_back(change_id.to_owned());
            if self.order.len() > self.max_changes
                && let Some(oldest) = self.order.pop_front()
            {
                self.changes.remove(&oldest);
                self.forgotten.add(1);
            }
        }
        self.changes.entry(change_id.to_owned()).or_default()
    }
}

impl Labels {
    /// Takes over what is not known yet.
    fn fill(&mut self, other: &Self) {
        let pairs = [
            (&mut self.environment, &other.environment),
            (&mut self.owner_team, &other.owner_team),
            (&mut self.risk_tier, &other.risk_tier),
            (&mut self.repository, &other.repository),
            (&mut self.runner_pool, &other.runner_pool),
            (&mut self.stack_id, &other.stack_id),
        ];
        for (own, other) in pairs {
            if own.is_empty() {
                own.clone_from(other);
            }
        }
    }
}

impl Histogram {
    fn observe(&mut self, bounds: &[f64], value: f64, change_id: &str, at: u64) {
        self.counts.resize(bounds.len() + 1, 0);
        let bucket = bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum += value;
        self.exemplar = Some((value, change_id.to_owned(), at));
    }
}

/// The state as a snapshot has it: lists, since JSON's keys are text.
#[derive(Serialize, Deserialize)]
struct Saved {
    bounds: Vec<f64>,
    since: u64,
    lead_time: Vec<(Labels, Histogram)>,
    plan_latency: Vec<(Labels, Histogram)>,
    apply_duration: Vec<((Labels, Ended), Histogram)>,
    applies: Vec<((Labels, Ended), u64)>,
    told: Vec<Labels>,
    changes: Vec<(String, Known)>,
    events: Vec<String>,
}

impl Fact {
    /// Appends the fact as a line of the journal.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        if serde_json::to_writer(&mut *into, self).is_ok() {
            into.push(b'\n');
        }
    }
}

impl Replay for State {
    fn replay(&mut self, entry: &[u8]) -> Result<(), Unreadable> {
        if let Ok(saved) = serde_json::from_slice::<Saved>(entry) {
            self.restore(saved);
            return Ok(());
        }
        for line in entry.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.take(&serde_json::from_slice::<Fact>(line).map_err(|_| Unreadable)?);
        }
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        let changes = self.order.iter().filter_map(|id| Some((id.clone(), self.changes.get(id)?.clone())));
        let saved = Saved {
            bounds: self.bounds.clone(),
            since: self.since,
            lead_time: list(&self.lead_time),
            plan_latency: list(&self.plan_latency),
            apply_duration: list(&self.apply_duration),
            applies: list(&self.applies),
            told: self.told.iter().cloned().collect(),
            changes: changes.collect(),
            events: self.event_order.iter().cloned().collect(),
        };
        serde_json::to_vec(&saved).unwrap_or_default() // plain data always serialises
    }
}

fn list<K: Clone, V: Clone>(map: &BTreeMap<K, V>) -> Vec<(K, V)> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl State {
    fn restore(&mut self, saved: Saved) {
        self.since = saved.since;
        self.applies = saved.applies.into_iter().collect();
        // Counts for other bounds cannot be shown with these.
        if saved.bounds == self.bounds {
            self.lead_time = saved.lead_time.into_iter().collect();
            self.plan_latency = saved.plan_latency.into_iter().collect();
            self.apply_duration = saved.apply_duration.into_iter().collect();
        }
        self.told = saved.told.into_iter().collect();
        self.order = saved.changes.iter().map(|(id, _)| id.clone()).collect();
        self.changes = saved.changes.into_iter().collect();
        self.events = saved.events.iter().cloned().collect();
        self.event_order = saved.events.into();
    }
}

/// Sources' clocks differ: what ended before it began took no time.
fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}
