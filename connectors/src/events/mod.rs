//! Turns spans, CI jobs and log records into domain events, by rules that are data.
//!
//! An event's id is made of what it came from, so a client's retry makes the same event again, and readers count it
//! once. The input settles when what was made of it has.

mod rules;
mod write;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use smallvec::smallvec;
use throughline_component::port::Clock;
use throughline_component::{
    Batch, Build, Chunk, ConfigError, Counter, Emitter, Factory, Outcome, Processor,
};
use throughline_otlp::view::{Record, Request, ResourceLookup};
use throughline_otlp::{Signal, batch};

use rules::{Rule, Rules};
use write::Found;

pub(crate) const FACTORY: Factory = Factory::connector::<Events>("events");

/// Turns spans, CI jobs and log records into domain events.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Rules beside the built-in ones. A record makes an event for every rule that fits it.
    rules: Vec<Rule>,
    /// Leaves out the built-in rules (`docs/events.md` lists them).
    without_default_rules: bool,
}

pub(crate) struct Events {
    rules: Rules,
    clock: Arc<dyn Clock>,
    made: Counter,
}

impl Processor for Events {
    type Config = Config;
    const SIGNALS: &'static [Signal] = &[Signal::Traces, Signal::Logs];
    const EMITS: &'static [Signal] = &[Signal::Logs];

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        let rules = Rules::compile(config.rules, !config.without_default_rules)?;
        Ok(Self { rules, clock: Arc::clone(&cx.clock), made: cx.counter("throughline_events_made", None) })
    }

    fn accept(&mut self, batch: Batch, out: &mut Emitter) {
        for chunk in batch.chunks {
            let found = self.look(batch.signal, &chunk.bytes);
            if found.is_empty() {
                out.settle(Batch::one(batch.signal, chunk), &Outcome::DONE);
                continue;
            }
            self.made.add(found.len() as u64);
            let bytes = write::request(&found, self.clock.unix_nanos());
            let items = batch::count(Signal::Logs, &bytes);
            out.fold(u64::from(chunk.items));
            let made = Chunk {
                bytes,
                items,
                position: chunk.position,
                context: chunk.context,
                settle: chunk.settle,
            };
            out.send(Batch { signal: Signal::Logs, chunks: smallvec![made] });
        }
    }
}

impl Events {
    fn look(&self, signal: Signal, bytes: &[u8]) -> Vec<Found> {
        let (mut found, mut resource) = (Vec::new(), None);
        for (group, _, record) in Request::new(signal, bytes).records() {
            let before = resource.take();
            let resource = resource.insert(ResourceLookup::of(group, before));
            match record {
                Record::Span(span) => self.rules.span(resource, span, &mut found),
                Record::Log(log) => self.rules.log(resource, log, &mut found),
                Record::Metric(_) => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
