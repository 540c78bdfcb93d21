//! Provisioning what the black-box tests talk to, from the ordinary package registries, into a cache folder.
//!
//! Nothing is installed on the machine and nothing is started. A backend that cannot be had is reported, not an error:
//! the tests that need it skip themselves, and say so.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{command, quietly, say, target};

/// PyPI packages, pinned: the tests are to fail for our reasons only.
const PYTHON_PACKAGES: [&str; 3] =
    ["opentelemetry-sdk==1.39.1", "opentelemetry-exporter-otlp==1.39.1", "prometheus-client==0.26.0"];

/// A backend, and whether it is there.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    /// Why it is not there.
    pub(crate) missing: Option<String>,
    folder: PathBuf,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.missing {
            None => write!(f, "{}: in {}", self.name, self.folder.display()),
            Some(why) => write!(f, "{}: cannot be had, because {why}", self.name),
        }
    }
}

/// Where backends are kept. The black-box tests look in the same place.
pub(crate) fn cache() -> PathBuf {
    std::env::var_os("THROUGHLINE_CACHE").map_or_else(|| target().join("backends"), PathBuf::from)
}

/// Provisions all backends that are not there yet.
pub(crate) fn provision() -> Result<Vec<Backend>> {
    let cache = cache();
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(vec![
        backend(&cache, "prometheus", "usr/bin/promtool", prometheus),
        backend(&cache, "python", "bin/clients-ready", python),
    ])
}

/// A backend in a folder of its own, which counts as complete once `proof` is in it.
fn backend(cache: &Path, name: &'static str, proof: &str, get: fn(&Path) -> Result<()>) -> Backend {
    let folder = cache.join(name);
    let mut missing = None;
    if !folder.join(proof).exists() {
        say(&format!("▶ provisioning {name} …"));
        missing = get(&folder).err().map(|why| format!("{why:#}"));
    }
    Backend { name, missing, folder }
}

/// Debian's Prometheus with promtool, unpacked without its dependencies, which only its web pages need.
fn prometheus(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let download = || {
        let mut apt = command("apt-get", &["download", "-q", "prometheus"]);
        apt.current_dir(folder);
        quietly(apt)
    };
    if download().is_err() {
        // A fresh machine has no package lists.
        quietly(command("apt-get", &["update", "-q"]))?;
        download()?;
    }
    let package = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let Some(package) = package else { bail!("apt-get downloaded no package") };
    quietly(command("dpkg", &["-x", &package.to_string_lossy(), &folder.to_string_lossy()]))?;
    std::fs::remove_file(package)?;
    Ok(())
}

/// A Python with the OpenTelemetry SDK, its OTLP exporters, and a reader of Prometheus pages.
fn python(folder: &Path) -> Result<()> {
    quietly(command("python3", &["-m", "venv", &folder.to_string_lossy()]))?;
    let python = folder.join("bin/python");
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
    quietly(command(&python.to_string_lossy(), &[&install[..], &PYTHON_PACKAGES].concat()))?;
    // An interrupted installation must not pass for a complete one.
    std::fs::write(folder.join("bin/clients-ready"), "")?;
    Ok(())
}
