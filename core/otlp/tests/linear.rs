//! All work is linear in its input: families of hostile requests at n, 2n, 4n and 8n, of which the steps are counted.

use bytes::Bytes;
use throughline_otlp::edit::{Keep, Levels, Rewrite, rewrite, rewrite_groups};
use throughline_otlp::view::{Record, Request};
use throughline_otlp::{Limits, Signal, admit, batch, json, steps, wire};

/// A message with these fields, already framed.
fn message(number: u32, content: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_message(&mut out, number, content);
    out
}

/// So many copies of a field.
fn times(count: usize, field: &[u8]) -> Vec<u8> {
    field.repeat(count)
}

/// A log record with one attribute.
fn record() -> Vec<u8> {
    message(2, |out| wire::put_message(out, 6, |out| pair(out, "key", b"value")))
}

fn pair(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    wire::put_len(out, 1, key.as_bytes());
    wire::put_message(out, 2, |out| wire::put_len(out, 1, value));
}

fn nested(depth: usize, number: u32, inside: &[u8]) -> Vec<u8> {
    (0..depth).fold(inside.to_vec(), |inside, _| message(number, |out| out.extend_from_slice(&inside)))
}

/// Hostile requests by name: each takes a size.
type Family = (&'static str, fn(usize) -> Vec<u8>);

/// Of logs, whose shape stands for that of all signals.
const FAMILIES: &[Family] = &[
    ("scopes without a resource before them", |n| {
        message(1, |out| out.extend(times(n, &message(2, |out| out.extend(record())))))
    }),
    ("records without a scope before them", |n| {
        message(1, |out| wire::put_message(out, 2, |out| out.extend(times(n, &record()))))
    }),
    ("unknown fields before a resource and as many records behind it", |n| {
        message(1, |out| {
            out.extend(times(n, &message(999, |_| {})));
            wire::put_len(out, 1, b"");
            out.extend(times(n, &message(2, |out| out.extend(record()))));
        })
    }),
    ("unknown fields before a scope and as many records behind it", |n| {
        message(1, |out| {
            wire::put_message(out, 2, |out| {
                out.extend(times(n, &message(999, |_| {})));
                wire::put_len(out, 1, b"");
                out.extend(times(n, &record()));
            });
        })
    }),
    ("resources without anything", |n| times(n, &message(1, |_| {}))),
    ("one record with one key again and again", |n| {
        let attribute = message(6, |out| pair(out, "key", b"value"));
        in_scope(&message(2, |out| out.extend(times(n, &attribute))))
    }),
    ("one map with one key again and again", |n| {
        let entry = message(1, |out| pair(out, "key", b"value"));
        in_scope(&message(2, |out| {
            wire::put_message(out, 5, |out| wire::put_message(out, 6, |out| out.extend(times(n, &entry))));
        }))
    }),
    ("unknown fields before a key", |n| {
        in_scope(&message(2, |out| {
            wire::put_message(out, 6, |out| {
                out.extend(times(n, &message(999, |_| {})));
                pair(out, "key", b"value");
            });
        }))
    }),
    ("a singular message in pieces", |n| message(1, |out| out.extend(times(n, &message(1, |_| {}))))),
    ("a scope in pieces behind its records", |n| {
        message(1, |out| {
            wire::put_message(out, 2, |out| {
                out.extend(times(n, &record()));
                out.extend(times(n, &message(1, |out| wire::put_len(out, 1, b"name"))));
            });
        })
    }),
    ("members of a oneof that take each other back", |n| {
        let value = |out: &mut Vec<u8>| {
            wire::put_len(out, 1, b"text");
            wire::put_varint_field(out, 3, 7);
            wire::put_message(out, 6, |out| wire::put_message(out, 1, |out| pair(out, "key", b"value")));
        };
        in_scope(&message(2, |out| {
            wire::put_message(out, 5, |out| (0..n).for_each(|_| value(out)));
        }))
    }),
    ("groups side by side", |n| times(n, &[0x9b, 0x06, 0x9c, 0x06])),
    ("groups in groups", |n| times(n, &[&[0x9b, 0x06].repeat(40)[..], &[0x9c, 0x06].repeat(40)].concat())),
    ("broken text in every record", |n| {
        in_scope(&times(n, &message(2, |out| wire::put_len(out, 3, b"\xff"))))
    }),
    ("deep values", |n| {
        in_scope(&times(n, &message(2, |out| out.extend(nested(1, 5, &nested(20, 5, &nested(1, 1, &[])))))))
    }),
];

/// A logs request of one resource and one scope with these fields.
fn in_scope(fields: &[u8]) -> Vec<u8> {
    message(1, |out| wire::put_message(out, 2, |out| out.extend_from_slice(fields)))
}

/// Asserts that some work is linear on every family, and on each once it was admitted.
fn on_all(smallest: usize, work: impl Fn(&Bytes)) {
    for (name, family) in FAMILIES {
        steps::assert_linear(name, smallest, |size| {
            let input = Bytes::from(family(size));
            let Ok(admitted) = admit(Signal::Logs, input, &Limits::default()) else {
                panic!("{name} is refused");
            };
            steps::of(|| work(&admitted.bytes))
        });
    }
}

#[test]
fn admission_is_linear_whatever_it_has_to_put_in_order() {
    for (name, family) in FAMILIES {
        steps::assert_linear(name, 1000, |size| {
            let input = Bytes::from(family(size));
            steps::of(|| drop(admit(Signal::Logs, input, &Limits::default())))
        });
        // Refused at its very end.
        steps::assert_linear(name, 1000, |size| {
            let input = Bytes::from([&family(size)[..], b"\x0a"].concat());
            steps::of(|| drop(admit(Signal::Logs, input, &Limits::default())))
        });
    }
}

#[test]
fn reading_every_record_with_what_is_above_it_is_linear() {
    on_all(1000, |bytes| {
        for (group, scope, record) in Request::new(Signal::Logs, bytes).records() {
            let (Record::Log(log), resource) = (record, group.resource()) else { return };
            assert!(resource.attributes().is_empty() || scope.scope().name().is_empty());
            let _ = log.attributes().get("key");
        }
    });
}

#[test]
fn a_walk_that_changes_every_record_is_linear() {
    on_all(1000, |bytes| {
        rewrite(Signal::Logs, bytes, Levels::ALL, &mut |record| {
            record.insert_attribute("inserted", "value");
            record.set_attribute("key", "another value");
            record.rename_attribute("key", "name");
            record.rewrite_strings_and_unknown(&mut |leaf| {
                if leaf.is_key() { Rewrite::Keep } else { Rewrite::Replace(vec![b'x'; leaf.bytes.len() + 1]) }
            });
            Keep::Yes
        });
    });
}

#[test]
fn a_walk_that_drops_every_other_record_is_linear() {
    on_all(1000, |bytes| {
        let mut keep = false;
        rewrite(Signal::Logs, bytes, Levels::RECORDS | Levels::SCOPE, &mut |_| {
            keep = !keep;
            if keep { Keep::Yes } else { Keep::No(7) }
        });
    });
}

#[test]
fn rewriting_what_no_record_holds_is_linear() {
    on_all(1000, |bytes| {
        drop(rewrite_groups(Signal::Logs, bytes, &mut |leaf| Rewrite::Replace(leaf.bytes.to_vec())));
    });
}

#[test]
fn json_is_linear_both_ways() {
    on_all(1000, |bytes| {
        let text = json::encode(Signal::Logs, bytes);
        drop(json::decode(Signal::Logs, &text));
    });
}

#[test]
fn counting_joining_and_splitting_into_a_few_parts_are_linear() {
    // Every part repeats what is above its records: how many parts there may be is for those to bound who split.
    on_all(1000, |bytes| {
        let joined = batch::concat([bytes.clone(), bytes.clone()]);
        let some = batch::count(Signal::Logs, &joined) / 5;
        assert!(batch::split(Signal::Logs, &joined, some.max(1)).len() < 10);
    });
}

#[test]
fn json_that_nobody_would_write_is_read_in_linear_time() {
    let in_scope = |inside: String| format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{{inside}}}]}}]}}");
    let families: [(&str, &dyn Fn(usize) -> String); 7] = [
        ("scopes without a resource", &|n| {
            format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{}{{}}]}}]}}", "{\"logRecords\":[{}]},".repeat(n))
        }),
        ("a resource in pieces", &|n| {
            format!(
                "{{\"resourceLogs\":[{{{}\"x\":1}}]}}",
                "\"resource\":{\"attributes\":[{\"key\":\"a\"}]},".repeat(n)
            )
        }),
        ("a list in pieces", &|n| format!("{{{}\"x\":1}}", "\"resourceLogs\":[{}],".repeat(n))),
        ("records before their scope, again and again", &|n| {
            in_scope(format!("{}\"x\":1", "\"logRecords\":[{}],\"scope\":{\"name\":\"s\"},".repeat(n)))
        }),
        ("unknown keys", &|n| in_scope(format!("{}\"x\":1", "\"unknown\":[{\"a\":[1]}],".repeat(n)))),
        ("a oneof in pieces", &|n| {
            let value =
                "\"stringValue\":\"a\",\"intValue\":1,\"kvlistValue\":{\"values\":[{\"key\":\"k\"}]},"
                    .repeat(n);
            in_scope(format!("\"logRecords\":[{{\"body\":{{{value}\"x\":1}}}}]"))
        }),
        ("deep values side by side", &|n| {
            let deep = format!("{}{}", "{\"arrayValue\":{\"values\":[".repeat(10), "]}}".repeat(10));
            in_scope(format!("\"logRecords\":[{}{{}}]", format!("{{\"body\":{deep}}},").repeat(n)))
        }),
    ];
    for (name, family) in families {
        steps::assert_linear(name, 500, |size| {
            let text = family(size);
            steps::of(|| {
                let Ok(bytes) = json::decode(Signal::Logs, text.as_bytes()) else {
                    panic!("{name} is no OTLP/JSON")
                };
                let Ok(admitted) = admit(Signal::Logs, bytes.into(), &Limits::default()) else {
                    panic!("{name} is refused")
                };
                drop(json::encode(Signal::Logs, &admitted.bytes));
                for (group, scope, _) in Request::new(Signal::Logs, &admitted.bytes).records() {
                    assert!(group.resource().attributes().is_empty() || scope.scope().name().is_empty());
                }
            })
        });
    }
}
