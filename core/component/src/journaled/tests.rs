use std::collections::BTreeSet;
use std::sync::Mutex;

use super::*;
use crate::port::Opened;

/// Letters.
#[derive(Default)]
struct Letters(BTreeSet<u8>);

impl Replay for Letters {
    fn replay(&mut self, entry: &[u8]) -> Result<(), Unreadable> {
        if !entry.is_ascii() {
            return Err(Unreadable);
        }
        self.0.extend(entry);
        Ok(())
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.iter().copied().collect()
    }
}

/// A disk that does nothing until it is told to, in the order of what it was given.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    entries: Vec<Bytes>,
    queue: Vec<(bool, Bytes, Settle)>,
    size: u64,
    locked: bool,
    opened: usize,
}

impl Paper {
    fn queue(&self, snapshot: bool, text: Bytes, settle: Settle) {
        self.0.lock().expect("no panic").queue.push((snapshot, text, settle));
    }

    /// Does the next that waits, or fails to.
    fn work(&self, works: bool) {
        let (snapshot, text, settle) = self.0.lock().expect("no panic").queue.remove(0);
        if works {
            let mut written = self.0.lock().expect("no panic");
            if snapshot {
                written.entries.clear();
            }
            written.entries.push(text);
        }
        settle.settle(if works { Outcome::DONE } else { Outcome::retry("full") });
    }

    fn letters(&self) -> String {
        let written = self.0.lock().expect("no panic");
        let mut letters = Letters::default();
        written.entries.iter().for_each(|entry| letters.replay(&entry[1..]).expect("letters"));
        String::from_utf8(letters.snapshot()).expect("letters")
    }
}

impl Journals for Paper {
    fn open(&self, _: &ComponentId) -> Result<Opened, StoreError> {
        let mut written = self.0.lock().expect("no panic");
        written.opened += 1;
        if written.locked {
            return Err(StoreError("it is locked".into()));
        }
        let entries = written.entries.clone();
        Ok(Opened { journal: Box::new(self.clone()), entries })
    }
}

impl Journal for Paper {
    fn append(&self, entry: Bytes, settle: Settle) {
        self.queue(false, entry, settle);
    }

    fn compact(&self, snapshot: Bytes, settle: Settle) {
        self.queue(true, snapshot, settle);
    }

    fn size(&self) -> u64 {
        self.0.lock().expect("no panic").size
    }
}

fn journaled() -> (Paper, Journaled<Letters>) {
    let paper = Paper::default();
    let state = Journaled::new(ComponentId::new("letters"), Arc::new(paper.clone()), Letters::default());
    drop(state.open().expect("paper opens"));
    (paper, state)
}

/// Teaches a letter as a walk does: reads, changes if it must, journals.
fn teach(state: &Journaled<Letters>, letter: u8) -> Option<Barrier> {
    let mut reading = state.read().expect("paper opens");
    let is_new = !reading.0.contains(&letter) && reading.change(|letters| letters.0.insert(letter));
    reading.append(if is_new { vec![letter] } else { Vec::new() })
}

/// What a chunk hears that waits for a barrier only; None as long as it hears nothing.
fn heard(barrier: Option<Barrier>) -> Arc<Mutex<Option<Outcome>>> {
    let heard: Arc<Mutex<Option<Outcome>>> = Arc::default();
    let into = Arc::clone(&heard);
    let settle = Settle::hook(move |outcome| *into.lock().expect("no panic") = Some(outcome));
    match barrier {
        Some(barrier) => barrier.join(settle),
        None => settle.settle(Outcome::DONE),
    }
    heard
}

fn is(heard: &Mutex<Option<Outcome>>, outcome: &Outcome) -> bool {
    heard.lock().expect("no panic").as_ref() == Some(outcome)
}

#[test]
fn a_snapshot_does_not_overtake_what_it_does_not_hold() {
    let (paper, state) = journaled();
    paper.0.lock().expect("no panic").size = u64::MAX;
    let a = teach(&state, b'a');
    paper.0.lock().expect("no panic").size = 0;
    let b = teach(&state, b'b');
    // The second to be taught is the first to be waited for.
    let (b, a) = (heard(b), heard(a));
    paper.work(true);
    paper.work(true);
    assert!(is(&a, &Outcome::DONE) && is(&b, &Outcome::DONE));
    assert_eq!(paper.letters(), "ab");
}

#[test]
fn who_relies_on_what_is_on_its_way_to_the_disk_waits_for_it() {
    let (paper, state) = journaled();
    let first = heard(teach(&state, b'a'));
    let second = heard(teach(&state, b'a'));
    assert!(second.lock().expect("no panic").is_none(), "what it relies on is not on the disk");
    paper.work(true);
    paper.work(true);
    assert!(is(&first, &Outcome::DONE) && is(&second, &Outcome::DONE));
    assert!(teach(&state, b'a').is_none(), "all is on the disk");
}

#[test]
fn what_the_disk_lost_is_journaled_again_before_anyone_who_relies_on_it_is_acknowledged() {
    let (paper, state) = journaled();
    let first = heard(teach(&state, b'a'));
    let behind = heard(teach(&state, b'b'));
    paper.work(false);
    paper.work(true);
    let retried = |heard: &Mutex<Option<Outcome>>| {
        matches!(*heard.lock().expect("no panic"), Some(Outcome::Retry { .. }))
    };
    assert!(retried(&first) && retried(&behind), "the second may rely on the first");
    // They are sent again, and teach nothing new.
    let (first, behind) = (heard(teach(&state, b'a')), heard(teach(&state, b'b')));
    paper.work(true);
    paper.work(true);
    assert!(is(&first, &Outcome::DONE) && is(&behind, &Outcome::DONE));
    assert_eq!(paper.letters(), "ab");
    assert!(teach(&state, b'b').is_none(), "all is on the disk");
}

#[test]
fn many_read_at_a_time() {
    let (_, state) = journaled();
    let one = state.read().expect("paper opens");
    let other = state.read().expect("paper opens");
    assert_eq!(one.0, other.0);
}

#[test]
fn a_large_journal_is_compacted_once_not_by_everybody_until_it_is_done() {
    let (paper, state) = journaled();
    paper.0.lock().expect("no panic").size = u64::MAX;
    for letter in b'a'..=b'e' {
        drop(heard(teach(&state, letter)));
    }
    let snapshots = paper.0.lock().expect("no panic").queue.iter().filter(|(snapshot, ..)| *snapshot).count();
    assert_eq!(snapshots, 1);
    (0..5).for_each(|_| paper.work(true));
    assert_eq!(paper.letters(), "abcde");
}

#[test]
fn a_journal_is_compacted_once_it_is_worth_it_and_has_grown_fourfold() {
    let mib = |mib: u64| mib << 20;
    for (at_opening, stays) in [(mib(0), mib(4)), (mib(1), mib(4)), (mib(2), mib(8))] {
        let paper = Paper::default();
        paper.0.lock().expect("no panic").size = at_opening;
        let state = Journaled::new(ComponentId::new("letters"), Arc::new(paper.clone()), Letters::default());
        for (size, letter, is_snapshot) in [(stays, b'a', false), (stays + 1, b'b', true)] {
            drop(state.open().expect("paper opens"));
            paper.0.lock().expect("no panic").size = size;
            drop(heard(teach(&state, letter)));
            assert_eq!(paper.0.lock().expect("no panic").queue[0].0, is_snapshot, "{size}");
            paper.work(true);
        }
    }
}

#[test]
fn a_state_is_that_of_one_component_in_one_storage_and_shows_in_health_while_it_cannot_be_read() {
    let mut cx = crate::build::tests::bare("change");
    let (paper, health) = (Paper::default(), Arc::new(Health::default()));
    health.started();
    paper.0.lock().expect("no panic").locked = true;
    cx.services.offer(Arc::new(crate::States::default()));
    cx.services.offer(Arc::clone(&health));
    for storage in ["one", "other"] {
        cx.services.offer_as::<dyn Journals>(ComponentId::new(storage), Arc::new(paper.clone()));
    }
    let state = |storage: Option<&str>| Journaled::of(&cx, storage, Letters::default).expect("it is there");
    assert!(Arc::ptr_eq(&state(Some("one")), &state(Some("one"))));
    assert!(!Arc::ptr_eq(&state(Some("one")), &state(Some("other"))));
    assert!(!Arc::ptr_eq(&state(Some("one")), &state(None)));
    assert!(state(Some("one")).open().is_err());
    let refuses = "change refuses everything: it is locked";
    assert_eq!(health.trouble(0, 0).as_deref(), Some(refuses));
    paper.0.lock().expect("no panic").locked = false;
    assert!(state(Some("one")).open().is_ok());
    assert_eq!(health.trouble(0, 0), None);
    assert!(Journaled::of(&cx, Some("nowhere"), Letters::default).is_err());
}

#[test]
fn a_journal_that_cannot_be_read_stops_its_component_for_good_and_stays_as_it_is() {
    for entries in [&[b"\x01a".to_vec(), b"\x01\xff".to_vec()][..], &[b"\x02a".to_vec()]] {
        let paper = Paper::default();
        let before: Vec<Bytes> = entries.iter().cloned().map(Bytes::from).collect();
        paper.0.lock().expect("no panic").entries.clone_from(&before);
        let state = Journaled::new(ComponentId::new("letters"), Arc::new(paper.clone()), Letters::default());
        for _ in 0..100 {
            assert!(state.open().is_err() && state.read().is_err());
        }
        let written = paper.0.lock().expect("no panic");
        assert_eq!((&written.entries, written.queue.len(), written.opened), (&before, 0, 1));
    }
}

#[test]
fn a_journal_that_cannot_be_opened_is_tried_for_again_more_and_more_rarely() {
    let paper = Paper::default();
    paper.0.lock().expect("no panic").locked = true;
    let state = Journaled::new(ComponentId::new("letters"), Arc::new(paper.clone()), Letters::default());
    assert!((0..100).all(|_| state.open().is_err()));
    assert!(paper.0.lock().expect("no panic").opened < 10);
    paper.0.lock().expect("no panic").locked = false;
    assert!((0..100).any(|_| state.open().is_ok()), "it is opened in the end");
    assert!(state.open().is_ok());
}
