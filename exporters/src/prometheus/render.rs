//! The page: text format 0.0.4, or OpenMetrics 1.0.

use std::fmt::Write;

use super::Page;
use super::registry::{Exemplar, Family, Kind, Labels, Registry, Sample, Series};

/// Writes all series. `now` is Unix nanoseconds: ages are as of now.
pub(super) fn render(registry: &Registry, page: &Page, open_metrics: bool, now: u64) -> String {
    let mut writer = Writer { out: String::new(), timestamps: page.send_timestamps, open_metrics, now };
    for (name, family) in &registry.families {
        writer.family(name, family);
    }
    if open_metrics {
        writer.out.push_str("# EOF\n");
    }
    writer.out
}

struct Writer {
    out: String,
    timestamps: bool,
    open_metrics: bool,
    now: u64,
}

/// Writing to memory does not fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { let _ = write!($out, $($text)*); };
}

impl Writer {
    fn family(&mut self, name: &str, family: &Family) {
        let total = name.strip_suffix("_total");
        let (shown, kind) = match (family.kind, self.open_metrics) {
            // OpenMetrics names a counter's family without `_total`, and allows no counter without it: a name that
            // must be kept exactly (TRP-06) is then of unknown type.
            (Kind::Counter, true) => total.map_or((name, "unknown"), |base| (base, "counter")),
            (Kind::Counter, false) => (name, "counter"),
            (Kind::Info, true) => (name.strip_suffix("_info").unwrap_or(name), "info"),
            (Kind::Gauge | Kind::Age | Kind::Info, _) => (name, "gauge"),
            (Kind::Histogram, _) => (name, "histogram"),
            (Kind::Summary, _) => (name, "summary"),
        };
        if !family.help.is_empty() {
            put!(self.out, "# HELP {shown} ");
            escape(&mut self.out, &family.help, self.open_metrics);
            self.out.push('\n');
        }
        put!(self.out, "# TYPE {shown} {kind}\n");
        for (labels, series) in &family.series {
            self.series(name, labels, series);
        }
    }

    fn series(&mut self, name: &str, labels: &Labels, series: &Series) {
        match &series.value {
            Sample::Number(value) => {
                let exemplar = series.exemplars.last().filter(|_| name.ends_with("_total"));
                self.line(name, "", labels, None, *value, series.time, exemplar);
            }
            Sample::Since(since) => {
                let age = self.now.saturating_sub(*since) as f64 / 1e9;
                self.line(name, "", labels, None, age, 0, None);
            }
            Sample::Histogram { buckets, sum, count } => {
                let mut below = f64::NEG_INFINITY;
                for (bound, cumulative) in buckets {
                    let here = |e: &&Exemplar| e.value > below && e.value <= *bound;
                    let exemplar = series.exemplars.iter().filter(here).max_by_key(|e| e.time);
                    let le = Some(("le", *bound));
                    self.line(name, "_bucket", labels, le, *cumulative as f64, series.time, exemplar);
                    below = *bound;
                }
                if let Some(sum) = sum {
                    self.line(name, "_sum", labels, None, *sum, series.time, None);
                }
                self.line(name, "_count", labels, None, *count as f64, series.time, None);
            }
            Sample::Summary { quantiles, sum, count } => {
                for (quantile, value) in quantiles {
                    self.line(name, "", labels, Some(("quantile", *quantile)), *value, series.time, None);
                }
                self.line(name, "_sum", labels, None, *sum, series.time, None);
                self.line(name, "_count", labels, None, *count as f64, series.time, None);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a line")]
    fn line(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &Labels,
        extra: Option<(&str, f64)>,
        value: f64,
        time: u64,
        exemplar: Option<&Exemplar>,
    ) {
        self.out.push_str(name);
        self.out.push_str(suffix);
        let extra = extra.map(|(key, value)| (key.to_owned(), number(value)));
        self.labels(labels.iter().chain(extra.as_ref()));
        put!(self.out, " {}", number(value));
        if self.timestamps && time > 0 {
            if self.open_metrics {
                put!(self.out, " {}", time as f64 / 1e9);
            } else {
                put!(self.out, " {}", time / 1_000_000);
            }
        }
        if let Some(exemplar) = exemplar.filter(|_| self.open_metrics) {
            self.out.push_str(" # ");
            if exemplar.labels.is_empty() {
                self.out.push_str("{}");
            }
            self.labels(exemplar.labels.iter());
            put!(self.out, " {}", number(exemplar.value));
            if exemplar.time > 0 {
                put!(self.out, " {:.3}", exemplar.time as f64 / 1e9);
            }
        }
        self.out.push('\n');
    }

    fn labels<'l>(&mut self, labels: impl Iterator<Item = &'l (String, String)>) {
        let mut open = '{';
        for (key, value) in labels {
            self.out.push(open);
            open = ',';
            put!(self.out, "{key}=\"");
            escape(&mut self.out, value, true);
            self.out.push('"');
        }
        if open == ',' {
            self.out.push('}');
        }
    }
}

/// Escapes backslash and line feed, and quotes where they would end the text.
fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests;
