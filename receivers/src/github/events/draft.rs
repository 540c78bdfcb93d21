//! An event while it is put together: absent fields are left out, nothing is made up.

use throughline_change::event::{self, Severity, event_id};

use crate::domain_event::{DomainEvent, Field};
use crate::github::payload::Payload;

/// An event while it is put together.
pub(super) struct Draft<'p> {
    payload: &'p Payload,
    pub(super) repository: String,
    attributes: Vec<(&'static str, Field)>,
    body: Vec<(&'static str, Field)>,
    severity: Option<Severity>,
}

impl<'p> Draft<'p> {
    /// Of the payload's repository. Who did it is the sender, unless [`actor`](Self::actor) knows better.
    pub(super) fn new(payload: &'p Payload) -> Option<Self> {
        let repository = payload.repository()?;
        let mut draft = Self {
            payload,
            repository: repository.clone(),
            attributes: Vec::new(),
            body: Vec::new(),
            severity: None,
        };
        draft.label("repository", Some(repository));
        draft.attribute("vcs.repository.url.full", "/repository/html_url");
        draft.text("actor", "/sender/login");
        Some(draft)
    }

    /// Sets an attribute.
    pub(super) fn label(&mut self, key: &'static str, value: Option<impl Into<String>>) {
        self.attributes.extend(value.map(|value| (key, Field::Text(value.into()))));
    }

    /// Sets an attribute to the text at a pointer.
    pub(super) fn attribute(&mut self, key: &'static str, pointer: &str) {
        self.label(key, self.payload.text(pointer));
    }

    /// Sets an attribute to the number at a pointer, as text: ids are strings in the semantic conventions.
    pub(super) fn id(&mut self, key: &'static str, pointer: &str) {
        self.label(key, number(self.payload, pointer));
    }

    /// The commit, by our label and by the conventions' name.
    pub(super) fn commit(&mut self, sha: Option<&str>) {
        self.label("commit_sha", sha);
        self.label("vcs.ref.head.revision", sha);
    }

    /// The pull request, by our label and by the conventions' name.
    pub(super) fn pull_request(&mut self, number: Option<&str>) {
        self.label("pull_request", number);
        self.label("vcs.change.id", number);
    }

    /// The environment, in one spelling (LBL-05), by our label and by the conventions' name.
    pub(super) fn environment(&mut self, name: Option<&str>) -> Option<String> {
        let lower = name?.to_lowercase();
        let environment = throughline_change::labels::environment(&lower).to_owned();
        self.label("environment", Some(environment.as_str()));
        self.label("deployment.environment.name", Some(environment.as_str()));
        Some(environment)
    }

    /// Who did it.
    pub(super) fn actor(&mut self, pointers: &[&str]) {
        if let Some(who) = pointers.iter().find_map(|pointer| self.payload.text(pointer)) {
            self.body.retain(|(key, _)| *key != "actor");
            self.say("actor", who);
        }
    }

    /// Puts a text into the payload.
    pub(super) fn say(&mut self, key: &'static str, text: &str) {
        self.body.push((key, Field::from(text)));
    }

    /// Puts a value into the payload.
    pub(super) fn field(&mut self, key: &'static str, field: Field) {
        self.body.push((key, field));
    }

    /// Puts the text at a pointer into the payload.
    pub(super) fn text(&mut self, key: &'static str, pointer: &str) {
        self.body.extend(self.payload.text(pointer).map(|text| (key, Field::from(text))));
    }

    /// Puts the number at a pointer into the payload.
    pub(super) fn number(&mut self, key: &'static str, pointer: &str) {
        let number = self.payload.number(pointer).and_then(|number| i64::try_from(number).ok());
        self.body.extend(number.map(|number| (key, Field::Int(number))));
    }

    /// Puts the truth at a pointer into the payload.
    pub(super) fn truth(&mut self, key: &'static str, pointer: &str) {
        self.body.extend(self.payload.truth(pointer).map(|truth| (key, Field::Bool(truth))));
    }

    /// How long it took, in milliseconds.
    pub(super) fn took(&mut self, start: Option<u64>, end: Option<u64>) {
        if let (Some(start), Some(end)) = (start, end) {
            let millis = end.saturating_sub(start) / 1_000_000;
            self.body.push(("duration_ms", Field::Int(i64::try_from(millis).unwrap_or(i64::MAX))));
        }
    }

    /// How it ended, in the words of the conventions, which spans have too.
    pub(super) fn result(&mut self, key: &'static str, conclusion: &str) {
        let result = result(Some(conclusion));
        self.say("result", result);
        self.label(key, Some(result));
        self.severity = Some(severity(result));
    }

    /// Ends the draft. `identity` is what tells this transition from any other of its type and entity in the repository.
    pub(super) fn finish(
        self,
        name: &str,
        entity_id: String,
        occurred_at: u64,
        identity: &[&str],
    ) -> Option<DomainEvent> {
        let kind = event::named(name)?;
        let mut parts = vec!["github", name, &*self.repository, &*entity_id];
        parts.extend(identity);
        Some(DomainEvent {
            kind,
            event_id: event_id(&parts),
            occurred_at,
            entity_id,
            severity: self.severity.unwrap_or(kind.severity),
            attributes: self.attributes,
            payload: self.body,
        })
    }
}

/// A number as text.
pub(super) fn number(payload: &Payload, pointer: &str) -> Option<String> {
    payload.number(pointer).map(|number| number.to_string())
}

/// GitHub's conclusions and states in the words of the semantic conventions (`cicd.pipeline.result`).
pub(in crate::github) fn result(conclusion: Option<&str>) -> &'static str {
    match conclusion {
        Some("success" | "neutral") => "success",
        Some("failure") => "failure",
        Some("timed_out") => "timeout",
        Some("cancelled") => "cancellation",
        Some("skipped") => "skip",
        _ => "error",
    }
}

fn severity(result: &str) -> Severity {
    match result {
        "success" | "skip" => Severity::Info,
        "cancellation" => Severity::Warning,
        _ => Severity::High,
    }
}
