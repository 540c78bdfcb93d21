//! Dependencies: each one that a crate lists is used there, and no crate comes in two versions without a reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources;

#[test]
fn every_dependency_is_used_by_the_crate_that_lists_it() {
    let files = sources::rust();
    let mut unused = Vec::new();
    let mut manifests = 0;
    for path in sources::list("*Cargo.toml") {
        let Some(folder) = path.strip_suffix("/Cargo.toml") else { continue };
        manifests += 1;
        for (name, dev) in dependencies(&sources::read(&path)) {
            // The fuzz targets are the sources of their crate, with the oracle that they take in by its path; tests may use
            // what only tests need.
            let src = if dev || folder == "fuzz" { "" } else { "src/" };
            let start = [format!("{folder}/{src}"), "core/otlp/tests/oracle/".into()];
            let start = if folder == "fuzz" { &start[..] } else { &start[..1] };
            let mut own = files.iter().filter(|file| start.iter().any(|start| file.path.starts_with(start)));
            if !own.any(|file| names(&file.text, &name.replace('-', "_"))) {
                unused.push(format!("{folder}: {name}"));
            }
        }
    }
    assert!(manifests > 17, "{manifests} manifests are found");
    assert_eq!(unused, Vec::<String>::new());
}

#[test]
fn every_dependency_of_the_workspace_is_used_by_a_crate() {
    let listed = |path: &str| -> BTreeSet<String> {
        dependencies(&sources::read(path)).into_iter().map(|(name, _)| name).collect()
    };
    let members: BTreeSet<String> =
        sources::list("*/Cargo.toml").iter().flat_map(|path| listed(path)).collect();
    let unused: Vec<String> = listed("Cargo.toml").difference(&members).cloned().collect();
    assert_eq!(unused, Vec::<String>::new());
}

#[test]
fn two_versions_of_a_crate_have_a_reason_in_deny_toml() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version) in locked(&sources::read("Cargo.lock")) {
        versions.entry(name).or_default().push(version);
    }
    let excepted = exceptions(&sources::read("deny.toml"));
    assert!(excepted.len() > 3, "the exceptions are found");
    for (name, of_this) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let with_reason = |version: &&String| {
            excepted.iter().any(|(other, start)| {
                other == name && (*version == start || version.starts_with(&format!("{start}.")))
            })
        };
        let reasons = of_this.iter().filter(with_reason).count();
        assert_eq!(reasons, of_this.len() - 1, "`{name}` is there in versions {of_this:?}");
    }
    for (name, start) in excepted {
        let several = versions.get(&name).is_some_and(|of_this| {
            of_this.len() > 1 && of_this.iter().any(|version| version.starts_with(&start))
        });
        assert!(several, "deny.toml excepts `{name}` {start}, which needs no exception any more");
    }
}

#[test]
fn a_dependency_counts_as_used_by_a_path_and_not_by_a_word() {
    assert!(names("use serde::Deserialize;", "serde"));
    assert!(names("let x = serde::de::Error::custom;", "serde"));
    assert!(!names("// serde is not used here, serde_json::Value is", "serde"));
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nserde.workspace = true\n[dev-dependencies]\ntokio = { workspace = true }\n";
    assert_eq!(dependencies(manifest), [("serde".to_owned(), false), ("tokio".to_owned(), true)]);
}

/// Whether a source names the crate at the start of a path.
fn names(text: &str, name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = &text[at + name.len()..];
        !before.is_some_and(|c| word(c) || c == ':') && (after.starts_with("::") || after.starts_with(" as "))
    })
}

/// The names that a manifest's dependency tables list, and whether only tests may use them.
fn dependencies(manifest: &str) -> Vec<(String, bool)> {
    let mut table = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => table = name,
            None if table.ends_with("dependencies") => {
                let name: String =
                    line.chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
                if !name.is_empty() {
                    found.push((name, table == "dev-dependencies"));
                }
            }
            None => {}
        }
    }
    found
}

/// Names and versions of all packages of a lock file.
fn locked(lock: &str) -> Vec<(String, String)> {
    let value = |line: &str, key: &str| {
        Some(line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
    };
    let mut lines = lock.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(name) = value(line, "name") {
            found.extend(lines.next().and_then(|line| value(line, "version")).map(|version| (name, version)));
        }
    }
    found
}

/// Names and first parts of versions that deny.toml lets stand beside another version.
fn exceptions(deny: &str) -> Vec<(String, String)> {
    let list = deny.split("\nskip = [").nth(1).and_then(|rest| rest.split("\n]").next()).unwrap_or_default();
    let quoted =
        list.lines().filter(|line| line.contains("reason = \"")).filter_map(|line| line.split('"').nth(1));
    quoted
        .filter_map(|spec| spec.split_once(":^"))
        .map(|(name, version)| (name.into(), version.into()))
        .collect()
}
