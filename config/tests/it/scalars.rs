//! Durations, sizes and secrets (conventions §1, Units · Signals).

use proptest::prelude::*;
use throughline_config::{ByteSize, Duration, Secret};

#[test]
fn durations_are_read_as_go_reads_them() {
    for (text, nanos) in [
        ("0", 0),
        ("0s", 0),
        ("300ms", 300_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1.5s", 1_500_000_000),
        (".5m", 30_000_000_000),
        ("2us", 2_000),
        ("2µs", 2_000),
        ("2μs", 2_000),
        ("+1ns", 1),
        ("1h1m1s1ms1us1ns", 3_661_001_001_001),
    ] {
        assert_eq!(text.parse::<Duration>().map(|duration| duration.get().as_nanos()), Ok(nanos), "{text}");
    }
    for text in [
        "",
        "+",
        "5",
        "s",
        "-1s",
        "1d",
        "1 s",
        ".s",
        "1..5s",
        "1.2.3s",
        "300000h0m9999999999999999999h",
        "1s5",
    ] {
        assert!(text.parse::<Duration>().is_err(), "{text:?}");
    }
}

#[test]
fn sizes_are_bytes_or_carry_a_unit() {
    for (text, bytes) in
        [("0", 0), ("1048576", 1 << 20), ("64MiB", 64 << 20), ("10MB", 10_000_000), ("1 kib", 1024)]
    {
        assert_eq!(text.parse::<ByteSize>().map(ByteSize::bytes), Ok(bytes), "{text}");
    }
    for text in ["", "MiB", "-1", "1.5MiB", "1XB", "99999999999999999999", "18446744073709551615KiB"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text:?}");
    }
}

#[test]
fn a_secret_prints_nowhere() {
    let secret: Secret = serde_json::from_str("\"hunter2\"").expect("text");
    let seen = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).expect("serializes"));
    assert_eq!(seen, "[REDACTED] [REDACTED] \"[REDACTED]\"");
    assert_eq!(secret.expose(), "hunter2");
}

proptest! {
    #[test]
    fn a_printed_duration_reads_back(nanos in 0..=i64::MAX as u64) {
        let duration = Duration(std::time::Duration::from_nanos(nanos));
        prop_assert_eq!(duration.to_string().parse(), Ok(duration));
    }

    #[test]
    fn a_printed_size_reads_back(bytes: u64, shift in 0..50u32) {
        let size = ByteSize(bytes >> shift << shift);
        prop_assert_eq!(size.to_string().parse(), Ok(size));
    }

    #[test]
    fn any_text_is_a_scalar_or_a_message(text in "[-+.0-9a-zA-Zµ ]{0,24}") {
        let _ = text.parse::<Duration>().map_err(|message| assert!(!message.is_empty()));
        let _ = text.parse::<ByteSize>().map_err(|message| assert!(!message.is_empty()));
    }
}
