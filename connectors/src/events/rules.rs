//! Rules: which record makes which event.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_change::event::{self, TYPES, Type};
use throughline_component::ConfigError;
use throughline_otlp::view::{AnyValue, Attributes, LogRecord, ResourceLookup, Span};

use super::write::Found;

/// One rule.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// The event to make, as `docs/events.md` spells it: `PlanCompleted`.
    event: String,
    /// What to look at.
    from: From,
    /// What must match: `name` and `status` of a span, `event_name`, `body` and `severity` of a log record, or any attribute
    /// of the record or its resource. `*` stands for any text; several values are alternatives.
    #[serde(rename = "where")]
    conditions: BTreeMap<String, Values>,
    /// Whether the event happened when the span started or when it ended.
    #[serde(default)]
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum From {
    /// A span; CI jobs and their steps are spans too.
    Span,
    /// A log record.
    Log,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum At {
    /// When the span started.
    Start,
    /// When the span ended; of a log record, its time.
    #[default]
    End,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Values {
    /// The only value.
    One(String),
    /// Alternatives.
    Any(Vec<String>),
}

/// All rules, checked.
pub(super) struct Rules {
    spans: Vec<Compiled>,
    logs: Vec<Compiled>,
}

struct Compiled {
    kind: &'static Type,
    conditions: Vec<(String, Vec<String>)>,
    at: At,
}

/// A built-in rule: event, source, time, conditions.
type Default = (&'static str, From, At, &'static [(&'static str, &'static [&'static str])]);

const PLAN: &[&str] = &["tofu plan", "terraform plan", "iac_plan", "pulumi preview"];
const APPLY: &[&str] = &["tofu apply", "terraform apply", "apply_run", "pulumi up"];

/// The built-in rules. The span names are those of the tools, and those of requirement SPN-04 and SPN-12.
const DEFAULTS: &[Default] = &[
    ("PlanStarted", From::Span, At::Start, &[("name", PLAN)]),
    ("PlanCompleted", From::Span, At::End, &[("name", PLAN), ("status", &["unset", "ok"])]),
    ("PlanFailed", From::Span, At::End, &[("name", PLAN), ("status", &["error"])]),
    ("ApplyStarted", From::Span, At::Start, &[("name", APPLY)]),
    ("ApplySucceeded", From::Span, At::End, &[("name", APPLY), ("status", &["unset", "ok"])]),
    ("ApplyFailed", From::Span, At::End, &[("name", APPLY), ("status", &["error"])]),
    // EVT-28: the log name is an alias of the event.
    ("PlanCompleted", From::Log, At::End, &[("event", &["iac_plan_completed"])]),
];

impl Rules {
    pub(super) fn compile(own: Vec<Rule>, defaults: bool) -> Result<Self, ConfigError> {
        let mut rules = Self { spans: Vec::new(), logs: Vec::new() };
        for (name, from, at, conditions) in DEFAULTS.iter().filter(|_| defaults) {
            let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
            let conditions = conditions.iter().map(|(key, list)| ((*key).to_owned(), texts(list))).collect();
            let kind = event::named(name).ok_or_else(|| unknown(name, ""))?;
            rules.of(*from).push(Compiled { kind, conditions, at: *at });
        }
        for (index, rule) in own.into_iter().enumerate() {
            let path = format!("rules::{index}");
            if rule.conditions.is_empty() {
                return Err(ConfigError::new(
                    &format!("{path}::where"),
                    "a rule without a condition fits everything",
                ));
            }
            let kind =
                event::named(&rule.event).ok_or_else(|| unknown(&rule.event, &format!("{path}::event")))?;
            let values = |values| match values {
                Values::One(only) => vec![only],
                Values::Any(several) => several,
            };
            let conditions = rule.conditions.into_iter().map(|(key, list)| (key, values(list))).collect();
            rules.of(rule.from).push(Compiled { kind, conditions, at: rule.at });
        }
        Ok(rules)
    }

    fn of(&mut self, from: From) -> &mut Vec<Compiled> {
        match from {
            From::Span => &mut self.spans,
            From::Log => &mut self.logs,
        }
    }

    pub(super) fn span(&self, resource: &ResourceLookup<'_>, span: Span<'_>, found: &mut Vec<Found>) {
        let status = match span.status().map(|status| status.code()) {
            Some(1) => "ok",
            Some(2) => "error",
            _ => "unset",
        };
        let own = [("name", span.name()), ("status", status)];
        for rule in self.spans.iter().filter(|rule| rule.fits(&own, span.attributes(), resource)) {
            let (start, end) = (span.start_time_unix_nano(), span.end_time_unix_nano());
            let at = if rule.at == At::Start { start } else { end };
            let origin = [span.trace_id(), span.span_id()];
            let mut event = Found::new(rule.kind, at, &origin, span.attributes(), resource);
            if rule.at == At::End {
                event.duration(end.saturating_sub(start));
            }
            found.push(event);
        }
    }

    pub(super) fn log(&self, resource: &ResourceLookup<'_>, log: LogRecord<'_>, found: &mut Vec<Found>) {
        // What is an event already makes no other of its kind.
        let body = log.body().and_then(AnyValue::as_str).unwrap_or_default();
        let own = [("event_name", log.event_name()), ("severity", log.severity_text()), ("body", body)];
        for rule in self.logs.iter().filter(|rule| rule.fits(&own, log.attributes(), resource)) {
            let at =
                if log.time_unix_nano() > 0 { log.time_unix_nano() } else { log.observed_time_unix_nano() };
            let (time, body) = (at.to_be_bytes(), body.as_bytes());
            let origin = [log.trace_id(), log.span_id(), &time, body];
            found.push(Found::new(rule.kind, at, &origin, log.attributes(), resource));
        }
    }
}

impl Compiled {
    fn fits(&self, own: &[(&str, &str)], record: Attributes<'_>, resource: &ResourceLookup<'_>) -> bool {
        self.conditions.iter().all(|(key, values)| {
            let own = own.iter().find(|(name, _)| name == key).map(|(_, text)| *text);
            let text = own.or_else(|| record.get_str(key)).or_else(|| resource.get_str(key));
            text.is_some_and(|text| values.iter().any(|pattern| glob(pattern, text)))
        })
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    true
}

fn unknown(name: &str, path: &str) -> ConfigError {
    let names: Vec<_> = TYPES.iter().map(|kind| kind.name).collect();
    ConfigError::new(path, format!("there is no event `{name}`; the events are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("a", "a"),
            ("*", ""),
            ("*", "x"),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*c*e", "abcde"),
            ("*b*", "abc"),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*", "ba"), ("*c", "cb"), ("a*c*e", "abde"), ("", "x")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}
