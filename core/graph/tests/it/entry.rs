//! What a sender is told of its request, and what stands in the receiver's account.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use throughline_component::port::Charge;
use throughline_component::{
    Batch, Build, ComponentId, ConfigError, Context, Exporter, Factory, Outcome, RejectKind,
};
use throughline_graph::Row;
use throughline_otlp::Signal;

use crate::harness::{Harness, NoSettings, Running, one_attempt, script};
use crate::heard::Heard;

/// What the backend answers.
struct Script(Mutex<Outcome>);

struct Backend(Arc<Script>);

impl Exporter for Backend {
    type Config = NoSettings;
    fn build(_: NoSettings, cx: &Build) -> Result<Self, ConfigError> {
        Ok(Self(script(cx)))
    }
    async fn export(&self, _: &Batch) -> Outcome {
        self.0.0.lock().expect("no panic").clone()
    }
}

async fn start(answer: Outcome) -> Running {
    let factory = Factory::exporter::<Backend>("backend");
    let world = Harness::new(&Arc::new(Script(Mutex::new(answer))));
    world.exporter("backend", factory, one_attempt(10), (None, &[])).start().await
}

/// A request of sound records and of records with damaged text.
fn request(sound: usize, damaged: usize) -> Bytes {
    const SOUND: &[u8] = &[0x12, 9, 0x09, 1, 0, 0, 0, 0, 0, 0, 0];
    const DAMAGED: &[u8] = &[0x12, 5, 0x2a, 3, 0x0a, 1, 0xff];
    let records = [SOUND.repeat(sound), DAMAGED.repeat(damaged)].concat();
    let within = |tag: u8, inner: Vec<u8>| [&[tag, inner.len() as u8][..], &inner].concat();
    within(0x0a, within(0x12, records)).into()
}

async fn send(running: &Running, request: Bytes) -> Outcome {
    let context = Arc::new(Context::internal(ComponentId::new("door"), 1));
    running.output().send(Signal::Logs, request, context, Charge::none()).await
}

fn account(running: &Running) -> Row {
    running.ledger.rows().into_iter().find(|row| row.name == "door").expect("the receiver has one")
}

#[tokio::test]
async fn what_admission_cuts_out_is_told_and_counted_beside_what_the_backend_says() {
    let done = |rejected, why: &str| Outcome::Done { rejected, why: Some(why.into()) };
    let retry = Outcome::retry("not now");
    let reject = Outcome::reject(RejectKind::Invalid, "bad");
    for answer in [Outcome::DONE, done(1, "one is bad"), retry, reject] {
        let running = start(answer.clone()).await;
        let told = send(&running, request(2, 3)).await;
        let row = account(&running);
        assert_eq!((row.taken, row.rejected.get("invalid_utf8")), (5, Some(&3)), "{answer:?}");
        let of = (row.out, row.returned, row.rejected.get("invalid").copied());
        match (&answer, told) {
            (Outcome::Done { rejected, why }, Outcome::Done { rejected: all, why: words }) => {
                assert_eq!((all, of), (rejected + 3, (2, 0, None)));
                let words = words.expect("some were cut out");
                assert!(words.contains("UTF-8"), "{words}");
                assert!(why.as_ref().is_none_or(|why| words.ends_with(&format!("; {why}"))), "{words}");
            }
            (Outcome::Retry { .. }, Outcome::Retry { .. }) => assert_eq!(of, (0, 2, None)),
            (Outcome::Reject { .. }, Outcome::Reject { .. }) => assert_eq!(of, (0, 0, Some(2))),
            (answer, told) => panic!("{answer:?} became {told:?}"),
        }
        running.end().await;
    }
}

#[tokio::test]
async fn what_has_no_sound_record_goes_nowhere_and_what_does_not_parse_is_refused() {
    let running = start(Outcome::retry("it is asked for nothing")).await;
    assert!(matches!(send(&running, request(0, 2)).await, Outcome::Done { rejected: 2, .. }));
    assert_eq!(send(&running, request(0, 0)).await, Outcome::DONE);
    assert_eq!(account(&running).malformed, 0);
    assert!(matches!(
        send(&running, Bytes::from_static(&[0x0a, 9])).await,
        Outcome::Reject { kind: RejectKind::Invalid, .. }
    ));
    let row = account(&running);
    assert_eq!((row.taken, row.out, row.malformed), (2, 0, 1));
    running.end().await;
}

#[tokio::test]
async fn records_that_are_cut_out_are_said_with_their_number_and_sound_requests_say_nothing() {
    let heard = Heard::default();
    let running = start(Outcome::DONE).await;
    let _guard = tracing::subscriber::set_default(heard.clone());
    tracing::callsite::rebuild_interest_cache();
    assert_eq!(send(&running, request(2, 0)).await, Outcome::DONE);
    assert_eq!(heard.lines("cut out"), Vec::<String>::new());
    send(&running, request(2, 3)).await;
    let lines = heard.lines("cut out");
    assert!(lines.len() == 1 && lines[0].contains("items=3") && lines[0].contains("door"), "{lines:?}");
    running.end().await;
}
