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

const FAMILIES: [(&str, &str); 63] = [
    ("otelcol_exporter_in_flight_requests", "Batches on their way to the destination now."),
    ("otelcol_process_runtime_heap_alloc_bytes", "Resident memory of the heap in bytes."),
    ("otelcol_process_runtime_total_sys_memory_bytes", "Memory had of the system in bytes."),
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
    (
        "throughline_change_metrics_late_events",
        "Events told too late to correct what was counted (`lateness`).",
    ),
    ("throughline_change_metrics_refused_observations", "Observations for which `max_series` left no room."),
    ("throughline_change_metrics_repeated_events", "Events that were counted before."),
    ("throughline_change_signals", "Records by whether and how they were linked to a change."),
    ("throughline_change_superseded", "Changes that got another name."),
    (
        "throughline_changes_forgotten",
        "Changes whose timeline was forgotten for want of room (`max_memory`).",
    ),
    ("throughline_changes_repeated_events", "Events that were in a timeline already."),
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
    ("throughline_reload_total", "Reloads of the configuration, by result."),
    ("throughline_rejected_items", "Items refused for good, by reason."),
    ("throughline_requests_in_flight", "Requests without an answer."),
    ("throughline_secrets_masked", "Secrets masked, by rule."),
    ("throughline_server_refused_requests", "Requests refused before they were read, by reason."),
    ("throughline_storage_backlog_bytes", "Bytes of the files that are kept for a destination."),
    ("throughline_storage_bytes", "Bytes of all streams in the storage."),
    ("throughline_storage_committed_records", "Records that were kept."),
    (
        "throughline_storage_damaged_places",
        "Places that were passed over since what stood there was damaged.",
    ),
    ("throughline_storage_disk_full", "1 while nothing is taken in since the disk is full."),
    ("throughline_storage_dropped_items", "Items that never reached a destination, by reason."),
    ("throughline_storage_dropped_records", "Records that never reached a destination, by reason."),
    ("throughline_storage_expired_cursors", "Destinations given up since nobody read for them for too long."),
    (
        "throughline_storage_failed_records",
        "Records whose sender was told to try again since the disk failed.",
    ),
    ("throughline_storage_fill_ratio", "How much of `max_bytes` is taken up, from 0 to 1."),
    ("throughline_storage_groups", "Groups of records that were synced at once."),
    ("throughline_storage_items", "Items in the storage."),
    ("throughline_storage_lost_cursors", "Streams whose destinations begin anew since cursors were lost."),
    (
        "throughline_storage_missing_segments",
        "Segments that somebody else removed, cut or wrote over; several missing ones in a row count as one.",
    ),
    (
        "throughline_storage_orphan_bytes",
        "Bytes of the files that are kept for destinations that nobody feeds.",
    ),
    ("throughline_storage_orphans", "Destinations that nobody feeds, and for which data is kept."),
    ("throughline_storage_records", "Records in the storage."),
    ("throughline_storage_refused_records", "Records whose sender was told to try again for want of room."),
    (
        "throughline_storage_torn_files",
        "Files that ended in the middle of a record or entry when they were opened, and cursors that are shorter than they were.",
    ),
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_documentation_names_no_family_that_does_not_exist() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let mut folders = vec![docs];
        let (mut files, mut named) = (0, 0);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of the repository") {
                let path = entry.expect("it can be read").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).expect("documentation is text");
                files += 1;
                for name in families(&text) {
                    named += 1;
                    let names = name.strip_suffix('*').map_or_else(
                        || vec![name.to_owned()],
                        |stem| Signal::ALL.iter().map(|signal| format!("{stem}{}", signal.items())).collect(),
                    );
                    let unknown: Vec<_> = names.iter().filter(|name| help(name).is_none()).collect();
                    assert!(unknown.is_empty(), "{}: there is no {unknown:?}", path.display());
                }
            }
        }
        assert!(files > 20 && named > 50, "{named} names in {files} files");
    }

    /// What stands between backticks and looks like a family of the agent's own page.
    fn families(text: &str) -> impl Iterator<Item = &str> {
        let quoted = text.split('`').skip(1).step_by(2);
        let ours = |name: &&str| name.starts_with("throughline_") || name.starts_with("otelcol_");
        let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '*');
        quoted
            .map(|name| name.split('{').next().unwrap_or(name))
            .filter(ours)
            .filter(is_name)
            .filter(|name| !name.ends_with('_'))
    }
}
