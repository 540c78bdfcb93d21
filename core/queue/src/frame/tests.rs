use super::*;

const SALT: u32 = 0x0102_0304;

fn head() -> Head {
    Head { signal: 2, items: 3, sequence: 4 << 40, received_at: 5, metadata: 6, ..Head::of(Kind::Record) }
}

fn written(head: Head, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    head.write(&mut out, SALT, body);
    out
}

#[test]
fn a_frame_has_the_layout_that_is_on_the_disks_of_users() {
    let bytes = written(head(), b"metadata and payload");
    assert_eq!(bytes[HEAD..], *b"metadata and payload");
    let crc = |bytes: &[u8]| {
        let mut crc = Hasher::new_with_initial(SALT);
        crc.update(bytes);
        crc.finalize().to_le_bytes()
    };
    let mut expected = b"TLR2".to_vec();
    expected.extend([20, 0, 0, 0]);
    expected.extend(crc(b"metadata and payload"));
    expected.extend([3, 0, 0, 0]);
    expected.extend([0, 0, 0, 0, 0, 4, 0, 0]);
    expected.extend([5, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([6, 0, 0, 0]);
    expected.extend([2, 2, 0, 0]);
    expected.extend(crc(&expected));
    assert_eq!(bytes[..HEAD], expected);
}

#[test]
fn a_head_is_read_as_it_was_written_and_none_is_read_that_was_not() {
    let kinds = [Kind::Name, Kind::Record, Kind::Footer, Kind::Entry, Kind::Whole, Kind::Manifest];
    for (kind, number) in kinds.into_iter().zip(1..) {
        let bytes = written(Head { kind, ..head() }, b"metadata and payload");
        let read = Head::read(&bytes, SALT).expect("it was written");
        assert_eq!((read, bytes[36]), (Head { kind, body: 20, body_crc: read.body_crc, ..head() }, number));
        assert_eq!(read.len(), bytes.len() as u64);
        assert!(read.fits(&bytes[HEAD..], SALT));
        assert!(!read.fits(&bytes[HEAD..], SALT + 1) && !read.fits(&bytes[HEAD + 1..], SALT));
        assert_eq!(Head::read(&bytes, SALT + 1), None, "a frame of another file");
        assert_eq!(Head::read(&bytes[..HEAD - 1], SALT), None, "a torn one");
        for bit in 0..8 * HEAD {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::read(&flipped, SALT), None, "bit {bit}");
        }
    }
    let with = |at: usize, byte| {
        let mut bytes = written(head(), b"");
        bytes[at] = byte;
        let crc = checksum(SALT, &bytes[..40]).to_le_bytes();
        bytes[40..].copy_from_slice(&crc);
        Head::read(&bytes, SALT)
    };
    assert_eq!((with(32, 0).is_some(), with(32, 1)), (true, None), "metadata is part of the body");
    assert_eq!((with(32, 0).map(|head| head.metadata), with(36, 0), with(36, 7)), (Some(0), None, None));
    assert_eq!((with(4, 5).is_none(), with(4, 6).map(|head| head.body)), (true, Some(6)));
}

#[test]
fn a_body_in_parts_is_one_body() {
    let mut parts = Vec::new();
    head().write_head(&mut parts, SALT, &[b"metadata ", b"and payload"]);
    assert_eq!(parts, written(head(), b"metadata and payload")[..HEAD]);
}

#[test]
fn what_another_version_wrote_is_told_from_ours_with_a_flipped_bit() {
    let ours = written(head(), b"metadata and payload");
    let with = |at: usize, byte| {
        let mut bytes = ours.clone();
        bytes[at] = byte;
        bytes
    };
    let theirs = |digit| {
        let mut bytes = with(3, digit);
        bytes[40] ^= 1;
        bytes
    };
    assert!(is_foreign(&theirs(b'1'), SALT) && is_foreign(&theirs(b'3'), SALT));
    assert!(is_foreign(&with(3, b'3'), SALT + 1));
    assert!(!is_foreign(&theirs(b'1')[..HEAD - 1], SALT), "there is not enough of it to tell");
    assert!(!is_foreign(&with(3, b'3'), SALT), "all the rest is ours");
    assert!(!is_foreign(&ours, SALT) && !is_foreign(&with(40, ours[40] ^ 1), SALT), "damaged, not foreign");
    assert!(!is_foreign(&theirs(b'x'), SALT), "no version");
    let mut junk = theirs(b'3');
    junk[0] = b'X';
    assert!(!is_foreign(&junk, SALT));
}

#[test]
fn numbers_are_read_only_where_all_their_bytes_are() {
    let bytes = [0, 1, 0, 0, 0, 0, 0, 0, 2];
    assert_eq!((u32_at(&bytes, 1), u32_at(&bytes, 5), u32_at(&bytes, 6)), (Some(1), Some(2 << 24), None));
    assert_eq!((u64_at(&bytes, 1), u64_at(&bytes, 2)), (Some((2 << 56) + 1), None));
    assert_eq!((u32_at(&bytes, 10), u64_at(&bytes, 10)), (None, None));
}
