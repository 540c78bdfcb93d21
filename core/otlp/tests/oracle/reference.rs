//! The reference: `prost` for what it knows, `prost-reflect` for what it does not.

use std::sync::LazyLock;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use throughline_otlp::{Limits, Signal, admit, json};

/// A request as prost decodes it.
#[derive(Clone, Debug)]
pub(crate) enum Decoded {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

impl Decoded {
    pub(crate) fn decode(signal: Signal, bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        Ok(match signal {
            Signal::Traces => Self::Traces(ExportTraceServiceRequest::decode(bytes)?),
            Signal::Metrics => Self::Metrics(ExportMetricsServiceRequest::decode(bytes)?),
            Signal::Logs => Self::Logs(ExportLogsServiceRequest::decode(bytes)?),
        })
    }
}

pub(crate) static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(opentelemetry_proto::DESCRIPTORS).expect("the crate's own descriptors")
});

pub(crate) fn descriptor(signal: Signal) -> MessageDescriptor {
    let (package, name) = match signal {
        Signal::Traces => ("trace", "Trace"),
        Signal::Metrics => ("metrics", "Metrics"),
        Signal::Logs => ("logs", "Logs"),
    };
    let name = format!("opentelemetry.proto.collector.{package}.v1.Export{name}ServiceRequest");
    POOL.get_message_by_name(&name).expect("a message of OTLP")
}

/// The request in one canonical order, unknown fields included.
pub(crate) fn canonical(signal: Signal, bytes: &[u8]) -> Vec<u8> {
    DynamicMessage::decode(descriptor(signal), bytes).expect("legal protobuf").encode_to_vec()
}

/// Both mean the same, unknown fields included.
pub(crate) fn assert_same(signal: Signal, left: &[u8], right: &[u8]) {
    let decoded = |bytes| format!("{:?}", Decoded::decode(signal, bytes).expect("legal protobuf"));
    assert_eq!(decoded(left), decoded(right));
    assert_eq!(canonical(signal, left), canonical(signal, right), "unknown fields differ");
}

/// Any bytes are admitted exactly if prost decodes them, text and depth apart.
pub(crate) fn check_admission(signal: Signal, input: &[u8]) {
    let ours = admit(signal, Bytes::copy_from_slice(input), &Limits::default());
    match (Decoded::decode(signal, input), ours) {
        (Ok(_), Ok(admitted)) => assert_same(signal, input, &admitted.bytes),
        (Err(_), Err(malformed)) => assert!(malformed.at <= input.len()),
        // Where prost refuses a request for its text, we cut out what the text is in.
        (Err(refused), Ok(admitted)) => {
            assert!(refused.to_string().contains("UTF-8"), "{refused}");
            Decoded::decode(signal, &admitted.bytes).expect("no damage is left");
        }
        // Prost allows 100 levels.
        (Ok(_), Err(malformed)) => assert!(malformed.what.contains("too deep"), "{malformed}"),
    }
}

/// What is written as JSON and read back means the same. (JSON has no unknown fields, and one NaN.)
pub(crate) fn check_json(signal: Signal, canonical: &Bytes) {
    let text = json::encode(signal, canonical);
    serde_json::from_slice::<serde_json::Value>(&text).expect("it is JSON");
    let read = json::decode(signal, &text).expect("what we wrote, we can read");
    let admitted = admit(signal, Bytes::from(read), &Limits::default()).expect("it is legal");
    let decoded = |bytes: &[u8]| format!("{:?}", Decoded::decode(signal, bytes).expect("legal protobuf"));
    assert_eq!(decoded(canonical), decoded(&admitted.bytes));
}

/// Any text is read as JSON or refused in words with a place, and what was read is legal protobuf.
pub(crate) fn check_any_json(signal: Signal, text: &[u8]) {
    match json::decode(signal, text) {
        Ok(read) => drop(Decoded::decode(signal, &read).expect("it is legal")),
        Err(error) => assert!(!error.message.is_empty()),
    }
}
