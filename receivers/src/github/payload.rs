//! Reading a delivery, of which any field may be missing or of another type.

use jiff::Timestamp;
use serde_json::Value;
use throughline_component::port::Mask;

/// A delivery's body.
pub(super) struct Payload(Value);

/// What a value costs beside its text, with the room that lists keep for more.
const VALUE: usize = 96;

impl Payload {
    /// What a body costs at most once it is parsed: a value of two bytes becomes fifty times as large.
    pub(super) fn cost(body: &[u8]) -> usize {
        let values = body.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
        body.len() + (values + 1) * VALUE
    }

    /// Reads a body. What is rewritten later (to lower case, cut into parts) is masked first: afterwards no secret in it could be
    /// recognised.
    pub(super) fn parse(body: &[u8], mask: Option<&dyn Mask>) -> Result<Self, serde_json::Error> {
        const REWRITTEN: [&str; 6] = [
            "/repository/html_url",
            "/repository/name",
            "/deployment/environment",
            "/environment",
            "/workflow_job_run/environment",
            "/context",
        ];
        let mut payload: Value = serde_json::from_slice(body)?;
        let hide = |value: Option<&mut Value>| {
            if let Some(Value::String(text)) = value
                && let Some(masked) = mask.and_then(|mask| mask.mask(text))
            {
                *text = masked;
            }
        };
        REWRITTEN.into_iter().for_each(|pointer| hide(payload.pointer_mut(pointer)));
        let jobs = payload.pointer_mut("/workflow_job_runs").and_then(Value::as_array_mut);
        jobs.into_iter().flatten().for_each(|job| hide(job.pointer_mut("/environment")));
        Ok(Self(payload))
    }

    /// The text at a JSON pointer, unless it is empty.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
    }

    pub(super) fn number(&self, pointer: &str) -> Option<u64> {
        self.0.pointer(pointer)?.as_u64()
    }

    /// Whether something is so, if the delivery says.
    pub(super) fn truth(&self, pointer: &str) -> Option<bool> {
        self.0.pointer(pointer)?.as_bool()
    }

    /// A time that is given in seconds since 1970, in nanoseconds.
    pub(super) fn seconds(&self, pointer: &str) -> Option<u64> {
        self.number(pointer)?.checked_mul(1_000_000_000)
    }

    pub(super) fn list(&self, pointer: &str) -> Vec<Self> {
        let list = self.0.pointer(pointer).and_then(Value::as_array);
        list.map(|list| list.iter().cloned().map(Self).collect()).unwrap_or_default()
    }

    /// How many members a list has.
    pub(super) fn count(&self, pointer: &str) -> usize {
        self.0.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// A time in nanoseconds since 1970.
    pub(super) fn time(&self, pointer: &str) -> Option<u64> {
        let time: Timestamp = self.text(pointer)?.parse().ok()?;
        u64::try_from(time.as_nanosecond()).ok()
    }

    /// The first of several times that is there, or zero, which OTLP reads as unknown.
    pub(super) fn first_time(&self, pointers: &[&str]) -> u64 {
        pointers.iter().find_map(|pointer| self.time(pointer)).unwrap_or(0)
    }

    /// `host/owner/name`.
    pub(super) fn repository(&self) -> Option<String> {
        let address = self.text("/repository/html_url")?;
        throughline_change::Repository::parse(address).map(|repository| repository.to_string())
    }

    /// The repository's name, lower case, `_` as `-`.
    pub(super) fn service_name(&self) -> String {
        self.text("/repository/name").unwrap_or("unknown_service").to_lowercase().replace('_', "-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_values_cost_what_they_become() {
        assert_eq!(Payload::cost(br#"{"a":["b",1]}"#), 13 + 4 * VALUE);
        let small = format!("[{}0]", "[],".repeat(1000));
        assert!(Payload::cost(small.as_bytes()) > 30 * small.len());
    }
}
