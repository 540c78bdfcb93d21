//! Any bytes: admission agrees with prost, and panics never. The first byte chooses the signal and whether the rest is
//! the request itself or what legal protobuf is generated from.

#![no_main]
#![allow(dead_code, unused_imports, reason = "targets use parts of the oracle")]

mod oracle;
use libfuzzer_sys::fuzz_target;
use oracle::{fields, generate, groups, ops, reference};
use throughline_otlp::Signal;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let signal = Signal::ALL[usize::from(choice) % 3];
    if choice < 128 {
        return reference::check_admission(signal, rest);
    }
    let wild = generate::Wildness { broken_text: if choice < 192 { 0 } else { 9 } };
    reference::check_admission(signal, &generate::request(&mut generate::Dice(rest), signal, wild));
});
