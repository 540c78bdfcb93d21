//! What the pieces cost, in nanoseconds a span and as ratios of one run:
//! `cargo build --release -p throughline-otlp --example wire_cost && taskset -c 0 target/release/examples/wire_cost`
//!
//! The corpus: 32 requests of 512 spans of about 500 bytes with ten attributes: seven short ASCII strings, one string beyond
//! ASCII, one integer, one nested map; ids of high entropy.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measuring program for people")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use throughline_otlp::edit::{Keep, Levels, rewrite};
use throughline_otlp::{Limits, Signal, Value, admit, build};

/// The agent's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REQUESTS: usize = 32;
const SPANS: usize = 512;
const ROUNDS: usize = 60;

fn main() {
    let mut random = 0x9e37_79b9_7f4a_7c15;
    let corpus: Vec<Bytes> = (0..REQUESTS).map(|_| request(&mut random)).collect();
    let bytes: usize = corpus.iter().map(Bytes::len).sum();
    println!("{} bytes a span", bytes / (REQUESTS * SPANS));

    let limits = Limits::default();
    let mut buffer = Vec::with_capacity(1 << 20);
    let copy = measure(&corpus, |request| {
        buffer.clear();
        buffer.extend_from_slice(request);
        black_box(&buffer);
    });
    let decode = measure(&corpus, |request| {
        black_box(ExportTraceServiceRequest::decode(request.clone()).expect("it is legal"));
    });
    let admission = measure(&corpus, |request| {
        black_box(admit(Signal::Traces, request.clone(), &limits).expect("it is legal"));
    });
    let insertion = measure(&corpus, |request| {
        let rewritten = rewrite(Signal::Traces, request, Levels::SPAN, &mut |span| {
            span.insert_attribute("change_id", "github.com/example/shop#1234");
            Keep::Yes
        });
        assert!(black_box(rewritten).changed);
    });
    let visit = measure(&corpus, |request| {
        let rewritten = rewrite(Signal::Traces, request, Levels::SPAN, &mut |span| {
            black_box(span.bytes());
            Keep::Yes
        });
        assert!(!black_box(rewritten).changed);
    });
    let rows = [
        ("copy into a warm buffer", copy),
        ("walk over the spans", visit),
        ("insert one attribute", insertion),
        ("admission", admission),
        ("prost decode", decode),
    ];
    for (name, nanoseconds) in rows {
        println!("{name:24} {nanoseconds:7.1} ns a span   {:5.3} × prost decode", nanoseconds / decode);
    }
}

/// The median over some rounds, in nanoseconds a span.
fn measure(corpus: &[Bytes], mut work: impl FnMut(&Bytes)) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            corpus.iter().for_each(&mut work);
            start.elapsed().as_nanos() as f64 / (REQUESTS * SPANS) as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn request(random: &mut u64) -> Bytes {
    let resource = [("service.name", Value::Str("checkout")), ("k8s.pod.name", Value::Str("checkout-7f9c"))];
    build::traces(|request| {
        request.resource(&resource, |resource| {
            resource.scope("io.example.instrumentation", "1.2.3", |scope| {
                (0..SPANS).for_each(|index| scope.span(|span| write_span(span, index as u64, random)));
            });
        });
    })
}

fn write_span(span: &mut build::Span<'_>, index: u64, random: &mut u64) {
    let mut id = || {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        random.to_le_bytes()
    };
    let trace = [id(), id()].concat();
    let nested = [("region", Value::Str("eu-central-1")), ("zone", Value::Int(3))];
    span.trace_id(&trace).span_id(&id()).parent_span_id(&id());
    span.name("POST /api/checkout/{cart}/items").kind(2);
    span.time(1_790_000_000_000_000_000 + index, 1_790_000_000_100_000_000 + index);
    span.attribute("http.request.method", "POST")
        .attribute("url.path", "/api/checkout/81723/items")
        .attribute("server.address", "checkout.shop.svc.cluster.local")
        .attribute("user_agent.original", "shop-frontend/4.18.2 (linux; amd64)")
        .attribute("network.protocol.version", "1.1")
        .attribute("deployment.environment.name", "production")
        .attribute("vcs.ref.head.name", "release/2026-11")
        .attribute("customer.city", "Düsseldorf, Königsallee")
        .attribute("http.response.status_code", 200i64)
        .attribute("cloud", Value::Map(&nested));
    span.status(1, "");
}
