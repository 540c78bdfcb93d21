//! Where configuration comes from.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// The largest input, and the largest text a value may expand to: 4 MiB.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// One `--config` location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A path, or `file:PATH`.
    File(String),
    /// `env:NAME`: the variable holds the YAML.
    Env(String),
    /// `yaml:TEXT`: the YAML itself, such as `yaml:exporters::debug::verbosity: detailed`.
    Yaml(String),
}

impl FromStr for Input {
    type Err = String;

    /// Reads a location as the command line gives it.
    ///
    /// # Errors
    /// When the scheme is one we do not have. A single letter before `:` is a drive, not a scheme.
    fn from_str(text: &str) -> Result<Self, String> {
        let scheme = text.split_once(':').filter(|(scheme, _)| {
            scheme.len() > 1
                && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'))
        });
        match scheme {
            None => Ok(Self::File(text.to_owned())),
            Some(("file", path)) => Ok(Self::File(path.to_owned())),
            Some(("env", name)) => Ok(Self::Env(name.to_owned())),
            Some(("yaml", yaml)) => Ok(Self::Yaml(yaml.to_owned())),
            Some((scheme @ ("http" | "https"), _)) => {
                Err(format!("configuration over `{scheme}:` is not supported yet"))
            }
            Some((scheme, _)) => {
                Err(format!("unknown scheme `{scheme}`; expected a path, `file:`, `env:` or `yaml:`"))
            }
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Env(name) => write!(f, "env:{name}"),
            // The text itself would fill the line of every message.
            Self::Yaml(_) => f.write_str("yaml:"),
        }
    }
}

/// The outside world, as far as a configuration can refer to it.
pub trait Sources {
    /// The environment variable, or none if it is not set.
    ///
    /// # Errors
    /// A message, when it is set to something that is not text.
    fn env(&self, name: &str) -> Result<Option<String>, String>;

    /// The bytes of a file; relative paths are relative to the working directory.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
}

/// The environment and the files of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process;

impl Sources for Process {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        match std::env::var(name) {
            Ok(text) => Ok(Some(text)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(format!("environment variable `{name}` is not valid UTF-8"))
            }
        }
    }

    /// Reads one byte more than an input may have, so that a device or a huge file is noticed, not swallowed.
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
