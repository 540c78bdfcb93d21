use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use throughline_component::port::SyncSite;

use super::*;
use crate::frame::Kind;

const SALT: u32 = 7;

/// How many bytes were read of a file, and how many at once.
#[derive(Default)]
struct Counts {
    all: AtomicUsize,
    most: AtomicUsize,
}

/// A file in memory that counts what is read of it.
struct Memory(Vec<u8>, Arc<Counts>);

impl DiskFile for Memory {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).expect("small").min(self.0.len());
        let read = buffer.len().min(self.0.len() - from);
        buffer[..read].copy_from_slice(&self.0[from..from + read]);
        self.1.all.fetch_add(read, Ordering::Relaxed);
        self.1.most.fetch_max(read, Ordering::Relaxed);
        Ok(read)
    }
    fn append(&self, _: &[&[u8]]) -> io::Result<()> {
        unreachable!("it is read")
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        unreachable!("it is read")
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        unreachable!("it is read")
    }
    fn sync_data(&self, _: SyncSite) -> io::Result<()> {
        unreachable!("it is read")
    }
}

fn frame(sequence: u64, length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    Head { sequence, ..Head::of(Kind::Record) }.write(&mut out, SALT, &vec![b'x'; length]);
    out
}

/// Frames by number and end; what is bad as nothing.
type Walked = Vec<Option<(u64, u64)>>;

/// What is found: frames by number and end, `Bad` as nothing, and where it ends; and what was read for that.
fn walk(bytes: &[u8], end: usize) -> (Walked, u64, Arc<Counts>) {
    let read = Arc::<Counts>::default();
    let mut scanner = Scanner::new(Box::new(Memory(bytes.to_vec(), Arc::clone(&read))), SALT);
    let mut found = Vec::new();
    for _ in 0..10_000 {
        match scanner.next(end as u64).expect("it can be read") {
            Found::Frame(head, body, at) => {
                assert_eq!(body.len(), head.body as usize);
                found.push(Some((head.sequence, at)));
            }
            Found::Bad => found.push(None),
            Found::End(at) => return (found, at, read),
        }
    }
    panic!("it never ends")
}

fn found(bytes: &[u8]) -> (Walked, u64) {
    let (found, end, _) = walk(bytes, bytes.len());
    (found, end)
}

#[test]
fn frames_are_found_up_to_the_end_that_is_asked_for() {
    let bytes = [frame(1, 6), frame(2, 0), frame(3, 56)].concat();
    assert_eq!(found(&bytes), (vec![Some((1, 50)), Some((2, 94)), Some((3, 194))], 194));
    for end in 94..194 {
        assert_eq!(walk(&bytes, end).0, [Some((1, 50)), Some((2, 94))], "up to {end}");
        assert_eq!(walk(&bytes, end).1, 94, "behind that lies a torn frame");
    }
    assert_eq!(found(&[]), (vec![], 0));
}

#[test]
fn a_damaged_frame_is_passed_over_wherever_the_next_begins() {
    for at in 0..50 {
        let mut bytes = [frame(1, 6), frame(2, 0), frame(3, 1)].concat();
        bytes[at] ^= 1;
        assert_eq!(found(&bytes).0, [None, Some((2, 94)), Some((3, 139))], "byte {at}");
    }
    for length in
        [1, HEAD - 1, HEAD, BLOCK - HEAD, BLOCK - HEAD + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 9]
    {
        let end = length as u64 + HEAD as u64;
        for junk in [b'x', b'T'] {
            let bytes = [vec![junk; length], frame(2, 0)].concat();
            assert_eq!(found(&bytes), (vec![None, Some((2, end))], end), "behind {length} bytes of junk");
        }
        let junk = vec![b'x'; length];
        let (found, end, read) = walk(&junk, length);
        assert_eq!((found, end), (vec![], 0), "{length} bytes of nothing but junk");
        let read = read.all.load(Ordering::Relaxed);
        assert!(read <= 2 * length + BLOCK, "{read} bytes were read of {length}");
    }
}

#[test]
fn the_last_frame_is_torn_if_its_body_does_not_fit_and_an_announced_one_must_be_there() {
    let mut bytes = [frame(1, 6), frame(2, 9)].concat();
    bytes[100] ^= 1;
    assert_eq!(found(&bytes), (vec![Some((1, 50))], 50));
    // A head behind the junk whose body lies beyond the end is none.
    let bytes = [vec![b'x'; 5], frame(1, 9)].concat();
    assert_eq!(found(&bytes).0, [None, Some((1, 58))]);
    assert_eq!(walk(&bytes, 57).0, []);
    // Somebody cut the file while it is read.
    let bytes = frame(1, 2 * BLOCK);
    let (found_of_it, end, _) = walk(&bytes[..BLOCK + BLOCK / 2], bytes.len());
    assert_eq!((found_of_it, end), (vec![], 0));
    // What a sender put into a body is no frame of ours.
    let inner = [frame(9, 0), frame(9, 3)].concat();
    let mut bytes = Vec::new();
    Head { sequence: 1, ..Head::of(Kind::Record) }.write(&mut bytes, SALT, &inner);
    let end = bytes.len() as u64;
    assert_eq!(found(&bytes), (vec![Some((1, end))], end));
}

#[test]
fn every_byte_is_read_once_but_for_what_a_block_ends_in() {
    for (count, length, again) in
        [(20, 100, 0), (5000, 100, 3 * 144), (20, 3 * BLOCK, BLOCK), (2, BLOCK - 88, 88)]
    {
        let bytes: Vec<u8> = (0..count).flat_map(|sequence| frame(sequence, length)).collect();
        let (found, _, read) = walk(&bytes, bytes.len());
        let (read, most) = (read.all.load(Ordering::Relaxed), read.most.load(Ordering::Relaxed));
        assert!(most <= (length + 44).max(BLOCK), "{most} bytes at once");
        assert_eq!(found.len() as u64, count);
        assert!((bytes.len()..=bytes.len() + again).contains(&read), "{read} of {}: {length}", bytes.len());
    }
}

#[test]
fn a_file_of_another_version_is_known_by_its_first_head() {
    let is_foreign = |bytes: Vec<u8>| {
        let mut scanner = Scanner::new(Box::new(Memory(bytes, Arc::default())), SALT);
        scanner.is_foreign().expect("it can be read")
    };
    let mut other = frame(1, 3);
    other[3] = b'9';
    other[40] ^= 1;
    assert!(!is_foreign(frame(1, 3)) && is_foreign(other.clone()));
    assert!(is_foreign(other[..HEAD].to_vec()) && !is_foreign(other[..HEAD - 1].to_vec()));
}
