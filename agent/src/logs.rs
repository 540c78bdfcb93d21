//! The agent's own log, on standard error. Secrets are masked in it like in everything else.

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
    let masked = Masked { scanner: scanner(), to: io::stderr };
    let layer = fmt::layer().with_writer(masked).with_target(false);
    let registry = tracing_subscriber::registry().with(own(level));
    let started = match settings.encoding {
        LogEncoding::Console => registry.with(layer.with_ansi(false)).try_init(),
        LogEncoding::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    drop(started);
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
