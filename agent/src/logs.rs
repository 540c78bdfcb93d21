//! The agent's own log, on standard error.

use throughline_config::{LogEncoding, LogLevel, LogsTelemetry};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

/// Starts logging. The first call wins: a reload does not change the log.
pub(crate) fn start(settings: &LogsTelemetry) {
    let level = match settings.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let builder = fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    let started = match settings.encoding {
        LogEncoding::Console => builder.with_ansi(false).try_init(),
        LogEncoding::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(started);
}
