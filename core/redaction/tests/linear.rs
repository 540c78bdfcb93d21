//! All work is linear in its input: families of hostile texts at n, 2n, 4n and 8n bytes, of which the steps are counted.

use std::sync::LazyLock;

use proptest::prelude::*;
use throughline_otlp::steps;
use throughline_redaction::{Counts, Rule, Scanner, Settings, TagKey};

/// With all rules, and with some turned off: what is found and not masked must not be looked for again and again.
fn scanners() -> &'static [Scanner] {
    static SCANNERS: LazyLock<Vec<Scanner>> = LazyLock::new(|| {
        let without = |disable: &[Rule]| {
            let settings = Settings { disable: disable.to_vec(), ..Settings::default() };
            Scanner::new(&settings, TagKey::new(&[7; 32]))
        };
        vec![without(&[]), without(&[Rule::Jwt, Rule::Pair, Rule::Userinfo])]
    });
    &SCANNERS
}

/// The steps of all that is done with a text.
fn steps_of(scanner: &Scanner, text: &[u8]) -> u64 {
    steps::of(|| {
        let mut counts = Counts::default();
        drop(scanner.hits(text));
        drop(scanner.mask(text, &mut counts));
        drop(scanner.overwrite(text, &mut counts));
    })
}

fn assert_linear(parts: &[&str; 3], smallest: usize) {
    scanners().iter().for_each(|scanner| assert_linear_with(scanner, parts, smallest));
}

fn assert_linear_with(scanner: &Scanner, parts: &[&str; 3], smallest: usize) {
    let [before, again, behind] = parts;
    steps::assert_linear(&format!("{before:?}, {again:?} again and again, {behind:?}"), smallest, |size| {
        let text = [before, &*again.repeat(size / again.len().max(1)), behind].concat();
        steps_of(scanner, text.as_bytes())
    });
}

#[test]
fn what_once_took_minutes_is_linear() {
    for parts in [
        ["://", "a@", ""],
        ["://", "a@", "host"],
        ["://u:", "a@b", "/"],
        ["://u:${", "}@a", "}@a"],
        ["", "u:a@tcp(", ""],
        ["", "://u:a@", "h"],
        ["a:/", "/\\", "a@b"],
        ["", "-----BEGIN PRIVATE KEY ", ""],
        ["", "-----BEGIN PRIVATE KEY-----\n", ""],
        ["", "-----BEGIN PRIVATE KEY-----END ", ""],
        ["", "eyJhbGciOiJIUzI1NiJ9", ""],
        ["", "eyJhbGciOiJIUzI1NiJ9", "."],
        ["", "eyJhbGciOiJIUzI1NiJ9.", ""],
        ["", "eyJhbGciOiJIUzI1NiJ9.", "eyJzdWIiOiIxIn0.abc"],
        ["", "eyJh", ".abcdefgh"],
        ["", "eyJr", ""],
        ["", ".eyJh", ".abcdefgh"],
        ["ewogICJ", "A.eyJ", ""],
        ["password=", "\\", ""],
        ["password=", "\\", "x"],
        ["password=\"", "\\", "\""],
        ["", "token: a,", ""],
        ["", "token:", ""],
        ["", "token:${", "}"],
        ["", "password={{", "}}"],
        ["", "password=[", "]"],
        ["", "password=ENC[", "]"],
        ["password", "_value", "=x"],
        ["", "password_value ", "=x"],
        ["%", "25", "26token=x"],
        ["", "PWD=/a", ""],
        ["", "PWD=/a;", ""],
        ["", "PWD=${A}", ""],
        ["Server=", ";PWD=", "/x"],
        ["Server=", " ", ";PWD=/x"],
        ["", "PWD        ", "=/x"],
        ["password=\x1b[", "1;", "mx"],
        ["", "password=\x1b[1;", "mx"],
        ["", "routing_key=\\\\\\\\\\\\\\\\\\\"", ""],
        ["AKIA", "A", ""],
        ["", "AKIA", ""],
        ["", "password=<", ">"],
        ["", "token:<x>", ""],
        ["", "token:<x>,", "<"],
        ["", "token:<token:<x>>", ""],
        ["", "token:${A}", ""],
        ["", "token:${A}${", "}"],
        ["token:", "${A}", "x"],
        ["", "token:{{x}},", ""],
        ["", "token: {{x \"", "}}"],
        ["", "token:[REDACTED:pair:0123456789abcdef]", ""],
        ["", "token: [REDACTED:pair:0123456789abcdef].", ""],
        ["password=x", "[REDACTED:pair:0123456789abcdef]", "x"],
        ["", "token={}x", ""],
        ["", "Cookie: Bearer ${A}", ""],
        ["", "Cookie: Bearer ${A:-", "}"],
        ["", "://u:<x>", "@h"],
        ["://u:", "[REDACTED:pair:0123456789abcdef]@", "h"],
        ["", "-----BEGIN ", "PRIVATE KEY"],
        ["-----BEGIN ", "A", "PRIVATE KEY"],
        ["", "-----BEGIN A\n", ""],
        ["", "\"token\":{", ""],
        ["", "token={", ""],
        ["", "password={", ""],
        ["", "password={\"", ""],
        ["", "password:&[", "]"],
        ["password", "\x1b[0m", "=x"],
        ["", "password\\x1b[0m", "=x"],
        ["password=", " \\e[0m", "x"],
        ["", "password\\u003d{", ""],
        ["", "\"token\":[", ""],
        ["", "\"password\":{", ""],
        ["", "\"password\":{\"a\":", ""],
        ["", "password=\"[REDACTED:pair:0123456789abcdef]", ""],
        ["", "Authorization: (", ""],
        ["", "Authorization: Bearer (", " "],
        ["Authorization: Bearer (", "Cookie: Bearer (", "              "],
        ["", "Cookie: \\", ""],
        ["", "password", "=x"],
        ["", "password_", "=x"],
        ["password", " ", "x"],
        ["password=", " ", "x"],
        ["", "routing_key='\"`", ""],
        ["", "signature=", ""],
        ["", "--password ", ""],
        ["", "glpat-", "EXAMPLE"],
        ["", "glpat-x", "EXAMPLE"],
        ["glpat-", "x", ""],
        ["", "PWD=", ""],
        ["", ";PWD=/", ""],
        ["", "sig=", ""],
        ["hooks.slack.com/", "\\/", ""],
        ["bearer ", "\\/", "1"],
        ["", "bearer ", ""],
        ["", "basic a", ""],
        ["", "%25", "token=x"],
        ["[", "\"token=x\",", "1]"],
        ["{\"a\":\"", "\\\\", "password=x\"}"],
        ["{\"a\":\"", "\\\\ token=x1", "\"}"],
        ["", "{\"a\":", "1"],
        ["\"", "\\u0041", "password=x\""],
    ] {
        assert_linear(&parts, 2_000);
    }
}

/// What rules look for, and what ends it.
const ATOMS: &[&str] = &[
    "://",
    ":\\/\\/",
    "@",
    "@tcp(",
    ":",
    "-----BEGIN ",
    "PRIVATE KEY",
    "-----",
    "-----END ",
    "eyJh",
    "eyJr",
    ".eyJ",
    ".",
    "eyJhbGciOiJIUzI1NiJ9",
    "password",
    "token",
    "secret",
    "Authorization",
    "Cookie",
    "signature=",
    "routing_key",
    "PWD",
    "_key",
    " key",
    "=",
    "%3D",
    ": ",
    "\"",
    "'",
    "\\",
    "\\\"",
    "\\n",
    "\\u0026",
    "\\u00e4",
    "{",
    "}",
    "[",
    "]",
    "${",
    "{{",
    "}}",
    "ENC[",
    "<x>",
    "${A}",
    "{{x}}",
    "<",
    ">",
    ",",
    ";",
    "&",
    "|",
    ")",
    " ",
    "\n",
    "a",
    "1",
    "x",
    "-",
    "glpat-",
    "ghp_",
    "sig=",
    "AKIA",
    "whsec_",
    "xoxe.",
    "hooks.slack.com/",
    "bearer ",
    "basic ",
    "EXAMPLE",
    "[REDACTED:pair:0123456789abcdef]",
    "ü",
];

#[test]
fn any_two_things_by_turns_are_linear() {
    for (at, one) in ATOMS.iter().enumerate() {
        // The other way round is the same but for its ends.
        for other in &ATOMS[at..] {
            assert_linear_with(&scanners()[0], &["", &[*one, *other].concat(), ""], 400);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn anything_again_and_again_is_linear(
        before in prop::collection::vec(prop::sample::select(ATOMS), 0..4),
        again in prop::collection::vec(prop::sample::select(ATOMS), 1..6),
        behind in prop::collection::vec(prop::sample::select(ATOMS), 0..3),
    ) {
        assert_linear(&[&before.concat(), &again.concat(), &behind.concat()], 1_500);
    }
}
