//! What waits in a storage that no agent has open.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use throughline_component::port::{StoreError, SystemClock, SystemDisk, SystemRandom};
use throughline_queue::{Backlog, Dropped, Log, Ports};

use crate::cli::Queue;
use crate::show::{print_error, say, table};

/// Does what was asked.
pub(crate) fn queue(directory: &Path, what: Queue) -> ExitCode {
    let done = open(directory).and_then(|log| match what {
        Queue::Ls => Ok(list(&log)),
        Queue::Drop { destination, stream } => drop_destination(&log, &destination, stream.as_deref()),
        Queue::Forget { component } => forget(&log, &component),
    });
    match done {
        Ok(text) => say(&text),
        Err(error) => {
            print_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn open(directory: &Path) -> Result<Log, StoreError> {
    let ports = Ports {
        disk: Arc::new(SystemDisk),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(SystemRandom::default()),
    };
    Log::open_to_look(ports, PathBuf::from(directory))
}

fn list(log: &Log) -> String {
    let heads =
        ["STREAM", "DESTINATION", "POSITION", "BYTES", "RECORDS", "ITEMS", "ORPHAN FOR"].map(String::from);
    let mut rows = vec![heads];
    for Backlog { stream, destination, position, bytes, records, items, orphan } in log.list() {
        let orphan = orphan.filter(|age| !age.is_zero()).map_or_else(|| "-".to_owned(), age);
        let numbers = [format!("{position:x}"), bytes.to_string(), records.to_string(), items.to_string()];
        let [position, bytes, records, items] = numbers;
        rows.push([stream, destination, position, bytes, records, items, orphan]);
    }
    table(&rows)
}

/// A duration in its largest unit.
fn age(age: Duration) -> String {
    match age.as_secs() {
        secs @ 0..120 => format!("{secs}s"),
        secs @ 120..7200 => format!("{}m", secs / 60),
        secs @ 7200..172_800 => format!("{}h", secs / 3600),
        secs => format!("{}d", secs / 86_400),
    }
}

fn drop_destination(log: &Log, destination: &str, stream: Option<&str>) -> Result<String, StoreError> {
    let dropped = log.drop_destination(stream, destination);
    while log.flush_group() {}
    if dropped.is_empty() {
        return Err(StoreError(format!("nothing waits for {destination}; `queue ls` lists what does")));
    }
    let line = |dropped: &Dropped| {
        let Dropped { stream, records, items, .. } = dropped;
        format!("{stream}: {records} records with {items} items were dropped for {destination}\n")
    };
    Ok(dropped.iter().map(line).collect())
}

fn forget(log: &Log, component: &str) -> Result<String, StoreError> {
    if log.forget_journal(component)? {
        return Ok(format!("{component} begins anew\n"));
    }
    Err(StoreError(format!("there is no journal of `{component}`; say the kind too: `processor change`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let told = [5, 300, 10_000, 400_000].map(|secs| age(Duration::from_secs(secs)));
        assert_eq!(told, ["5s", "5m", "2h", "4d"]);
    }
}
