use proptest::prelude::*;
use throughline_change::event;
use throughline_change::timeline::{ChangeEvent, EntityLabels};
use throughline_component::{Counter, Replay};
use throughline_otlp::view::{Record, Request, ResourceLookup};
use throughline_otlp::{Signal, Value, build, steps};

use super::state::{Labels, Now, Settings, State, Taken, write};
use super::table::METRICS;

const SECOND: u64 = 1_000_000_000;
const LATENESS: u64 = 60 * SECOND;
/// When everything is heard of; what the sources' clocks say is long before.
const HEARD: u64 = 1_000_000 * SECOND;

fn event(kind: &str, at: u64) -> ChangeEvent {
    ChangeEvent {
        event_id: format!("{kind}{at}").into(),
        kind: event::named(kind).expect("an event of the table"),
        change_ids: vec!["github.com/acme/live#7".into()],
        at: at * SECOND,
        source: "".into(),
        object: "".into(),
        name: "".into(),
        attempt: 0,
        actor: "".into(),
        asked: "".into(),
        result: "".into(),
        detail: "".into(),
        duration_ms: None,
        commit: "".into(),
        merge_commit: "".into(),
        entity: EntityLabels::default(),
    }
}

fn within(environment: &str, event: ChangeEvent) -> ChangeEvent {
    ChangeEvent {
        entity: EntityLabels { environment: environment.into(), ..EntityLabels::default() },
        ..event
    }
}

fn production(kind: &str, at: u64) -> ChangeEvent {
    within("production", event(kind, at))
}

fn settings() -> Settings {
    Settings {
        bounds: vec![60.0, 600.0],
        lateness: LATENESS,
        max_changes: 10,
        max_series: 100,
        forgotten: Counter::default(),
        refused: Counter::default(),
        late: Counter::default(),
    }
}

/// What is known after all lateness has passed.
fn state(events: &[ChangeEvent]) -> State {
    let mut state = State::new(settings(), 0);
    events.iter().for_each(|event| _ = state.take(event, HEARD));
    state.advance(HEARD + LATENESS);
    state
}

fn number(metric: &str) -> usize {
    METRICS.iter().position(|row| row.name == metric).expect("a row of the table")
}

/// Labels, how many observations, and their sum in seconds.
fn series(state: &State, metric: &str) -> Vec<(Vec<String>, u64, u64)> {
    let all = state.series[number(metric)].iter();
    all.map(|(labels, series)| (texts(labels), series.count(), series.nanos / SECOND)).collect()
}

fn texts(labels: &Labels) -> Vec<String> {
    labels.iter().map(ToString::to_string).collect()
}

fn now(state: &mut State, metric: &str) -> Vec<Now> {
    let number = number(metric);
    state.now().into_iter().filter(|((of, _), _)| *of == number).map(|(_, now)| now).collect()
}

#[test]
fn m0_01_lead_time_is_from_opening_to_the_first_production_deployment_in_any_order() {
    let events = [
        event("ChangeOpened", 100),
        within("staging", event("DeploymentFinished", 150)),
        production("DeploymentFinished", 400),
        production("DeploymentFinished", 900),
    ];
    for order in [[0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]] {
        let state = state(&order.map(|at: usize| events[at].clone()));
        let expected = vec![(vec!["production".to_owned(), String::new(), String::new()], 1, 300)];
        assert_eq!(series(&state, "change_lead_time_seconds"), expected, "{order:?}");
    }
}

#[test]
fn m0_02_plan_latency_counts_from_the_last_edit_before_the_plan_even_if_it_is_told_later() {
    let events = [
        event("ChangeOpened", 100),
        event("ChangeUpdated", 200),
        event("PlanCompleted", 260),
        event("ChangeUpdated", 270),
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let state = state(&order.map(|at: usize| events[at].clone()));
        let sums: Vec<_> =
            series(&state, "plan_latency_seconds").iter().map(|(_, count, sum)| (*count, *sum)).collect();
        assert_eq!(sums, [(1, 60)], "{order:?}");
    }
}

#[test]
fn what_is_told_within_the_lateness_corrects_and_what_comes_later_is_counted_and_changes_nothing() {
    let mut state = State::new(settings(), 0);
    state.take(&event("ChangeOpened", 100), HEARD);
    state.take(&event("PlanCompleted", 260), HEARD);
    assert!(!state.advance(HEARD + LATENESS - 1), "not final yet");
    state.take(&event("ChangeUpdated", 200), HEARD + LATENESS - 1);
    assert!(state.advance(HEARD + LATENESS));
    let sum = |state: &State| series(state, "plan_latency_seconds").iter().map(|(.., sum)| *sum).sum::<u64>();
    assert_eq!(sum(&state), 60);
    state.take(&event("ChangeUpdated", 50), HEARD + LATENESS);
    assert_eq!(state.settings.late.get(), 0, "it would not have counted");
    state.take(&event("ChangeUpdated", 230), HEARD + LATENESS);
    state.advance(HEARD + 9 * LATENESS);
    assert_eq!((sum(&state), state.settings.late.get()), (60, 1));
    // A deployment before the one that was counted is late too.
    state.take(&production("DeploymentFinished", 900), HEARD);
    state.advance(HEARD + 9 * LATENESS);
    state.take(&production("DeploymentFinished", 800), HEARD);
    state.advance(HEARD + 9 * LATENESS);
    assert_eq!(series(&state, "change_lead_time_seconds")[0].2, 800);
    assert_eq!(state.settings.late.get(), 2);
}

#[test]
fn m0_05_the_age_of_the_queue_is_that_of_its_oldest_waiting_apply() {
    let age = |events: &[ChangeEvent]| now(&mut state(events), "apply_queue_age_seconds");
    assert_eq!(
        age(&[production("ApprovalGranted", 100), event("ChangeOpened", 50)]),
        [Now::Since(100 * SECOND)]
    );
    assert_eq!(age(&[production("ApprovalGranted", 100), production("ApplyStarted", 130)]), []);
    assert_eq!(age(&[production("ApprovalGranted", 100), event("ChangeClosed", 130)]), []);
}

#[test]
fn m0_06_m0_10_applies_are_timed_and_counted_by_result_once_per_event() {
    let failed = ChangeEvent { duration_ms: Some(5_000), ..production("ApplyFailed", 300) };
    let own = |kind: &str, at| ChangeEvent { object: "run-9".into(), ..production(kind, at) };
    let state = state(&[failed.clone(), failed, own("ApplyStarted", 380), own("ApplySucceeded", 400)]);
    let told = |metric: &str| {
        let all = series(&state, metric).into_iter();
        all.map(|(labels, count, sum)| (labels.last().cloned().unwrap_or_default(), count, sum))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("change_apply_total"), [("failure".into(), 1, 0), ("success".into(), 1, 0)]);
    assert_eq!(told("apply_duration_seconds"), [("failure".into(), 1, 5), ("success".into(), 1, 20)]);
}

#[test]
fn an_apply_that_carries_several_changes_counts_once_and_each_change_has_a_lead_time() {
    let both = vec!["a#1".into(), "a#2".into()];
    let carries = |event: ChangeEvent| ChangeEvent { change_ids: both.clone(), ..event };
    let opened = |id: &str, at| ChangeEvent { change_ids: vec![id.into()], ..event("ChangeOpened", at) };
    let state = state(&[
        opened("a#1", 100),
        opened("a#2", 200),
        carries(production("ApplySucceeded", 390)),
        carries(production("DeploymentFinished", 400)),
    ]);
    assert_eq!(series(&state, "change_apply_total")[0].1, 1);
    let (_, count, sum) = &series(&state, "change_lead_time_seconds")[0];
    assert_eq!((*count, *sum), (2, 300 + 200));
}

#[test]
fn what_was_heard_before_anybody_knew_whose_commit_it_is_counts_for_the_pull_request_in_any_order() {
    let old = |event: ChangeEvent| ChangeEvent { change_ids: vec!["a@abc".into()], ..event };
    let new = |event: ChangeEvent| ChangeEvent { change_ids: vec!["a#1".into()], ..event };
    let events = [
        new(event("ChangeOpened", 100)),
        new(production("ApprovalGranted", 200)),
        old(production("ApplySucceeded", 300)),
        old(production("DeploymentFinished", 400)),
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        for renamed_after in 0..=4 {
            let mut state = State::new(settings(), 0);
            let mut journal = Vec::new();
            for (number, at) in order.into_iter().enumerate() {
                if number == renamed_after {
                    assert!(state.rename("a@abc", "a#1"));
                    super::state::write_renamed("a@abc", "a#1", HEARD, &mut journal);
                }
                state.take(&events[at], HEARD);
                write(&events[at], HEARD, &mut journal);
            }
            if renamed_after == 4 {
                state.rename("a@abc", "a#1");
                super::state::write_renamed("a@abc", "a#1", HEARD, &mut journal);
            }
            let mut again = State::new(settings(), 0);
            again.replay(&journal).expect("our own");
            assert_eq!(again.snapshot(), state.snapshot());
            for mut state in [state, again] {
                state.advance(HEARD + LATENESS);
                assert_eq!(series(&state, "change_lead_time_seconds")[0].2, 300, "{order:?} {renamed_after}");
                assert_eq!(now(&mut state, "apply_queue_age_seconds"), [], "{order:?} {renamed_after}");
            }
        }
    }
}

#[test]
fn the_conventions_metrics_time_runs_by_their_object_and_count_those_that_are_active() {
    let run =
        |kind: &str, id: &str, at| ChangeEvent { object: id.into(), name: "CI".into(), ..event(kind, at) };
    let failed = ChangeEvent { result: "failure".into(), ..run("PipelineCompleted", "run-1", 160) };
    let mut state = state(&[
        run("PipelineStarted", "run-1", 100),
        run("PipelineStarted", "run-2", 110),
        run("PipelineStarted", "run-3", 120),
        failed,
    ]);
    let (labels, count, sum) = series(&state, "cicd.pipeline.run.duration")[0].clone();
    assert_eq!((labels, count, sum), (vec!["CI".into(), String::new(), "failure".into()], 1, 60));
    assert_eq!(series(&state, "cicd.pipeline.run.errors")[0].1, 1);
    assert_eq!(now(&mut state, "cicd.pipeline.run.active"), [Now::Active(2)]);
}

#[test]
fn the_change_heard_of_longest_ago_is_forgotten_and_counted_with_what_was_known_of_it() {
    let mut state = State::new(Settings { max_changes: 2, ..settings() }, 0);
    for n in 0..5 {
        let of = |kind: &str| ChangeEvent {
            change_ids: vec![format!("c{n}").into()],
            event_id: format!("{kind}{n}").into(),
            ..event(kind, n)
        };
        state.take(&of("ApprovalGranted"), HEARD);
        state.take(&of("ApplyFailed"), HEARD);
        state.take(&ChangeEvent { event_id: format!("again{n}").into(), ..of("ApprovalGranted") }, HEARD);
    }
    assert_eq!(state.settings.forgotten.get(), 3);
    assert_eq!(series(&state, "change_apply_total")[0].1, 3);
    state.advance(HEARD + LATENESS);
    assert_eq!(series(&state, "change_apply_total")[0].1, 5);
}

#[test]
fn series_are_bounded_what_has_no_room_is_counted_and_what_is_there_goes_on() {
    let mut state = State::new(Settings { max_series: 3, max_changes: 100, ..settings() }, 0);
    let apply = |n: u64, environment: &str| ChangeEvent {
        event_id: n.to_string().into(),
        duration_ms: Some(u64::MAX),
        ..within(environment, event("ApplySucceeded", n))
    };
    // Each is another change's: what is known of one change fills in what its other events leave out.
    for n in 0..10 {
        state.take(
            &ChangeEvent { change_ids: vec![format!("c{n}").into()], ..apply(n, &format!("e{n}")) },
            HEARD + n,
        );
    }
    state.advance(HEARD + LATENESS + 10);
    state.take(&ChangeEvent { change_ids: vec!["c0".into()], ..apply(99, "e0") }, HEARD);
    state.advance(HEARD + LATENESS + 10);
    let all = series(&state, "change_apply_total");
    assert_eq!((all.len(), series(&state, "apply_duration_seconds").len()), (3, 3));
    assert_eq!((all.iter().map(|(_, count, _)| count).sum::<u64>(), state.settings.refused.get()), (4, 14));
}

#[test]
fn events_of_a_change_are_bounded_and_what_gives_way_is_counted_first() {
    let mut state = State::new(settings(), 0);
    state.take(&event("ChangeOpened", 1), HEARD);
    for n in 0..1000 {
        state.take(&event("ChangeUpdated", 10_000 - n), HEARD);
        state.take(&event("PlanCompleted", 20_000 - n), HEARD);
    }
    state.advance(HEARD + LATENESS);
    assert_eq!(series(&state, "plan_latency_seconds")[0].1, 1000);
    assert!(state.snapshot().len() < 200_000, "{}", state.snapshot().len());
    state.take(&production("DeploymentFinished", 30_000), HEARD);
    state.advance(HEARD + LATENESS);
    assert_eq!(series(&state, "change_lead_time_seconds")[0].2, 29_999, "when it was opened is kept");
}

#[test]
fn an_age_that_ended_is_emitted_once_more_and_then_no_longer() {
    let mut state = state(&[production("ApprovalGranted", 100)]);
    assert_eq!(now(&mut state, "apply_queue_age_seconds"), [Now::Since(100 * SECOND)]);
    state.take(&production("ApplyStarted", 130), HEARD);
    assert_eq!(now(&mut state, "apply_queue_age_seconds"), [Now::Ended]);
    assert_eq!(now(&mut state, "apply_queue_age_seconds"), []);
}

#[test]
fn trp_27_a_restart_from_facts_or_from_a_snapshot_goes_on_with_the_same_series() {
    let events = [
        event("ChangeOpened", 100),
        event("PlanCompleted", 160),
        ChangeEvent { duration_ms: Some(5_000), ..production("ApplySucceeded", 200) },
        production("DeploymentFinished", 400),
        ChangeEvent { change_ids: vec!["c2".into()], ..production("ApprovalGranted", 300) },
    ];
    // Each is told in a batch of its own, twenty seconds behind the one before: some are final, others are not yet.
    let mut before = State::new(settings(), 0);
    let mut entries = Vec::new();
    for (event, n) in events.iter().zip(0..) {
        let (mut entry, heard) = (Vec::new(), HEARD + n * 20 * SECOND);
        before.advance(heard);
        assert_eq!(before.take(event, heard), Taken::New);
        before.advance(heard);
        write(event, heard, &mut entry);
        entries.push(entry);
    }
    assert_eq!(
        (series(&before, "plan_latency_seconds").len(), series(&before, "change_apply_total").len()),
        (1, 0)
    );
    for entries in [entries, vec![before.snapshot()]] {
        let mut after = State::new(settings(), 0);
        entries.iter().for_each(|entry| after.replay(entry).expect("our own"));
        assert_eq!(after.snapshot(), before.snapshot());
        assert_eq!(after.next_final(), before.next_final());
        assert_eq!(
            after.take(&events[2], HEARD),
            Taken::Repeated,
            "what was counted before the restart is not counted again"
        );
        after.advance(HEARD + 9 * LATENESS);
        assert_eq!(series(&after, "change_apply_total").len(), 1);
    }
}

proptest! {
    /// Whatever the order in which events are told within the lateness, the series are the same.
    #[test]
    fn series_do_not_depend_on_the_order_of_events(
        picks in proptest::collection::vec((0..event::TYPES.len(), 0_u64..40, 0_u8..3, 0_u8..3), 1..30),
        turn in any::<prop::sample::Index>(),
    ) {
        let events: Vec<ChangeEvent> = picks
            .iter()
            .enumerate()
            .map(|(index, (kind, at, change, place))| {
                let environment = ["", "staging", "production"][usize::from(*place)];
                let made = within(environment, event(event::TYPES[*kind].name, *at));
                let result = if place % 2 == 0 { "success" } else { "failure" };
                ChangeEvent {
                    event_id: index.to_string().into(),
                    change_ids: vec![format!("c{change}").into()],
                    object: format!("o{place}").into(),
                    result: result.into(),
                    ..made
                }
            })
            .collect();
        let turn = turn.index(events.len());
        let turned: Vec<ChangeEvent> = events[turn..].iter().chain(&events[..turn]).cloned().collect();
        let reversed: Vec<ChangeEvent> = events.iter().rev().cloned().collect();
        let (mut one, mut two, mut three) = (state(&events), state(&turned), state(&reversed));
        prop_assert_eq!(&one.series, &two.series);
        prop_assert_eq!(&one.series, &three.series);
        let now = one.now();
        prop_assert_eq!(&now, &two.now());
        prop_assert_eq!(&now, &three.now());
    }
}

#[test]
fn facts_below_a_long_resource_take_no_more_than_their_own_length() {
    let (long, keys) = ("é".repeat(100_000), (0..1000).map(|n| format!("a{n}")).collect::<Vec<_>>());
    let labels = keys.iter().map(|key| (&**key, Value::Str("x")));
    let labels: Vec<_> = labels.chain([("change_id", Value::Str(&long))]).collect();
    steps::assert_linear("events below one resource", 100, |size| {
        let bytes = build::logs(|request| {
            request.resource(&labels, |resource| {
                resource.scope("", "", |scope| {
                    (0..size).for_each(|_| {
                        scope.log_record(|log| {
                            log.event_name("change.opened").attribute("event_id", "evt-1");
                        });
                    });
                });
            });
        });
        let (mut resource, mut read) = (None, 0);
        let steps = steps::of(|| {
            for (group, _, record) in Request::new(Signal::Logs, &bytes).records() {
                let before = resource.take();
                let resource = resource.insert(ResourceLookup::of(group, before));
                let Record::Log(log) = record else { continue };
                let event = ChangeEvent::read(log, resource);
                read += usize::from(event.is_some_and(|event| event.change_ids[0].len() == 1024));
            }
        });
        assert_eq!(read, size);
        steps
    });
}
