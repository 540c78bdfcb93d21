//! The repository's files, as Git knows them.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the repository.
pub(crate) struct Source {
    /// From the repository's root.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All Rust files, with those that are not committed yet. Nothing in the repository is generated Rust.
pub(crate) fn rust() -> Vec<Source> {
    let read = |path: String| {
        let text = std::fs::read_to_string(root().join(&path)).ok()?;
        Some(Source { path, text })
    };
    let sources: Vec<_> = list("*.rs").into_iter().filter_map(read).collect();
    assert!(sources.len() > 200, "git lists {} files", sources.len());
    sources
}

/// The paths of all files that fit a pattern of Git's.
pub(crate) fn list(pattern: &str) -> Vec<String> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", pattern];
    let output = Command::new("git").args(list).current_dir(root()).output().expect("git runs");
    let paths = String::from_utf8(output.stdout).expect("our paths are text");
    paths.lines().map(str::to_owned).collect()
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
