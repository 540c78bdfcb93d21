//! Random edits of generated logs: each equals decode, edit, encode.

#![no_main]
#![allow(dead_code, unused_imports, reason = "targets use parts of the oracle")]

mod oracle;
use libfuzzer_sys::fuzz_target;
use oracle::{fields, generate, groups, ops, reference};
use throughline_otlp::Signal;

fuzz_target!(|data: &[u8]| {
    let mut dice = generate::Dice(data);
    let chain = ops::roll_chain(&mut dice);
    ops::check(Signal::Logs, dice.0, &chain);
});
