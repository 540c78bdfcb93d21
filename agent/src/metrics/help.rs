//! What each family means. `docs/self-telemetry.md` says the same at length.

use throughline_otlp::Signal;

/// Families that exist once for every signal; `*` stands for the signal's items.
const BY_SIGNAL: [(&str, &str); 8] = [
    ("otelcol_exporter_enqueue_failed_*", "Items that found the exporter's queue full."),
    ("otelcol_exporter_send_failed_*", "Items that could not be delivered."),
    ("otelcol_exporter_sent_*", "Items that were delivered."),
    ("otelcol_processor_memory_limiter_accepted_*", "Items let through while there was memory."),
    ("otelcol_processor_memory_limiter_refused_*", "Items refused for want of memory."),
    ("otelcol_receiver_accepted_*", "Items whose sender was told that they are taken."),
    ("otelcol_receiver_failed_*", "Items refused for good."),
    ("otelcol_receiver_refused_*", "Items whose sender was told to try again."),
];

const FAMILIES: [(&str, &str); 37] = [
    ("otelcol_exporter_queue_capacity", "How many batches may wait in the exporter's queue."),
    ("otelcol_exporter_queue_size", "Batches that wait in the exporter's queue now."),
    ("otelcol_process_cpu_seconds", "CPU time of the process, user and system."),
    ("otelcol_process_memory_rss", "Resident memory of the process in bytes."),
    ("otelcol_process_uptime", "Seconds since the process started."),
    ("otelcol_processor_batch_batch_send_size", "Items in the batches that were sent."),
    ("otelcol_processor_batch_batch_send_size_bytes", "Bytes in the batches that were sent."),
    ("otelcol_processor_batch_batch_size_trigger_send", "Batches sent since they were large enough."),
    ("otelcol_processor_batch_timeout_trigger_send", "Batches sent since their time was up."),
    ("otelcol_processor_incoming_items", "Items that came into the step."),
    ("otelcol_processor_outgoing_items", "Items that left the step."),
    ("throughline_batch_postponed_requests", "Divided requests whose parts had to wait for memory."),
    ("throughline_change_alias_conflicts", "Names that two changes claim."),
    ("throughline_change_forgotten_commits", "Commits forgotten for want of room (`max_commits`)."),
    (
        "throughline_change_metrics_forgotten_changes",
        "Changes forgotten before they ended, for want of room.",
    ),
    ("throughline_change_metrics_refused_observations", "Observations for which `max_series` left no room."),
    ("throughline_change_metrics_repeated_events", "Events that were counted before."),
    ("throughline_change_signals", "Records by whether and how they were tied to a change."),
    ("throughline_change_superseded", "Changes that got another name."),
    ("throughline_dropped_items", "Items that left the pipeline for a reason."),
    ("throughline_events_made", "Domain events made of spans, jobs and logs."),
    ("throughline_exporter_held_items", "Items that wait in the exporter or are on their way."),
    ("throughline_github_deliveries", "Deliveries by what became of them."),
    ("throughline_internal_notices_lost", "Notices of the agent itself lost for want of room."),
    ("throughline_ledger_imbalanced_hops", "Hops whose account does not balance."),
    ("throughline_memory_budget_bytes", "Memory that requests may hold."),
    ("throughline_memory_held_bytes", "Memory that requests hold now."),
    ("throughline_oldest_unacknowledged_seconds", "Age of the oldest request without an answer."),
    (
        "throughline_prometheus_cut_target_info",
        "Descriptions of resources that lack labels, or are left out, for want of room.",
    ),
    ("throughline_prometheus_refused_points", "Data points that the registry does not take."),
    (
        "throughline_prometheus_refused_scrapes",
        "Scrapes refused since pages that others have not read yet fill their room.",
    ),
    ("throughline_receiver_malformed_requests", "Requests refused whole since they do not parse."),
    ("throughline_rejected_items", "Items refused for good, by reason."),
    ("throughline_requests_in_flight", "Requests without an answer."),
    ("throughline_secrets_masked", "Secrets masked, by rule."),
    ("throughline_server_refused_requests", "Requests refused before they were read, by reason."),
    (
        "throughline_stream_reader_waits",
        "Records of a stream that waited for their reader's share of memory.",
    ),
];

/// What a family means.
pub(super) fn help(name: &str) -> Option<&'static str> {
    let by_signal = || {
        let items = Signal::ALL.into_iter().find_map(|signal| name.strip_suffix(signal.items()))?;
        BY_SIGNAL.iter().find(|(family, _)| family.strip_suffix('*') == Some(items))
    };
    let found = FAMILIES.iter().find(|(family, _)| *family == name);
    found.or_else(by_signal).map(|(_, help)| *help)
}
