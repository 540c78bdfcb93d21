//! Reading what the `file` exporter wrote: OTLP/JSON, one request a line.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

/// A span, log record or metric, with what stands above it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The record.
    pub json: Json,
    /// Its resource's attributes and, over them, its own, as text.
    pub attributes: BTreeMap<String, String>,
}

impl Record {
    /// An attribute as text; empty if it is not there.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// A field of the record that holds text; empty if it is not there.
    pub fn text(&self, field: &str) -> &str {
        self.json[field].as_str().unwrap_or_default()
    }

    /// The body of a log record as text.
    pub fn body(&self) -> String {
        value(&self.json["body"])
    }
}

/// All records of a file, in the order in which they were written. A file that is not there has none.
pub fn read(path: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut records = Vec::new();
    // A line that has no end yet is being written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let request: Json = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        for (groups, scopes, kind) in LEVELS {
            for group in list(&request[groups]) {
                for json in list(&group[scopes]).iter().flat_map(|scope| list(&scope[kind])) {
                    let mut attributes = pairs(&group["resource"]["attributes"]);
                    attributes.extend(pairs(&json["attributes"]));
                    records.push(Record { json: json.clone(), attributes });
                }
            }
        }
    }
    records
}

const LEVELS: [(&str, &str, &str); 3] = [
    ("resourceSpans", "scopeSpans", "spans"),
    ("resourceLogs", "scopeLogs", "logRecords"),
    ("resourceMetrics", "scopeMetrics", "metrics"),
];

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn pairs(attributes: &Json) -> BTreeMap<String, String> {
    let pairs = list(attributes).iter();
    pairs.map(|pair| (pair["key"].as_str().unwrap_or_default().to_owned(), value(&pair["value"]))).collect()
}

/// An any-value as text: strings as they are, all else as JSON.
pub fn value(any: &Json) -> String {
    let inner = any.as_object().and_then(|any| any.values().next());
    inner.map_or_else(String::new, |inner| inner.as_str().map_or_else(|| inner.to_string(), str::to_owned))
}
