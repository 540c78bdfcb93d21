//! The ladder of crates: any crate may import any crate below it, and nothing beside or above. What is outside the
//! house is looked at too: the domain has no sockets, no runtime and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value as Json;

use crate::sources;

/// Every crate of ours with the crates of ours it may import; `dev` for its tests alone.
const LADDER: &[CrateRule] = &[
    CrateRule { name: "otlp", may: &[], dev: CORE },
    CrateRule { name: "config", may: &[], dev: CORE },
    CrateRule { name: "component", may: &["otlp", "config"], dev: CORE },
    CrateRule { name: "net", may: &["otlp", "config", "component"], dev: CORE },
    CrateRule { name: "queue", may: &["otlp", "config", "component", "net"], dev: CORE },
    CrateRule { name: "change", may: &["otlp"], dev: CORE },
    CrateRule { name: "redaction", may: &["otlp"], dev: CORE },
    CrateRule { name: "graph", may: &["otlp", "config", "component", "net", "queue"], dev: CORE },
    CrateRule { name: "receivers", may: COMPONENTS, dev: CORE },
    CrateRule { name: "processors", may: COMPONENTS, dev: CORE },
    CrateRule { name: "connectors", may: COMPONENTS, dev: CORE },
    CrateRule { name: "exporters", may: COMPONENTS, dev: CORE },
    // `file_storage` is the skin of the durable log.
    CrateRule {
        name: "extensions",
        may: &["otlp", "config", "component", "net", "change", "redaction", "queue"],
        dev: CORE,
    },
    CrateRule { name: "agent", may: BELOW_AGENT, dev: CORE },
    CrateRule { name: "testkit", may: CORE, dev: CORE },
    CrateRule { name: "benches", may: ALL, dev: ALL },
    CrateRule { name: "tests", may: ALL, dev: ALL },
    CrateRule { name: "xtask", may: &[], dev: &[] },
];

struct CrateRule {
    name: &'static str,
    may: &'static [&'static str],
    dev: &'static [&'static str],
}

const COMPONENTS: &[&str] = &["otlp", "config", "component", "net", "change", "redaction"];
const CORE: &[&str] =
    &["otlp", "config", "component", "net", "queue", "change", "redaction", "graph", "testkit"];
const BELOW_AGENT: &[&str] = &[
    "otlp",
    "config",
    "component",
    "net",
    "queue",
    "change",
    "redaction",
    "graph",
    "receivers",
    "processors",
    "connectors",
    "exporters",
    "extensions",
];
const ALL: &[&str] = &[
    "otlp",
    "config",
    "component",
    "net",
    "queue",
    "change",
    "redaction",
    "graph",
    "receivers",
    "processors",
    "connectors",
    "exporters",
    "extensions",
    "agent",
    "testkit",
    "benches",
];

/// An import of one crate by another.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
    dev: bool,
}

impl Arrow {
    /// Why the ladder forbids it, if it does.
    fn objection(&self) -> Option<String> {
        let Self { from, to, dev } = self;
        let Some(rule) = LADDER.iter().find(|rule| rule.name == from) else {
            return Some(format!("`{from}` has no place on the ladder"));
        };
        let allowed = if *dev {
            rule.dev.contains(&to.as_str()) || rule.may.contains(&to.as_str())
        } else {
            rule.may.contains(&to.as_str())
        };
        (!allowed).then(|| {
            format!("`{from}` may not import `{to}`{}", if *dev { ", not even for tests" } else { "" })
        })
    }
}

fn arrow(from: &str, to: &str, dev: bool) -> Arrow {
    Arrow { from: from.into(), to: to.into(), dev }
}

#[test]
fn every_arrow_between_crates_points_down_the_ladder() {
    let packages = packages();
    assert_eq!(packages.len(), LADDER.len(), "every crate has its place");
    let ours: BTreeSet<&String> = packages.keys().collect();
    let mut arrows = 0;
    for (from, dependencies) in &packages {
        for (to, dev) in dependencies.iter().filter(|(to, _)| ours.contains(to)) {
            arrows += 1;
            assert_eq!(arrow(from, to, *dev).objection(), None);
        }
    }
    assert!(arrows > 40, "only {arrows} arrows were found");
}

#[test]
fn forbidden_arrows_are_found() {
    for (from, to, dev) in [
        ("otlp", "config", false),
        ("receivers", "graph", false),
        ("receivers", "exporters", false),
        ("exporters", "queue", false),
        ("graph", "receivers", false),
        ("graph", "redaction", false),
        ("net", "queue", false),
        ("change", "component", false),
        ("change", "redaction", false),
        ("queue", "testkit", false),
        ("receivers", "exporters", true),
        ("xtask", "config", true),
        ("newcomer", "otlp", false),
    ] {
        assert!(arrow(from, to, dev).objection().is_some(), "{from} → {to}");
    }
    for (from, to, dev) in
        [("graph", "queue", false), ("extensions", "queue", false), ("queue", "testkit", true)]
    {
        assert_eq!(arrow(from, to, dev).objection(), None);
    }
}

#[test]
fn the_domain_has_no_sockets_no_runtime_and_no_clock() {
    let packages = packages();
    for domain in ["otlp", "change", "redaction"] {
        for (name, dev) in &packages[domain] {
            let world =
                ["tokio", "hyper", "tonic", "mio", "socket2", "reqwest", "async-std", "chrono", "time"];
            let reaches_out =
                world.iter().any(|taboo| name == taboo || name.starts_with(&format!("{taboo}-")));
            assert!(*dev || !reaches_out, "`{domain}` imports `{name}`");
        }
    }
    let pure = |path: &str| {
        ["core/otlp/src", "core/change/src", "core/redaction/src"].iter().any(|at| path.starts_with(at))
    };
    for source in sources::rust().iter().filter(|source| pure(&source.path)) {
        for taboo in ["std::net", "std::fs", "std::thread", "SystemTime", "Instant::now"] {
            assert!(!source.text.contains(taboo), "{} names `{taboo}`", source.path);
        }
    }
}

/// Invariant 8: a component that could call out is an exporter; nothing else holds a client (but for the commands that ask a running agent).
#[test]
fn only_exporters_can_call_out() {
    let allowed = ["exporters/src/", "core/net/", "agent/src/changes/", "benches/", "tests/", "xtask/"];
    let mut clients = 0;
    for source in sources::rust() {
        if source.text.contains("Client::build") || source.text.contains("TcpStream::connect") {
            clients += 1;
            assert!(allowed.iter().any(|at| source.path.starts_with(at)), "{} calls out", source.path);
        }
    }
    assert!(clients > 2, "the exporters' clients are found");
}

/// Every crate of the workspace by its folder's name, with the names of what it imports and whether for tests only.
fn packages() -> BTreeMap<String, Vec<(String, bool)>> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(sources::root())
        .output()
        .expect("cargo runs");
    let metadata: Json = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let short = |name: &str| match name {
        "throughline" => "agent".to_owned(),
        name => name.strip_prefix("throughline-").unwrap_or(name).to_owned(),
    };
    let list = |json: &Json| json.as_array().cloned().unwrap_or_default();
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let mut packages = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let imports = list(&package["dependencies"]);
        let imports = imports.iter().map(|to| (short(&text(&to["name"])), to["kind"] == "dev")).collect();
        packages.insert(short(&text(&package["name"])), imports);
    }
    packages
}
