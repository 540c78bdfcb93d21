use std::sync::Mutex as StdMutex;

use bytes::Buf;
use throughline_component::port::{Clock, SystemRandom};
use throughline_component::{Build, ComponentId, Journaled, Services};
use throughline_config::ByteSize;

use super::super::Page as Settings;
use super::super::limits::Limits;
use super::super::registry::Head;
use super::super::series::{Kind, Sample, Series};
use super::super::snapshot::State;
use super::*;

/// A clock that is moved by hand.
#[derive(Debug, Default)]
struct Hand(StdMutex<u64>);

impl Clock for Hand {
    fn monotonic_nanos(&self) -> u64 {
        *self.0.lock().expect("no panic")
    }
    fn unix_nanos(&self) -> u64 {
        self.monotonic_nanos()
    }
}

fn pages(max_page_bytes: u64) -> Arc<Pages> {
    let (clock, random) = (Arc::new(Hand::default()), Arc::new(SystemRandom::default()));
    let services = Services::default();
    let cx = Build { id: ComponentId::new("prometheus"), clock, random, services };
    let limits = Limits { max_page_bytes: ByteSize(max_page_bytes), ..Limits::default() };
    let shared = Shared {
        page: Settings::default(),
        limits,
        state: Journaled::of(&cx, None, || State::new(Arc::clone(&cx.clock))).expect("in memory"),
        clock: Arc::clone(&cx.clock),
        refused: Vec::new(),
        cut_target_info: cx.counter("cut", None),
    };
    Pages::new(Arc::new(shared), cx.counter("refused", None))
}

/// Gives the registry 100 series whose values nobody has seen yet.
fn change(pages: &Pages, value: f64) {
    let mut state = pages.shared.state.open().expect("in memory");
    let head = Head { name: "m".into(), kind: Kind::Gauge, help: String::new() };
    for at in 0..100 {
        let labels = vec![("at".into(), format!("{at:0100}"))];
        let series = Series { value: Sample::Number(value), time: 0, exemplars: Vec::new(), updated: 0 };
        let put = state.registry.put(&head, labels, series, &pages.shared.limits.room());
        assert_eq!(put, Ok(()));
    }
}

fn alive(pages: &Pages) -> usize {
    pages.alive.load(Ordering::Relaxed)
}

#[tokio::test]
async fn scrapers_share_a_page_that_nothing_has_changed_since_and_it_goes_with_the_last_of_them() {
    let (pages, wanted) = (pages(1 << 20), Wanted::of("", false));
    change(&pages, 1.0);
    let mut readers = Vec::new();
    for _ in 0..200 {
        readers.push(pages.get(wanted).await.expect("there is room"));
    }
    let one = readers[0].remaining();
    assert!(one > 10_000);
    assert_eq!(alive(&pages), one, "200 readers, one page");
    assert_eq!(pages.begun.load(Ordering::Relaxed), 1);
    let other = pages.get(Wanted::of("text/plain;escaping=values", false)).await.expect("there is room");
    assert!(alive(&pages) > one, "another kind is another page");
    drop((readers, other));
    assert_eq!(alive(&pages), 0);
}

#[tokio::test]
async fn a_page_shows_what_was_there_when_it_was_asked_for() {
    let (pages, wanted) = (pages(1 << 20), Wanted::of("", false));
    change(&pages, 1.0);
    let before = pages.get(wanted).await.expect("there is room");
    change(&pages, 2.0);
    let after = pages.get(wanted).await.expect("there is room");
    let text = |page: Rope| String::from_utf8(page.into_bytes().to_vec()).expect("text");
    assert!(text(before).ends_with(" 1\n"));
    assert!(text(after).ends_with(" 2\n"));
}

#[tokio::test]
async fn pages_that_nobody_reads_are_bounded_together_and_refused_beyond() {
    let (pages, wanted) = (pages(26_000), Wanted::of("", false));
    let mut unread = Vec::new();
    let refused = loop {
        change(&pages, unread.len() as f64);
        match pages.get(wanted).await {
            Ok(page) => unread.push(page),
            Err(why) => break why,
        }
        assert!(alive(&pages) <= 52_000 && unread.len() < 10, "{} of them", unread.len());
    };
    assert!(refused.contains("not read yet"), "{refused}");
    assert!(unread.len() >= 2, "two of the largest there may be");
    assert_eq!(pages.refused.get(), 1);
    assert!(alive(&pages) <= 52_000, "what was begun in vain is given back");
    drop(unread);
    assert!(pages.get(wanted).await.is_ok());
}
