use proptest::prelude::*;
use throughline_otlp::view::{Record, Request, ResourceLookup};
use throughline_otlp::{Signal, Value, build};

use super::super::{EntityLabels, Report, State};
use super::*;
use crate::event;

const CHANGE: &str = "github.com/acme/live#7";
const MINUTE: u64 = 60_000_000_000;
const START: u64 = 1_700_000_000_000_000_000;

fn limits() -> Limits {
    Limits { memory: 64 << 20, events_per_change: 200 }
}

/// An event, `minutes` after the start.
fn event(kind: &str, minutes: u64) -> ChangeEvent {
    let kind = event::named(kind).expect("an event of the table");
    ChangeEvent {
        event_id: format!("evt-{}-{minutes}", kind.name).into(),
        kind,
        change_ids: vec![CHANGE.into()],
        at: START + minutes * MINUTE,
        source: "github".into(),
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

fn of(object: &str, name: &str, result: &str, event: ChangeEvent) -> ChangeEvent {
    ChangeEvent { object: object.into(), name: name.into(), result: result.into(), ..event }
}

fn production(event: ChangeEvent) -> ChangeEvent {
    ChangeEvent {
        entity: EntityLabels { environment: "production".into(), ..EntityLabels::default() },
        ..event
    }
}

fn report(events: &[ChangeEvent]) -> Report {
    let mut timelines = Timelines::new(limits());
    events.iter().for_each(|event| assert!(timelines.take(event)));
    match timelines.find(CHANGE) {
        Found::One(report) => *report,
        other => panic!("{other:?}"),
    }
}

fn stages(report: &Report) -> Vec<(&str, &str, Option<f64>)> {
    report.stages.iter().map(|stage| (&*stage.stage, &*stage.outcome, stage.took_seconds)).collect()
}

fn stands(events: &[ChangeEvent]) -> (State, String) {
    let Summary { state, what, .. } = report(events).summary;
    (state, what)
}

#[test]
fn what_begins_and_what_ends_is_one_stage() {
    let report = report(&[
        event("ChangeOpened", 0),
        of("run-1", "ci", "", event("PipelineStarted", 1)),
        of("run-1", "ci", "failure", event("PipelineCompleted", 6)),
        ChangeEvent { attempt: 2, ..of("run-1", "ci", "", event("PipelineStarted", 8)) },
        ChangeEvent { attempt: 2, ..of("run-1", "ci", "success", event("PipelineCompleted", 14)) },
    ]);
    assert_eq!(
        stages(&report),
        [("opened", "", None), ("pipeline", "failure", Some(300.0)), ("pipeline", "success", Some(360.0))]
    );
    let waited: Vec<f64> = report.stages.iter().map(|stage| stage.waited_seconds).collect();
    assert_eq!(waited, [0.0, 60.0, 120.0]);
}

#[test]
fn a_stage_whose_beginning_nobody_told_begins_as_long_before_its_end_as_it_took() {
    let job = ChangeEvent {
        duration_ms: Some(120_000),
        ..of("job-1", "test", "success", event("JobCompleted", 5))
    };
    let report = report(&[job]);
    assert_eq!(stages(&report), [("job", "success", Some(120.0))]);
    assert_eq!(report.stages[0].began.map(|at| at.as_nanosecond()), Some(i128::from(START + 3 * MINUTE)));
}

#[test]
fn a_review_answers_the_request_to_the_reviewer_who_gave_it() {
    let ask = |who: &str, minutes| ChangeEvent {
        asked: who.into(),
        event_id: format!("ask-{who}").into(),
        ..event("ApprovalRequested", minutes)
    };
    let granted = ChangeEvent { actor: "bob".into(), ..event("ApprovalGranted", 9) };
    let report = report(&[ask("ada", 1), ask("bob", 2), granted]);
    let answers: Vec<_> = report.stages.iter().map(|stage| (&*stage.asked, &*stage.outcome)).collect();
    assert_eq!(answers, [("ada", "requested"), ("bob", "granted")]);
}

#[test]
fn where_a_change_stands_follows_from_its_last_stages() {
    let opened = event("ChangeOpened", 0);
    let merged = event("ChangeMerged", 20);
    let asked = ChangeEvent { asked: "ada".into(), ..event("ApprovalRequested", 1) };
    let granted = ChangeEvent { actor: "ada".into(), ..event("ApprovalGranted", 9) };
    let plan = |kind: &str, minutes| of("plan", "", "", event(kind, minutes));
    let run = |kind: &str, result: &str, minutes| of("run-1", "ci", result, event(kind, minutes));
    let deploy = |kind: &str, result: &str, minutes| of("d", "", result, event(kind, minutes));
    let (waiting, running, failed, done) = (State::Waiting, State::Running, State::Failed, State::Done);
    let cases: &[(&[ChangeEvent], State, &str)] = &[
        (std::slice::from_ref(&opened), waiting, "review"),
        (&[opened.clone(), asked.clone()], waiting, "approval by ada"),
        (&[opened.clone(), asked.clone(), granted.clone()], waiting, "merge"),
        (&[opened.clone(), plan("PlanCompleted", 2), granted.clone()], waiting, "apply or merge"),
        (&[opened.clone(), run("PipelineStarted", "", 2)], running, "pipeline ci"),
        (
            &[
                opened.clone(),
                ChangeEvent { detail: "at Lint".into(), ..run("PipelineCompleted", "failure", 3) },
            ],
            failed,
            "pipeline ci: failure at Lint",
        ),
        // What failed before the merge is history.
        (&[opened.clone(), run("PipelineCompleted", "failure", 3), merged.clone()], waiting, "deployment"),
        (&[opened.clone(), plan("PlanCompleted", 2), merged.clone()], waiting, "apply"),
        (&[opened.clone(), event("PolicyDenied", 3)], failed, "policy: denied"),
        (&[opened.clone(), event("PolicyDenied", 3), plan("PlanCompleted", 5)], waiting, "review"),
        (&[merged.clone(), deploy("DeploymentStarted", "", 21)], running, "deployment"),
        (&[merged.clone(), deploy("DeploymentFinished", "success", 22)], waiting, "deployment to production"),
        (
            &[merged.clone(), production(deploy("DeploymentFinished", "success", 22))],
            done,
            "deployment in production",
        ),
        (
            &[merged.clone(), production(deploy("DeploymentFinished", "failure", 22))],
            failed,
            "deployment in production: failure",
        ),
        (&[merged.clone(), production(event("ApplySucceeded", 22))], done, "apply in production"),
        (&[opened.clone(), granted.clone(), event("ApprovalDismissed", 10)], waiting, "review"),
        (&[opened.clone(), event("ChangeDequeued", 10)], failed, "out of merge queue: failed"),
        (
            &[opened.clone(), granted.clone(), event("ChangeDequeued", 10), event("ChangeQueued", 11)],
            waiting,
            "merge",
        ),
        (&[opened.clone(), event("ChangeClosed", 5)], done, "closed without a merge"),
        (&[opened.clone(), event("ChangeClosed", 5), event("ChangeOpened", 7)], waiting, "review"),
    ];
    for (events, state, what) in cases {
        let names: Vec<_> = events.iter().map(|event| event.kind.name).collect();
        assert_eq!(stands(events), (*state, (*what).to_owned()), "{names:?}");
    }
}

#[test]
fn a_run_that_never_ended_is_not_running_once_another_has_begun() {
    let begun = |run: &str, minutes| of(run, "ci", "", event("PipelineStarted", minutes));
    let events = [
        event("ChangeOpened", 0),
        begun("run-1", 1),
        begun("run-2", 2),
        of("run-2", "ci", "success", event("PipelineCompleted", 3)),
    ];
    assert_eq!(stands(&events), (State::Waiting, "review".into()));
    assert_eq!(report(&events).stages[1].outcome, "no end heard");
}

#[test]
fn what_is_told_several_times_to_have_begun_began_once() {
    let begun = |minutes| of("atlantis/plan@a", "", "", event("PlanStarted", minutes));
    let report = report(&[
        begun(1),
        begun(2),
        begun(3),
        of("atlantis/plan@a", "", "success", event("PlanCompleted", 5)),
    ]);
    assert_eq!(stages(&report), [("plan", "success", Some(240.0))]);
}

#[test]
fn a_commit_is_linked_by_the_event_that_named_it_first() {
    let head = "a".repeat(40);
    let named = |kind: &str, minutes, sha: &str| ChangeEvent { commit: sha.into(), ..event(kind, minutes) };
    let merged = ChangeEvent { merge_commit: "b".into(), ..named("ChangeMerged", 8, &head) };
    let report = report(&[
        named("PlanStarted", 3, &head),
        named("ChangeOpened", 0, &head),
        named("CommitPushed", 9, "b"),
        merged,
    ]);
    let links: Vec<_> = report.links.iter().map(|link| (&*link.commit_sha, &*link.by)).collect();
    assert_eq!(links, [(&*head, "ChangeOpened"), ("b", "ChangeMerged")]);
}

#[test]
fn a_change_is_found_by_whatever_a_person_has() {
    let head = format!("abcdef0{}", "1".repeat(33));
    let mut timelines = Timelines::new(limits());
    timelines.take(&ChangeEvent { commit: head.as_str().into(), ..event("ChangeOpened", 0) });
    let other = |id: &str| ChangeEvent {
        event_id: id.into(),
        change_ids: vec![id.into()],
        ..event("ChangeOpened", 0)
    };
    timelines.take(&other("github.com/acme/live#17"));
    timelines.take(&other("github.com/acme/web#17"));
    let key = hex::encode(change_key(CHANGE));
    for wanted in [
        CHANGE,
        &key,
        &head,
        "abcdef0",
        "ABCDEF0",
        "https://github.com/Acme/live/pull/7",
        "https://github.com/acme/live/pull/7/files?w=1",
        &format!("https://github.com/acme/live/commit/{head}"),
        "live#7",
        "acme/live#7",
        "#7",
    ] {
        assert!(
            matches!(timelines.find(wanted), Found::One(report) if report.summary.change_id == CHANGE),
            "{wanted}"
        );
    }
    let several = vec!["github.com/acme/live#17".to_owned(), "github.com/acme/web#17".to_owned()];
    assert_eq!(timelines.find("#17"), Found::Several(several));
    for wanted in ["", "7", "ive#7", "abcdef", "b", "https://github.com/acme/live/pull/x"] {
        assert_eq!(timelines.find(wanted), Found::None, "{wanted}");
    }
}

#[test]
fn a_change_that_got_another_name_keeps_its_story_and_is_found_by_both() {
    let old = "github.com/acme/live@aaa";
    let at_old = |kind: &str, minutes| ChangeEvent { change_ids: vec![old.into()], ..event(kind, minutes) };
    let mut timelines = Timelines::new(limits());
    timelines.take(&at_old("CommitPushed", 1));
    assert!(timelines.rename(old, CHANGE));
    assert!(!timelines.rename(old, CHANGE));
    timelines.take(&event("ChangeOpened", 0));
    timelines.take(&at_old("PipelineStarted", 2));
    for name in [old, CHANGE] {
        let Found::One(report) = timelines.find(name) else { panic!("{name}") };
        assert_eq!(
            stages(&report).iter().map(|(stage, ..)| *stage).collect::<Vec<_>>(),
            ["opened", "pushed", "pipeline"]
        );
        assert_eq!(report.former_names, [old]);
    }
    assert_eq!(timelines.len(), 1);
}

#[test]
fn memory_is_bounded_and_the_change_that_was_silent_longest_goes_first() {
    let id = |change: u64| format!("github.com/acme/live#{change}");
    let mut timelines = Timelines::new(Limits { memory: 100_000, events_per_change: 200 });
    let heard = |change: u64, number: u64| ChangeEvent {
        event_id: format!("{change}-{number}").into(),
        change_ids: vec![id(change).into()],
        ..event("JobStarted", number)
    };
    for round in 0..200 {
        // The first is heard of again and again.
        timelines.take(&heard(0, round));
        timelines.take(&heard(round + 1, 0));
        assert!(timelines.bytes <= 100_000);
    }
    assert!(timelines.forgotten() > 0);
    assert!(matches!(timelines.find(&id(0)), Found::One(_)));
    assert_eq!(timelines.find(&id(1)), Found::None);
    assert!(matches!(timelines.find(&id(200)), Found::One(_)));
    let all: Vec<Box<str>> = timelines.changes.keys().cloned().collect();
    all.iter().for_each(|change| drop(timelines.remove(change)));
    assert_eq!((timelines.bytes, timelines.heard.len(), timelines.renamed.len()), (0, 0, 0));
}

#[test]
fn of_many_events_the_milestones_stay() {
    let mut timelines = Timelines::new(Limits { events_per_change: 10, ..limits() });
    timelines.take(&event("ChangeOpened", 0));
    for at in 1..50 {
        timelines.take(&of(&format!("job-{at}"), "", "", event("JobStarted", at)));
    }
    let Found::One(report) = timelines.find(CHANGE) else { panic!() };
    assert_eq!((report.stages.len(), report.left_out_events, &*report.stages[0].stage), (10, 40, "opened"));
}

#[test]
fn a_fact_is_read_from_its_record_and_from_its_journal() {
    let sha = "a".repeat(40);
    let bytes = build::logs(|request| {
        request.resource(&[("vcs.provider.name", Value::Str("github"))], |resource| {
            resource.scope("s", "1", |scope| {
                scope.log_record(|log| {
                    log.time_unix_nano(START).event_name("change.plan.completed");
                    log.attribute("event_id", "evt-1")
                        .attribute("change_id", CHANGE)
                        .attribute("commit_sha", &*sha);
                    let all = [Value::Str(CHANGE), Value::Str("github.com/acme/live#6")];
                    log.attribute("change_ids", Value::Array(&all)).attribute("stack_id", "vpc");
                    let payload = [
                        ("actor", Value::Str("ada")),
                        ("changes.create", Value::Int(2)),
                        ("changes.update", Value::Int(0)),
                        ("changes.delete", Value::Int(1)),
                        ("duration_ms", Value::Int(1500)),
                    ];
                    log.body(Value::Map(&payload));
                });
                scope.log_record(|log| {
                    log.event_name("change.plan.completed").attribute("event_id", "evt-2");
                });
            });
        });
    });
    let mut events = Vec::new();
    for (group, _, record) in Request::new(Signal::Logs, &bytes).records() {
        let Record::Log(log) = record else { panic!("a log record") };
        events.extend(ChangeEvent::read(log, &ResourceLookup::of(group, None)));
    }
    let [event] = events.as_slice() else { panic!("an event without a change is none: {events:?}") };
    assert_eq!(&*event.detail, "2 to create, 1 to delete");
    assert_eq!((&*event.actor, &*event.source, event.duration_ms), ("ada", "github", Some(1500)));
    assert_eq!(event.change_ids, ["github.com/acme/live#6".into(), CHANGE.into()]);
    let line = serde_json::to_vec(event).expect("plain data serialises");
    assert_eq!(serde_json::from_slice::<ChangeEvent>(&line).expect("it is read again"), *event);
}

proptest! {
    /// Whatever the order in which events come, and however often, the story is the same.
    #[test]
    fn a_story_does_not_depend_on_the_order_of_its_events(
        picks in proptest::collection::vec((0..event::TYPES.len(), 0_u64..30, 0_u8..3), 1..20),
        shuffle in any::<prop::sample::Index>(),
    ) {
        let events: Vec<ChangeEvent> = picks
            .iter()
            .map(|(kind, at, object)| {
                let made = event(event::TYPES[*kind].name, *at);
                let id = format!("{}-{object}", made.event_id);
                let result = if object % 2 == 0 { "success" } else { "failure" };
                ChangeEvent { event_id: id.into(), ..of(&format!("o-{object}"), "", result, made) }
            })
            .collect();
        let told = |events: &mut dyn Iterator<Item = &ChangeEvent>| {
            let mut timelines = Timelines::new(limits());
            events.for_each(|event| _ = timelines.take(event));
            timelines.find(CHANGE)
        };
        let forward = told(&mut events.iter());
        prop_assert_eq!(&forward, &told(&mut events.iter().rev()));
        let turn = shuffle.index(events.len());
        prop_assert_eq!(&forward, &told(&mut events[turn..].iter().chain(&events).chain(&events[..turn])));
    }
}
