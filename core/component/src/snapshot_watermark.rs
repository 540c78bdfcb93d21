//! What a sink that is read from, rather than one that sends, holds for good.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::ComponentId;

/// The positions up to which a registry's last synced snapshot holds each stream. A sink that keeps what it takes in a
/// registry says Done as soon as the data is in there; a crash takes the registry back to its snapshot, so the graph moves the
/// sink's cursors only as far as this says. See [`Exporter::snapshot_watermark`](crate::Exporter::snapshot_watermark).
#[derive(Debug)]
pub struct SnapshotWatermark {
    storage: ComponentId,
    up_to: watch::Sender<BTreeMap<u64, u64>>,
}

impl SnapshotWatermark {
    /// For a registry whose snapshots lie in the storage extension `storage`.
    pub fn new(storage: ComponentId) -> Self {
        Self { storage, up_to: watch::Sender::default() }
    }

    /// The storage whose streams feed the sink.
    pub fn storage(&self) -> &ComponentId {
        &self.storage
    }

    /// Says what a snapshot holds that is synced: the newest sequence number by stream. All of the stream that the sink was
    /// ever given up to there must be in it.
    pub fn publish(&self, up_to: BTreeMap<u64, u64>) {
        self.up_to.send_replace(up_to);
    }

    /// To hear of snapshots.
    pub fn watch(&self) -> watch::Receiver<BTreeMap<u64, u64>> {
        self.up_to.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_watches_hears_of_the_newest_snapshot() {
        let watermark = SnapshotWatermark::new(ComponentId::new("file_storage"));
        assert_eq!(watermark.storage().as_str(), "file_storage");
        let mut watch = watermark.watch();
        assert!(watch.borrow_and_update().is_empty());
        let said = BTreeMap::from([(3, 9)]);
        watermark.publish(said.clone());
        assert!(watch.has_changed().expect("it is there"));
        assert_eq!(*watch.borrow(), said);
        assert_eq!(*watermark.watch().borrow(), said, "who comes late hears it too");
    }
}
