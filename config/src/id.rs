//! Ids: `type[/name]` for components, `signal[/name]` for pipelines.

use std::fmt;
use std::str::FromStr;

use crate::kind::Signal;

/// The id of a component as its author wrote it, trimmed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    text: String,
    slash: Option<usize>,
}

impl Id {
    /// The part before `/`, in the author's spelling.
    pub fn type_name(&self) -> &str {
        &self.text[..self.slash.unwrap_or(self.text.len())]
    }

    /// The part after `/`.
    pub fn name(&self) -> Option<&str> {
        self.slash.map(|slash| &self.text[slash + 1..])
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Id {
    type Err = String;

    /// # Errors
    /// When the type is not `^[a-zA-Z][0-9a-zA-Z_]{0,62}$`, or the name is empty, longer than 1024 characters or
    /// holds white space, control or symbol characters.
    fn from_str(text: &str) -> Result<Self, String> {
        let (type_name, name) = match text.split_once('/') {
            Some((type_name, name)) => (type_name.trim(), Some(name.trim())),
            None => (text.trim(), None),
        };
        let mut letters = type_name.chars();
        let first = letters.next().is_some_and(|c| c.is_ascii_alphabetic());
        let rest = letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !first || !rest || type_name.len() > 63 {
            return Err(format!(
                "`{}` is not a component type; expected a letter, then up to 62 letters, digits or `_`",
                type_name.escape_debug()
            ));
        }
        let Some(name) = name else {
            return Ok(Self { text: type_name.to_owned(), slash: None });
        };
        check_name(name)?;
        Ok(Self { text: format!("{type_name}/{name}"), slash: Some(type_name.len()) })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The id of a pipeline: the signal that flows through it, and a name where there are several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineId {
    signal: Signal,
    name: Option<String>,
}

impl PipelineId {
    /// The signal that flows through it.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// The part after `/`.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl FromStr for PipelineId {
    type Err = String;

    /// # Errors
    /// When it does not begin with `traces`, `metrics` or `logs`, or the name is not one.
    fn from_str(text: &str) -> Result<Self, String> {
        let (signal, name) = match text.split_once('/') {
            Some((signal, name)) => (signal.trim(), Some(name.trim())),
            None => (text.trim(), None),
        };
        let signal = match signal {
            "profiles" => return Err("pipelines of profiles are not supported yet".to_owned()),
            _ => Signal::ALL.into_iter().find(|known| known.as_str() == signal).ok_or_else(|| {
                format!(
                    "a pipeline is named after its signal, `traces`, `metrics` or `logs`{}",
                    crate::nearest::did_you_mean(signal, Signal::ALL.map(Signal::as_str))
                )
            })?,
        };
        name.map_or(Ok(()), check_name)?;
        Ok(Self { signal, name: name.map(str::to_owned) })
    }
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}/{name}", self.signal),
            None => write!(f, "{}", self.signal),
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name after `/` is missing".to_owned());
    }
    if name.chars().count() > 1024 {
        return Err("the name after `/` is longer than 1024 characters".to_owned());
    }
    // Symbols are Unicode's categories S*; of these the ASCII ones are `$+<=>^`|~`.
    match name.chars().find(|c| c.is_whitespace() || c.is_control() || is_symbol(*c)) {
        Some(bad) => Err(format!("the name after `/` may not contain `{}`", bad.escape_debug())),
        None => Ok(()),
    }
}

/// Unicode's symbols in the blocks where people meet them: ASCII, Latin-1, currency, letterlike signs, arrows,
/// mathematics, technical signs, box drawing, shapes, dingbats, pictographs.
fn is_symbol(c: char) -> bool {
    matches!(c,
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~'
        | '¢'..='¦' | '¨' | '©' | '¬' | '®'..='±' | '´' | '¸' | '×' | '÷'
        | '\u{20a0}'..='\u{20c0}' | '\u{2100}'..='\u{214f}' | '\u{2190}'..='\u{2bff}'
        | '\u{1f000}'..='\u{1faff}')
}
