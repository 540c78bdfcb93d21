use super::*;
use std::sync::Mutex;
use throughline_component::port::SystemRandom;
use throughline_component::{ComponentId, Context, Outcome, Services, Settle, Ticket};

/// A clock that stands still unless it is told.
#[derive(Default)]
struct Still(Mutex<u64>);

impl Clock for Still {
    fn unix_nanos(&self) -> u64 {
        *self.0.lock().expect("no panic")
    }
    fn monotonic_nanos(&self) -> u64 {
        self.unix_nanos()
    }
}

fn merge(config: Config) -> Result<Merge, ConfigError> {
    within(config, None)
}

fn within(config: Config, budget: Option<Arc<Budget>>) -> Result<Merge, ConfigError> {
    let (clock, random) = (Arc::new(Still::default()), Arc::new(SystemRandom::default()));
    let mut services = Services::default();
    budget.into_iter().for_each(|budget| services.offer(budget));
    Merge::build(config, &Build { id: ComponentId::new("batch"), clock, random, services })
}

fn chunk(items: u32, tenant: &str) -> (Batch, Ticket) {
    let mut context = Context::internal(ComponentId::new("test"), 0);
    context.metadata.0.insert("tenant".into(), vec![tenant.into()]);
    let (settle, ticket) = Settle::ticket();
    let bytes = throughline_otlp::build::logs(|request| {
        request.resource(&[], |resource| {
            resource.scope("test", "1", |scope| (0..items).for_each(|_| scope.log_record(|_| {})));
        });
    });
    let chunk = Chunk { bytes, items, position: None, context: Arc::new(context), settle };
    (Batch::one(Signal::Logs, chunk), ticket)
}

fn sizes(out: &mut Emitter) -> Vec<u64> {
    out.take().0.iter().map(Batch::items).collect()
}

#[test]
fn a_batch_goes_when_it_is_large_enough_or_its_time_is_up() {
    let mut batch = merge(Config { send_batch_size: 10, ..Config::default() }).expect("right");
    let mut out = Emitter::default();
    for items in [4, 5, 3, 2] {
        batch.accept(chunk(items, "a").0, &mut out);
    }
    assert_eq!(sizes(&mut out), [12], "4 + 5 + 3 reach 10");
    assert_eq!(batch.wakes_at(), Some(200_000_000));
    batch.tick(199_999_999, &mut out);
    assert!(sizes(&mut out).is_empty());
    batch.tick(200_000_000, &mut out);
    assert_eq!(sizes(&mut out), [2]);
    assert_eq!(batch.wakes_at(), None);
}

#[test]
fn no_batch_is_larger_than_the_maximum_and_larger_requests_are_divided() {
    let config = Config { send_batch_size: 10, send_batch_max_size: 10, ..Config::default() };
    let mut batch = merge(config).expect("right");
    let mut out = Emitter::default();
    for items in [7, 7, 25, 1] {
        batch.accept(chunk(items, "a").0, &mut out);
    }
    batch.flush(&mut out);
    let sent = out.take().0;
    assert_eq!(sent.iter().map(Batch::items).collect::<Vec<_>>(), [7, 7, 10, 10, 6]);
    let really = |chunk: &Chunk| u64::from(throughline_otlp::batch::count(Signal::Logs, &chunk.bytes));
    assert!(sent.iter().all(|batch| batch.chunks.iter().map(really).sum::<u64>() == batch.items()));
    let wrong = Config { send_batch_size: 10, send_batch_max_size: 9, ..Config::default() };
    assert_eq!(merge(wrong).err().expect("max below size").path, ["send_batch_max_size"]);
}

#[test]
fn requests_merge_only_if_the_metadata_asked_for_is_equal() {
    let mut batch =
        merge(Config { metadata_keys: vec!["Tenant".into()], ..Config::default() }).expect("right");
    let mut out = Emitter::default();
    for tenant in ["a", "b", "a"] {
        batch.accept(chunk(1, tenant).0, &mut out);
    }
    batch.flush(&mut out);
    assert_eq!(sizes(&mut out), [2, 1]);
}

#[test]
fn a_divided_request_is_done_when_all_of_it_is() {
    let config = Config { send_batch_size: 10, send_batch_max_size: 10, ..Config::default() };
    let (mut batch, mut out) = (merge(config).expect("right"), Emitter::default());
    let (large, ticket) = chunk(25, "a");
    batch.accept(large, &mut out);
    batch.flush(&mut out);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let (mut ticket, mut sent) = (Box::pin(ticket), out.take().0);
    sent.remove(1).settle(&Outcome::reject(throughline_component::RejectKind::Invalid, "no"));
    sent.remove(0).settle(&Outcome::DONE);
    assert!(ticket.as_mut().poll(&mut cx).is_pending());
    sent.remove(0).settle(&Outcome::DONE);
    let told = std::task::Poll::Ready(Outcome::Done { rejected: 10, why: Some("no".into()) });
    assert_eq!(ticket.as_mut().poll(&mut cx), told);
}

#[test]
fn no_more_combinations_wait_than_may() {
    let config =
        Config { metadata_keys: vec!["tenant".into()], metadata_cardinality_limit: 2, ..Config::default() };
    let (mut batch, mut out) = (merge(config).expect("right"), Emitter::default());
    for (items, tenant) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
        batch.accept(chunk(items, tenant).0, &mut out);
    }
    assert_eq!(sizes(&mut out), [4], "those of a, which waited longest");
    batch.flush(&mut out);
    assert_eq!(sizes(&mut out), [2, 4]);
}

#[test]
fn senders_hear_nothing_until_the_merged_batch_has_settled() {
    let mut batch = merge(Config::default()).expect("right");
    let mut out = Emitter::default();
    let tickets: Vec<Ticket> = (0..3)
        .map(|_| {
            let (one, ticket) = chunk(1, "a");
            batch.accept(one, &mut out);
            ticket
        })
        .collect();
    batch.flush(&mut out);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut tickets: Vec<_> = tickets.into_iter().map(Box::pin).collect();
    assert!(tickets.iter_mut().all(|ticket| ticket.as_mut().poll(&mut cx).is_pending()));
    out.take().0.into_iter().for_each(|batch| batch.settle(&Outcome::DONE));
    assert!(tickets.iter_mut().all(|ticket| ticket.as_mut().poll(&mut cx).is_ready()));
}

/// A request of `items` log records whose resource has 100 kB, and its ticket.
fn heavy(items: u32) -> (Batch, Ticket) {
    let (settle, ticket) = Settle::ticket();
    let text = "x".repeat(100_000);
    let bytes = throughline_otlp::build::logs(|request| {
        request.resource(&[("k", throughline_otlp::Value::Str(&text))], |resource| {
            resource.scope("test", "1", |scope| (0..items).for_each(|_| scope.log_record(|_| {})));
        });
    });
    let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
    (Batch::one(Signal::Logs, Chunk { bytes, items, position: None, context, settle }), ticket)
}

const ONE_BY_ONE: fn() -> Config =
    || Config { send_batch_size: 1, send_batch_max_size: 1, ..Config::default() };

fn bytes(batches: &[Batch]) -> usize {
    batches.iter().flat_map(|batch| &batch.chunks).map(|chunk| chunk.bytes.len()).sum()
}

#[test]
fn what_parts_repeat_is_charged_until_they_settle_and_never_more_than_may_be() {
    let budget = Budget::new(1_000_000);
    let mut batch = within(ONE_BY_ONE(), Some(Arc::clone(&budget))).expect("right");
    let (mut out, items) = (Emitter::default(), 3_000);
    let (large, ticket) = heavy(items);
    batch.accept(large, &mut out);
    let (mut now, mut sent) = (0, 0);
    while sent < items {
        let batches = out.take().0;
        assert!(!batches.is_empty(), "it always goes on: {sent} of {items}");
        assert!(bytes(&batches) <= 1_200_000, "{} bytes at once", bytes(&batches));
        assert!(budget.used() + 150_000 >= bytes(&batches), "all but the request's own bytes are charged");
        sent += u32::try_from(batches.len()).expect("few");
        batches.into_iter().for_each(|batch| batch.settle(&Outcome::DONE));
        assert_eq!(budget.used(), 0);
        now += PAUSE;
        batch.tick(now, &mut out);
    }
    assert_eq!(batch.wakes_at(), None);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(Box::pin(ticket).as_mut().poll(&mut cx), std::task::Poll::Ready(Outcome::DONE));
}

#[test]
fn a_request_whose_parts_are_each_beyond_the_budget_goes_part_by_part() {
    let budget = Budget::new(1_000);
    let mut other = budget.charge();
    assert!(other.grow(900), "somebody else holds memory");
    let mut batch = within(ONE_BY_ONE(), Some(Arc::clone(&budget))).expect("right");
    let (mut out, mut now) = (Emitter::default(), 0);
    batch.accept(heavy(5).0, &mut out);
    for _ in 0..4 {
        let batches = out.take().0;
        assert_eq!(batches.len(), 1);
        batch.tick(now + PAUSE, &mut out);
        assert!(out.take().0.is_empty(), "one is under way");
        batches.into_iter().for_each(|batch| batch.settle(&Outcome::DONE));
        now += 2 * PAUSE;
        batch.tick(now, &mut out);
    }
    assert_eq!(out.take().0.len(), 1);
}

#[test]
fn what_waits_for_memory_goes_back_to_its_sender_when_the_agent_stops() {
    let budget = Budget::new(1_000);
    let mut other = budget.charge();
    assert!(other.grow(900), "somebody else holds memory");
    let mut batch = within(ONE_BY_ONE(), Some(budget)).expect("right");
    let mut out = Emitter::default();
    let (large, ticket) = heavy(5);
    batch.accept(large, &mut out);
    batch.flush(&mut out);
    let (batches, settled) = out.take();
    assert_eq!(batches.len(), 1);
    assert_eq!(settled.iter().map(|(items, _)| items).sum::<u64>(), 4, "the accounts balance");
    batches.into_iter().for_each(|batch| batch.settle(&Outcome::DONE));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let told = Box::pin(ticket).as_mut().poll(&mut cx);
    assert!(matches!(told, std::task::Poll::Ready(Outcome::Retry { .. })), "{told:?}");
}
