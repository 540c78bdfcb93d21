//! Appends requests to a file: OTLP/JSON, one request a line, or length-prefixed protobuf.
//!
//! Unlike the Collector's, it never truncates what is there. Done is said once the bytes are the kernel's; `fsync: true`
//! waits for the disk.

mod rotation;

use std::fs::{File as Handle, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::port::{Budget, Charge, Clock};
use throughline_component::{
    Batch, Build, ConfigError, Delivery, Exporter, Factory, Fatal, Outcome, Stop, can_write,
};
use throughline_config::{Optional, reasons};

use crate::as_json;
use rotation::Rotation;

pub(crate) const FACTORY: Factory = Factory::exporter::<File>("file");

/// Appends requests to a file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    extend("x-not-supported" = reasons(&[
        ("group_by", "one exporter and pipeline for each file"),
        ("encoding", "`format: json` or `proto`"),
        ("directory_permissions", "make the folder with the permissions that you want"),
    ])),
    extend("x-without-meaning" = reasons(&[
        ("flush_interval", "what is answered with success has been written: nothing waits to be flushed"),
    ]))
)]
pub(crate) struct Config {
    /// The file. It is created if it is not there, and always appended to.
    path: PathBuf,
    /// How requests are written.
    #[serde(default)]
    format: Format,
    /// Accepted for the Collector's sake; `false`, which would truncate, is refused.
    #[serde(default = "yes")]
    append: bool,
    /// Creates the folder too.
    #[serde(default)]
    create_directory: bool,
    /// Renames the file when it is full, and begins a new one.
    #[serde(default)]
    rotation: Optional<Rotation>,
    /// Compresses each request by itself; four bytes of length stand in front of each then, in `json` too.
    compression: Option<Codec>,
    /// Syncs to disk before a batch counts as delivered.
    #[serde(default)]
    fsync: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// OTLP/JSON, one request a line.
    #[default]
    Json,
    /// Four bytes of length, big endian, then the request.
    Proto,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Codec {
    /// RFC 8878.
    Zstd,
}

fn yes() -> bool {
    true
}

pub(crate) struct File {
    config: Arc<Config>,
    handle: Arc<Mutex<Option<Handle>>>,
    memory: Option<Arc<Budget>>,
    clock: Arc<dyn Clock>,
}

impl Exporter for File {
    type Config = Config;
    const DELIVERY: Delivery = Delivery::Direct;

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        if !config.append {
            return Err(ConfigError::new("append", "this exporter never truncates; remove `append: false`"));
        }
        if config.path.as_os_str().is_empty() {
            return Err(ConfigError::new("path", "the file needs a path"));
        }
        cx.look(|| config.can_be_written());
        let memory = cx.services.get::<Budget>();
        Ok(Self { config: Arc::new(config), handle: Arc::default(), memory, clock: Arc::clone(&cx.clock) })
    }

    async fn export(&self, batch: &Batch) -> Outcome {
        let lines = match self.config.format {
            _ if self.config.compression.is_some() => self.compressed(batch),
            Format::Json => {
                let requests: Vec<&[u8]> = batch.chunks.iter().map(|chunk| &*chunk.bytes).collect();
                as_json::write((batch.signal, batch.items()), &requests, b"\n", self.memory.as_ref())
            }
            Format::Proto => Ok(self.framed(batch)),
        };
        let (lines, charge) = match lines {
            Ok(lines) => lines,
            Err(refused) => return refused,
        };
        let (config, handle) = (Arc::clone(&self.config), Arc::clone(&self.handle));
        let now = self.clock.unix_nanos();
        let written = tokio::task::spawn_blocking(move || {
            let mut slot = handle.lock().unwrap_or_else(PoisonError::into_inner);
            let appended = append(&mut slot, &config, &lines, now);
            drop((lines, charge));
            appended
        });
        match written.await {
            Ok(Ok(())) => Outcome::DONE,
            Ok(Err(error)) => {
                Outcome::retry(format!("cannot append to {}: {error}", self.config.path.display()))
            }
            Err(_) => Outcome::retry("the writer was cut off"),
        }
    }

    /// Opens the file, so that a start or a reload with one that cannot be written fails, rather than every request afterwards.
    async fn run(&self, mut stop: Stop) -> Result<(), Fatal> {
        let (config, handle) = (Arc::clone(&self.config), Arc::clone(&self.handle));
        let opened = tokio::task::spawn_blocking(move || {
            let mut slot = handle.lock().unwrap_or_else(PoisonError::into_inner);
            if slot.is_none() {
                *slot = Some(open(&config.path, config.create_directory)?);
            }
            Ok::<_, std::io::Error>(())
        });
        opened.await.map_err(|error| Fatal(error.to_string()))?.map_err(|error| {
            let hint = if self.config.create_directory {
                ""
            } else {
                " (`create_directory: true` makes its folder)"
            };
            Fatal(format!("cannot append to {}: {error}{hint}", self.config.path.display()))
        })?;
        stop.ready();
        stop.stopped().await;
        Ok(())
    }
}

impl File {
    /// Each request compressed by itself, its length in front.
    fn compressed(&self, batch: &Batch) -> Result<(Vec<u8>, Charge), Outcome> {
        let (mut out, mut charge) =
            (Vec::new(), self.memory.as_ref().map_or_else(Charge::none, Budget::charge));
        for chunk in &batch.chunks {
            let packed = match self.config.format {
                Format::Proto => zstd::bulk::compress(&chunk.bytes, 1),
                Format::Json => {
                    let what = (batch.signal, u64::from(chunk.items));
                    let (json, _charge) = as_json::write(what, &[&chunk.bytes], b"", self.memory.as_ref())?;
                    zstd::bulk::compress(&json, 1)
                }
            };
            let packed = packed.map_err(|error| Outcome::retry(format!("cannot compress: {error}")))?;
            out.extend_from_slice(&u32::try_from(packed.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(&packed);
        }
        charge.owe(out.capacity());
        Ok((out, charge))
    }

    fn framed(&self, batch: &Batch) -> (Vec<u8>, Charge) {
        let mut out = Vec::with_capacity(batch.len_bytes() + 4 * batch.chunks.len());
        for chunk in &batch.chunks {
            let length = u32::try_from(chunk.bytes.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&chunk.bytes);
        }
        let mut charge = self.memory.as_ref().map_or_else(Charge::none, Budget::charge);
        charge.owe(out.capacity());
        (out, charge)
    }
}

impl Config {
    /// Whether this machine lets us append to the file; nothing is created.
    fn can_be_written(&self) -> Result<(), ConfigError> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            if self.create_directory {
                return self.may_write();
            }
            let message = format!("{} is not there; `create_directory: true` makes it", folder.display());
            return Err(ConfigError::here("path", message));
        }
        let opened = match OpenOptions::new().append(true).open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return self.may_write(),
            opened => opened,
        };
        opened.map(drop).map_err(|error| {
            ConfigError::here("path", format!("cannot append to {}: {error}", self.path.display()))
        })
    }
}

impl Config {
    fn may_write(&self) -> Result<(), ConfigError> {
        can_write(&self.path).map_err(|error| {
            ConfigError::here("path", format!("{} cannot be made: {error}", self.path.display()))
        })
    }
}

/// Appends, whole or not at all: what a full disk cut short is taken back, so that the file always parses.
fn append(slot: &mut Option<Handle>, config: &Config, lines: &[u8], now: u64) -> std::io::Result<()> {
    if let (Some(rotation), Some(file)) = (config.rotation.as_ref(), slot.as_ref())
        && rotation.is_due(file.metadata()?.len(), lines.len())
    {
        *slot = None;
        rotation.put_aside(&config.path, now)?;
    }
    let file = match slot {
        Some(file) => file,
        None => slot.insert(open(&config.path, config.create_directory)?),
    };
    let before = file.metadata()?.len();
    let written = file.write_all(lines).and_then(|()| if config.fsync { file.sync_data() } else { Ok(()) });
    if written.is_err() {
        drop(file.set_len(before));
        *slot = None; // a handle that failed once is not trusted again
    }
    written
}

fn open(path: &Path, create_directory: bool) -> std::io::Result<Handle> {
    if create_directory && let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}
