use throughline_change::timeline::Found;
use throughline_component::Replay;
use throughline_otlp::{Value, build};

use super::*;

const CHANGE: &str = "github.com/acme/live#7";

fn request() -> bytes::Bytes {
    build::logs(|request| {
        request.resource(&[("service.name", Value::Str("live"))], |resource| {
            resource.scope("s", "1", |scope| {
                scope.log_record(|log| {
                    log.event_name("change.commit.pushed").time_unix_nano(5);
                    log.attribute("event_id", "evt-1").attribute("change_id", "github.com/acme/live@abc");
                    log.attribute("commit_sha", "abc");
                });
                scope.log_record(|log| {
                    log.event_name("change.identity.superseded")
                        .attribute("old", "github.com/acme/live@abc")
                        .attribute("new", CHANGE);
                });
                scope.log_record(|log| {
                    log.body("a log line like any other").attribute("change_id", CHANGE);
                });
            });
        });
    })
}

fn known() -> JournaledTimelines {
    JournaledTimelines(Timelines::new(Limits { memory: 1 << 20, events_per_change: 10 }))
}

#[test]
fn events_and_new_names_are_taken_and_come_back_from_the_journal_and_from_a_snapshot() {
    let entries = entries(Signal::Logs, &request());
    assert_eq!(entries.len(), 2);
    let (mut first, mut journal) = (known(), Vec::new());
    for entry in &entries {
        assert!(first.take(entry));
        entry.write(&mut journal);
    }
    let told = |known: &JournaledTimelines| known.0.find(CHANGE);
    assert!(
        matches!(told(&first), Found::One(report) if report.former_names == ["github.com/acme/live@abc"])
    );
    for written in [journal, first.snapshot()] {
        let mut again = known();
        assert_eq!(again.replay(&written), Ok(()));
        assert_eq!(told(&again), told(&first));
        // A snapshot may hold what was journaled behind it too.
        assert_eq!(again.replay(&written), Ok(()));
        assert_eq!(told(&again), told(&first));
    }
    assert!(known().replay(b"{}").is_err());
}
