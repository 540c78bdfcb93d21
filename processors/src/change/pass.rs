//! One walk: learn, resolve, label.

use std::sync::{MutexGuard, PoisonError};

use throughline_change::labels::{COPIED, environment};
use throughline_change::{
    Claim, Hint, Identity, Repository, Resolution, Sha, Superseded, Tie, change_key, event,
};
use throughline_component::{Barrier, Notice, Pass};
use throughline_otlp::Value;
use throughline_otlp::edit::{Keep, Level, Record};
use throughline_otlp::path::Path;

use super::Change;
use super::labels::{Has, Seen};

pub(super) struct Walk<'a> {
    change: &'a Change,
    /// Held for the whole walk: one lock a chunk, none a record.
    identity: MutexGuard<'a, Identity>,
    resource: Around,
    counts: Counts,
    superseded: Vec<Superseded>,
}

/// What the resource says for all records below it.
#[derive(Default)]
struct Around {
    change_id: Option<String>,
    repository: Option<Repository>,
    /// The last repository that a record named by itself, since neighbours mostly name the same.
    named: Option<(String, Repository)>,
    pull_request: Option<u64>,
    commit: Option<Sha>,
}

#[derive(Default)]
struct Counts {
    tied: u64,
    untied: u64,
    ambiguous: u64,
    refused: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(change: &'a Change) -> Self {
        let identity = change.identity.lock().unwrap_or_else(PoisonError::into_inner);
        let (resource, counts, superseded) = (Around::default(), Counts::default(), Vec::new());
        Self { change, identity, resource, counts, superseded }
    }

    fn enter(&mut self, record: &mut Record<'_>) {
        let seen = Seen::read(record.attributes());
        let repository = seen.repository();
        let (pull_request, commit, has) = (seen.pull_request, seen.commit, seen.has);
        let change_id = seen.change_id.map(str::to_owned);
        let copied = seen.copied.map(|value| value.map(str::to_owned));
        self.resource =
            Around { change_id, repository, named: self.resource.named.take(), pull_request, commit };
        copy(record, &copied);
        if let Some(repository) = self.resource.repository.as_ref().filter(|_| !has.repository) {
            record.insert_attribute("repository", Value::Str(repository.as_str()));
        }
    }

    fn label(&mut self, record: &mut Record<'_>) {
        let seen = Seen::read(record.attributes());
        let repository = self.repository(&seen);
        let repository = repository.or_else(|| self.resource.repository.clone());
        let pull_request = seen.pull_request.or(self.resource.pull_request);
        let commit = seen.commit.or(self.resource.commit);
        let merge_commit = seen.merge_commit;
        let has = Has { change_id: seen.has.change_id || self.resource.change_id.is_some(), ..seen.has };
        let copied = seen
            .copied
            .iter()
            .any(Option::is_some)
            .then(|| seen.copied.map(|value| value.map(str::to_owned)));
        let kept = seen.change_id.or(self.resource.change_id.as_deref()).map(str::to_owned);
        if let Some(repository) = &repository {
            for sha in commit.into_iter().chain(merge_commit) {
                self.learn(repository, pull_request, sha);
            }
        }
        if let Some(copied) = copied {
            copy(record, &copied);
        }
        let hint = Hint { repository: repository.as_ref(), pull_request, commit };
        let resolution = match kept {
            // A value that is already there is not overwritten, and names the change.
            Some(_) if pull_request.is_none() && commit.is_none() => None,
            _ => Some(self.identity.resolve(&hint)),
        };
        match resolution {
            Some(Resolution::Tied(tie)) => {
                self.counts.tied += 1;
                write(record, &tie, commit, has);
            }
            Some(Resolution::Ambiguous) => self.counts.ambiguous += 1,
            Some(Resolution::Unknown) if commit.is_some() || pull_request.is_some() => {
                self.counts.untied += 1
            }
            Some(Resolution::Unknown) => {}
            None => self.counts.tied += 1,
        }
    }

    fn repository(&mut self, seen: &Seen<'_>) -> Option<Repository> {
        let text = seen.repository?;
        if let Some((known, repository)) = &self.resource.named
            && known == text
        {
            return Some(repository.clone());
        }
        let repository = Repository::parse(text)?;
        self.resource.named = Some((text.to_owned(), repository.clone()));
        Some(repository)
    }

    fn learn(&mut self, repository: &Repository, pull_request: Option<u64>, sha: Sha) {
        let claim = match pull_request {
            Some(number) => Claim::PullRequestCommit(repository.clone(), number, sha),
            None => Claim::Commit(repository.clone(), sha),
        };
        let learned = self.identity.claim(&claim);
        self.counts.refused += u64::from(learned.refused);
        self.superseded.extend(learned.superseded);
    }
}

impl Pass for Walk<'_> {
    fn edit(&mut self, record: &mut Record<'_>) -> Keep {
        match record.level() {
            Level::Resource => self.enter(record),
            _ => self.label(record),
        }
        Keep::Yes
    }

    fn finish(self: Box<Self>) -> Option<Barrier> {
        let Self { change, counts, superseded, .. } = *self;
        change.counters.tied.add(counts.tied);
        change.counters.untied.add(counts.untied);
        change.counters.ambiguous.add(counts.ambiguous);
        change.counters.refused.add(counts.refused);
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
        None
    }
}

/// Sets the labels that are not there yet. On metrics the unbounded ones go to exemplars.
fn write(record: &mut Record<'_>, tie: &Tie, commit: Option<Sha>, has: Has) {
    let mut hex = [0; 64];
    let commit = commit.as_ref().map(|sha| sha.hex(&mut hex));
    let number = tie.pull_request.map(|number| number.to_string());
    let change_id = tie.change_id.as_str();
    if record.level() == Level::Metric {
        record.insert_exemplar_attribute("change_id", Value::Str(change_id));
        if let Some(commit) = commit {
            record.insert_exemplar_attribute("commit_sha", Value::Str(commit));
        }
        if let Some(number) = &number {
            record.insert_exemplar_attribute("pull_request", Value::Str(number));
        }
        record.insert_attribute("repository", Value::Str(tie.repository.as_str()));
        return;
    }
    if !has.change_id {
        record.insert_attribute("change_id", Value::Str(change_id));
    }
    if let Some(commit) = commit.filter(|_| !has.commit_sha) {
        record.insert_attribute("commit_sha", Value::Str(commit));
    }
    if let Some(number) = number.as_deref().filter(|_| !has.pull_request) {
        record.insert_attribute("pull_request", Value::Str(number));
    }
    if !has.repository {
        record.insert_attribute("repository", Value::Str(tie.repository.as_str()));
    }
    if !tie.change_ids.is_empty() {
        let all: Vec<Value<'_>> = tie.change_ids.iter().map(|id| Value::Str(id.as_str())).collect();
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

fn copy(record: &mut Record<'_>, copied: &[Option<String>; COPIED.len()]) {
    for ((label, _), value) in COPIED.iter().zip(copied) {
        if let Some(value) = value {
            let value = if *label == "environment" { environment(value) } else { value };
            record.insert_attribute(label, Value::Str(value));
        }
    }
}
