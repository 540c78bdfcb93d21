//! Any text is read or refused; any legal request survives its way through JSON. The first byte chooses.

#![no_main]
#![allow(dead_code, unused_imports, reason = "targets use parts of the oracle")]

mod oracle;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use oracle::{fields, generate, groups, ops, reference};
use throughline_otlp::{Limits, Signal, admit};

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let signal = Signal::ALL[usize::from(choice) % 3];
    if choice < 128 {
        return reference::check_any_json(signal, rest);
    }
    let input = Bytes::from(generate::request(&mut generate::Dice(rest), signal, generate::LEGAL));
    if let Ok(admitted) = admit(signal, input, &Limits::default()) {
        reference::check_json(signal, &admitted.bytes);
    }
});
