//! No two files of a crate import each other. Only a folder's own file (`mod.rs`, `x.rs` beside `x/`) and the files in that folder may:
//! they are one module.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{self, Source};

/// Pairs that still import each other: crate, one module, the other.
const STANDING: &[(&str, &str, &str)] = &[
    ("core/redaction", "anchors", "buckets"),
    ("core/redaction", "anchors", "words"),
    ("core/redaction", "keys", "rules::names"),
];

type Module = Vec<String>;

#[test]
fn no_two_files_of_a_crate_import_each_other() {
    let found = pairs(&sources::rust());
    let standing: BTreeSet<(String, String, String)> =
        STANDING.iter().map(|(folder, a, b)| (folder.to_string(), a.to_string(), b.to_string())).collect();
    assert_eq!(found, standing, "left: found; right: known to stand");
}

#[test]
fn files_that_import_each_other_are_found() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let sources = |b: &str| {
        vec![
            source("x/src/lib.rs", "mod a;\nmod b;\npub use b::{Other, Thing};\n"),
            source("x/src/a.rs", "use std::fmt;\nuse crate::Thing;\npub struct Mine;\n"),
            source("x/src/b.rs", b),
            source("x/src/b/inner.rs", "use super::Thing;\n"),
        ]
    };
    let none = BTreeSet::new();
    let pair: BTreeSet<_> = [("x".to_owned(), "a".to_owned(), "b".to_owned())].into();
    for (b, expected) in [
        ("mod inner;\npub struct Thing;\n", &none),
        ("pub struct Thing;\nuse crate::{c, a::{self, Mine}};\n", &pair),
        ("pub use inner::Thing;\nuse crate::a::Mine;\n", &none),
        ("pub struct Thing(super::a::Mine);\n", &pair),
        ("pub struct Thing; // not crate::a::Mine\n", &none),
        ("pub struct Thing;\n#[cfg(test)]\nmod tests {\n    use super::a;\n}\n", &none),
    ] {
        assert_eq!(&pairs(&sources(b)), expected, "{b}");
    }
}

/// The pairs of modules of one crate of which each names something of the other.
fn pairs(sources: &[Source]) -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    for (folder, crate_) in crates(sources) {
        let imports: BTreeMap<&Module, BTreeSet<Module>> =
            crate_.modules.iter().map(|(module, text)| (module, crate_.imports(module, text))).collect();
        for (a, of_a) in &imports {
            for b in of_a.iter().filter(|b| imports.get(b).is_some_and(|of_b| of_b.contains(*a))) {
                if *a < b && !a.starts_with(b) && !b.starts_with(a) {
                    found.insert((folder.clone(), a.join("::"), b.join("::")));
                }
            }
        }
    }
    found
}

/// The source text of a crate's modules, and what each passes on by `pub use`, by name.
#[derive(Default)]
struct Crate {
    modules: BTreeMap<Module, String>,
    passed_on: BTreeMap<Module, BTreeMap<String, Module>>,
}

fn crates(sources: &[Source]) -> BTreeMap<String, Crate> {
    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    for source in sources {
        let Some((folder, file)) = source.path.split_once("/src/") else { continue };
        let mut module: Module = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if ["mod", "lib", "main"].contains(&module[module.len() - 1].as_str()) {
            module.pop();
        }
        let text = without_comments_and_tests(&source.text);
        let crate_ = crates.entry(folder.to_owned()).or_default();
        let names =
            reexports(&text).into_iter().filter_map(|path| Some((path.last()?.clone(), path))).collect();
        crate_.passed_on.insert(module.clone(), names);
        crate_.modules.insert(module, text);
    }
    crates
}

impl Crate {
    fn imports(&self, module: &Module, text: &str) -> BTreeSet<Module> {
        let targets = paths(text).into_iter().map(|path| self.resolve(module, &path, 0));
        targets.filter(|target| target != module).collect()
    }

    /// The module that a path in `from` ends in, through what other modules pass on.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Module {
        let mut at = from.clone();
        let mut rest = path;
        while let Some((first, behind)) = rest.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                name => {
                    let inner = [at.as_slice(), &[name.to_owned()]].concat();
                    if !self.modules.contains_key(&inner) {
                        break;
                    }
                    at = inner;
                }
            }
            rest = behind;
        }
        let passed_on = rest.first().and_then(|name| self.passed_on.get(&at)?.get(name));
        match passed_on {
            Some(path) if depth < 5 => self.resolve(&at, path, depth + 1),
            _ => at,
        }
    }
}

fn without_comments_and_tests(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Every path that starts at the crate, at the module or above it, in `use` and elsewhere.
fn paths(text: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(start) {
            // `super::super::x` and `$crate::x` are met at their beginning.
            if !text[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c)) {
                tree(&text[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// What `pub use` and `pub(…) use` pass on.
fn reexports(text: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("use ") {
        let before = text[..at].trim_end();
        if before.ends_with("pub")
            || (before.ends_with(')') && before.rsplit('(').nth(1).is_some_and(|b| b.ends_with("pub")))
        {
            tree(&text[at + 4..], &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Reads one path or tree of paths (`a::{b, c::d}`), and answers what stands behind it.
fn tree<'a>(text: &'a str, prefix: &mut Module, found: &mut Vec<Module>) -> &'a str {
    let mut rest = text.trim_start();
    let before = prefix.len();
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 {
            prefix.push(rest[..end].to_owned());
        } else if let Some(mut inner) = rest.strip_prefix('{') {
            while !inner.is_empty() && !inner.starts_with('}') {
                inner = tree(inner, prefix, found);
                inner = inner
                    .trim_start_matches(|c: char| c != ',' && c != '}')
                    .trim_start_matches(',')
                    .trim_start();
            }
            prefix.truncate(before);
            return inner.strip_prefix('}').unwrap_or(inner);
        }
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    found.push(prefix.clone());
    prefix.truncate(before);
    rest
}
