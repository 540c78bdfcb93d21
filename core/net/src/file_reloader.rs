//! Values read from files again and again: certificates and tokens are replaced while we run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use throughline_component::{Build, ConfigError};
use tokio::time::Instant;

/// A value read from small files, and read again when it is used and old enough.
///
/// What cannot be read any more, or makes no sense, leaves the last good value in service: files that belong together
/// are replaced one after the other, and what does not fit now will in a while.
pub struct FileReloader<T> {
    read: Box<dyn Fn() -> Result<T, ConfigError> + Send + Sync>,
    interval: Option<Duration>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    read_at: Instant,
    /// What was complained about last, so that it is said once.
    complaint: Option<ConfigError>,
}

impl<T> FileReloader<T> {
    /// Reads for the first time. Without an `interval` the value stays.
    ///
    /// # Errors
    /// What the first reading says.
    pub fn new(
        interval: Option<Duration>,
        read: impl Fn() -> Result<T, ConfigError> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let state = State { value: Arc::new(read()?), read_at: Instant::now(), complaint: None };
        Ok(Self { read: Box::new(read), interval, state: Mutex::new(state) })
    }

    /// The same for a component that is being built. What only this machine lacks is replaced by `otherwise` where the component is
    /// merely validated.
    ///
    /// # Errors
    /// What the first reading says.
    pub fn build(
        cx: &Build,
        interval: Option<Duration>,
        read: impl Fn() -> Result<T, ConfigError> + Send + Sync + 'static,
        otherwise: impl Fn() -> Result<T, ConfigError> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        Self::new(interval, read).or_else(|error| {
            cx.excuse(error)?;
            Self::new(None, otherwise)
        })
    }

    /// The value, read again if it is time to.
    pub fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.interval.is_some_and(|interval| state.read_at.elapsed() >= interval) {
            state.complaint = match (self.read)() {
                Ok(value) => {
                    state.value = Arc::new(value);
                    None
                }
                Err(error) => {
                    if state.complaint.as_ref() != Some(&error) {
                        tracing::warn!(%error, "cannot be read again; what was read before stays in service");
                    }
                    Some(error)
                }
            };
            state.read_at = Instant::now();
        }
        Arc::clone(&state.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_value_follows_its_file_and_outlives_a_broken_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("number");
        let write = |text: &str| std::fs::write(&path, text).expect("written");
        write("1");
        let read = {
            let path = path.clone();
            move || {
                let text = std::fs::read_to_string(&path).map_err(|e| ConfigError::new("", e.to_string()))?;
                text.parse::<u32>().map_err(|e| ConfigError::new("", e.to_string()))
            }
        };
        let fixed = FileReloader::new(None, read.clone()).expect("a number");
        let number = FileReloader::new(Some(Duration::from_secs(1)), read).expect("a number");
        write("2");
        assert_eq!(*number.current(), 1, "not yet");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((*number.current(), *fixed.current()), (2, 1));
        write("two");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(*number.current(), 2, "the last good one");
        write("3");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(*number.current(), 3);
    }
}
