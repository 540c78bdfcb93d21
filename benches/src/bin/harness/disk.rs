//! What the disk does bare: append and fdatasync.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Enough for a median.
const SYNCS: usize = 100;

/// What appending and syncing took.
pub(crate) struct Bare {
    /// The median of one group.
    pub(crate) p50: Duration,
    /// Requests a second.
    pub(crate) rate: f64,
}

/// Appends requests in groups of `group` to a new file in `folder`, each group synced.
pub(crate) fn append_and_sync(folder: &Path, requests: &[Bytes], group: usize) -> std::io::Result<Bare> {
    let path = folder.join("bare");
    let mut file = std::fs::File::create(&path)?;
    let mut requests = requests.iter().cycle();
    let groups = (SYNCS / group).max(5);
    let mut took = Vec::with_capacity(groups);
    for _ in 0..groups {
        #[expect(clippy::disallowed_methods, reason = "a measuring program")]
        let start = Instant::now();
        for request in requests.by_ref().take(group) {
            file.write_all(request)?;
        }
        file.sync_data()?;
        took.push(start.elapsed());
    }
    std::fs::remove_file(path)?;
    let all: Duration = took.iter().sum();
    took.sort_unstable();
    Ok(Bare { p50: took[groups / 2], rate: (groups * group) as f64 / all.as_secs_f64() })
}

/// The file system's name. Syncing to memory is no measure: a tmpfs is refused.
pub(crate) fn file_system(folder: &Path) -> std::io::Result<String> {
    let output = std::process::Command::new("df").arg("--output=fstype").arg(folder).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let name = text.lines().last().unwrap_or_default().trim().to_owned();
    if name.is_empty() || name.contains("tmpfs") {
        return Err(std::io::Error::other(format!("{}: `{name}` is no disk", folder.display())));
    }
    Ok(name)
}
