//! What is written about the code is there, and true.

use std::collections::BTreeSet;

use crate::sources::{self, Source};

#[test]
fn every_crate_root_opens_with_a_paragraph() {
    let root = |source: &&Source| source.path.ends_with("src/lib.rs") || source.path.ends_with("src/main.rs");
    let sources = sources::rust();
    assert!(sources.iter().filter(root).count() >= 18, "the roots are found");
    for source in sources.iter().filter(root) {
        let tour: String = source.text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        assert!(tour.len() >= 150, "{} opens with `{tour}`, which is no tour", source.path);
    }
}

#[test]
fn test_names_are_sentences() {
    for source in sources::rust() {
        for name in tests(&source) {
            assert!(name.matches('_').count() >= 2, "{}: `{name}` says too little", source.path);
        }
    }
}

#[test]
fn architecture_md_lists_thirteen_invariants_and_each_names_tests_that_exist() {
    let known: BTreeSet<String> = sources::rust().iter().flat_map(tests).collect();
    let text = sources::read("ARCHITECTURE.md");
    let invariants = invariants(&text);
    let numbers: Vec<usize> = invariants.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=13).collect::<Vec<_>>());
    for (number, names) in invariants {
        assert!(!names.is_empty(), "invariant {number} names no test");
        for name in names {
            assert!(known.contains(&name), "invariant {number} names `{name}`, which is no test");
        }
    }
}

#[test]
fn an_invariant_without_its_test_is_found() {
    let text = "## Invariants\n\n1. **One.** Words.\n   Held by: `a_test`, `another_test`.\n2. **Two.** Words.\n\n## More\n";
    let expected = vec![(1, vec!["a_test".to_owned(), "another_test".to_owned()]), (2, vec![])];
    assert_eq!(invariants(text), expected);
}

/// The numbered invariants of ARCHITECTURE.md, each with the tests that `Held by:` names.
fn invariants(text: &str) -> Vec<(usize, Vec<String>)> {
    let section = text.split("## Invariants").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut found: Vec<(usize, Vec<String>)> = Vec::new();
    let mut held = false;
    for line in section.lines() {
        if let Some((number, _)) = line.split_once(". **").and_then(|(n, rest)| Some((n.parse().ok()?, rest)))
        {
            found.push((number, Vec::new()));
            held = false;
        }
        let names = line.split_once("Held by:").map_or(line, |(_, names)| {
            held = true;
            names
        });
        if let (true, Some((_, list))) = (held, found.last_mut()) {
            list.extend(names.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The names of a file's tests, those inside `proptest!` included.
fn tests(source: &Source) -> Vec<String> {
    let mut names = Vec::new();
    let mut marked = false;
    for line in source.text.lines().map(str::trim_start) {
        marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let function = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn "));
        if let (true, Some(function)) = (marked, function) {
            let end = function.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(function.len());
            names.push(function[..end].to_owned());
            marked = false;
        }
    }
    names
}
