//! Secrets of every rule in every field of every signal.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use proptest::prelude::*;
use throughline_component::port::{SystemClock, SystemRandom};
use throughline_component::{
    Build, Chunk, ComponentId, Context, DynEditor, Editor, Meter, Services, Settle, Verdict,
};
use throughline_otlp::edit::{Keep, Levels, Record, rewrite};
use throughline_otlp::schema::{Kind, Message};
use throughline_otlp::{Limits, Signal, Value, admit, build, steps, wire};

use super::super::{Config, Secrets};

const TOKEN: &str = concat!("ghp", "_0123456789abcdefghijABCDEFGHIJ012345");
/// A secret of each way of finding one, and text around it.
const SECRETS: [(&str, &str, &str); 6] = [
    ("", TOKEN, ""),
    ("pushed with ", TOKEN, " by bot"),
    ("https://bot:", "correcthorsebattery", "@example.org/x"),
    ("DB_PASSWORD=", "correcthorsebattery", " x"),
    ("", concat!("eyJhbGciOiJIUzI1", "NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"), "\n"),
    (
        "-----",
        concat!("BEGIN PRIV", "ATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEF\\n-----END PRIVATE KEY-----"),
        "",
    ),
];

fn secrets(config: &str) -> (Secrets, Arc<Meter>) {
    let meter = Arc::<Meter>::default();
    let mut services = Services::default();
    services.offer(Arc::clone(&meter));
    let cx = Build {
        id: ComponentId::new("secrets"),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(SystemRandom::default()),
        services,
    };
    let config: Config = serde_json::from_str(config).expect("the settings are right");
    (Secrets::build(config, &cx).expect("the settings are right"), meter)
}

fn chunk(bytes: Bytes) -> Chunk {
    let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
    Chunk { bytes, items: 1, position: None, context, settle: Settle::nobody() }
}

/// A walk of an editing function, and that of `secrets` behind it.
fn walk(secrets: &Secrets, signal: Signal, bytes: &Bytes, first: &mut dyn FnMut(&mut Record<'_>)) -> Bytes {
    let edited = rewrite(signal, bytes, Levels::ALL, &mut |record| {
        first(record);
        Keep::Yes
    });
    let chunk = chunk(edited.bytes);
    let Some(mut pass) = DynEditor::begin(secrets, signal, &chunk) else { return chunk.bytes };
    let rewritten = rewrite(signal, &chunk.bytes, Levels::ALL, &mut |record| {
        assert_eq!(pass.edit(record), Verdict::Keep);
        Keep::Yes
    });
    let groups = pass.groups(signal, &rewritten.bytes);
    drop(pass.finish());
    groups.unwrap_or(rewritten.bytes)
}

fn masked(signal: Signal, bytes: &Bytes) -> Bytes {
    static SECRETS: LazyLock<Secrets> = LazyLock::new(|| secrets("{}").0);
    walk(&SECRETS, signal, bytes, &mut |_| {})
}

/// The ways to each string and bytes field from a message: field numbers, the last of which is the field's own.
fn ways(message: &'static Message, depth: usize, way: &mut Vec<u32>, all: &mut Vec<Vec<u32>>) {
    for field in message.fields {
        way.push(field.number);
        match field.kind {
            Kind::Message(nested) if depth > 0 => ways(nested, depth - 1, way, all),
            Kind::String | Kind::Bytes => all.push(way.clone()),
            _ => {}
        }
        way.pop();
    }
}

/// A request with nothing in it but what a way leads to.
fn request(way: &[u32], content: &[u8]) -> Vec<u8> {
    way.iter().rev().fold(content.to_vec(), |content, number| {
        let mut out = Vec::new();
        wire::put_len(&mut out, *number, &content);
        out
    })
}

/// Canonical bytes, as editors may expect.
fn admitted(signal: Signal, bytes: Vec<u8>) -> Bytes {
    admit(signal, bytes.into(), &Limits::default()).expect("it is legal").bytes
}

fn leaks(bytes: &[u8], secret: &str) -> bool {
    secret.as_bytes().windows(8).any(|part| bytes.windows(8).any(|window| window == part))
}

#[test]
fn no_part_of_a_secret_survives_in_any_field_and_all_else_stays() {
    let mut fields = 0;
    for signal in Signal::ALL {
        let mut all = Vec::new();
        ways(signal.request(), 9, &mut Vec::new(), &mut all);
        fields += all.len();
        for way in &all {
            for (before, secret, behind) in SECRETS {
                let text = format!("{before}{secret}{behind}");
                let (plain, secret) = (text.as_bytes(), secret);
                let clean = admitted(signal, request(way, plain));
                let out = masked(signal, &clean);
                assert!(!leaks(&out, secret), "{signal:?} {way:?}: {text}");
                let content = content(&out, way);
                let around = content.starts_with(before.trim_end_matches('-').as_bytes())
                    && content.ends_with(behind.as_bytes());
                assert!(around, "{signal:?} {way:?}: {}", String::from_utf8_lossy(content));
                // Framed as before around it.
                assert_eq!(out, request(way, content), "{signal:?} {way:?}");
            }
        }
    }
    assert!(fields > 200, "{fields} fields are fewer than there are");
}

/// What stands at the end of a way.
fn content<'a>(bytes: &'a [u8], way: &[u32]) -> &'a [u8] {
    way.iter().fold(bytes, |bytes, number| {
        let field = wire::Fields::new(bytes).find(|field| field.number == *number);
        field.and_then(|field| field.len_bytes()).expect("what was there is there still")
    })
}

#[test]
fn what_stands_under_a_secret_name_goes_whole_at_any_depth() {
    let inner =
        [("a", Value::Str("hunter2hunter2")), ("b", Value::Bytes(b"hunter3hunter3")), ("n", Value::Int(7))];
    let mut nested = Value::Map(&inner);
    let levels: Vec<[(&str, Value<'_>); 1]> = (0..20).map(|_| [("x", Value::Empty)]).collect();
    let mut held = Vec::new();
    for mut level in levels {
        level[0].1 = nested;
        held.push(level);
        nested =
            Value::Map(held.last().map(|level| Box::leak(Box::new(*level)) as &_).expect("it was pushed"));
    }
    let bytes = build::logs(|request| {
        request.resource(&[("service.name", "x".into())], |resource| {
            resource.scope("s", "", |scope| {
                scope.log_record(|log| {
                    log.attribute("clientSecret", nested).attribute("secret_name", "hunter4hunter4");
                });
            });
        });
    });
    let out = masked(Signal::Logs, &bytes);
    assert!(!leaks(&out, "hunter2hunter2") && !leaks(&out, "hunter3hunter3"));
    assert!(leaks(&out, "hunter4hunter4"), "a name of a secret is none");
}

#[test]
fn clean_bytes_stay_the_same_bytes() {
    let bytes = build::traces(|request| {
        request.resource(&[("service.name", "x".into())], |resource| {
            resource.scope("s", "", |scope| {
                scope.span(|span| {
                    span.trace_id(TOKEN.as_bytes()).name("commit 0123456789abcdef0123456789abcdef01234567");
                });
            });
        });
    });
    let out = masked(Signal::Traces, &bytes);
    assert_eq!(out.as_ptr(), bytes.as_ptr(), "ids are never masked, and nothing is copied");
}

#[test]
fn what_an_editor_before_it_writes_is_masked_too() {
    let (secrets, meter) = secrets("{}");
    let bytes = build::traces(|request| {
        request.resource(&[("service.name", "x".into())], |resource| {
            resource.scope("s", "", |scope| {
                scope.span(|span| {
                    span.name("first").attribute("note", "was here");
                });
                scope.span(|span| {
                    span.name("second").attribute("note", "was here");
                });
            });
        });
    });
    for change in [
        &mut (|record: &mut Record<'_>| {
            record.insert_attribute("added", TOKEN);
        }) as &mut dyn FnMut(&mut Record<'_>),
        &mut |record| record.set_attribute("note", TOKEN),
        &mut |record| {
            record.insert_attribute("password", TOKEN);
        },
    ] {
        let out = walk(&secrets, Signal::Traces, &bytes, change);
        assert!(!leaks(&out, TOKEN));
    }
    let mut rename = |record: &mut Record<'_>| {
        record.rename_attribute("note", "password");
    };
    assert!(!leaks(&walk(&secrets, Signal::Traces, &bytes, &mut rename), "was here"));
    assert!(meter.read().iter().any(|reading| {
        let github =
            reading.name == "throughline_secrets_masked" && reading.labels.contains("rule=\"github\"");
        github && reading.value == throughline_component::Value::Count(8)
    }));
}

#[test]
fn a_secret_that_arises_where_old_text_meets_new_is_masked() {
    let (head, tail) = TOKEN.split_at(20);
    let bytes = build::traces(|request| {
        request.resource(&[], |resource| {
            resource.scope("s", "", |scope| {
                scope.span(|span| {
                    span.attribute("note", head).attribute("last", "was here");
                });
            });
        });
    });
    assert_eq!(masked(Signal::Traces, &bytes), bytes, "half a token is none");
    let join = |record: &mut Record<'_>| {
        let note = record.attributes().get("note").and_then(|value| value.as_str().map(str::to_owned));
        if let Some(note) = note {
            record.set_attribute("note", format!("{note}{tail}").as_str());
        }
    };
    let (secrets, _) = secrets("{}");
    let mut appends_first = |record: &mut Record<'_>| {
        record.insert_attribute("added", "clean");
        join(record);
    };
    let mut appends_last = |record: &mut Record<'_>| {
        join(record);
        record.insert_attribute("added", "clean");
    };
    for change in [&mut appends_first as &mut dyn FnMut(&mut Record<'_>), &mut appends_last] {
        assert!(!leaks(&walk(&secrets, Signal::Traces, &bytes, change), tail));
    }
}

#[test]
fn a_walk_is_needed_only_where_there_may_be_a_secret() {
    let (secrets, _) = secrets("{}");
    let way = [1, 2, 2, 5];
    for (text, walks) in [("nothing to see", false), (TOKEN, true)] {
        let chunk = chunk(admitted(Signal::Traces, request(&way, text.as_bytes())));
        assert_eq!(DynEditor::begin(&secrets, Signal::Traces, &chunk).is_some(), walks, "{text}");
    }
}

#[test]
fn keys_that_hold_secrets_are_masked_and_stay_apart() {
    let map = [(TOKEN, Value::Int(1)), (TOKEN, Value::Int(2))];
    let bytes = build::logs(|request| {
        request.resource(&[], |resource| {
            resource.scope("s", "", |scope| {
                scope.log_record(|log| {
                    log.attribute("map", Value::Map(&map));
                });
            });
        });
    });
    let out = masked(Signal::Logs, &bytes);
    let text = String::from_utf8_lossy(&out);
    assert!(!leaks(&out, TOKEN));
    assert_eq!(text.matches("[REDACTED:github:").count(), 2);
    assert_eq!(text.matches("]#2").count(), 1);
}

#[test]
fn masking_one_secret_key_again_and_again_in_one_record_is_linear() {
    steps::assert_linear("one key", 500, |size| {
        let bytes = build::logs(|request| {
            request.resource(&[], |resource| {
                resource.scope("s", "", |scope| {
                    scope.log_record(|log| {
                        for _ in 0..size {
                            log.attribute(TOKEN, "value");
                        }
                    });
                });
            });
        });
        steps::of(|| {
            let out = masked(Signal::Logs, &bytes);
            let last = format!("]#{size}");
            assert!(out.windows(last.len()).any(|window| window == last.as_bytes()));
        })
    });
}

#[test]
fn names_are_judged_once_however_many_strings_are_below_them() {
    let name: &str = Box::leak("long.".repeat(50).into());
    let leaves: Vec<(&str, Value<'_>)> = vec![("k", Value::Str("v")); 2_000];
    let leaves: &[_] = Box::leak(leaves.into());
    let mut value = Value::Map(leaves);
    for _ in 0..15 {
        value = Value::Map(Box::leak(Box::new([(name, value)])));
    }
    let bytes = build::logs(|request| {
        request.resource(&[], |resource| {
            resource.scope("s", "", |scope| {
                scope.log_record(|log| {
                    log.body(TOKEN).attribute("a", value);
                });
            });
        });
    });
    let steps = steps::of(|| drop(masked(Signal::Logs, &bytes)));
    assert!(steps < 40 * bytes.len() as u64, "{steps} steps for {} bytes", bytes.len());
}

#[test]
fn a_copy_takes_no_name_that_came_with_its_number() {
    let mut names = super::Names::default();
    let masked = || Some(b"[REDACTED:x]".to_vec());
    let mut given = Vec::new();
    for came in ["[REDACTED:x]#2", "[REDACTED:x]#4"] {
        assert_eq!(names.distinct(None, came.as_bytes()), None, "it is the first of its name");
        given.push(came.to_owned());
    }
    for _ in 0..4 {
        given.extend(names.distinct(masked(), b"").map(|name| String::from_utf8_lossy(&name).into_owned()));
    }
    given.extend(
        names.distinct(None, b"[REDACTED:x]#3").map(|name| String::from_utf8_lossy(&name).into_owned()),
    );
    let expected = ["#2", "#4", "", "#3", "#5", "#6", "#3#2"].map(|end| format!("[REDACTED:x]{end}"));
    assert_eq!(given, expected);
}

#[test]
fn a_secret_in_an_unknown_field_is_overwritten_in_place() {
    let mut span = Vec::new();
    wire::put_len(&mut span, 5, b"name");
    wire::put_message(&mut span, 999, |out| wire::put_len(out, 1, TOKEN.as_bytes()));
    let bytes = admitted(Signal::Traces, request(&[1, 2, 2], &span));
    let out = masked(Signal::Traces, &bytes);
    assert_eq!(out.len(), bytes.len());
    assert_eq!(content(&out, &[1, 2, 2, 999, 1]), [b'*'; 40]);
}

#[test]
fn wrong_settings_are_refused() {
    let cx = Build {
        id: ComponentId::new("secrets"),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(SystemRandom::default()),
        services: Services::default(),
    };
    for wrong in [r#"{"rules": {"disable": ["nothing"]}}"#, r#"{"tag_key": "short"}"#] {
        let config: Config = serde_json::from_str(wrong).expect("its shape is right");
        assert!(Secrets::build(config, &cx).is_err(), "{wrong}");
    }
    assert!(serde_json::from_str::<Config>(r#"{"rule": {}}"#).is_err());
}

#[test]
fn a_configured_key_gives_equal_tags_in_every_agent() {
    let bytes = admitted(Signal::Traces, request(&[1, 2, 2, 5], TOKEN.as_bytes()));
    let tagged = |config: &str| walk(&secrets(config).0, Signal::Traces, &bytes, &mut |_| {});
    let key = r#"{"tag_key": "0123456789abcdef0123456789abcdef"}"#;
    assert_eq!(tagged(key), tagged(key));
    assert_ne!(tagged("{}"), tagged("{}"));
}

proptest! {
    #[test]
    fn bytes_that_were_never_admitted_do_not_panic(bytes: Vec<u8>, cut in any::<prop::sample::Index>()) {
        let way = [1, 2, 2, 9, 2, 1];
        let mut request = request(&way, TOKEN.as_bytes());
        request.truncate(cut.index(request.len()));
        request.extend(bytes);
        for signal in Signal::ALL {
            drop(masked(signal, &Bytes::from(request.clone())));
        }
    }
}
