//! Gives every signal its change: learns which commits belong to which pull request, and sets the entity labels.
//!
//! What is learnt and how it is resolved is `core/change`'s; see `docs/change-identity.md`.

mod labels;
mod pass;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_change::{Bounds, Claim, Identity, Repository};
use throughline_component::port::{Clock, Mask};
use throughline_component::{
    AccessPattern, Build, Chunk, ComponentId, ConfigError, Counter, Editor, Factory, Internal, Journaled,
    Pass, Replay, Unreadable,
};
use throughline_otlp::Signal;
use throughline_otlp::edit::Levels;

pub(crate) const FACTORY: Factory = Factory::editor::<Change>("change");

/// Ties every signal to its change and sets the entity labels.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// How many commits are remembered. If there are more, the one claimed longest ago is forgotten, and counted.
    max_commits: u32,
    /// The storage extension that keeps learnt claims over a restart. Unset: in memory.
    storage: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_commits: 200_000, storage: None }
    }
}

/// The processor. Its state is shared by all pipelines that name it.
pub(crate) struct Change {
    id: ComponentId,
    identity: Arc<Journaled<JournaledIdentity>>,
    clock: Arc<dyn Clock>,
    internal: Option<Arc<Internal>>,
    mask: Option<Arc<dyn Mask>>,
    counters: Counters,
}

struct Counters {
    linked: Counter,
    unlinked: Counter,
    ambiguous: Counter,
    refused: Counter,
    superseded: Counter,
    forgotten: Counter,
}

impl Change {
    /// The canonical name of a repository. It is lower case, in which no token could be recognised: they are masked before.
    fn repository(&self, text: &[u8]) -> Option<Repository> {
        let text = std::str::from_utf8(text).ok()?;
        match self.mask.as_ref().and_then(|mask| mask.mask(text)) {
            Some(masked) => Repository::parse(&masked),
            None => Repository::parse(text),
        }
    }
}

impl Editor for Change {
    type Config = Config;

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        if config.max_commits == 0 {
            return Err(ConfigError::new("max_commits", "at least one commit must be remembered"));
        }
        let bounds = Bounds { commits: config.max_commits as usize, ..Bounds::default() };
        let signals = |result: &str| cx.counter("throughline_change_signals", Some(("result", result)));
        Ok(Self {
            id: cx.id.clone(),
            identity: Journaled::of(cx, config.storage.as_deref(), || {
                JournaledIdentity(Identity::new(bounds))
            })?,
            clock: Arc::clone(&cx.clock),
            internal: cx.services.get::<Internal>(),
            mask: cx.services.get::<dyn Mask>(),
            counters: Counters {
                linked: signals("linked"),
                unlinked: signals("unlinked"),
                ambiguous: signals("ambiguous"),
                refused: cx.counter("throughline_change_alias_conflicts", None),
                superseded: cx.counter("throughline_change_superseded", None),
                forgotten: cx.counter("throughline_change_forgotten_commits", None),
            },
        })
    }

    fn access(&self) -> AccessPattern {
        // The resource is read when it is visited, not from the records below it, so a walk can be shared with an
        // editor that changes resources after us.
        AccessPattern {
            visits: Levels::RESOURCE | Levels::RECORDS,
            writes: Levels::RESOURCE | Levels::RECORDS,
            ..AccessPattern::default()
        }
    }

    fn begin<'a>(&'a self, signal: Signal, _: &'a Chunk) -> Option<Box<dyn Pass + 'a>> {
        match self.identity.read() {
            Ok(identity) => Some(Box::new(pass::ChangePass::new(self, identity, signal))),
            Err(error) => Some(Box::new(pass::Unopened(error))),
        }
    }
}

/// What was learnt, as a journal keeps it: a line a claim.
struct JournaledIdentity(Identity);

impl Replay for JournaledIdentity {
    fn replay(&mut self, entry: &[u8]) -> Result<(), Unreadable> {
        let mut read = 0;
        for claim in entry.split(|byte| *byte == b'\n').filter_map(Claim::read) {
            self.0.remember(&claim);
            read += 1;
        }
        if read > 0 { Ok(()) } else { Err(Unreadable) }
    }

    fn snapshot(&self) -> Vec<u8> {
        let lines: Vec<_> = self.0.claims().iter().map(Claim::write).collect();
        lines.join(&b'\n')
    }
}

#[cfg(test)]
mod tests;
