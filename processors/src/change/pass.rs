//! One walk: learn, resolve, label.

use throughline_change::{
    Hint, Link, Repository, RepositoryIndex, Resolution, Sha, Superseded, change_key, event,
};
use throughline_component::port::StoreError;
use throughline_component::{Barrier, Notice, Outcome, Pass, ReadGuard, Verdict};
use throughline_otlp::edit::{Level, Record};
use throughline_otlp::path::Path;
use throughline_otlp::{Signal, Value};

use super::labels::{Has, Identifiers, copied, known as known_labels};
use super::{Change, JournaledIdentity};

pub(super) struct ChangePass<'a> {
    change: &'a Change,
    /// Read for the whole walk: one lock a chunk, none a record, and walks beside each other. Only what teaches something
    /// new has it for itself.
    identity: ReadGuard<'a, JournaledIdentity>,
    resource: ResourceState,
    /// The last repository that was named, since neighbours mostly name the same.
    named: Option<(Vec<u8>, RepositoryIndex)>,
    counts: Counts,
    superseded: Vec<Superseded>,
    /// New claims, as the journal will have them.
    claims: Vec<u8>,
    /// For the text of a change's id.
    scratch: String,
    /// Points carry the labels of their resource: it does not become labels by itself.
    has_points: bool,
}

/// The journal cannot be opened: what would be learnt could be lost, so nothing is taken.
pub(super) struct Unopened(pub(super) StoreError);

impl Pass for Unopened {
    fn edit(&mut self, _: &mut Record<'_>) -> Verdict {
        Verdict::Keep
    }

    fn finish(self: Box<Self>) -> Option<Barrier> {
        Some(Barrier::new(move |settle| settle.settle(Outcome::retry(self.0.to_string()))))
    }
}

/// What the resource says for all records below it.
#[derive(Default)]
struct ResourceState {
    has_change_id: bool,
    repository: Option<RepositoryIndex>,
    pull_request: Option<u64>,
    commit: Option<Sha>,
    /// The bounded labels that it gives, for the points of its metrics.
    labels: Vec<(&'static str, String)>,
}

#[derive(Default)]
struct Counts {
    linked: u64,
    unlinked: u64,
    ambiguous: u64,
    refused: u64,
    forgotten: u64,
}

impl<'a> ChangePass<'a> {
    pub(super) fn new(
        change: &'a Change,
        identity: ReadGuard<'a, JournaledIdentity>,
        signal: Signal,
    ) -> Self {
        Self {
            change,
            identity,
            resource: ResourceState::default(),
            named: None,
            counts: Counts::default(),
            superseded: Vec::new(),
            claims: Vec::new(),
            scratch: String::new(),
            has_points: signal == Signal::Metrics,
        }
    }

    fn enter(&mut self, record: &mut Record<'_>) {
        let seen = Identifiers::read(record.attributes());
        let name = seen.repository.value.and_then(|text| self.change.repository(text));
        let known = name.as_ref().and_then(|name| self.repository_index(name));
        let mut labels = if self.has_points { known_labels(record.attributes()) } else { Vec::new() };
        labels.extend(name.as_ref().filter(|_| self.has_points).map(|name| ("repository", name.to_string())));
        self.resource = ResourceState {
            labels,
            has_change_id: seen.has.change_id,
            repository: known,
            pull_request: seen.pull_request.value,
            commit: seen.commit.value,
        };
        let (has, environment) = (seen.has, seen.environment);
        if seen.copies {
            copy(record);
        }
        respell(record, environment);
        if let Some(name) = name.filter(|_| !has.repository) {
            record.append_attribute("repository", Value::Str(name.as_str()));
        }
    }

    fn label(&mut self, record: &mut Record<'_>) {
        let seen = Identifiers::read(record.attributes());
        let own = seen.repository.value.and_then(|text| self.repository(text));
        let hint = Hint {
            repository: own.or(self.resource.repository),
            pull_request: seen.pull_request.value.or(self.resource.pull_request),
            commit: seen.commit.value.or(self.resource.commit),
        };
        let (merge_commit, mut has, environment) = (seen.merge_commit, seen.has, seen.environment);
        has.change_id |= self.resource.has_change_id;
        if seen.copies {
            copy(record);
        }
        respell(record, environment);
        if record.level() == Level::Metric {
            for (label, value) in &self.resource.labels {
                record.insert_attribute(label, Value::Str(value));
            }
        }
        if let Some(sha) = merge_commit {
            self.learn(Hint { commit: Some(sha), ..hint });
        }
        if hint.commit.is_none() && hint.pull_request.is_none() {
            self.counts.linked += u64::from(has.change_id);
            return;
        }
        let resolution = match self.identity.0.recall(hint) {
            Some(resolution) => resolution,
            None => {
                self.learn(hint);
                self.identity.0.resolve(hint)
            }
        };
        match resolution {
            Resolution::Linked(link) => {
                self.counts.linked += 1;
                write(record, &link, hint.commit, has, &mut self.scratch);
            }
            Resolution::Ambiguous => self.counts.ambiguous += 1,
            Resolution::Unknown => self.counts.unlinked += 1,
        }
    }

    fn repository(&mut self, text: &[u8]) -> Option<RepositoryIndex> {
        if let Some((last, known)) = &self.named
            && last == text
        {
            return Some(*known);
        }
        let known = self.repository_index(&self.change.repository(text)?)?;
        self.named = Some((text.to_owned(), known));
        Some(known)
    }

    fn repository_index(&mut self, repository: &Repository) -> Option<RepositoryIndex> {
        let known = self.identity.0.index_of(repository);
        let known = known.or_else(|| self.identity.change(|learnt| learnt.0.intern(repository)));
        self.counts.refused += u64::from(known.is_none());
        known
    }

    fn learn(&mut self, hint: Hint) {
        let (learned, claim, forgotten) = self.identity.change(|learnt| {
            let before = learnt.0.forgotten();
            let learned = learnt.0.observe(hint);
            let claim = if learned.new { learnt.0.as_claim(hint) } else { None };
            (learned, claim, learnt.0.forgotten() - before)
        });
        self.counts.forgotten += forgotten;
        if let Some(claim) = claim {
            self.claims.extend(claim.write());
            self.claims.push(b'\n');
        }
        self.counts.refused += u64::from(learned.refused);
        self.superseded.extend(learned.superseded);
    }
}

impl Pass for ChangePass<'_> {
    fn edit(&mut self, record: &mut Record<'_>) -> Verdict {
        match record.level() {
            Level::Resource => self.enter(record),
            _ => self.label(record),
        }
        Verdict::Keep
    }

    fn finish(self: Box<Self>) -> Option<Barrier> {
        let Self { change, identity, counts, superseded, claims, .. } = *self;
        let barrier = identity.append(claims);
        change.counters.linked.add(counts.linked);
        change.counters.unlinked.add(counts.unlinked);
        change.counters.ambiguous.add(counts.ambiguous);
        change.counters.refused.add(counts.refused);
        change.counters.forgotten.add(counts.forgotten);
        change.counters.superseded.add(superseded.len() as u64);
        for Superseded { old, new } in superseded {
            if let Some(internal) = &change.internal {
                internal.post(Notice {
                    from: change.id.clone(),
                    event_name: "change.identity.superseded".into(),
                    occurred_at: change.clock.unix_nanos(),
                    body: format!("{old} is now {new}"),
                    attributes: vec![("old".into(), old.to_string()), ("new".into(), new.to_string())],
                });
            }
        }
        barrier
    }
}

/// Sets the labels that are not there yet. On metrics the unbounded ones go to exemplars.
fn write(record: &mut Record<'_>, link: &Link<'_>, commit: Option<Sha>, has: Has, change_id: &mut String) {
    let mut hex = [0; 64];
    link.write_change_id(change_id);
    let change_id = change_id.as_str();
    // The digits behind the `#`.
    let number = link.pull_request().and_then(|_| change_id.get(link.repository.as_str().len() + 1..));
    if record.level() == Level::Metric {
        record.insert_exemplar_attribute("change_id", Value::Str(change_id));
        if let Some(commit) = &commit {
            record.insert_exemplar_attribute("commit_sha", Value::Str(commit.hex(&mut hex)));
        }
        if let Some(number) = number {
            record.insert_exemplar_attribute("pull_request", Value::Str(number));
        }
        // No label of a point depends on what was learnt: its series would split when it is.
        return;
    }
    // Which labels are there was seen a moment ago: nothing needs to be looked for again.
    if !has.change_id {
        record.append_attribute("change_id", Value::Str(change_id));
    }
    if let Some(commit) = commit.filter(|_| !has.commit_sha) {
        record.append_attribute("commit_sha", Value::Str(commit.hex(&mut hex)));
    }
    if let Some(number) = number.filter(|_| !has.pull_request) {
        record.append_attribute("pull_request", Value::Str(number));
    }
    if !has.repository {
        record.append_attribute("repository", Value::Str(link.repository.as_str()));
    }
    let all = link.change_ids();
    if !all.is_empty() {
        let all: Vec<Value<'_>> = all.iter().map(|id| Value::Str(id.as_str())).collect();
        record.insert_attribute("change_ids", Value::Array(&all));
    }
    if record.level() == Level::Log {
        event_of_change(record, change_id);
    }
}

/// A domain event belongs to the trace of its change.
fn event_of_change(record: &mut Record<'_>, change_id: &str) {
    let is_event = |log: throughline_otlp::view::LogRecord<'_>| {
        log.trace_id().is_empty() && event::of_record(log.event_name()).is_some()
    };
    if record.as_log().is_some_and(is_event)
        && let Ok(path) = Path::parse("trace_id")
    {
        drop(record.set(&path, Value::Bytes(&change_key(change_id))));
    }
}

/// Copies labels from their inputs, unless they are there.
fn copy(record: &mut Record<'_>) {
    for (label, value) in copied(record.attributes()) {
        record.append_attribute(label, Value::Str(&value));
    }
}

/// Gives the environment its one spelling.
fn respell(record: &mut Record<'_>, environment: Option<&'static str>) {
    if let Some(name) = environment {
        record.set_attribute("environment", Value::Str(name));
    }
}
