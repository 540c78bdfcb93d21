//! A page of the Prometheus text format (0.0.4).

use std::fmt::Write;

use throughline_config::PrometheusReader;

use super::families::{Families, Family, Kind, Number, unit};
use super::help::help;
use super::resource::Resource;

/// Writes the page, each family with its help and type, as the text format wants them.
pub(super) fn page(families: &Families, form: &PrometheusReader, resource: &Resource) -> String {
    let constant = constant(form, resource);
    let mut page = String::new();
    for (name, family) in families.iter() {
        let written = written(name, family.kind, form);
        if let Some(help) = help(name) {
            line(&mut page, format_args!("# HELP {written} {help}"));
        }
        line(&mut page, format_args!("# TYPE {written} {}", family.kind.as_str()));
        samples(&mut page, &written, family, &constant);
    }
    page
}

/// The name with the suffixes that the page wants.
fn written(name: &str, kind: Kind, form: &PrometheusReader) -> String {
    let mut written = name.to_owned();
    let unit = match unit(name) {
        "s" => "_seconds",
        "By" => "_bytes",
        _ => "",
    };
    if !form.without_units && !written.ends_with(unit) {
        written.push_str(unit);
    }
    if !form.without_type_suffix && kind == Kind::Counter && !written.ends_with("_total") {
        written.push_str("_total");
    }
    written
}

/// The labels that every series has.
fn constant(form: &PrometheusReader, resource: &Resource) -> String {
    let mut labels = Vec::new();
    if let Some(chosen) = &form.with_resource_constant_labels {
        let taken = resource.attributes().filter(|(name, _)| chosen.takes(name));
        labels.extend(taken.map(|(name, value)| format!("{}=\"{}\"", label(name), escaped(value))));
    }
    if !form.without_scope_info {
        let version = env!("CARGO_PKG_VERSION");
        labels.push(format!("otel_scope_name=\"throughline\",otel_scope_version=\"{version}\""));
    }
    labels.join(",")
}

fn label(name: &str) -> String {
    let mut label: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if label.starts_with(|first: char| first.is_ascii_digit()) {
        label.insert(0, '_');
    }
    label
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn samples(page: &mut String, name: &str, family: &Family, constant: &str) {
    for sample in &family.samples {
        let parts = [constant, &sample.labels].into_iter().filter(|part| !part.is_empty());
        let labels = parts.collect::<Vec<_>>().join(",");
        let all = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        match &sample.value {
            Number::One(value) => line(page, format_args!("{name}{all} {value}")),
            Number::Distribution { buckets, count, sum } => {
                for (bound, below) in buckets {
                    line(page, format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}"));
                }
                line(page, format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
                line(page, format_args!("{name}_sum{all} {sum}"));
                line(page, format_args!("{name}_count{all} {count}"));
            }
        }
    }
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(page, "{text}");
}

#[cfg(test)]
mod tests {
    use throughline_config::IncludeExclude;

    use super::*;

    #[test]
    fn a_page_has_suffixes_and_constant_labels_as_its_reader_wants_them() {
        let mut families = Families::default();
        families.counter("otelcol_process_uptime", "", 1.0);
        families.gauge("otelcol_process_memory_rss", "a=\"b\"", 2.0);
        let resource = Resource::of([("service.name", "x\"y"), ("left.out", "z")]);
        let bare = page(&families, &PrometheusReader::default(), &resource);
        assert!(bare.contains("\notelcol_process_uptime 1\n"), "{bare}");
        let form = PrometheusReader {
            without_units: false,
            without_type_suffix: false,
            without_scope_info: false,
            with_resource_constant_labels: Some(IncludeExclude {
                included: Vec::new(),
                excluded: vec!["left.out".into()],
            }),
            ..PrometheusReader::default()
        };
        let full = page(&families, &form, &resource);
        let constant = format!(
            "service_name=\"x\\\"y\",otel_scope_name=\"throughline\",otel_scope_version=\"{}\"",
            env!("CARGO_PKG_VERSION")
        );
        for line in [
            "# TYPE otelcol_process_uptime_seconds_total counter".to_owned(),
            format!("otelcol_process_uptime_seconds_total{{{constant}}} 1"),
            format!("otelcol_process_memory_rss_bytes{{{constant},a=\"b\"}} 2"),
        ] {
            assert!(full.lines().any(|given| given == line), "{line} in\n{full}");
        }
    }
}
