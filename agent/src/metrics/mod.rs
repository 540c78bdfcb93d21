//! Self-telemetry as text, with the Collector's names where it has one (its default scrape has them bare, without
//! `_total`).

mod families;
mod help;
mod otlp;
mod page;
mod push;
mod resource;

use std::collections::BTreeMap;

use throughline_component::{Reading, Transport};
use throughline_graph::{Direction, Row};

use throughline_config::PrometheusReader;

use self::families::Families;
use crate::process_context::ProcessContext;

pub(crate) use push::{Push, Pushing};
pub(crate) use resource::Resource;

/// The page at `/metrics`.
pub(crate) fn metrics(process: &ProcessContext, form: &PrometheusReader, resource: &Resource) -> String {
    page::page(&families(process), form, resource)
}

/// What the agent measures of itself, now.
fn families(process: &ProcessContext) -> Families {
    let mut page = Families::default();
    let rows = process.ledger.rows();
    for row in &rows {
        match row.direction {
            Direction::Receiver(transport) => receiver(&mut page, row, transport),
            Direction::Stage => stage(&mut page, row),
            Direction::Exporter => exporter(&mut page, row, &rows),
        }
    }
    processors(&mut page, &rows);
    let now = process.clock.monotonic_nanos();
    page.counter("otelcol_process_uptime", "", now as f64 / 1e9);
    if let Some((cpu, rss)) = cpu_and_memory() {
        page.counter("otelcol_process_cpu_seconds", "", cpu);
        page.gauge("otelcol_process_memory_rss", "", rss);
        page.gauge("otelcol_process_runtime_total_sys_memory_bytes", "", rss);
    }
    if let Some(heap) = heap() {
        page.gauge("otelcol_process_runtime_heap_alloc_bytes", "", heap);
    }
    page.gauge("throughline_memory_budget_bytes", "", process.budget.limit() as f64);
    page.gauge("throughline_memory_held_bytes", "", process.budget.used() as f64);
    page.gauge("throughline_requests_in_flight", "", process.health.in_flight() as f64);
    let oldest = process.health.oldest_unacknowledged(now) as f64 / 1e9;
    page.gauge("throughline_oldest_unacknowledged_seconds", "", oldest);
    page.gauge("throughline_ledger_imbalanced_hops", "", process.ledger.imbalances().len() as f64);
    page.counter("throughline_internal_notices_lost", "", process.internal.lost() as f64);
    for Reading { name, labels, value } in process.meter.read() {
        page.reading(&name, &labels, &value);
    }
    page
}

fn receiver(page: &mut Families, row: &Row, transport: Transport) {
    let labels = format!("receiver=\"{}\",transport=\"{}\"", row.name, transport.as_str());
    let items = row.signal.items();
    page.counter(&format!("otelcol_receiver_accepted_{items}"), &labels, row.out as f64);
    page.counter(&format!("otelcol_receiver_refused_{items}"), &labels, row.returned as f64);
    let failed: u64 = row.rejected.values().sum();
    page.counter(&format!("otelcol_receiver_failed_{items}"), &labels, failed as f64);
    reasons(page, row, &labels);
    let labels = format!("{labels},signal=\"{}\"", row.signal);
    page.counter("throughline_receiver_malformed_requests", &labels, row.malformed as f64);
}

fn stage(page: &mut Families, row: &Row) {
    let labels = format!("processor=\"{}\",signal=\"{}\"", row.name, row.signal);
    reasons(page, row, &labels);
}

/// What went through each processor, wherever it stands, with the Collector's labels.
fn processors(page: &mut Families, rows: &[Row]) {
    let mut all: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.direction == Direction::Stage) {
        // `pipeline:id`; a connector's and a stream's are no processors.
        let Some((_, id)) = row.name.split_once(':') else { continue };
        if id.contains(':') || id == "stream" || id == "feed" {
            continue;
        }
        let (taken, out) = all.entry((id, row.signal.as_str())).or_default();
        *taken += row.taken;
        *out += row.out;
    }
    for ((id, signal), (taken, out)) in all {
        let labels = format!("processor=\"{id}\",otel_signal=\"{signal}\"");
        page.counter("otelcol_processor_incoming_items", &labels, taken as f64);
        page.counter("otelcol_processor_outgoing_items", &labels, out as f64);
    }
}

fn exporter(page: &mut Families, row: &Row, rows: &[Row]) {
    if row.taken == 0 {
        return; // an exporter has an account for every signal, used or not
    }
    let labels = format!("exporter=\"{}\"", row.name);
    let items = row.signal.items();
    let failed = row.returned - row.overflowed.min(row.returned) + row.rejected.values().sum::<u64>();
    page.counter(&format!("otelcol_exporter_sent_{items}"), &labels, row.out as f64);
    page.counter(&format!("otelcol_exporter_send_failed_{items}"), &labels, failed as f64);
    page.counter(&format!("otelcol_exporter_enqueue_failed_{items}"), &labels, row.overflowed as f64);
    reasons(page, row, &labels);
    let labels = format!("{labels},data_type=\"{}\"", row.signal);
    page.gauge("throughline_exporter_held_items", &labels, row.held as f64);
    let in_flight = row.batches.clamp(0, i64::try_from(row.consumers).unwrap_or(i64::MAX));
    page.gauge("otelcol_exporter_in_flight_requests", &labels, in_flight as f64);
    // The Collector has a queue for every signal, here they share one. Each is shown how full the whole of it is: an alarm
    // on size / capacity, which is what these two are for, then fires when it should.
    let queue = rows.iter().filter(|other| other.direction == row.direction && other.name == row.name);
    let here: i64 = queue.map(|other| other.batches).sum();
    let waiting = here.saturating_sub_unsigned(row.consumers).max(0);
    page.gauge("otelcol_exporter_queue_size", &labels, waiting as f64);
    page.gauge("otelcol_exporter_queue_capacity", &labels, row.capacity as f64);
}

fn reasons(page: &mut Families, row: &Row, labels: &str) {
    for (name, counts) in
        [("throughline_dropped_items", &row.dropped), ("throughline_rejected_items", &row.rejected)]
    {
        for (reason, count) in counts {
            let labels = format!("{labels},signal=\"{}\",reason=\"{reason}\"", row.signal);
            page.counter(name, &labels, *count as f64);
        }
    }
}

/// The page at `/ledger`: every hop's account, and those that do not balance.
pub(crate) fn ledger(process: &ProcessContext) -> String {
    let rows: Vec<_> = process
        .ledger
        .rows()
        .iter()
        .filter(|row| row.taken + row.created + row.malformed > 0)
        .map(json)
        .collect();
    let imbalances = process.ledger.imbalances().into_iter();
    let imbalances: Vec<_> =
        imbalances.map(|hop| serde_json::json!({ "hop": hop.name, "items": hop.difference })).collect();
    serde_json::json!({ "hops": rows, "imbalances": imbalances }).to_string()
}

fn json(row: &Row) -> serde_json::Value {
    let (hop, transport) = match row.direction {
        Direction::Receiver(transport) => ("receiver", Some(transport.as_str())),
        Direction::Stage => ("stage", None),
        Direction::Exporter => ("exporter", None),
    };
    serde_json::json!({
        "hop": hop, "name": row.name, "transport": transport, "signal": row.signal.as_str(),
        "in": row.taken, "created": row.created, "out": row.out, "held": row.held, "merged": row.merged,
        "returned": row.returned, "dropped": row.dropped, "rejected": row.rejected,
        "malformed_requests": row.malformed,
    })
}

/// Resident bytes that no file is behind: what the heap takes, but for the stacks (Linux).
fn heap() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok().map(|kilobytes| kilobytes * 1024.0)
}

/// CPU seconds and resident bytes of this process (Linux).
fn cpu_and_memory() -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Fields after the command's closing parenthesis: utime and stime are the 12th and 13th, in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let resident: f64 = pages.split_whitespace().nth(1)?.parse().ok()?;
    Some((ticks / 100.0, resident * 4096.0))
}
