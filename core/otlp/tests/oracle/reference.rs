//! The reference: `prost` for what it knows, `prost-reflect` for what it does not.

use std::sync::LazyLock;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use throughline_otlp::Signal;

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
