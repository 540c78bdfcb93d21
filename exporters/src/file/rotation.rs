//! Putting a full file aside and beginning a new one.

use std::fs::{read_dir, remove_file, rename};
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_config::reasons;

const DAY: i64 = 24 * 60 * 60;

/// When a file is put aside, and how many of those are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-without-meaning" = reasons(&[
    ("localtime", "files are named by UTC, so that they sort and no name comes twice when clocks change"),
])))]
pub(super) struct Rotation {
    /// How large a file may become, in MiB. A request is never divided.
    max_megabytes: u64,
    /// Renamed files that are older are removed. `0`: none is removed for its age.
    max_days: u32,
    /// How many renamed files are kept. `0`: all.
    max_backups: u32,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { max_megabytes: 100, max_days: 0, max_backups: 100 }
    }
}

impl Rotation {
    /// Whether a file of this length has no room for more.
    pub(super) fn is_due(&self, length: u64, more: usize) -> bool {
        let limit = self.max_megabytes.max(1) << 20;
        length > 0 && length.saturating_add(more as u64) > limit
    }

    /// Puts the file aside under a name of its time, and removes those that are too many or too old. `now` is in nanoseconds
    /// since 1970.
    pub(super) fn put_aside(&self, path: &Path, now: u64) -> io::Result<()> {
        let mut at = now / 1_000_000;
        let aside = loop {
            let aside = named(path, &stamp(at)).ok_or(io::ErrorKind::InvalidInput)?;
            if !aside.exists() {
                break aside;
            }
            at += 1; // two in a millisecond
        };
        rename(path, aside)?;
        // What cannot be removed is tried again with the next.
        let _ = self.remove_old(path, now);
        Ok(())
    }

    fn remove_old(&self, path: &Path, now: u64) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut aside: Vec<(PathBuf, jiff::Timestamp)> = read_dir(folder)?
            .flatten()
            .filter_map(|entry| {
                let time = time_of(path, &entry.path())?;
                Some((entry.path(), time))
            })
            .collect();
        aside.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        let oldest = i64::try_from(now / 1_000_000_000).unwrap_or(i64::MAX) - i64::from(self.max_days) * DAY;
        for (number, (path, time)) in aside.iter().enumerate() {
            let too_many = self.max_backups > 0 && number >= self.max_backups as usize;
            let too_old = self.max_days > 0 && time.as_second() < oldest;
            if too_many || too_old {
                remove_file(path)?;
            }
        }
        Ok(())
    }
}

const FORM: &str = "%Y-%m-%dT%H-%M-%S";

fn stamp(milliseconds: u64) -> String {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(milliseconds).unwrap_or(i64::MAX));
    let time = time.unwrap_or(jiff::Timestamp::MAX);
    format!("{}.{:03}", time.strftime(FORM), milliseconds % 1000)
}

/// `logs.jsonl` → `logs-2026-01-02T15-04-05.000.jsonl`.
fn named(path: &Path, stamp: &str) -> Option<PathBuf> {
    let stem = path.file_stem()?.to_str()?;
    let ending = path.extension().and_then(|ending| ending.to_str());
    let ending = ending.map(|ending| format!(".{ending}")).unwrap_or_default();
    Some(path.with_file_name(format!("{stem}-{stamp}{ending}")))
}

/// When a file was put aside, if its name says that it was.
fn time_of(path: &Path, other: &Path) -> Option<jiff::Timestamp> {
    let (start, end) = (path.file_stem()?.to_str()?, path.extension().and_then(|ending| ending.to_str()));
    let name = other.file_name()?.to_str()?.strip_prefix(start)?.strip_prefix('-')?;
    let stamp = match end {
        Some(end) => name.strip_suffix(end)?.strip_suffix('.')?,
        None => name,
    };
    let (seconds, milliseconds) = stamp.split_once('.')?;
    let civil = jiff::civil::DateTime::strptime(FORM, seconds).ok()?;
    let time = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    let fits = milliseconds.len() == 3 && milliseconds.bytes().all(|byte| byte.is_ascii_digit());
    let more = jiff::SignedDuration::from_millis(milliseconds.parse().ok()?);
    fits.then(|| time.checked_add(more).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_strangers_are_left_alone() {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let path = folder.path().join("logs.jsonl");
        let stranger = folder.path().join("logs-of-somebody-else.jsonl");
        std::fs::write(&stranger, "x").expect("the folder can be written");
        let rotation = Rotation { max_megabytes: 1, max_days: 2, max_backups: 3 };
        let day = DAY as u64 * 1_000_000_000;
        let aside = |now: u64| {
            std::fs::write(&path, now.to_string()).expect("the folder can be written");
            rotation.put_aside(&path, now).expect("it can be renamed");
            let mut names: Vec<_> = read_dir(folder.path())
                .expect("it is there")
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort_unstable();
            names
        };
        for _ in 0..3 {
            aside(100 * day);
        }
        let names = aside(100 * day);
        assert_eq!(
            names,
            [
                "logs-1970-04-11T00-00-00.001.jsonl",
                "logs-1970-04-11T00-00-00.002.jsonl",
                "logs-1970-04-11T00-00-00.003.jsonl",
                "logs-of-somebody-else.jsonl"
            ]
        );
        assert_eq!(aside(103 * day).len(), 2, "the others are too old");
        assert!(stranger.exists());
    }

    #[test]
    fn a_file_is_full_before_it_is_too_large_and_never_while_it_is_empty() {
        let rotation = Rotation { max_megabytes: 1, ..Rotation::default() };
        assert!(!rotation.is_due(0, 5 << 20));
        assert!(!rotation.is_due(1, (1 << 20) - 1));
        assert!(rotation.is_due(2, (1 << 20) - 1));
    }
}
