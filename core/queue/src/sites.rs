//! The names of all syncs. For each there is a test that fails without it.

use throughline_component::port::SyncSite;

/// The directory of the storage itself, in its parent, where we created it.
pub const STORAGE_DIRECTORY: SyncSite = SyncSite("storage-directory");
/// The records of a group, before they are acknowledged.
pub const SEGMENT_DATA: SyncSite = SyncSite("segment-data");
/// The name of a new segment, before its first record is acknowledged.
pub const SEGMENT_DIRECTORY: SyncSite = SyncSite("segment-directory");
/// What the manifest knows: an epoch before a number of it is given away, a segment before what is in it is acknowledged,
/// and before it is removed.
pub const MANIFEST_DATA: SyncSite = SyncSite("manifest-data");
/// A cursor whose segments are about to be removed.
pub const CURSOR_DATA: SyncSite = SyncSite("cursor-data");
/// A new generation of the cursors' file, before the old one is removed.
pub const CURSOR_SNAPSHOT_DATA: SyncSite = SyncSite("cursor-snapshot-data");
/// The name of a new generation of the cursors' file.
pub const CURSOR_SNAPSHOT_DIRECTORY: SyncSite = SyncSite("cursor-snapshot-directory");
/// The entries of a group in a component's journal, before they are acknowledged.
pub const JOURNAL_DATA: SyncSite = SyncSite("journal-data");
/// A snapshot that replaces a journal, before the old one is removed.
pub const JOURNAL_SNAPSHOT_DATA: SyncSite = SyncSite("journal-snapshot-data");
/// The name of a journal's new generation.
pub const JOURNAL_SNAPSHOT_DIRECTORY: SyncSite = SyncSite("journal-snapshot-directory");

/// All of them.
pub const ALL: [SyncSite; 10] = [
    STORAGE_DIRECTORY,
    SEGMENT_DATA,
    SEGMENT_DIRECTORY,
    MANIFEST_DATA,
    CURSOR_DATA,
    CURSOR_SNAPSHOT_DATA,
    CURSOR_SNAPSHOT_DIRECTORY,
    JOURNAL_DATA,
    JOURNAL_SNAPSHOT_DATA,
    JOURNAL_SNAPSHOT_DIRECTORY,
];
