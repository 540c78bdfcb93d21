use std::sync::{Arc, Mutex};

use throughline_component::port::SyncSite;

use super::*;

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<(Vec<u8>, usize)>>);

impl DiskFile for Memory {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.lock().expect("no panic").0.len() as u64)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let held = self.0.lock().expect("no panic");
        let from = usize::try_from(offset).expect("small").min(held.0.len());
        let read = buffer.len().min(held.0.len() - from);
        buffer[..read].copy_from_slice(&held.0[from..from + read]);
        Ok(read)
    }
    fn append(&self, _: &[&[u8]]) -> io::Result<()> {
        unreachable!("it is written over in place")
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let at = usize::try_from(offset).expect("small");
        assert!(at + bytes.len() <= 2 * SLOT, "it never grows");
        let mut held = self.0.lock().expect("no panic");
        held.0.resize(2 * SLOT, 0);
        held.0[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        unreachable!("it is written over in place")
    }
    fn sync_data(&self, _: SyncSite) -> io::Result<()> {
        self.0.lock().expect("no panic").1 += 1;
        Ok(())
    }
}

fn manifest(file: &Memory, syncs: bool) -> Manifest {
    Manifest { file: Box::new(file.clone()), syncs, written: 0, known: ManifestContents::default() }
}

/// The epochs that stand in the slots, with the numbers they were written under.
fn slots(manifest: &Manifest) -> [Option<(u64, u64)>; 2] {
    [0, 1].map(|slot| read(&manifest.slot(slot).expect("it can be read")).map(|(n, known)| (n, known.epoch)))
}

#[test]
fn slots_are_written_in_turn_and_a_note_stands_where_the_next_is_written() {
    let file = Memory::default();
    let mut manifest = manifest(&file, true);
    let syncs = || file.0.lock().expect("no panic").1;
    for epoch in 1..=2 {
        manifest.known.epoch = epoch;
        manifest.write().expect("there is room");
    }
    assert_eq!((slots(&manifest), syncs()), ([Some((2, 2)), Some((1, 1))], 2));
    for epoch in 3..=5 {
        manifest.known.epoch = epoch;
        manifest.note().expect("there is room");
        assert_eq!(slots(&manifest), [Some((2, 2)), Some((3, epoch))], "what was synced stays");
    }
    assert_eq!(syncs(), 2, "a note costs none");
    manifest.write().expect("there is room");
    manifest.known.epoch = 6;
    manifest.write().expect("there is room");
    assert_eq!((slots(&manifest), syncs()), ([Some((4, 6)), Some((3, 5))], 4));
}

#[test]
fn what_has_no_room_is_an_error_and_what_was_there_before_counts() {
    let file = Memory::default();
    let mut manifest = manifest(&file, false);
    manifest.known.epoch = 7;
    manifest.write().expect("there is room");
    let most = (SLOT - HEAD - 4 * 8) / 40;
    assert!((0..most as u64).all(|stream| manifest.known.begun(stream, 1)));
    // What is left is less than a stream, and a journal's end takes 24.
    let left = SLOT - HEAD - manifest.known.encode().len();
    assert!(left < 40, "{left}");
    manifest.write().expect("there is room for so many");
    assert_eq!(read(&manifest.slot(0).expect("it can be read")), Some((2, manifest.known.clone())));
    manifest.known.begun(most as u64, 1);
    assert!(manifest.write().is_err());
    assert!(manifest.note().is_err());
    assert_eq!(slots(&manifest), [Some((2, 7)), Some((1, 7))]);
    assert_eq!(file.0.lock().expect("no panic").1, 0, "`durability: memory` syncs nothing");
}

#[test]
fn what_is_known_is_read_as_it_was_written() {
    let mut known = ManifestContents { epoch: 3, complete: true, ..ManifestContents::default() };
    assert_eq!(ManifestContents::decode(&known.encode(), LAYOUT), Some(known.clone()));
    assert_eq!((known.generation(7), ManifestContents::default().generation(7)), (Some(0), None));
    assert!(known.renewed(7, 1) && !known.renewed(7, 1) && known.renewed(7, 2));
    known.ends.insert(7, (2, 300));
    assert!(known.begun(9, 0) && !known.begun(9, 0) && known.begun(9, 5));
    let kept = known.streams.entry(4).or_default();
    kept.removed.add(0, 3);
    kept.removed.add(9, 12);
    known.committed(4, 17);
    assert_eq!(ManifestContents::decode(&known.encode(), LAYOUT), Some(known));
}

#[test]
fn a_manifest_that_did_not_say_yet_which_records_are_on_the_disk_is_read() {
    let before = [3, 1, 0, 0, 9, 1, 5, 1, 0, 3].map(u64::to_le_bytes).concat();
    let known = ManifestContents::decode(&before, 0).expect("it is whole");
    let kept = &known.streams[&9];
    assert_eq!((known.epoch, kept.newest, kept.last), (3, Some(5), 0));
    assert_eq!(kept.removed.iter().collect::<Vec<_>>(), [(0, 3)]);
}

#[test]
fn a_segment_that_goes_is_one_range_with_what_went_beside_it() {
    let removed = |live: &[u64], first, last| {
        let mut kept = StreamEntry::default();
        kept.remove(&live.iter().copied().collect(), first, last);
        kept.removed.iter().collect::<Vec<_>>()
    };
    assert_eq!(removed(&[], 10, 14), [(0, 15)]);
    assert_eq!(removed(&[5, 20], 10, 14), [(6, 20)], "what others begin with is not in it");
    assert_eq!(removed(&[10, 11], 10, 10), [(0, 11)], "whether it is still there itself or not");
}
