//! File names. None is built from data: names of streams and journals go in as numbers.

/// The stable number of a stream or journal: FNV-1a, 64 bits, of its name.
pub(crate) fn number(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The name of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub(crate) stream: u64,
    /// No record in it has a smaller sequence number.
    pub(crate) first: u64,
    /// Counts files with the same first sequence number: the first sync of an earlier one failed.
    pub(crate) attempt: u64,
    /// What its checksums start from.
    pub(crate) salt: u32,
}

impl SegmentName {
    pub(crate) fn file(self) -> String {
        format!("stream-{:016x}-{:016x}-{:02x}-{:08x}.log", self.stream, self.first, self.attempt, self.salt)
    }

    pub(crate) fn parse(file: &str) -> Option<Self> {
        let [stream, first, attempt, salt] = numbers(file.strip_prefix("stream-")?)?;
        let name = Self { stream, first, attempt, salt: u32::try_from(salt).ok()? };
        // Only what is spelled as we spell it: any other file would be looked for under a name that is not its own.
        Some(name).filter(|name| name.first < END && name.file() == file)
    }
}

/// The name of one generation of a journal; `stem` is `cursors` or `journal-<number>`.
pub(crate) fn generation(stem: &str, generation: u64, salt: u32) -> String {
    format!("{stem}-{generation:016x}-{salt:08x}.log")
}

/// The generation and salt of a file, if it belongs to the journal with this stem.
pub(crate) fn parse_generation(stem: &str, file: &str) -> Option<(u64, u32)> {
    let [number, salt] = numbers(file.strip_prefix(stem)?.strip_prefix('-')?)?;
    let salt = u32::try_from(salt).ok()?;
    (number < END && generation(stem, number, salt) == file).then_some((number, salt))
}

/// Whether a file is a segment, or a generation of a journal or of the cursors.
pub(crate) fn is_ours(file: &str) -> bool {
    let journal = || {
        let [journal, ..] = numbers::<3>(file.strip_prefix("journal-")?)?;
        parse_generation(&format!("journal-{journal:016x}"), file)
    };
    SegmentName::parse(file).is_some() || parse_generation("cursors", file).or_else(journal).is_some()
}

/// No number of ours gets this far: behind it there would be none to go on with.
const END: u64 = 1 << 63;

fn numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let parts = text.strip_suffix(".log")?.split('-').map(|part| u64::from_str_radix(part, 16).ok());
    parts.collect::<Option<Vec<_>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_are_in_the_files_of_users() {
        let known =
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)];
        known.into_iter().for_each(|(name, expected)| assert_eq!(number(name), expected, "{name}"));
        let name = SegmentName { stream: number("a"), first: 7 << 40, attempt: 1, salt: 0xdead };
        assert_eq!(name.file(), "stream-af63dc4c8601ec8c-0000070000000000-01-0000dead.log");
        assert_eq!(generation("cursors", 3, 9), "cursors-0000000000000003-00000009.log");
    }

    #[test]
    fn a_name_says_what_it_was_made_of() {
        let name = SegmentName { stream: number("traces"), first: 7 << 40, attempt: 1, salt: 0xdead };
        assert_eq!(SegmentName::parse(&name.file()), Some(name));
        assert_eq!(parse_generation("cursors", &generation("cursors", 3, 9)), Some((3, 9)));
        assert_eq!(SegmentName::parse("stream-1-2.log"), None);
        assert_eq!(SegmentName::parse("LOCK"), None);
        let journal = generation(&format!("journal-{:016x}", number("change")), 1, 2);
        assert!(is_ours(&name.file()) && is_ours(&generation("cursors", 3, 9)) && is_ours(&journal));
        for [stem, number, salt] in
            [["cursors", "1", "0"], ["cursors", "+000000000000001", "00000000"], ["journal-0", "0", "0"]]
        {
            assert!(!is_ours(&format!("{stem}-{number}-{salt}.log")), "{stem}-{number}-{salt}");
        }
        assert!(!is_ours("stream-00-00-00-00.log") && !is_ours(&name.file().to_uppercase()));
        assert!(!is_ours("stream-CE07D5AD70EC2C26-0000000000000000-00-00000000.log"));
        assert!(!is_ours("cursors-ffffffffffffffff-0000000000000000.log"));
        assert!(!is_ours(&generation("cursors", u64::MAX, 0)), "none could come behind it");
        assert!(!is_ours("journal-7.log") && !is_ours("notes.txt") && !is_ours("cursors-1-123456789.log"));
    }
}
