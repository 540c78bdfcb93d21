//! `docs/coming-from-the-collector.md`: what becomes of each option of the Collector's components that we have.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value as Json;
use throughline_config::{Catalog, Class, Kind, classes, service_schema};

const OPTIONS: &str = include_str!("options.txt");

const HEAD: &str = "# Coming from the Collector

A configuration of the OpenTelemetry Collector that uses only the components below is run as it is: same sections, same names,
`${env:NAME:-default}`, several `--config` and `--set`, also without a subcommand (`throughline --config a.yaml`). Each option of
the Collector's belongs to one of three classes:

* **supported**: it does what it does there. Where our default differs, [the reference](reference) says so.
* **not supported yet**: it is refused, with its place in the file, and with what to use instead.
* **without meaning here**: it is taken, with a note; it changes nothing, and nothing is lost by that.

Feature gates (`--feature-gates`) are about the Collector's own code: they are taken, with a note. A component of the Collector's that
is not here is refused by its name. What is meant to differ: the queue's senders wait for the result (`wait_for_result` is always on),
stored data does not expire unless told to, `file` appends, and secrets are masked (`service::mask_secrets`).

This page is written by `cargo xtask docs` from the schemas that check the configuration.
";

/// One component's options.
struct Listed {
    /// `service` has none.
    kind: Option<Kind>,
    name: String,
    options: Vec<String>,
}

/// The page.
pub(crate) fn page(catalog: &Catalog) -> String {
    let mut page = HEAD.to_owned();
    for listed in listed() {
        let title = match listed.kind {
            Some(kind) => format!("`{}` ({kind})", listed.name),
            None => "`service`".to_owned(),
        };
        let _ = writeln!(page, "\n## {title}\n");
        let Some(schema) = schema(catalog, &listed) else {
            let _ = writeln!(page, "It is not here.");
            continue;
        };
        let options: Vec<&str> = listed.options.iter().map(String::as_str).collect();
        let _ = writeln!(page, "| option | class | |\n|---|---|---|");
        for (option, class) in options.iter().zip(classes(&schema, &options)) {
            let (class, why) = match class {
                Class::Supported => ("supported", ""),
                Class::NotSupportedYet(instead) => ("not supported yet", instead),
                Class::WithoutMeaning(why) => ("without meaning here", why),
                Class::Unknown => ("**unknown**", ""),
            };
            let why = why.replace('|', "\\|");
            let why = if why.is_empty() { String::new() } else { format!(" {why}") };
            let _ = writeln!(page, "| `{option}` | {class} |{why} |");
        }
    }
    page
}

fn schema(catalog: &Catalog, listed: &Listed) -> Option<Json> {
    match listed.kind {
        Some(kind) => catalog.find(kind, &listed.name).map(|known| known.schema.as_value().clone()),
        None => Some(service_schema()),
    }
}

/// The list with its blocks taken in.
fn listed() -> Vec<Listed> {
    let mut blocks: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut all: Vec<Listed> = Vec::new();
    let mut block = None;
    for line in OPTIONS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let kind = Kind::ALL.into_iter().find(|kind| line.starts_with(&format!("{kind} ")));
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            block = Some(name);
        } else if kind.is_some() || line == "service" {
            let name = line.rsplit(' ').next().unwrap_or(line).to_owned();
            all.push(Listed { kind, name, options: Vec::new() });
            block = None;
        } else {
            let options = match line.split_once('@') {
                Some((prefix, name)) => {
                    let taken = blocks.get(name).into_iter().flatten();
                    taken.map(|option| format!("{prefix}{option}")).collect()
                }
                None => vec![line.to_owned()],
            };
            match (block, all.last_mut()) {
                (Some(name), _) => blocks.entry(name).or_default().extend(options),
                (None, Some(component)) => component.options.extend(options),
                (None, None) => {}
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::catalog;

    /// Ours alone; the Collector has nothing of the name.
    const OURS: [(Kind, &str); 7] = [
        (Kind::Receiver, "internal"),
        (Kind::Processor, "change"),
        (Kind::Processor, "secrets"),
        (Kind::Connector, "change_metrics"),
        (Kind::Connector, "events"),
        (Kind::Exporter, "changes"),
        (Kind::Extension, "throughline"),
    ];

    #[test]
    fn every_option_of_the_collectors_has_a_class_and_a_refusal_says_what_to_use_instead() {
        let catalog = catalog();
        let mut count = 0;
        for listed in listed() {
            let schema = schema(&catalog, &listed).unwrap_or_else(|| panic!("{} is not here", listed.name));
            let options: Vec<&str> = listed.options.iter().map(String::as_str).collect();
            for (option, class) in options.iter().zip(classes(&schema, &options)) {
                let place = format!("{}::{option}", listed.name);
                match class {
                    Class::Unknown => panic!("{place} would be refused as unknown"),
                    Class::NotSupportedYet(why) | Class::WithoutMeaning(why) => {
                        assert!(why.len() > 8, "{place} has no reason")
                    }
                    Class::Supported => {}
                }
                count += 1;
            }
        }
        assert!(count > 300, "{count} options");
    }

    #[test]
    fn every_component_that_the_collector_has_too_is_listed() {
        let all = listed();
        for known in catalog().iter() {
            let listed = all.iter().any(|one| one.kind == Some(known.kind) && one.name == known.type_name);
            assert!(
                listed || OURS.contains(&(known.kind, known.type_name)),
                "{} is not listed",
                known.type_name
            );
        }
    }
}
