//! What looking for secrets costs, in nanoseconds a span and as ratios of one run:
//! `cargo build --release -p throughline-redaction --example scan_cost && taskset -c 0 target/release/examples/scan_cost`
//!
//! The corpus is that of `core/otlp/examples/wire_cost.rs`; in the second one every hundredth span holds a token.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measuring program for people")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use throughline_otlp::edit::{Keep, Levels, Rewrite, rewrite};
use throughline_otlp::{Limits, Signal, Value, admit, build};
use throughline_redaction::{Counts, Scanner, Settings, TagKey};

const REQUESTS: usize = 32;
const SPANS: usize = 512;
const ROUNDS: usize = 60;

fn main() {
    let mut random = 0x9e37_79b9_7f4a_7c15;
    let clean: Vec<Bytes> = (0..REQUESTS).map(|_| request(&mut random, usize::MAX)).collect();
    let secret: Vec<Bytes> = (0..REQUESTS).map(|_| request(&mut random, 100)).collect();
    let bytes: usize = clean.iter().map(Bytes::len).sum();
    let scanner = Scanner::new(&Settings::default(), TagKey::new(&[7; 32]));
    println!("{} bytes a span, {} plausible anchors in the clean corpus", bytes / (REQUESTS * SPANS), {
        clean.iter().map(|request| scanner.hits(request).len()).sum::<usize>()
    });

    let limits = Limits::default();
    let mut buffer = Vec::with_capacity(1 << 20);
    let copy = measure(&clean, |request| {
        buffer.clear();
        buffer.extend_from_slice(request);
        black_box(&buffer);
    });
    let admission = measure(&clean, |request| {
        black_box(admit(Signal::Traces, request.clone(), &limits).expect("it is legal"));
    });
    let walk = measure(&clean, |request| {
        black_box(rewrite(Signal::Traces, request, Levels::ALL, &mut |record| {
            black_box(record.source_range());
            Keep::Yes
        }));
    });
    let scan = measure(&clean, |request| {
        black_box(scanner.hits(request));
    });
    let masked = measure(&secret, |request| {
        assert!(black_box(mask(&scanner, request)));
    });
    let rows = [
        ("copy into a warm buffer", copy),
        ("admission", admission),
        ("walk that edits nothing", walk),
        ("scan, clean", scan),
        ("scan and mask, 1 % secret", masked),
    ];
    for (name, nanoseconds) in rows {
        println!("{name:26} {nanoseconds:7.1} ns a span   {:5.2} × admission", nanoseconds / admission);
    }
}

/// What the processor does.
fn mask(scanner: &Scanner, request: &Bytes) -> bool {
    let hits = scanner.hits(request);
    let mut next = hits.iter().copied().peekable();
    let mut counts = Counts::default();
    let rewritten = rewrite(Signal::Traces, request, Levels::ALL, &mut |record| {
        let range = record.source_range();
        while next.next_if(|at| *at < range.start).is_some() {}
        if next.peek().is_some_and(|at| range.contains(at)) {
            record.rewrite_strings(&mut |leaf| match scanner.mask(leaf.bytes, &mut counts) {
                Some(masked) if !leaf.is_id() => Rewrite::Replace(masked),
                _ => Rewrite::Keep,
            });
        }
        Keep::Yes
    });
    rewritten.changed
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

fn request(random: &mut u64, secret_every: usize) -> Bytes {
    let resource = [("service.name", Value::Str("checkout")), ("k8s.pod.name", Value::Str("checkout-7f9c"))];
    build::traces(|request| {
        request.resource(&resource, |resource| {
            resource.scope("io.example.instrumentation", "1.2.3", |scope| {
                (0..SPANS).for_each(|index| {
                    let secret = index % secret_every == secret_every - 1;
                    scope.span(|span| write_span(span, index as u64, secret, random));
                });
            });
        });
    })
}

fn write_span(span: &mut build::Span<'_>, index: u64, secret: bool, random: &mut u64) {
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
    if secret {
        span.attribute("note", concat!("pushed with ghp", "_0123456789abcdefghijABCDEFGHIJ012345 by bot"));
    }
    span.status(1, "");
}
