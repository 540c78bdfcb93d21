//! Requests as JSON, within bounds.

use std::sync::Arc;

use throughline_component::port::{Budget, Charge};
use throughline_component::{Outcome, RejectKind};
use throughline_otlp::{Signal, json};

/// Writes requests of one signal, of so many items together, as JSON, `end` behind each. JSON is a few times as large as a request, of hostile ones ten times and
/// more: it is charged as long as the charge is held, and one that would add more than the whole budget is not written.
///
/// # Errors
/// It is too large: it can be divided, unless it is one item.
pub(crate) fn write(
    (signal, items): (Signal, u64),
    requests: &[&[u8]],
    end: &[u8],
    memory: Option<&Arc<Budget>>,
) -> Result<(Vec<u8>, Charge), Outcome> {
    let length: usize = requests.iter().map(|request| request.len()).sum();
    let most = memory.map_or(usize::MAX, |memory| (2 * length).saturating_add(memory.limit()));
    let mut charge = memory.map_or_else(Charge::none, Budget::charge);
    let mut all = Vec::new();
    for request in requests {
        let left = most.saturating_sub(all.len());
        let Ok(json) = json::encode_within(signal, request, left) else {
            let kind = if items > 1 { RejectKind::TooLarge } else { RejectKind::Invalid };
            return Err(Outcome::reject(kind, "as JSON it is larger than the memory budget"));
        };
        charge.owe(json.capacity());
        if all.is_empty() {
            all = json;
        } else {
            all.extend_from_slice(&json);
        }
        all.extend_from_slice(end);
    }
    Ok((all, charge))
}

#[cfg(test)]
mod tests {
    use throughline_otlp::build;

    use super::*;

    #[test]
    fn what_is_much_larger_as_json_is_divided_and_one_item_is_refused() {
        let memory = Budget::new(100_000);
        for (items, expected) in [(1, RejectKind::Invalid), (2, RejectKind::TooLarge)] {
            let text = "\u{1}".repeat(30_000);
            let bytes = build::logs(|request| {
                request.resource(&[("k", text.as_str().into())], |_| {});
            });
            let write = |end, memory| write((Signal::Logs, items), &[&bytes], end, memory);
            let refused = write(b"", Some(&memory)).expect_err("it is six times as large");
            assert!(matches!(refused, Outcome::Reject { kind, .. } if kind == expected));
            let roomy = Budget::new(1 << 20);
            let (json, charge) = write(b"\n", Some(&roomy)).expect("there is room");
            assert!(json.ends_with(b"}\n") && roomy.used() >= 180_000);
            drop(charge);
            assert_eq!((memory.used(), roomy.used()), (0, 0));
        }
    }
}
