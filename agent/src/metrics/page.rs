//! A page of the Prometheus text format (0.0.4).

use std::collections::BTreeMap;
use std::fmt;

use throughline_component::Value;

use super::help::help;

/// Samples grouped by family, each family with its help and type, as the text format wants them.
#[derive(Default)]
pub(super) struct Page {
    families: BTreeMap<String, (&'static str, Vec<String>)>,
}

impl Page {
    /// Adds to a counter's family. `labels` come without braces.
    pub(super) fn counter(&mut self, name: &str, labels: &str, value: f64) {
        self.add(name, "counter", labels, value);
    }

    /// Adds to a gauge's family.
    pub(super) fn gauge(&mut self, name: &str, labels: &str, value: f64) {
        self.add(name, "gauge", labels, value);
    }

    /// Adds what a component counted or measured.
    pub(super) fn reading(&mut self, name: &str, labels: &str, value: &Value) {
        match value {
            Value::Count(count) => self.counter(name, labels, *count as f64),
            Value::Gauge(value) => self.gauge(name, labels, *value),
            Value::Distribution { buckets, count, sum } => {
                let samples = self.family(name, "histogram");
                for (bound, below) in buckets {
                    samples.push(format!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}"));
                }
                samples.push(format!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
                samples.push(format!("{name}_sum{{{labels}}} {sum}"));
                samples.push(format!("{name}_count{{{labels}}} {count}"));
            }
        }
    }

    fn add(&mut self, name: &str, kind: &'static str, labels: &str, value: f64) {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        self.family(name, kind).push(format!("{name}{labels} {value}"));
    }

    fn family(&mut self, name: &str, kind: &'static str) -> &mut Vec<String> {
        &mut self.families.entry(name.to_owned()).or_insert_with(|| (kind, Vec::new())).1
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, (kind, samples)) in &self.families {
            if let Some(help) = help(name) {
                writeln!(f, "# HELP {name} {help}")?;
            }
            writeln!(f, "# TYPE {name} {kind}")?;
            samples.iter().try_for_each(|sample| writeln!(f, "{sample}"))?;
        }
        Ok(())
    }
}
