use super::*;

/// A generation of which these entries were read, and the snapshot's end if it was found.
fn found(number: u64, snapshot: Option<u64>, entries: &[u64]) -> (u64, u32, Read) {
    let entries = entries.iter().map(|number| (*number, Bytes::new())).collect();
    (
        number,
        7,
        Read { entries, snapshot, name: Some(Bytes::from_static(b"change")), good: 100, ..Read::default() },
    )
}

fn why(found: Option<&(u64, u32, Read)>, known: Option<u64>) -> String {
    trouble("change", found, known, true).unwrap_or_default()
}

#[test]
fn a_journal_that_was_whole_once_and_is_not_there_is_gone() {
    assert_eq!([None, Some(0)].map(|known| why(None, known)), ["", ""], "nobody knows of one");
    assert!(why(None, Some(1)).contains("gone"));
}

#[test]
fn a_journal_without_its_snapshot_is_damaged_unless_it_was_the_first_that_was_written() {
    let torn = found(1, None, &[0, 1]);
    assert_eq!(why(Some(&torn), Some(0)), "");
    assert!([None, Some(1), Some(2)].iter().all(|known| why(Some(&torn), *known).contains("damaged")));
}

#[test]
fn an_older_generation_than_there_was_is_not_taken_for_the_newest() {
    let whole = found(3, Some(2), &[0, 1]);
    assert!([None, Some(0), Some(2), Some(3)].iter().all(|known| why(Some(&whole), *known).is_empty()));
    assert!(why(Some(&whole), Some(4)).contains("older"));
}

#[test]
fn a_journal_of_somebody_else_is_not_read() {
    let mut other = found(1, Some(1), &[0]);
    other.2.name = Some(Bytes::from_static(b"other"));
    assert!(why(Some(&other), None).contains("other"));
    other.2.name = None;
    assert_eq!(why(Some(&other), None), "", "its name is damaged, and nothing else");
}

#[test]
fn a_journal_misses_none_of_its_entries_unnoticed() {
    let sound = |snapshot, entries: &[u64]| why(Some(&found(1, Some(snapshot), entries)), Some(1)).is_empty();
    assert!(sound(0, &[]) && sound(2, &[0, 1]) && sound(2, &[0, 1, 2, 3]) && sound(0, &[0]));
    assert!(!sound(2, &[0]) && !sound(2, &[1]) && !sound(2, &[0, 2, 3]), "one of the snapshot");
    assert!(!sound(2, &[0, 1, 3]) && !sound(1, &[0, 2]), "one that was appended");
}

#[test]
fn what_was_appended_may_be_missing_where_it_is_written_twice_or_not_synced() {
    let appended = |entries: &[u64]| trouble("change", Some(&found(1, Some(2), entries)), Some(1), false);
    assert_eq!((appended(&[0, 1, 3]), appended(&[0, 1])), (None, None));
    assert!(appended(&[0, 3]).is_some());
}
