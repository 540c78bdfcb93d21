use throughline_component::Replay;

use throughline_otlp::view::{Record, Request, ResourceLookup};
use throughline_otlp::{Signal, Value, build, steps};

use super::state::{Ended, Fact, Labels, Room, State};

const SECOND: u64 = 1_000_000_000;

fn fact(event_type: &str, at: u64) -> Fact {
    Fact {
        event_id: format!("{event_type}{at}"),
        event_type: event_type.into(),
        change_id: "github.com/acme/live#7".into(),
        at: at * SECOND,
        labels: Labels::default(),
        success: true,
        duration_ms: None,
    }
}

fn production(event_type: &str, at: u64) -> Fact {
    let labels = Labels { environment: "production".into(), ..Labels::default() };
    Fact { labels, ..fact(event_type, at) }
}

fn room(max_series: usize) -> Room {
    Room { max_series, refused: throughline_component::Counter::default() }
}

fn state(facts: &[Fact]) -> State {
    let mut state =
        State::new(vec![60.0, 600.0], 10, 0, throughline_component::Counter::default(), room(100));
    for fact in facts {
        state.take(fact);
    }
    state
}

#[test]
fn m0_01_lead_time_is_from_opening_to_the_first_production_deployment_in_any_order() {
    let facts = [
        fact("ChangeOpened", 100),
        Fact {
            labels: Labels { environment: "staging".into(), ..Labels::default() },
            ..fact("DeploymentFinished", 150)
        },
        production("DeploymentFinished", 400),
        production("DeploymentFinished", 900),
    ];
    for order in [[0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]] {
        let state = state(&order.map(|at: usize| facts[at].clone()));
        let series: Vec<_> = state.lead_time.values().collect();
        assert_eq!(series.len(), 1, "{order:?}");
        // The sum is 300 seconds unless only a later deployment was known when the opening arrived.
        assert_eq!(series[0].counts.iter().sum::<u64>(), 1, "{order:?}");
    }
    assert_eq!(state(&facts).lead_time.values().map(|series| series.sum).sum::<f64>(), 300.0);
}

#[test]
fn m0_02_plan_latency_counts_from_the_last_edit_before_the_plan_even_if_it_is_told_later() {
    let edits = [fact("ChangeOpened", 100), fact("ChangeUpdated", 200)];
    let plan = fact("PlanCompleted", 260);
    let known = state(&[edits[0].clone(), edits[1].clone(), plan.clone()]);
    assert_eq!(known.plan_latency.values().map(|series| series.sum).sum::<f64>(), 60.0);
    let late = state(&[plan, edits[1].clone()]);
    assert_eq!(late.plan_latency.values().map(|series| series.sum).sum::<f64>(), 60.0);
}

#[test]
fn m0_05_the_age_of_the_queue_is_that_of_its_oldest_waiting_apply() {
    let approved = [production("ApprovalGranted", 100), fact("ChangeOpened", 50)];
    assert_eq!(state(&approved).waiting().into_values().collect::<Vec<_>>(), [100 * SECOND]);
    let started = [production("ApprovalGranted", 100), production("ApplyStarted", 130)];
    assert!(state(&started).waiting().is_empty());
    let closed = [production("ApprovalGranted", 100), fact("ChangeClosed", 130)];
    assert!(state(&closed).waiting().is_empty());
}

#[test]
fn m0_06_m0_10_applies_are_timed_and_counted_by_result_once_per_event() {
    let failed = Fact { duration_ms: Some(5_000), ..production("ApplyFailed", 300) };
    let state = state(&[failed.clone(), failed, production("ApplySucceeded", 400)]);
    let counts: Vec<_> = state.applies.iter().map(|((_, result), count)| (*result, *count)).collect();
    assert_eq!(counts, [(Ended::Success, 1), (Ended::Failure, 1)]);
    assert_eq!(state.apply_duration.values().map(|series| series.sum).sum::<f64>(), 5.0);
}

#[test]
fn the_change_heard_of_longest_ago_is_forgotten_and_counted() {
    let forgotten = throughline_component::Counter::default();
    let mut state = State::new(vec![1.0], 2, 0, forgotten.clone(), room(100));
    for n in 0..5 {
        state.take(&Fact {
            change_id: format!("c{n}"),
            event_id: n.to_string(),
            ..fact("ApprovalGranted", n)
        });
    }
    assert_eq!(forgotten.get(), 3);
    assert_eq!(state.waiting().into_values().collect::<Vec<_>>(), [3 * SECOND]);
}

#[test]
fn series_are_bounded_what_has_no_room_is_counted_and_what_is_there_goes_on() {
    let room = room(3);
    let refused = room.refused.clone();
    let mut state = State::new(vec![1.0], 100, 0, throughline_component::Counter::default(), room);
    let apply = |n: u64, environment: String| Fact {
        event_id: n.to_string(),
        labels: Labels { environment, ..Labels::default() },
        duration_ms: Some(u64::MAX),
        ..fact("ApplySucceeded", n)
    };
    // Each is another change's: what is known of one change fills in what its later facts leave out.
    for n in 0..10 {
        state.take(&Fact { change_id: format!("c{n}"), ..apply(n, format!("e{n}")) });
    }
    state.take(&Fact { change_id: "c0".into(), ..apply(99, "e0".into()) });
    assert_eq!((state.applies.len(), state.apply_duration.len()), (3, 3));
    assert_eq!((state.applies.values().sum::<u64>(), refused.get()), (4, 14));
}

#[test]
fn edits_and_open_plans_of_a_change_are_bounded_and_the_newest_edit_counts() {
    let mut state = state(&[]);
    for n in 0..1000 {
        state.take(&fact("ChangeUpdated", 10_000 - n));
    }
    state.take(&fact("PlanCompleted", 10_060));
    assert_eq!(state.plan_latency.values().map(|series| series.sum).sum::<f64>(), 60.0);
    for n in 0..1000 {
        state.take(&fact("PlanCompleted", n));
    }
    assert!(state.snapshot().len() < 200_000, "{}", state.snapshot().len());
}

#[test]
fn an_age_that_ended_is_told_once_more_and_then_no_longer() {
    let mut state = state(&[production("ApprovalGranted", 100)]);
    assert_eq!(state.ages().into_values().collect::<Vec<_>>(), [Some(100 * SECOND)]);
    state.take(&production("ApplyStarted", 130));
    assert_eq!(state.ages().into_values().collect::<Vec<_>>(), [None]);
    assert!(state.ages().is_empty());
}

#[test]
fn trp_27_a_restart_from_facts_or_from_a_snapshot_goes_on_with_the_same_series() {
    let facts = [
        fact("ChangeOpened", 100),
        fact("PlanCompleted", 160),
        Fact { duration_ms: Some(5_000), ..production("ApplySucceeded", 200) },
        production("DeploymentFinished", 400),
        Fact { change_id: "c2".into(), ..production("ApprovalGranted", 300) },
    ];
    let before = state(&facts);
    let mut lines = Vec::new();
    facts.iter().for_each(|fact| fact.write(&mut lines));
    for entry in [lines, before.snapshot()] {
        let mut after =
            State::new(vec![60.0, 600.0], 10, 0, throughline_component::Counter::default(), room(100));
        after.replay(&entry).expect("our own");
        assert_eq!(after.snapshot(), before.snapshot());
        assert_eq!(after.waiting(), before.waiting());
        assert!(!after.take(&facts[2]), "what was counted before the restart is not counted again");
    }
}

#[test]
fn facts_below_a_long_resource_take_no_more_than_their_own_length() {
    let (long, keys) = ("é".repeat(100_000), (0..1000).map(|n| format!("a{n}")).collect::<Vec<_>>());
    let labels = keys.iter().map(|key| (&**key, Value::Str("x")));
    let labels: Vec<_> = labels.chain([("change_id", Value::Str(&long))]).collect();
    steps::assert_linear("facts below one resource", 100, |size| {
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
                read +=
                    usize::from(Fact::read(log, resource).is_some_and(|fact| fact.change_id.len() == 1024));
            }
        });
        assert_eq!(read, size);
        steps
    });
}
