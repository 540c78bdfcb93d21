//! What a scraper wants to read: the format, and how names outside of the old character set are written.
//!
//! Source: "Scrape protocol content negotiation" of the Prometheus documentation; RFC 9110 §12.5.1 for quality values.

use super::escape::Scheme;

/// How a page is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) format: Format,
    pub(super) scheme: Scheme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The text format; the later of its two versions knows quoted names.
    Text { quotes: bool },
    /// OpenMetrics, by the version's name: 0.0.1 and 1.0.0 are one format.
    OpenMetrics { version: &'static str },
}

impl Wanted {
    /// The best that an `Accept` header asks for and we have; without one, the plain text that everybody reads.
    pub(super) fn of(accept: &str, open_metrics: bool) -> Self {
        let mut best = (0, Self { format: Format::Text { quotes: false }, scheme: Scheme::Underscores });
        for range in split(accept, ',') {
            let Some((quality, wanted)) = read(range) else { continue };
            // Of two that are wanted alike, the first.
            if quality > best.0 && (open_metrics || !wanted.is_open_metrics()) {
                best = (quality, wanted);
            }
        }
        best.1
    }

    /// What the reply says of itself.
    pub(super) fn content_type(self) -> String {
        let (kind, version) = match self.format {
            Format::Text { quotes: false } => ("text/plain", "0.0.4"),
            Format::Text { quotes: true } => ("text/plain", "1.0.0"),
            Format::OpenMetrics { version } => ("application/openmetrics-text", version),
        };
        format!("{kind}; version={version}; charset=utf-8; escaping={}", self.scheme.name())
    }

    pub(super) fn is_open_metrics(self) -> bool {
        matches!(self.format, Format::OpenMetrics { .. })
    }
}

/// One media range with its quality in thousandths; none if it is not ours.
fn read(range: &str) -> Option<(u32, Wanted)> {
    let mut parts = split(range, ';').map(str::trim);
    let kind = parts.next()?.to_ascii_lowercase();
    let (mut version, mut scheme, mut quality) = ("", Scheme::Underscores, 1000);
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "version" => version = value,
            "escaping" => scheme = Scheme::named(value).unwrap_or(Scheme::Underscores),
            "q" => quality = thousandths(value)?,
            _ => {}
        }
    }
    let format = match (kind.as_str(), version) {
        ("application/openmetrics-text", "" | "1.0.0") => Format::OpenMetrics { version: "1.0.0" },
        ("application/openmetrics-text", "0.0.1") => Format::OpenMetrics { version: "0.0.1" },
        ("text/plain", "1.0.0") => Format::Text { quotes: true },
        ("text/plain", "" | "0.0.4") | ("text/*" | "*/*", _) => Format::Text { quotes: false },
        _ => return None,
    };
    // Older versions have no way to write such names.
    if version != "1.0.0" && scheme == Scheme::AllowUtf8 {
        scheme = Scheme::Underscores;
    }
    Some((quality, Wanted { format, scheme }))
}

fn thousandths(quality: &str) -> Option<u32> {
    let quality: f64 = quality.parse().ok()?;
    (0.0..=1.0).contains(&quality).then_some((quality * 1000.0).round() as u32)
}

/// Splits where the separator is not in quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_best_of_what_it_asks_for() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus_2 =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
        let open = Format::OpenMetrics { version: "1.0.0" };
        let (old, new) = (Format::Text { quotes: false }, Format::Text { quotes: true });
        for (accept, open_metrics, format, scheme) in [
            ("", true, old, Scheme::Underscores),
            ("*/*", true, old, Scheme::Underscores),
            ("application/json", true, old, Scheme::Underscores),
            (prometheus_3, true, open, Scheme::AllowUtf8),
            (prometheus_3, false, new, Scheme::AllowUtf8),
            (prometheus_2, true, open, Scheme::Underscores),
            (prometheus_2, false, old, Scheme::Underscores),
            ("text/plain; version=0.0.4; escaping=allow-utf-8", true, old, Scheme::Underscores),
            ("text/plain;escaping=dots", true, old, Scheme::Dots),
            ("TEXT/PLAIN ; Version=\"1.0.0\" ; escaping=values", true, new, Scheme::Values),
            ("application/openmetrics-text;q=0,text/plain;q=0.1", true, old, Scheme::Underscores),
            ("text/plain;q=0.4,application/openmetrics-text;q=0.41", true, open, Scheme::Underscores),
            ("text/plain;q=0.569,text/plain;version=1.0.0;q=0.57", true, new, Scheme::Underscores),
            (
                "application/openmetrics-text;version=0.0.1,text/plain;q=0.5",
                true,
                Format::OpenMetrics { version: "0.0.1" },
                Scheme::Underscores,
            ),
            (
                "application/openmetrics-text;version=2.0.0;escaping=dots,text/plain;q=0.5",
                true,
                old,
                Scheme::Underscores,
            ),
            (
                "text/html;x=\"a,text/plain;q=1;b\",text/plain;version=1.0.0;q=0.5",
                true,
                new,
                Scheme::Underscores,
            ),
            ("text/plain;q=x,application/openmetrics-text;q=NaN,;;,=", true, old, Scheme::Underscores),
        ] {
            assert_eq!(Wanted::of(accept, open_metrics), Wanted { format, scheme }, "{accept}");
        }
    }
}
