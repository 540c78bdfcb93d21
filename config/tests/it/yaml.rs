//! YAML itself: what is read, what is refused, and where (ADR 0001).

use std::fmt::Write;

use crate::common::*;

/// The errors of one file as YAML, before it is held against the catalog.
fn refused(text: impl Into<Vec<u8>>) -> String {
    let world = MemorySources::default().file("a.yaml", text);
    world.load(&[]).expect_err("not a configuration").to_string()
}

#[test]
fn what_is_not_one_plain_document_is_refused_with_its_place() {
    for (text, wanted) in [
        (
            "a: 1\na: 2\nb: {c: 1, c: 2}\n",
            "a.yaml:2:1: key `a` is given twice; it first stands at a.yaml:1:1\na.yaml:3:11: key `c` is given twice; it first stands at a.yaml:3:5",
        ),
        ("a: 1\n---\nb: 2\n", "a.yaml:2:1: a second YAML document; one file holds one configuration"),
        ("[a]\n", "a.yaml:1:1: expected a map of sections, found a list"),
        ("hello\n", "a.yaml:1:1: expected a map of sections, found text (not shown)"),
        ("a: !mine x\n", "a.yaml:1:4: the YAML tag `!mine` is not supported"),
        ("a: !!int x\n", "a.yaml:1:4: the value is not of type `!!int`"),
        ("? [a]\n: 1\n", "a.yaml:1:3: a key must be text, not a list or a map"),
        ("a: &a [*a]\n", "a.yaml:1:8: this alias stands inside the value it names"),
        ("<<: 1\n", "a.yaml:1:1: `<<` takes a map or a list of maps"),
    ] {
        assert_eq!(refused(text), wanted, "{text}");
    }
}

#[test]
fn text_that_is_not_yaml_is_refused_with_its_place() {
    for (text, place) in [("a: [1\n", "a.yaml:"), ("a:\n\tb: 1\n", "a.yaml:2:"), ("a: *b\n", "a.yaml:1:4: ")]
    {
        let message = refused(text);
        assert!(message.starts_with(place) && message.contains("not YAML: "), "{text:?}: {message}");
    }
    assert_eq!(refused(b"a: 1\nb: \xc3\xa9\xff\n".to_vec()), "a.yaml:2:5: not valid UTF-8");
}

#[test]
fn size_and_depth_are_bounded() {
    let deep = format!("a: {}{}\n", "[".repeat(65), "]".repeat(65));
    assert_eq!(refused(deep), "a.yaml:1:67: nested more than 64 levels deep");
    assert_eq!(refused("[".repeat(1_000_000)), "a.yaml:1:256: not YAML: recursion limit exceeded");
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = format!("*a{}", level - 1);
        writeln!(laughs, "a{level}: &a{level} [{}]", [below.as_str(); 9].join(", ")).expect("to a String");
    }
    assert!(refused(laughs).ends_with("aliases expand to too large a configuration"));
    assert!(refused(format!("a: {}\n", "x".repeat(5 << 20))).contains("larger than"));
    let path =
        (0..64).map(|depth| format!("{}a::b::c::d::e::f::g::h:\n", " ".repeat(depth))).collect::<String>();
    assert!(refused(path).ends_with("nested more than 128 levels deep"));
    let wide = (0..10_001).fold(String::new(), |text, key| text + &format!("k{key}: 1\n"));
    assert_eq!(refused(wide), "a.yaml:1:1: a map of more than 10000 keys");
}

#[test]
fn byte_order_marks_and_carriage_returns_do_not_move_places() {
    let text = with_exporter("endpont: x");
    let wanted = "a.yaml:5:5: exporters::otlp_grpc::endpont: unknown option; did you mean `endpoint`?";
    assert_eq!(errors(&format!("\u{feff}{text}")), wanted);
    assert_eq!(errors(&text.replace('\n', "\r\n")), wanted);
}

#[test]
fn aliases_and_merge_keys_work_and_own_keys_win() {
    let text = "x: &x {endpoint: a, timeout: 1s}\n";
    let text = format!("{}{text}", with_exporter("<<: {endpoint: a, timeout: 1s}\ntimeout: 2s"));
    // `x` is no section, so only the merge itself is looked at.
    let exporter_text = text.replace("x: &x {endpoint: a, timeout: 1s}\n", "");
    let exporter = exporter(&yaml(&exporter_text));
    assert_eq!((exporter.endpoint.as_str(), exporter.timeout.to_string().as_str()), ("a", "2s"));
    let shared = "receivers: {otlp: }\nexporters:\n  otlp_grpc: &base {timeout: soon}\n  otlp_grpc/b: {<<: *base}\n\
                  service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp_grpc, otlp_grpc/b]}}}\n";
    let message = errors(shared);
    assert!(message.lines().all(|line| line.starts_with("a.yaml:3:30: exporters::otlp_grpc")), "{message}");
    assert_eq!(message.lines().count(), 2);
}
