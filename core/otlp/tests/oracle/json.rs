//! OTLP/JSON there and back.

use bytes::Bytes;
use proptest::prelude::*;
use throughline_otlp::{Limits, Signal, admit, json};

use crate::generate::{self, Dice, LEGAL};
use crate::reference::{self, Decoded};
use crate::{entropy, signals};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_written_as_json_and_read_back_means_the_same(signal in signals(), entropy in entropy()) {
        let input = Bytes::from(generate::request(&mut Dice(&entropy), signal, LEGAL));
        let canonical = admit(signal, input, &Limits::default()).expect("it is legal").bytes;
        reference::check_json(signal, &canonical);
    }

    #[test]
    fn any_text_is_read_or_refused(signal in signals(), text in prop::collection::vec(any::<u8>(), 0..300)) {
        reference::check_any_json(signal, &text);
    }
}

/// The trace of the example in the OTLP specification's JSON section, shortened.
#[test]
fn the_specifications_example_is_read() {
    let text = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":
        "my.service"}}]},"scopeSpans":[{"scope":{"name":"my.library","version":"1.0.0"},"spans":[{"traceId":
        "5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","parentSpanId":"EEE19B7EC3C1B173","name":
        "I'm a server span","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000",
        "kind":2,"attributes":[{"key":"my.span.attr","value":{"stringValue":"some value"}}]}]}]}]}"#;
    let read = json::decode(Signal::Traces, text.as_bytes()).expect("the specification's own");
    let Decoded::Traces(request) = Decoded::decode(Signal::Traces, &read).expect("legal") else {
        panic!("traces")
    };
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.name, "I'm a server span");
    assert_eq!((span.kind, span.start_time_unix_nano), (2, 1_544_712_660_000_000_000));
    assert_eq!((span.trace_id.len(), span.span_id[0]), (16, 0xee));
}
