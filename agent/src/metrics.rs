//! Self-telemetry as text, with the Collector's names where it has one (its default scrape has them bare, without
//! `_total`).

use std::collections::BTreeMap;

use throughline_graph::{Direction, Row};

use crate::assemble::World;

/// The page at `/metrics`.
pub(crate) fn metrics(world: &World) -> String {
    let mut page = Page::default();
    for row in world.ledger.rows() {
        match row.direction {
            Direction::Receiver => receiver(&mut page, &row),
            Direction::Stage => stage(&mut page, &row),
            Direction::Exporter => exporter(&mut page, &row),
        }
    }
    let now = world.clock.monotonic_nanos();
    page.add("otelcol_process_uptime", "counter", "", now as f64 / 1e9);
    if let Some((cpu, rss)) = process() {
        page.add("otelcol_process_cpu_seconds", "counter", "", cpu);
        page.add("otelcol_process_memory_rss", "gauge", "", rss);
    }
    page.add("throughline_memory_budget_bytes", "gauge", "", world.budget.limit() as f64);
    page.add("throughline_memory_held_bytes", "gauge", "", world.budget.used() as f64);
    page.add("throughline_requests_in_flight", "gauge", "", world.health.in_flight() as f64);
    let oldest = world.health.oldest_unacknowledged(now) as f64 / 1e9;
    page.add("throughline_oldest_unacknowledged_seconds", "gauge", "", oldest);
    page.add("throughline_ledger_imbalanced_hops", "gauge", "", world.ledger.imbalances().len() as f64);
    page.add("throughline_internal_notices_lost", "counter", "", world.internal.lost() as f64);
    for (name, labels, value) in world.meter.read() {
        page.add(&name, "counter", &labels, value as f64);
    }
    page.to_string()
}

fn receiver(page: &mut Page, row: &Row) {
    let labels = format!("receiver=\"{}\"", row.name);
    let items = row.signal.items();
    page.add(&format!("otelcol_receiver_accepted_{items}"), "counter", &labels, row.out as f64);
    page.add(&format!("otelcol_receiver_refused_{items}"), "counter", &labels, row.returned as f64);
    let failed: u64 = row.rejected.values().sum();
    page.add(&format!("otelcol_receiver_failed_{items}"), "counter", &labels, failed as f64);
    reasons(page, row, &labels);
    let labels = format!("{labels},signal=\"{}\"", row.signal);
    page.add("throughline_receiver_malformed_requests", "counter", &labels, row.malformed as f64);
}

fn stage(page: &mut Page, row: &Row) {
    let labels = format!("processor=\"{}\",signal=\"{}\"", row.name, row.signal);
    page.add("otelcol_processor_incoming_items", "counter", &labels, row.taken as f64);
    page.add("otelcol_processor_outgoing_items", "counter", &labels, row.out as f64);
    reasons(page, row, &labels);
}

fn exporter(page: &mut Page, row: &Row) {
    if row.taken == 0 {
        return; // an exporter has an account for every signal, used or not
    }
    let labels = format!("exporter=\"{}\"", row.name);
    let items = row.signal.items();
    let failed = row.returned + row.rejected.values().sum::<u64>();
    page.add(&format!("otelcol_exporter_sent_{items}"), "counter", &labels, row.out as f64);
    page.add(&format!("otelcol_exporter_send_failed_{items}"), "counter", &labels, failed as f64);
    reasons(page, row, &labels);
    let labels = format!("{labels},data_type=\"{}\"", row.signal);
    page.add("throughline_exporter_held_items", "gauge", &labels, row.held as f64);
}

fn reasons(page: &mut Page, row: &Row, labels: &str) {
    for (name, counts) in
        [("throughline_dropped_items", &row.dropped), ("throughline_rejected_items", &row.rejected)]
    {
        for (reason, count) in counts {
            let labels = format!("{labels},signal=\"{}\",reason=\"{reason}\"", row.signal);
            page.add(name, "counter", &labels, *count as f64);
        }
    }
}

/// The page at `/ledger`: every hop's account, and those that do not balance.
pub(crate) fn ledger(world: &World) -> String {
    let rows: Vec<_> = world
        .ledger
        .rows()
        .iter()
        .filter(|row| row.taken + row.created + row.malformed > 0)
        .map(json)
        .collect();
    let imbalances = world.ledger.imbalances().into_iter();
    let imbalances: Vec<_> =
        imbalances.map(|hop| serde_json::json!({ "hop": hop.name, "items": hop.difference })).collect();
    serde_json::json!({ "hops": rows, "imbalances": imbalances }).to_string()
}

fn json(row: &Row) -> serde_json::Value {
    let hop = match row.direction {
        Direction::Receiver => "receiver",
        Direction::Stage => "stage",
        Direction::Exporter => "exporter",
    };
    serde_json::json!({
        "hop": hop, "name": row.name, "signal": row.signal.as_str(),
        "in": row.taken, "created": row.created, "out": row.out, "held": row.held, "merged": row.merged,
        "returned": row.returned, "dropped": row.dropped, "rejected": row.rejected,
        "malformed_requests": row.malformed,
    })
}

/// CPU seconds and resident bytes of this process (Linux).
fn process() -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Fields after the command's closing parenthesis: utime and stime are the 12th and 13th, in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let resident: f64 = pages.split_whitespace().nth(1)?.parse().ok()?;
    Some((ticks / 100.0, resident * 4096.0))
}

/// Samples grouped by family, each family with its type, as the text format wants them.
#[derive(Default)]
struct Page {
    families: BTreeMap<String, (&'static str, Vec<String>)>,
}

impl Page {
    fn add(&mut self, name: &str, kind: &'static str, labels: &str, value: f64) {
        let family = self.families.entry(name.to_owned()).or_insert_with(|| (kind, Vec::new()));
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        family.1.push(format!("{name}{labels} {value}"));
    }
}

impl std::fmt::Display for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, (kind, samples)) in &self.families {
            writeln!(f, "# TYPE {name} {kind}")?;
            samples.iter().try_for_each(|sample| writeln!(f, "{sample}"))?;
        }
        Ok(())
    }
}
