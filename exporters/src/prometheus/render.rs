//! The page: text format 0.0.4 or 1.0.0, or OpenMetrics 1.0.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::slice;

use super::Page;
use super::accept::Wanted;
use super::escape::{Of, Scheme};
use super::registry::{Family, Registry};
use super::series::{self, Exemplar, Kind, Labels, Sample, Series};

/// Writes all series. `now` is Unix nanoseconds: ages are as of now. The page goes to `out` in pieces; once that says no, the
/// rest is not written.
///
/// Metrics whose names become one on this page are one family there, and series whose labels do are one series, the newest:
/// as if the names had been translated when they came. So of two types the first, by name, is shown.
pub(super) fn render(
    registry: &Registry,
    page: &Page,
    wanted: Wanted,
    now: u64,
    pieces: &mut dyn FnMut(String) -> bool,
) {
    let mut writer = Writer {
        out: String::new(),
        pieces,
        stopped: false,
        timestamps: page.send_timestamps,
        open_metrics: wanted.is_open_metrics(),
        scheme: wanted.scheme,
        now,
    };
    let families = &registry.families;
    let shown = |name| wanted.scheme.escape(name, Of::Metric);
    if families.keys().all(|name| matches!(shown(name), Cow::Borrowed(_))) {
        let is_taken = |name: &str| families.contains_key(name);
        families.iter().for_each(|(name, family)| writer.family(name, slice::from_ref(&family), is_taken));
    } else {
        let mut merged: BTreeMap<Cow<'_, str>, Vec<&Family>> = BTreeMap::new();
        families.iter().for_each(|(name, family)| merged.entry(shown(name)).or_default().push(family));
        let is_taken = |name: &str| merged.contains_key(name);
        merged.iter().for_each(|(name, families)| writer.family(name, families, is_taken));
    }
    if wanted.is_open_metrics() {
        writer.out.push_str("# EOF\n");
    }
    writer.pass_on();
}

/// A piece of a page is about as large as this.
const PIECE: usize = 256 << 10;

struct Writer<'p> {
    out: String,
    pieces: &'p mut dyn FnMut(String) -> bool,
    /// Nobody wants the rest.
    stopped: bool,
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

impl Writer<'_> {
    fn pass_on(&mut self) {
        if !self.out.is_empty() && !self.stopped {
            let mut piece = std::mem::take(&mut self.out);
            piece.shrink_to_fit();
            self.stopped = !(self.pieces)(piece);
        }
        self.out.clear();
    }

    /// Writes the families of one name, of which there is at least one.
    fn family(&mut self, name: &str, families: &[&Family], is_taken: impl Fn(&str) -> bool) {
        let Some(family) = families.first().filter(|_| !self.stopped) else { return };
        let without = |suffix| name.strip_suffix(suffix).filter(|base| !base.is_empty() && !is_taken(base));
        let (shown, kind) = match (family.kind, self.open_metrics) {
            // OpenMetrics names a counter's family without `_total`, and allows no counter without it: a name that
            // must be kept exactly (TRP-06) is then of unknown type, and so is one whose family would be another's.
            (Kind::Counter, true) => without("_total").map_or((name, "unknown"), |base| (base, "counter")),
            (Kind::Counter, false) => (name, "counter"),
            (Kind::Info, true) => without("_info").map_or((name, "gauge"), |base| (base, "info")),
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
        let plain = |labels| matches!(self.shown(labels), Cow::Borrowed(_));
        if families.len() == 1 && family.series.keys().all(plain) {
            return family.series.iter().for_each(|(labels, series)| self.series(name, kind, labels, series));
        }
        let mut merged: BTreeMap<Cow<'_, Labels>, &Series> = BTreeMap::new();
        for (labels, series) in
            families.iter().filter(|other| other.kind == family.kind).flat_map(|family| &family.series)
        {
            let shown = merged.entry(self.shown(labels)).or_insert(series);
            if series.time > shown.time {
                *shown = series;
            }
        }
        merged.iter().for_each(|(labels, series)| self.series(name, kind, labels, series));
    }

    /// Writes a series whose labels are as they are to be shown.
    fn series(&mut self, name: &str, kind: &str, labels: &Labels, series: &Series) {
        let plain = Line { suffix: "", labels, own: None, value: 0.0, time: series.time, exemplar: None };
        match &series.value {
            Sample::Number(value) => {
                let exemplar = series.exemplars.last().filter(|_| kind == "counter");
                self.line(name, &Line { value: *value, exemplar, ..plain });
            }
            Sample::Since(since) => {
                let age = self.now.saturating_sub(*since) as f64 / 1e9;
                self.line(name, &Line { value: age, time: 0, ..plain });
            }
            Sample::Histogram { buckets, sum, count } => {
                let mut newest: BTreeMap<usize, &Exemplar> = BTreeMap::new();
                for exemplar in &series.exemplars {
                    let Some(at) = series::bucket_of(buckets, exemplar.value) else { continue };
                    let known = newest.entry(at).or_insert(exemplar);
                    if exemplar.time > known.time {
                        *known = exemplar;
                    }
                }
                for (at, (bound, cumulative)) in buckets.iter().enumerate() {
                    let exemplar = newest.get(&at).copied();
                    let (own, value) = (Some(("le", *bound)), *cumulative as f64);
                    self.line(name, &Line { suffix: "_bucket", own, value, exemplar, ..plain });
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
        if self.out.len() >= PIECE {
            self.pass_on();
        }
        if self.stopped {
            return;
        }
        if self.out.capacity() == 0 {
            self.out.reserve(PIECE + PIECE / 8);
        }
        // A name in quotes stands among the labels, in front of them.
        if self.is_plain(name, Of::Metric) {
            self.name(name, line.suffix, Of::Metric);
            self.labels(line.labels, line.own, None);
        } else {
            self.labels(line.labels, line.own, Some((name, line.suffix)));
        }
        put!(self.out, " {}", Number(line.value));
        if self.timestamps && line.time > 0 {
            if self.open_metrics {
                put!(self.out, " {}", line.time as f64 / 1e9);
            } else {
                put!(self.out, " {}", line.time / 1_000_000);
            }
        }
        if let Some(exemplar) = line.exemplar.filter(|_| self.open_metrics) {
            let mut labels = self.shown(&exemplar.labels);
            if let Cow::Owned(longer) = labels {
                // Escaping takes room.
                labels = Cow::Owned(series::exemplar_labels(longer.into_iter()));
            }
            self.out.push_str(" # ");
            if labels.is_empty() {
                self.out.push_str("{}");
            }
            self.labels(&labels, None, None);
            put!(self.out, " {}", Number(exemplar.value));
            if exemplar.time > 0 {
                put!(self.out, " {:.3}", exemplar.time as f64 / 1e9);
            }
        }
        self.out.push('\n');
    }

    /// A name, in quotes if it needs them.
    fn name(&mut self, name: &str, suffix: &str, of: Of) {
        if self.is_plain(name, of) {
            self.out.push_str(name);
            return self.out.push_str(suffix);
        }
        self.out.push('"');
        escape(&mut self.out, name, true);
        self.out.push_str(suffix);
        self.out.push('"');
    }

    /// Whether a name that is to be shown needs no quotes. One that was escaped never does.
    fn is_plain(&self, name: &str, of: Of) -> bool {
        self.scheme != Scheme::AllowUtf8 || of.is_plain(name)
    }

    fn labels(&mut self, labels: &Labels, own: Option<(&str, f64)>, name: Option<(&str, &str)>) {
        let mut open = '{';
        if let Some((name, suffix)) = name {
            self.out.push(open);
            self.name(name, suffix, Of::Metric);
            open = ',';
        }
        for (key, value) in labels {
            self.out.push(open);
            open = ',';
            self.name(key, "", Of::Label);
            self.out.push_str("=\"");
            escape(&mut self.out, value, true);
            self.out.push('"');
        }
        if let Some((key, value)) = own {
            put!(self.out, "{open}{key}=\"{}\"", Number(value));
            open = ',';
        }
        if open == ',' {
            self.out.push('}');
        }
    }

    /// Labels under the names they have on this page.
    fn shown<'l>(&self, labels: &'l Labels) -> Cow<'l, Labels> {
        let scheme = self.scheme;
        let escape = |key: &'l str| scheme.escape(key, Of::Label);
        if labels.iter().all(|(key, _)| matches!(escape(key), Cow::Borrowed(_))) {
            return Cow::Borrowed(labels);
        }
        let shown = labels.iter().map(|(key, value)| (escape(key).into_owned(), value.clone()));
        Cow::Owned(series::labels(shown, None))
    }
}

/// Escapes backslash and line feed, and quotes where they would end the text.
fn escape(out: &mut String, text: &str, quotes: bool) {
    let mut rest = text;
    let special = |byte: u8| matches!(byte, b'\\' | b'\n') || (quotes && byte == b'"');
    while let Some(at) = rest.bytes().position(special) {
        out.push_str(&rest[..at]);
        out.push('\\');
        out.push_str(if rest[at..].starts_with('\n') { "n" } else { &rest[at..=at] });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// A number as all formats spell it.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            // As long as it must be, not three hundred digits.
            value if value != 0.0 && !(1e-5..1e17).contains(&value.abs()) => write!(f, "{value:e}"),
            value => value.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
