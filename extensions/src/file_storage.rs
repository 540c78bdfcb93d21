//! Keeps streams and journals in a directory, synced to disk before anything is acknowledged.

mod measure;

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::port::{Journals, SystemDisk};
use throughline_component::{
    Build, ComponentId, ConfigError, Extension, Factory, Fatal, Meter, Services, States, Stop, can_write,
};
use throughline_config::{ByteSize, Duration, reasons};
use throughline_queue::{Durability, Overflow, Ports, Settings, Storage};

pub(crate) const FACTORY: Factory = Factory::extension::<FileStorage>("file_storage");

/// Keeps what waits for a destination, and what components remember, in a directory. Exporters name it in
/// `sending_queue::storage`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    extend("x-not-supported" = reasons(&[
        ("directory_permissions", "make the directory with the permissions that you want"),
    ])),
    extend("x-without-meaning" = reasons(&[
        ("compaction", "segments are deleted as soon as everything in them is delivered, so files never need to shrink"),
        ("recreate", "a damaged record is passed over and told of, and the rest is kept"),
    ]))
)]
pub(crate) struct Config {
    /// Where. It must exist, unless `create_directory` is set; no two agents may share it.
    directory: PathBuf,
    /// Creates the directory where it is missing.
    create_directory: bool,
    /// How long to wait for another agent to release the directory.
    timeout: Duration,
    /// The Collector's name for `durability`: `true` is `synced`, `false` is `memory`. Unset: what `durability` says.
    /// Unlike the Collector's, the default is to sync.
    fsync: Option<bool>,
    /// When stored data is acknowledged to its sender.
    durability: AcknowledgeAfter,
    /// The most bytes that all streams may take up. When the storage is full, senders are refused and keep their
    /// data. The storage needs a little more space than that: 8MiB in reserve, and the state of components.
    max_bytes: ByteSize,
    /// The most bytes that may wait for one exporter in one pipeline, in whole files from the oldest record it has not had.
    /// Unset: pipelines have equal shares of seven eighths of `max_bytes`.
    quota: Option<ByteSize>,
    /// What happens when the backlog of an exporter reaches `quota`. Every record that an exporter does not get
    /// is counted and logged.
    overflow: OnOverflow,
    /// How long the data of an exporter that has left the configuration is kept. Only time in which the agent
    /// runs counts. If space is needed, this data is removed first. `0s`: for ever.
    orphan_expiry: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AcknowledgeAfter {
    /// Once it is synced to disk: it survives a loss of power.
    #[default]
    Synced,
    /// Once the kernel has it: it survives the end of the agent, not that of the machine. Said at start-up.
    Memory,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnOverflow {
    /// What comes in is not kept for this exporter, while others get it. If none has room, senders are refused, and keep
    /// their data.
    #[default]
    DropNewest,
    /// The oldest that waits for this exporter is dropped.
    DropOldest,
    /// Senders are refused until there is room, and the pipeline's other exporters wait too.
    Block,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("/var/lib/throughline/storage"),
            create_directory: false,
            timeout: Duration::from_secs(1),
            fsync: None,
            durability: AcknowledgeAfter::default(),
            max_bytes: ByteSize::mib(1024),
            quota: None,
            overflow: OnOverflow::default(),
            orphan_expiry: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

pub(crate) struct FileStorage {
    id: ComponentId,
    storage: Arc<Storage>,
    asked: Settings,
    meter: Option<Arc<Meter>>,
}

impl Extension for FileStorage {
    type Config = Config;

    fn build(config: Config, cx: &Build, offers: &mut Services) -> Result<Self, ConfigError> {
        let settings = config.settings()?;
        cx.look(|| can_be_opened(&settings));
        let make = || {
            let disk = Arc::new(SystemDisk);
            let ports = Ports { disk, clock: Arc::clone(&cx.clock), random: Arc::clone(&cx.random) };
            Ok::<_, ConfigError>(Storage::new(ports, settings.clone()))
        };
        // A reload goes on with the log that is open, since a directory can be open only once.
        let key = ComponentId::new(&format!("{} {}", cx.id, settings.directory.display()));
        let storage = match cx.services.get::<States>() {
            Some(states) => states.get_or_try(&key, make)?,
            None => Arc::new(make()?),
        };
        offers.offer_as(cx.id.clone(), Arc::clone(&storage));
        offers.offer_as::<dyn Journals>(cx.id.clone(), Arc::<Storage>::clone(&storage));
        Ok(Self { id: cx.id.clone(), storage, asked: settings, meter: cx.services.get() })
    }

    async fn run(&self, mut stop: Stop) -> Result<(), Fatal> {
        if self.asked.durability == Durability::Memory {
            let directory = self.asked.directory.display();
            tracing::warn!(%directory, "durability is `memory`: what is acknowledged does not survive a loss of power");
        }
        let storage = Arc::clone(&self.storage);
        let log = tokio::task::spawn_blocking(move || storage.log()).await;
        let log = log.map_err(|error| Fatal(error.to_string()))?.map_err(|error| Fatal(error.to_string()))?;
        if let Some(meter) = &self.meter {
            let log = Arc::downgrade(&log);
            meter.source(&self.id, move |readings| {
                if let Some(log) = log.upgrade() {
                    measure::measure(&log, readings);
                }
            });
        }
        drop(log);
        stop.ready();
        let service = stop.clone();
        tokio::select! {
            () = service.in_service() => {}
            () = stop.stopped() => return Ok(()),
        }
        if !self.storage.adjust(self.asked.clone()) {
            tracing::warn!("`durability` of an open storage changes when the agent is restarted");
        }
        stop.stopped().await;
        Ok(())
    }
}

/// Whether this machine has the directory, or lets us make it. Nothing is created, and it is not asked who else has it open.
fn can_be_opened(settings: &Settings) -> Result<(), ConfigError> {
    let directory = &settings.directory;
    let name = directory.display();
    match std::fs::metadata(directory) {
        Ok(found) if !found.is_dir() => {
            Err(ConfigError::here("directory", format!("{name} is no directory")))
        }
        Ok(_) => can_write(directory)
            .map_err(|error| ConfigError::here("directory", format!("{name} cannot be written to: {error}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && settings.create_directory => {
            can_write(directory)
                .map_err(|error| ConfigError::here("directory", format!("{name} cannot be made: {error}")))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!("{name} is not there; `create_directory: true` makes it");
            Err(ConfigError::here("directory", message))
        }
        Err(error) => Err(ConfigError::here("directory", format!("{name}: {error}"))),
    }
}

impl Config {
    fn settings(self) -> Result<Settings, ConfigError> {
        if self.directory.as_os_str().is_empty() {
            return Err(ConfigError::new("directory", "the storage needs a directory"));
        }
        if self.max_bytes < ByteSize::mib(1) {
            return Err(ConfigError::new("max_bytes", "a storage needs at least 1MiB"));
        }
        if self.quota.is_some_and(|quota| quota < ByteSize::mib(1) || quota > self.max_bytes) {
            return Err(ConfigError::new("quota", "must be at least 1MiB, and at most `max_bytes`"));
        }
        let durability = match (self.fsync, self.durability) {
            (Some(true), AcknowledgeAfter::Memory) => {
                return Err(ConfigError::new(
                    "fsync",
                    "`fsync: true` contradicts `durability: memory`; keep one",
                ));
            }
            (Some(false), _) | (None, AcknowledgeAfter::Memory) => Durability::Memory,
            (_, AcknowledgeAfter::Synced) => Durability::Synced,
        };
        Ok(Settings {
            create_directory: self.create_directory,
            lock_timeout: self.timeout.get(),
            durability,
            max_bytes: self.max_bytes.bytes(),
            quota: self.quota.map(ByteSize::bytes),
            overflow: match self.overflow {
                OnOverflow::DropNewest => Overflow::DropNewest,
                OnOverflow::DropOldest => Overflow::DropOldest,
                OnOverflow::Block => Overflow::Block,
            },
            orphan_expiry: self.orphan_expiry.get(),
            ..Settings::new(self.directory)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Result<Settings, String> {
        let config: Config = serde_json::from_str(json).map_err(|error| error.to_string())?;
        config.settings().map_err(|error| error.to_string())
    }

    #[test]
    fn data_is_synced_unless_the_configuration_says_otherwise_in_words() {
        let durability = |json| settings(json).map(|settings| settings.durability);
        assert_eq!(durability("{}"), Ok(Durability::Synced));
        assert_eq!(durability(r#"{"fsync": true}"#), Ok(Durability::Synced));
        assert_eq!(durability(r#"{"fsync": false}"#), Ok(Durability::Memory));
        assert_eq!(durability(r#"{"durability": "memory"}"#), Ok(Durability::Memory));
        assert!(durability(r#"{"fsync": true, "durability": "memory"}"#).is_err());
    }

    #[test]
    fn a_storage_without_room_is_refused() {
        assert!(settings(r#"{"max_bytes": 1000}"#).is_err());
        assert!(settings(r#"{"quota": 1000}"#).is_err());
        assert!(settings(r#"{"quota": "2GiB"}"#).is_err(), "more than `max_bytes`");
    }

    #[test]
    fn nobody_waits_for_an_exporter_that_is_down_unless_that_was_asked_for() {
        let overflow = |json| settings(json).map(|settings| settings.overflow);
        assert_eq!(overflow("{}"), Ok(Overflow::DropNewest));
        assert_eq!(overflow(r#"{"overflow": "drop_oldest"}"#), Ok(Overflow::DropOldest));
        assert_eq!(overflow(r#"{"overflow": "block"}"#), Ok(Overflow::Block));
    }
}
