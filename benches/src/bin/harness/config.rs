//! The agent's configurations.

use std::path::Path;

/// OTLP/gRPC in and out. Where a processor is named, logs pass it too, so that changes can be opened.
pub(crate) fn grpc(listen: &str, sink: &str, processors: &str, storage: Option<Storage<'_>>) -> String {
    let mask = processors.contains("secrets");
    let defined: String =
        processors.split(", ").filter(|name| !name.is_empty()).map(|name| format!("  {name}:\n")).collect();
    let (processors_section, logs, debug) = if defined.is_empty() {
        (String::new(), String::new(), "")
    } else {
        let logs =
            format!("    logs: {{receivers: [otlp], processors: [{processors}], exporters: [debug]}}\n");
        (format!("processors:\n{defined}"), logs, "  debug:\n")
    };
    let (extension, used, queue) = storage.map_or_else(Default::default, |storage| {
        let Storage { folder, durability } = storage;
        let folder = folder.display();
        (
            format!(
                "extensions:\n  file_storage: {{directory: '{folder}', create_directory: true, max_bytes: 16GiB, \
                 durability: {durability}}}\n"
            ),
            "  extensions: [file_storage]\n",
            ", sending_queue: {storage: file_storage}",
        )
    });
    format!(
        "receivers:\n  otlp: {{protocols: {{grpc: {{endpoint: '{listen}'}}}}}}\n\
         exporters:\n  otlp_grpc: {{endpoint: '{sink}', tls: {{insecure: true}}, compression: none{queue}}}\n{debug}\
         {extension}{processors_section}\
         service:\n{used}  mask_secrets: {mask}\n  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}\n  \
         pipelines:\n    traces: {{receivers: [otlp], processors: [{processors}], exporters: [otlp_grpc]}}\n{logs}"
    )
}

/// Where the agent keeps what waits.
#[derive(Clone, Copy)]
pub(crate) struct Storage<'a> {
    pub(crate) folder: &'a Path,
    /// `synced` or `memory`.
    pub(crate) durability: &'static str,
}

/// OTLP/HTTP in and out.
pub(crate) fn http(listen: &str, sink: &str) -> String {
    format!(
        "receivers:\n  otlp: {{protocols: {{http: {{endpoint: '{listen}'}}}}}}\n\
         exporters:\n  otlp_http: {{endpoint: 'http://{sink}', compression: none}}\n\
         service:\n  mask_secrets: false\n  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}\n  \
         pipelines:\n    traces: {{receivers: [otlp], exporters: [otlp_http]}}\n"
    )
}
