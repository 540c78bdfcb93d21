//! GitHub deliveries in volume, all at once: genuine ones, replays of them, and forgeries.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use throughline_tests::github::{Delivery, SECRET, change, sign};
use throughline_tests::{Agent, records};

use crate::github::CONFIG;

const GENUINE: usize = 100;
const THREADS: usize = 16;

/// The first workflow job of the story, as another run's: one event, and the spans of a job.
fn job(number: usize) -> Delivery {
    let story = change();
    let mut delivery =
        story.into_iter().find(|told| told.event == "workflow_job").expect("the story has one");
    delivery.id = format!("delivery-{number}");
    delivery.body["workflow_job"]["id"] = json!(100_000 + number);
    delivery.body["workflow_job"]["run_id"] = json!(200_000 + number);
    delivery
}

/// Has every piece of work done by one of a few threads, in no particular order; the answers by piece.
fn all_at_once<T: Send + 'static>(
    pieces: usize,
    work: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<(usize, T)> {
    let (next, work) = (Arc::new(AtomicUsize::new(0)), Arc::new(work));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (next, work) = (Arc::clone(&next), Arc::clone(&work));
            std::thread::spawn(move || {
                let mut done = Vec::new();
                loop {
                    let piece = next.fetch_add(1, Ordering::Relaxed);
                    if piece >= pieces {
                        return done;
                    }
                    done.push((piece, work(piece)));
                }
            })
        })
        .collect();
    threads.into_iter().flat_map(|thread| thread.join().expect("no thread panics")).collect()
}

fn forged(delivery: &Delivery, way: usize) -> String {
    let body = delivery.body.to_string();
    match way % 4 {
        0 => sign("guessed", body.as_bytes()),
        1 => sign(SECRET, format!("{body} ").as_bytes()),
        2 => format!("sha256={}", "0".repeat(64)),
        _ => String::new(),
    }
}

#[test]
fn among_hundreds_of_forgeries_and_replays_every_genuine_delivery_is_recorded_once() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let address = agent.address("github", "/events");
    let to = address.clone();
    // A third forged under a fresh id, a third forged under the id of a genuine one, a third genuine.
    let answers = all_at_once(3 * GENUINE, move |piece| {
        let number = piece / 3;
        match piece % 3 {
            0 => {
                let mut delivery = job(number);
                delivery.id = format!("forged-{number}");
                delivery.body["workflow_job"]["id"] = json!(900_000 + number);
                delivery.send_signed(&to, &forged(&delivery, number))
            }
            1 => job(number).send_signed(&to, &forged(&job(number), number)),
            _ => job(number).send(&to),
        }
    });
    for (piece, reply) in answers {
        let expected = if piece % 3 == 2 { (200, "recorded") } else { (401, "X-Hub-Signature-256") };
        assert_eq!(reply.status, expected.0, "{piece}: {}", reply.text());
        assert!(reply.text().contains(expected.1), "{piece}: {}", reply.text());
    }
    // Now every genuine one twice more, among them one forgery each.
    let to = address.clone();
    let answers = all_at_once(3 * GENUINE, move |piece| {
        let delivery = job(piece / 3);
        if piece % 3 == 0 { delivery.send_signed(&to, &forged(&delivery, piece)) } else { delivery.send(&to) }
    });
    for (piece, reply) in answers {
        let expected = if piece % 3 == 0 { 401 } else { 200 };
        assert_eq!(reply.status, expected, "{piece}: {}", reply.text());
    }
    let counted = |result: &str| {
        agent.counter("throughline_github_deliveries", &format!("component=\"github\",result=\"{result}\""))
    };
    let genuine = GENUINE as f64;
    assert_eq!(["unsigned", "settled", "repeated"].map(counted), [3.0 * genuine, genuine, 2.0 * genuine]);
    assert_recorded_once(agent, &folder);
}

#[test]
fn one_delivery_that_arrives_many_times_at_once_is_recorded_once() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let agent = Agent::start(folder.path(), CONFIG);
    let to = agent.address("github", "/events");
    // Four of each, side by side: one records it, the others are answered once it has.
    let answers = all_at_once(4 * GENUINE, move |piece| job(piece / 4).send(&to).status);
    assert!(answers.iter().all(|(_, status)| *status == 200), "{answers:?}");
    assert_recorded_once(agent, &folder);
}

/// Each genuine delivery's event is there once, its spans once, and nothing else.
fn assert_recorded_once(agent: Agent, folder: &tempfile::TempDir) {
    agent.assert_sound();
    assert_eq!(agent.stop().code, Some(0));
    let events = records::read(&folder.path().join("events.jsonl"));
    let ids: BTreeSet<_> = events.iter().map(|event| event.attribute("event_id")).collect();
    assert_eq!((events.len(), ids.len()), (GENUINE, GENUINE), "each event once");
    let spans = records::read(&folder.path().join("traces.jsonl"));
    let ids: BTreeSet<_> = spans.iter().map(|span| (span.text("traceId"), span.text("spanId"))).collect();
    assert_eq!(spans.len(), ids.len(), "each span once");
    let traces: BTreeSet<_> = spans.iter().map(|span| span.text("traceId")).collect();
    assert_eq!(traces.len(), GENUINE, "a trace for each run");
}
