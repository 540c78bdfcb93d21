//! Places in the configuration, and what is said about them.

use std::fmt;
use std::sync::Arc;

/// One text that configuration came from, and its rank among them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin {
    pub(crate) order: u32,
    pub(crate) name: String,
}

/// A place in the configuration as its author wrote it.
///
/// Ordered as a reader meets them: by input, then line, then column. Prints as `file:line:column`, or as the
/// input's name alone where there are no lines (`--set #1`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    origin: Arc<Origin>,
    line: u32,
    column: u32,
}

impl Location {
    /// The line, from 1; 0 where the input has no lines.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The column in characters, from 1; 0 where the input has no lines.
    pub fn column(&self) -> u32 {
        self.column
    }

    /// The name of the input: a path, `env:NAME`, `yaml:…`, `--set #1`.
    pub fn input(&self) -> &str {
        &self.origin.name
    }

    pub(crate) fn new(origin: &Arc<Origin>, line: u32, column: u32) -> Self {
        Self { origin: Arc::clone(origin), line, column }
    }

    /// The input as a whole, without line and column.
    pub(crate) fn whole(order: u32, name: &str) -> Self {
        Self { origin: Arc::new(Origin { order, name: name.to_owned() }), line: 0, column: 0 }
    }

    /// The same line, some characters further right; an input without lines stays as it is.
    pub(crate) fn right_by(&self, characters: u32) -> Self {
        let column = if self.line == 0 { 0 } else { self.column.saturating_add(characters) };
        Self { origin: Arc::clone(&self.origin), line: self.line, column }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.origin.name);
        }
        write!(f, "{}:{}:{}", self.origin.name, self.line, self.column)
    }
}

/// One mistake: where, which option, what is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Error {
    at: Location,
    path: String,
    message: String,
}

/// Something that works but is probably not meant, in the same shape as an [`Error`].
pub type Warning = Error;

impl Error {
    /// Something to say about the option at `path` (keys joined by `::`), which stands at `at`.
    pub fn new(at: &Location, path: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { at: at.clone(), path: path.to_string(), message: message.into() }
    }

    /// Where it stands.
    pub fn location(&self) -> &Location {
        &self.at
    }

    /// The option's keys joined by `::`; empty when the mistake is not in one option.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong, and what would be right.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "{}: {}", self.at, self.message);
        }
        write!(f, "{}: {}: {}", self.at, self.path, self.message)
    }
}

impl std::error::Error for Error {}

/// All mistakes found at once, in the order in which a reader meets them. Prints one per line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// Sorts by place and drops what is said twice.
    pub fn new(mut errors: Vec<Error>) -> Self {
        errors.sort();
        errors.dedup();
        Self(errors)
    }

    /// The mistakes, sorted by place.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many mistakes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// What a component finds wrong with its own settings, before anyone knows where they stand.
///
/// The agent gives it a place with [`Component::locate`](crate::Component::locate).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Keys (and list indexes) from the component's own settings down to the option.
    pub path: Vec<String>,
    /// What is wrong, and what would be right.
    pub message: String,
    /// Whether it is this machine that does not fit the settings (a file that is not there, a port that somebody has), rather
    /// than the settings that are wrong wherever they are used.
    pub here: bool,
}

impl ConfigError {
    /// `path` is the keys down to the option, separated by `::`.
    pub fn new(path: &str, message: impl Into<String>) -> Self {
        let path = path.split("::").filter(|key| !key.is_empty()).map(str::to_owned).collect();
        Self { path, message: message.into(), here: false }
    }

    /// The same for what is wrong on this machine only.
    pub fn here(path: &str, message: impl Into<String>) -> Self {
        Self { here: true, ..Self::new(path, message) }
    }

    /// The same error, told from one block further out.
    #[must_use]
    pub fn under(mut self, key: &str) -> Self {
        self.path.insert(0, key.to_owned());
        self
    }

    /// The same for a whole path of keys, separated by `::`.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        path.rsplit("::").filter(|key| !key.is_empty()).fold(self, Self::under)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.path.join("::"), self.message)
    }
}

impl std::error::Error for ConfigError {}
