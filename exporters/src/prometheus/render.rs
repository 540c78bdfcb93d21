//! The page: text format 0.0.4 or 1.0.0, or OpenMetrics 1.0.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

use super::Page;
use super::accept::{Format, Wanted};
use super::escape::{Of, Scheme};
use super::registry::{Exemplar, Family, Kind, Labels, Registry, Sample, Series};

/// Writes all series. `now` is Unix nanoseconds: ages are as of now.
pub(super) fn render(registry: &Registry, page: &Page, wanted: Wanted, now: u64) -> String {
    let mut writer = Writer {
        out: String::new(),
        timestamps: page.send_timestamps,
        open_metrics: wanted.is_open_metrics(),
        scheme: wanted.scheme,
        now,
    };
    let mut escaped = BTreeSet::new();
    for (name, family) in &registry.families {
        let shown = wanted.scheme.escape(name, Of::Metric);
        if let Cow::Owned(shown) = &shown
            && (registry.families.contains_key(shown) || !escaped.insert(shown.clone()))
        {
            // One page cannot have two families of a name. A scraper that reads UTF-8 gets both.
            tracing::debug!(%name, %shown, "left out of a page: another metric has the name that it would have there");
            continue;
        }
        writer.family(&shown, family);
    }
    if wanted.format == Format::OpenMetrics {
        writer.out.push_str("# EOF\n");
    }
    writer.out
}

struct Writer {
    out: String,
    timestamps: bool,
    open_metrics: bool,
    scheme: Scheme,
    now: u64,
}

/// One line of the page, but for its family's name.
struct Line<'a> {
    suffix: &'a str,
    labels: &'a Labels,
    /// The label that the page itself adds.
    own: Option<(&'a str, f64)>,
    value: f64,
    time: u64,
    exemplar: Option<&'a Exemplar>,
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
            self.out.push_str("# HELP ");
            self.name(shown, "", Of::Metric);
            self.out.push(' ');
            escape(&mut self.out, &family.help, self.open_metrics);
            self.out.push('\n');
        }
        self.out.push_str("# TYPE ");
        self.name(shown, "", Of::Metric);
        put!(self.out, " {kind}\n");
        for (labels, series) in &family.series {
            self.series(name, labels, series);
        }
    }

    fn series(&mut self, name: &str, labels: &Labels, series: &Series) {
        let plain = Line { suffix: "", labels, own: None, value: 0.0, time: series.time, exemplar: None };
        match &series.value {
            Sample::Number(value) => {
                let exemplar = series.exemplars.last().filter(|_| name.ends_with("_total"));
                self.line(name, &Line { value: *value, exemplar, ..plain });
            }
            Sample::Since(since) => {
                let age = self.now.saturating_sub(*since) as f64 / 1e9;
                self.line(name, &Line { value: age, time: 0, ..plain });
            }
            Sample::Histogram { buckets, sum, count } => {
                let mut below = f64::NEG_INFINITY;
                for (bound, cumulative) in buckets {
                    let here = |e: &&Exemplar| e.value > below && e.value <= *bound;
                    let exemplar = series.exemplars.iter().filter(here).max_by_key(|e| e.time);
                    let (own, value) = (Some(("le", *bound)), *cumulative as f64);
                    self.line(name, &Line { suffix: "_bucket", own, value, exemplar, ..plain });
                    below = *bound;
                }
                if let Some(sum) = sum {
                    self.line(name, &Line { suffix: "_sum", value: *sum, ..plain });
                }
                self.line(name, &Line { suffix: "_count", value: *count as f64, ..plain });
            }
            Sample::Summary { quantiles, sum, count } => {
                for (quantile, value) in quantiles {
                    self.line(name, &Line { own: Some(("quantile", *quantile)), value: *value, ..plain });
                }
                self.line(name, &Line { suffix: "_sum", value: *sum, ..plain });
                self.line(name, &Line { suffix: "_count", value: *count as f64, ..plain });
            }
        }
    }

    fn line(&mut self, name: &str, line: &Line<'_>) {
        let own = line.own.map(|(key, value)| (key.to_owned(), number(value)));
        // A name in quotes stands among the labels, in front of them.
        if Of::Metric.is_plain(name) {
            self.name(name, line.suffix, Of::Metric);
            self.labels(line.labels, own.as_ref(), None);
        } else {
            self.labels(line.labels, own.as_ref(), Some((name, line.suffix)));
        }
        put!(self.out, " {}", number(line.value));
        if self.timestamps && line.time > 0 {
            if self.open_metrics {
                put!(self.out, " {}", line.time as f64 / 1e9);
            } else {
                put!(self.out, " {}", line.time / 1_000_000);
            }
        }
        if let Some(exemplar) = line.exemplar.filter(|_| self.open_metrics) {
            self.out.push_str(" # ");
            if exemplar.labels.is_empty() {
                self.out.push_str("{}");
            }
            self.labels(&exemplar.labels, None, None);
            put!(self.out, " {}", number(exemplar.value));
            if exemplar.time > 0 {
                put!(self.out, " {:.3}", exemplar.time as f64 / 1e9);
            }
        }
        self.out.push('\n');
    }

    /// A name, in quotes if it needs them.
    fn name(&mut self, name: &str, suffix: &str, of: Of) {
        if of.is_plain(name) {
            self.out.push_str(name);
            return self.out.push_str(suffix);
        }
        self.out.push('"');
        escape(&mut self.out, name, true);
        self.out.push_str(suffix);
        self.out.push('"');
    }

    fn labels(&mut self, labels: &Labels, own: Option<&(String, String)>, name: Option<(&str, &str)>) {
        let labels = self.shown(labels);
        let mut open = '{';
        if let Some((name, suffix)) = name {
            self.out.push(open);
            self.name(name, suffix, Of::Metric);
            open = ',';
        }
        for (key, value) in labels.iter().chain(own) {
            self.out.push(open);
            open = ',';
            self.name(key, "", Of::Label);
            self.out.push_str("=\"");
            escape(&mut self.out, value, true);
            self.out.push('"');
        }
        if open == ',' {
            self.out.push('}');
        }
    }

    /// Labels under the names they have on this page. Names that become the same have their values joined.
    fn shown<'l>(&self, labels: &'l Labels) -> Cow<'l, Labels> {
        let escape = |key: &'l str| self.scheme.escape(key, Of::Label);
        if labels.iter().all(|(key, _)| matches!(escape(key), Cow::Borrowed(_))) {
            return Cow::Borrowed(labels);
        }
        let mut shown = Labels::new();
        for (key, value) in labels {
            let key = escape(key).into_owned();
            match shown.iter_mut().find(|(known, _)| *known == key) {
                Some((_, values)) => {
                    values.push(';');
                    values.push_str(value);
                }
                None => shown.push((key, value.clone())),
            }
        }
        Cow::Owned(shown)
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
