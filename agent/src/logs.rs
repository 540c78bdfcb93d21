//! The agent's own log, on standard error unless the configuration says otherwise. Secrets are masked in it like in everything else.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;

use throughline_config::{LogEncoding, LogLevel, LogsTelemetry};
use throughline_redaction::{Counts, Scanner};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::mask::scanner;

/// Starts logging. The first call wins: a reload does not change the log.
pub(crate) fn start(settings: &LogsTelemetry) {
    let level = match settings.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let (outputs, failed) = Outputs::open(settings);
    let masked = Masked { scanner: scanner(), to: move || outputs.clone() };
    let layer = fmt::layer().with_writer(masked).with_target(false);
    let registry = tracing_subscriber::registry().with(own(level));
    let started = match settings.encoding {
        LogEncoding::Console => registry.with(layer.with_ansi(false)).try_init(),
        LogEncoding::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    drop(started);
    failed.iter().for_each(|why| tracing::error!("{why}"));
}

/// Where entries go, and what is added to each.
#[derive(Clone)]
struct Outputs {
    to: Arc<[Output]>,
    /// In front of an entry's own fields, behind its brace; or at the end of its line.
    added: Arc<str>,
    json: bool,
}

enum Output {
    Stderr,
    Stdout,
    File(File),
}

impl Outputs {
    /// What can be opened; and what cannot, and why. If nothing can, standard error.
    fn open(settings: &LogsTelemetry) -> (Self, Vec<String>) {
        let mut failed = Vec::new();
        let mut open = |path: &String| match path.as_str() {
            "stderr" => Some(Output::Stderr),
            "stdout" => Some(Output::Stdout),
            path => match OpenOptions::new().create(true).append(true).open(path) {
                Ok(file) => Some(Output::File(file)),
                Err(error) => {
                    failed.push(format!("cannot write the log to {path}: {error}"));
                    None
                }
            },
        };
        let mut to: Vec<Output> = settings.output_paths.iter().filter_map(&mut open).collect();
        if to.is_empty() {
            to.push(Output::Stderr);
        }
        let json = settings.encoding == LogEncoding::Json;
        let field = |(name, value): (&String, &String)| match json {
            true => format!(
                "{}:{},",
                serde_json::Value::from(name.as_str()),
                serde_json::Value::from(value.as_str())
            ),
            false => format!(" {name}={value}"),
        };
        let added: String = settings.initial_fields.iter().map(field).collect();
        let masked = scanner().mask(added.as_bytes(), &mut Counts::default());
        let added = masked.map_or(added, |masked| String::from_utf8_lossy(&masked).into_owned());
        (Self { to: to.into(), added: added.into(), json }, failed)
    }
}

impl Write for Outputs {
    /// Takes one whole entry.
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let line = if self.added.is_empty() {
            Cow::Borrowed(entry)
        } else if self.json {
            let rest = entry.strip_prefix(b"{").unwrap_or(entry);
            Cow::Owned([b"{", self.added.as_bytes(), rest].concat())
        } else {
            let text = entry.strip_suffix(b"\n").unwrap_or(entry);
            Cow::Owned([text, self.added.as_bytes(), b"\n"].concat())
        };
        for output in self.to.iter() {
            match output {
                Output::Stderr => io::stderr().write_all(&line)?,
                Output::Stdout => io::stdout().write_all(&line)?,
                Output::File(file) => (&*file).write_all(&line)?,
            }
        }
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Our own steps at a level. Of the libraries below us only errors: what they write at other levels follows what peers send,
/// frame by frame.
fn own(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("throughline", level)
        .with_target("h2", LevelFilter::OFF)
}

/// Masks each event before it is written. The formatter writes an event at once, so nothing is cut in two.
struct Masked<M> {
    scanner: Arc<Scanner>,
    to: M,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Masked<M> {
    type Writer = Masking<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Masking { scanner: Arc::clone(&self.scanner), to: self.to.make_writer() }
    }
}

struct Masking<W> {
    scanner: Arc<Scanner>,
    to: W,
}

impl<W: Write> Write for Masking<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        match self.scanner.mask(event, &mut Counts::default()) {
            Some(masked) => self.to.write_all(&masked),
            None => self.to.write_all(event),
        }?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics in here").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool) -> String {
        let page = Page::default();
        let to = page.clone();
        let masked = Masked { scanner: scanner(), to: move || to.clone() };
        let builder = fmt().with_writer(masked).with_ansi(false);
        let say = || {
            tracing::error!(
                password = "hunter2",
                "cannot clone https://bot:hunter2@example.org/x: \"token\": \"hunter2\""
            );
        };
        if json {
            tracing::subscriber::with_default(builder.json().flatten_event(true).finish(), say);
        } else {
            tracing::subscriber::with_default(builder.finish(), say);
        }
        let bytes = page.0.lock().expect("no test panics in here").clone();
        String::from_utf8(bytes).expect("it is text")
    }

    #[test]
    fn entries_go_wherever_they_are_wanted_with_the_fields_that_all_have() {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let path = folder.path().join("agent.log");
        for (encoding, expected) in [
            (LogEncoding::Json, "{\"service\":\"a \\\"b\\\"\",\"message\":\"ready\"}\n"),
            (LogEncoding::Console, "{\"message\":\"ready\"} service=a \"b\"\n"),
        ] {
            let settings = LogsTelemetry {
                encoding,
                output_paths: vec![path.display().to_string(), "/no/such/folder/agent.log".to_owned()],
                initial_fields: [("service".to_owned(), "a \"b\"".to_owned())].into(),
                ..LogsTelemetry::default()
            };
            let (mut outputs, failed) = Outputs::open(&settings);
            assert_eq!(failed.len(), 1, "{failed:?}");
            outputs.write_all(b"{\"message\":\"ready\"}\n").expect("the file takes it");
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), expected);
            std::fs::remove_file(&path).expect("it is there");
        }
    }

    #[test]
    fn no_secret_reaches_the_log_in_either_encoding() {
        for json in [false, true] {
            let text = logged(json);
            assert!(text.contains("https://bot:[REDACTED:userinfo:"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
            if json {
                assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
            }
        }
    }
}
