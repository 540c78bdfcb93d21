//! Dividing what a destination refuses as too large.

use std::sync::Arc;

use throughline_component::Chunk;
use throughline_component::port::Budget;
use throughline_otlp::{Signal, batch};

/// A chunk in two parts. A place in a stream belongs to a whole record, so the parts have none. What they repeat of each other is
/// charged until both are settled.
pub(super) fn halves(signal: Signal, chunk: Chunk, memory: Option<&Arc<Budget>>) -> Vec<Chunk> {
    let Chunk { bytes, items, context, mut settle, .. } = chunk;
    let parts = batch::split(signal, &bytes, items.div_ceil(2));
    let repeated = parts.iter().map(|(part, _)| part.len()).sum::<usize>().saturating_sub(bytes.len());
    drop(bytes);
    if let Some(memory) = memory.filter(|_| repeated > 0) {
        let mut charge = memory.charge();
        charge.owe(repeated);
        settle = settle.holding(charge);
    }
    let counts: Vec<u32> = parts.iter().map(|(_, items)| *items).collect();
    let settles = settle.divide(&counts);
    let part = |((bytes, items), settle)| Chunk {
        bytes,
        items,
        position: None,
        context: Arc::clone(&context),
        settle,
    };
    parts.into_iter().zip(settles).map(part).collect()
}

#[cfg(test)]
mod tests {
    use throughline_component::{ComponentId, Context, Outcome, Settle};
    use throughline_otlp::build;

    use super::*;

    #[test]
    fn what_halves_repeat_of_each_other_is_charged_until_both_are_settled() {
        let memory = Budget::new(1 << 20);
        let text = "x".repeat(1000);
        let bytes = build::logs(|request| {
            request.resource(&[("service.name", text.as_str().into())], |resource| {
                resource.scope("s", "1", |scope| {
                    for time in 0..4 {
                        scope.log_record(|log| {
                            log.time_unix_nano(time);
                        });
                    }
                });
            });
        });
        let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
        let chunk = Chunk { bytes, items: 4, position: None, context, settle: Settle::nobody() };
        let mut parts = halves(Signal::Logs, chunk, Some(&memory));
        assert_eq!(parts.len(), 2);
        assert!((1000..1200).contains(&memory.used()), "the resource twice: {}", memory.used());
        parts.pop().expect("the second").settle.settle(Outcome::DONE);
        assert!(memory.used() > 0);
        parts.pop().expect("the first").settle.settle(Outcome::DONE);
        assert_eq!(memory.used(), 0);
    }
}
