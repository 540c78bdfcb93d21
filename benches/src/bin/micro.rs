//! Prints what the pieces cost alone, in nanoseconds a span and as ratios to one prost decode.

#![allow(clippy::print_stdout, reason = "a measuring program for people")]

use throughline_benches::micro;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let costs = micro::measure();
    for (name, cost) in [
        ("prost decode", costs.prost),
        ("admission", costs.admission),
        ("one attribute inserted", costs.insertion),
        ("change", costs.change),
        ("secrets, clean", costs.secrets),
        ("secrets, 1 % leak", costs.masking),
        ("change + secrets", costs.both),
    ] {
        println!("{name:<24}{cost:>9.1} ns a span{:>8.3} × prost decode", cost / costs.prost);
    }
}
