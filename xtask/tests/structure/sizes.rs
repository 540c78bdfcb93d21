//! Budgets for the size of files. Small files are the visible mark of a tidy house.

use crate::sources;

const KB: usize = 1024;

#[test]
fn no_file_is_larger_than_40_kb_or_800_lines() {
    for source in sources::rust() {
        let (bytes, lines) = (source.text.len(), source.text.lines().count());
        assert!(bytes <= 40 * KB && lines <= 800, "{}: {bytes} bytes, {lines} lines", source.path);
    }
}

#[test]
fn half_of_all_files_stay_below_5_kb_and_nine_in_ten_below_13_kb() {
    let mut sizes: Vec<usize> = sources::rust().iter().map(|source| source.text.len()).collect();
    sizes.sort_unstable();
    let (median, p90) = (sizes[sizes.len() / 2], sizes[sizes.len() * 9 / 10]);
    assert!(median <= 5 * KB, "the median is {median} bytes");
    assert!(p90 <= 13 * KB, "nine in ten stay below {p90} bytes");
}
