//! The pieces alone, in this process: what admission, an edit and the processors cost a span.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use throughline_component::port::{SystemClock, SystemRandom};
use throughline_component::{Build, Built, Chunk, ComponentId, Context, DynEditor, Services, Settle};
use throughline_otlp::edit::{Keep, Levels, rewrite};
use throughline_otlp::{Limits, Signal, admit};

use crate::corpus;

const REQUESTS: usize = 16;
const SPANS: usize = 512;
const ROUNDS: usize = 40;
/// What nobody wants in a backend.
const TOKEN: &str = "https://x-access-token:ghp_16C7e42F292c6912E7710c838347Ae178B4a@github.com/acme/infra";

/// Nanoseconds a span.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// One prost decode: the price of the usual way.
    pub prost: f64,
    /// Admission.
    pub admission: f64,
    /// One attribute inserted at the end of every span's list.
    pub insertion: f64,
    /// `change` alone, every span linked to one of 10,000 open changes.
    pub change: f64,
    /// `secrets` alone, on clean spans.
    pub secrets: f64,
    /// `secrets` alone, a token in every hundredth span.
    pub masking: f64,
    /// Both, one after the other.
    pub both: f64,
}

/// Measures all.
///
/// # Panics
/// If the corpus is not what it should be.
#[must_use]
pub fn measure() -> Costs {
    let corpus = corpus::requests(REQUESTS, SPANS, 10_000);
    let change = editor("change");
    let secrets = editor("secrets");
    for request in corpus::openings(10_000, 500) {
        black_box(edit(&[&change], Signal::Logs, &request));
    }
    let leaky: Vec<Bytes> = corpus.iter().map(leak).collect();
    let limits = Limits::default();
    Costs {
        prost: each(&corpus, |request| {
            black_box(ExportTraceServiceRequest::decode(request.clone()).expect("it is legal"));
        }),
        admission: each(&corpus, |request| {
            black_box(admit(Signal::Traces, request.clone(), &limits).expect("it is legal"));
        }),
        insertion: each(&corpus, |request| {
            black_box(rewrite(Signal::Traces, request, Levels::SPAN, &mut |span| {
                span.insert_attribute("change_id", "github.com/example/shop#1234");
                Keep::Yes
            }));
        }),
        change: each(&corpus, |request| assert!(edit(&[&change], Signal::Traces, request))),
        secrets: each(&corpus, |request| assert!(!edit(&[&secrets], Signal::Traces, request))),
        masking: each(&leaky, |request| assert!(edit(&[&secrets], Signal::Traces, request))),
        both: each(&corpus, |request| assert!(edit(&[&change, &secrets], Signal::Traces, request))),
    }
}

/// The request with a token in every hundredth span.
fn leak(request: &Bytes) -> Bytes {
    let mut span = 0;
    let leaky = rewrite(Signal::Traces, request, Levels::SPAN, &mut |record| {
        span += 1;
        if span % 100 == 0 {
            record.insert_attribute("git.remote", TOKEN);
        }
        Keep::Yes
    });
    leaky.bytes
}

/// The sum of each request's best round, in nanoseconds a span: noise only ever adds. Caches are as a busy agent leaves
/// them: the request has just arrived, and other requests have driven out all else.
fn each(corpus: &[Bytes], mut work: impl FnMut(&Bytes)) -> f64 {
    let mut best = vec![f64::MAX; corpus.len()];
    let mut others = vec![0_u8; 8 << 20];
    for _ in 0..ROUNDS {
        for (request, best) in corpus.iter().zip(&mut best) {
            black_box(&mut others).fill(1);
            let request = &Bytes::copy_from_slice(request);
            #[expect(clippy::disallowed_methods, reason = "a measuring program")]
            let start = Instant::now();
            work(request);
            *best = best.min(start.elapsed().as_nanos() as f64);
        }
    }
    best.iter().sum::<f64>() / (corpus.len() * SPANS) as f64
}

fn editor(name: &str) -> Arc<dyn DynEditor> {
    let cx = Build {
        id: ComponentId::new(name),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(SystemRandom::default()),
        services: Services::default(),
    };
    let factory = throughline_processors::ALL.iter().find(|factory| factory.name == name);
    let built = factory.expect("it is in the table").build(serde_json::Value::Null, &cx);
    match built.expect("it needs no settings") {
        Built::Editor(editor) => editor,
        _ => unreachable!("it is an editor"),
    }
}

/// Walks as the graph does them: one for each editor, since `secrets` wants one of its own. Whether anything was changed.
fn edit(editors: &[&Arc<dyn DynEditor>], signal: Signal, request: &Bytes) -> bool {
    let context = Arc::new(Context::internal(ComponentId::new("bench"), 0));
    let mut chunk =
        Chunk { bytes: request.clone(), items: 0, position: None, context, settle: Settle::nobody() };
    let mut changed = false;
    for editor in editors {
        let Some(mut pass) = editor.begin(signal, &chunk) else { continue };
        let visits = editor.access().visits;
        let rewritten = rewrite(signal, &chunk.bytes, visits, &mut |record| {
            let _verdict = pass.edit(record);
            Keep::Yes
        });
        changed |= rewritten.changed;
        drop(pass.finish());
        chunk.bytes = rewritten.bytes;
    }
    black_box(chunk.bytes);
    changed
}
