//! How a storage does, for self-telemetry.

use throughline_component::Readings;
use throughline_queue::{Backlog, Dropped, Log, Stats};

/// Measures everything that a log tells of itself.
pub(super) fn measure(log: &Log, to: &mut Readings<'_>) {
    // Taken apart, so that a number that is added to it is shown, too.
    let Stats {
        stored_bytes,
        max_bytes,
        disk_full,
        stored_records,
        stored_items,
        committed,
        groups,
        refused,
        failed,
        torn,
        damaged,
        expired,
        missing,
        lost_cursors,
    } = log.stats();
    let gauges = [
        ("throughline_storage_bytes", stored_bytes as f64),
        ("throughline_storage_fill_ratio", stored_bytes as f64 / max_bytes.max(1) as f64),
        ("throughline_storage_disk_full", f64::from(u8::from(disk_full))),
        ("throughline_storage_records", stored_records as f64),
        ("throughline_storage_items", stored_items as f64),
    ];
    gauges.into_iter().for_each(|(name, value)| to.gauge(name, &[], value));
    let counters = [
        ("throughline_storage_committed_records", committed),
        ("throughline_storage_groups", groups),
        ("throughline_storage_refused_records", refused),
        ("throughline_storage_failed_records", failed),
        ("throughline_storage_torn_files", torn),
        ("throughline_storage_damaged_places", damaged),
        ("throughline_storage_expired_cursors", expired),
        ("throughline_storage_missing_segments", missing),
        ("throughline_storage_lost_cursors", lost_cursors),
    ];
    counters.into_iter().for_each(|(name, value)| to.counter(name, &[], value));

    let (mut orphans, mut orphaned) = (0_u64, 0_u64);
    for Backlog { stream, destination, bytes, orphan, .. } in log.backlogs() {
        let labels = [("stream", &*stream), ("destination", &*destination)];
        to.gauge("throughline_storage_backlog_bytes", &labels, bytes as f64);
        if orphan.is_some() {
            (orphans, orphaned) = (orphans + 1, orphaned + bytes);
        }
    }
    to.gauge("throughline_storage_orphans", &[], orphans as f64);
    to.gauge("throughline_storage_orphan_bytes", &[], orphaned as f64);
    for Dropped { stream, destination, reason, records, items } in log.dropped() {
        let labels = [("stream", &*stream), ("destination", &*destination), ("reason", reason)];
        to.counter("throughline_storage_dropped_records", &labels, records);
        to.counter("throughline_storage_dropped_items", &labels, items);
    }
}
