//! From OpenTelemetry names to Prometheus names.
//!
//! Source: reference `collector-conventions.md` §2, "OTLP→Prometheus".

use schemars::JsonSchema;
use serde::Deserialize;

use super::limits::clean;

/// How names are made; the Collector's `translation_strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Strategy {
    /// Other characters become `_`; units and `_total` are added.
    UnderscoreEscapingWithSuffixes,
    /// Other characters become `_`; nothing is added.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay as they are, `http.server.duration`; units and `_total` are added. A scraper that does not ask for UTF-8
    /// gets them escaped as it asks for, or with `_`.
    NoUTF8EscapingWithSuffixes,
    /// Names stay as they are, and nothing is added.
    NoTranslation,
}

impl Strategy {
    /// Whether names become plain here. If not, that is done on each page as its reader wants it.
    fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }
}

/// The name of a metric's family.
pub(super) fn metric(name: &str, unit: &str, monotonic: bool, namespace: &str, strategy: Strategy) -> String {
    let mut out = String::with_capacity(name.len() + 16);
    let push = if strategy.escapes() { push } else { |out: &mut String, text: &str| out.push_str(text) };
    if !namespace.is_empty() {
        push(&mut out, namespace);
        out.push('_');
    }
    push(&mut out, name);
    if strategy.escapes() && out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    match strategy {
        Strategy::UnderscoreEscapingWithSuffixes => add_words(&mut out, unit, monotonic),
        Strategy::NoUTF8EscapingWithSuffixes => add_suffixes(&mut out, unit, monotonic),
        Strategy::UnderscoreEscapingWithoutSuffixes | Strategy::NoTranslation => {}
    }
    out
}

/// Adds the words of the unit that are nowhere in the name, and `_total`.
fn add_words(name: &mut String, unit: &str, monotonic: bool) {
    for word in words(unit, monotonic) {
        let there = name.split('_').any(|part| part == word) || name.ends_with(&format!("_{word}"));
        if !there {
            name.push('_');
            name.push_str(&word);
        }
    }
    if monotonic && !name.ends_with("_total") {
        name.push_str("_total");
    }
}

/// Adds the unit and `_total` to a name that is kept, unless it ends with them. There is no telling where its words begin,
/// so what it has inside does not count: `bytes.read` becomes `bytes.read_bytes`. A suffix behind another delimiter is
/// written anew: `jobs.total` becomes `jobs_total`.
fn add_suffixes(name: &mut String, unit: &str, monotonic: bool) {
    let words = words(unit, monotonic);
    let per = words.iter().position(|word| word == "per" || word == "ratio").unwrap_or(words.len());
    let (unit, per) = words.split_at(per);
    let outer = [per.join("_"), if monotonic { "total".into() } else { String::new() }];
    for suffix in outer.iter().rev().filter(|suffix| !suffix.is_empty()) {
        let rest = name.strip_suffix(suffix.as_str()).unwrap_or_default();
        let delimiter = rest.char_indices().next_back().filter(|(at, c)| *at > 0 && !c.is_alphanumeric());
        if let Some((at, _)) = delimiter {
            name.truncate(at);
        }
    }
    for suffix in unit.iter().filter(|word| !word.is_empty()) {
        if !name.ends_with(suffix.as_str()) {
            name.push('_');
            name.push_str(suffix);
        }
    }
    for suffix in outer.iter().filter(|suffix| !suffix.is_empty()) {
        name.push('_');
        name.push_str(suffix);
    }
}

/// The name of a label.
pub(super) fn label(key: &str, strategy: Strategy) -> String {
    if !strategy.escapes() {
        return clean(key).into_owned();
    }
    let mut out = String::with_capacity(key.len());
    push(&mut out, key);
    let out = out.replace(':', "_");
    if out.starts_with(|c: char| c.is_ascii_digit()) { format!("key_{out}") } else { out }
}

/// Appends `text` with runs of other characters as one `_`.
fn push(out: &mut String, text: &str) {
    let mut escaped = false;
    for c in text.chars() {
        let legal = c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if legal {
            out.push(c);
        } else if !escaped && !out.ends_with('_') {
            out.push('_');
        }
        escaped = !legal;
    }
}

/// The words of a UCUM unit; parts in braces say nothing.
fn words(unit: &str, monotonic: bool) -> Vec<String> {
    if unit.contains('{') {
        return Vec::new();
    }
    let mut parts = unit.splitn(2, '/').map(str::trim);
    let (main, per) = (parts.next().unwrap_or_default(), parts.next());
    let mut words = Vec::new();
    match main {
        "" => {}
        "1" if monotonic || per.is_some() => {}
        "1" => words.push("ratio".to_owned()),
        main => words.push(word(main)),
    }
    if let Some(per) = per.filter(|per| !per.is_empty()) {
        words.push("per".to_owned());
        words.push(singular(per));
    }
    words.retain(|word| !word.is_empty());
    words
}

fn word(unit: &str) -> String {
    let known = match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "%" => "percent",
        other => other,
    };
    let mut out = String::new();
    push(&mut out, known);
    out.trim_matches('_').to_owned()
}

fn singular(unit: &str) -> String {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => return word(other),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suffixed(name: &str, unit: &str, monotonic: bool) -> String {
        metric(name, unit, monotonic, "", Strategy::UnderscoreEscapingWithSuffixes)
    }

    #[test]
    fn names_are_translated_as_the_collector_does() {
        for (name, unit, monotonic, expected) in [
            ("http.server.duration", "ms", false, "http_server_duration_milliseconds"),
            ("jobs", "1", true, "jobs_total"),
            ("jobs_total", "1", true, "jobs_total"),
            ("disk.io", "By", true, "disk_io_bytes_total"),
            ("disk_bytes", "By", false, "disk_bytes"),
            ("utilization", "1", false, "utilization_ratio"),
            ("speed", "By/s", false, "speed_bytes_per_second"),
            ("queue", "{request}", false, "queue"),
            ("a..b--c", "", false, "a_b_c"),
            ("2xx", "", true, "_2xx_total"),
            ("größe", "", false, "gr_e"),
        ] {
            assert_eq!(suffixed(name, unit, monotonic), expected, "{name} {unit}");
        }
    }

    #[test]
    fn a_namespace_goes_in_front_and_suffixes_can_be_left_out() {
        let strategy = Strategy::UnderscoreEscapingWithoutSuffixes;
        assert_eq!(metric("a.b", "s", true, "ns", strategy), "ns_a_b");
    }

    #[test]
    fn utf_8_names_stay_as_they_are() {
        let suffixed =
            |name, unit, monotonic| metric(name, unit, monotonic, "ns", Strategy::NoUTF8EscapingWithSuffixes);
        assert_eq!(suffixed("http.server.duration", "ms", false), "ns_http.server.duration_milliseconds");
        assert_eq!(suffixed("2xx größe", "By", true), "ns_2xx größe_bytes_total");
        assert_eq!(suffixed("n.s", "", false), "ns_n.s");
        assert_eq!(metric("jobs.done", "1", true, "", Strategy::NoTranslation), "jobs.done");
        assert_eq!(label("k8s.pod/name:x", Strategy::NoTranslation), "k8s.pod/name:x");
    }

    #[test]
    fn suffixes_are_added_to_utf_8_names_that_do_not_end_with_them() {
        for (name, unit, monotonic, expected) in [
            ("disk.bytes", "By", false, "disk.bytes"),
            ("bytes.read", "By", false, "bytes.read_bytes"),
            ("cpu.seconds", "s", true, "cpu.seconds_total"),
            ("http.requests.total", "{request}", true, "http.requests_total"),
            ("otelcol_process_cpu_seconds", "s", true, "otelcol_process_cpu_seconds_total"),
            ("cpu_seconds_total", "s", true, "cpu_seconds_total"),
            ("cpu_usage_ratio", "1", false, "cpu_usage_ratio"),
            ("cpu_usagé", "1", false, "cpu_usagé_ratio"),
            ("requêsts", "1/s", false, "requêsts_per_second"),
            ("disk.io", "By/s", true, "disk.io_bytes_per_second_total"),
            ("subtotal", "", true, "subtotal_total"),
            ("total", "", true, "total_total"),
            (".total", "", true, ".total_total"),
            ("@#$%", "", true, "@#$%_total"),
        ] {
            let kept = metric(name, unit, monotonic, "", Strategy::NoUTF8EscapingWithSuffixes);
            assert_eq!(kept, expected, "{name} {unit}");
        }
    }

    #[test]
    fn labels_are_made_legal() {
        let strategy = Strategy::UnderscoreEscapingWithSuffixes;
        assert_eq!(label("k8s.pod/name:x", strategy), "k8s_pod_name_x");
        assert_eq!(label("1st", strategy), "key_1st");
    }
}
