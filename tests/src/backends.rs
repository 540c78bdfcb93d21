//! What the tests talk to: provisioned by `cargo xtask backends`, found in its cache.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Debian's Prometheus.
pub fn prometheus(test: &str) -> Option<PathBuf> {
    find(test, "prometheus/usr/bin/prometheus")
}

/// Debian's promtool.
pub fn promtool(test: &str) -> Option<PathBuf> {
    find(test, "prometheus/usr/bin/promtool")
}

/// A Python with the OpenTelemetry SDK and the Prometheus client.
pub fn python(test: &str) -> Option<PathBuf> {
    find(test, "python/bin/clients-ready")?;
    find(test, "python/bin/python")
}

/// A backend of the cache. One that is not there is written down, and `cargo xtask test` tells of it in the end.
fn find(test: &str, path: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("THROUGHLINE_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| profile_folder().parent().unwrap_or(Path::new("")).join("backends"));
    let path = cache.join(path);
    if path.exists() {
        return Some(path);
    }
    let line = format!("{test}, because {} is not there (cargo xtask backends)\n", path.display());
    if let Some(list) = std::env::var_os("THROUGHLINE_SKIPPED") {
        let list = std::fs::OpenOptions::new().append(true).open(list);
        list.and_then(|mut list| list.write_all(line.as_bytes()))
            .expect("the list of skipped tests is there");
    }
    drop(write!(std::io::stderr(), "skipped {line}"));
    None
}

/// The folder of this build's profile: `target/debug`.
pub(crate) fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(Path::parent).expect("tests lie in `deps` of the profile's folder");
    folder.to_owned()
}
