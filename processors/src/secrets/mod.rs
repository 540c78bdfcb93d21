//! Masks secrets: tokens by their shape, values by their name. What is found, and how, is `core/redaction`'s; see `docs/masking.md`.

mod pass;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_component::{AccessPattern, Build, Chunk, ConfigError, Counter, Editor, Factory, Pass};
use throughline_config::Secret;
use throughline_otlp::Signal;
use throughline_otlp::edit::Levels;
use throughline_redaction::{Counts, Rule, Scanner, Settings, TagKey};

pub(crate) const FACTORY: Factory = Factory::editor::<Secrets>("secrets");

/// Bytes a configured tag key has at least.
const KEY_BYTES: usize = 32;

/// Masks secrets in every string and bytes field of every signal.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Which rules apply.
    rules: Rules,
    /// Which names make their values secret.
    keys: Keys,
    /// The key of the tags in replacements, at least 32 bytes. Agents that share it give equal secrets equal tags. Without
    /// it each start of the agent draws a new one.
    tag_key: Option<Secret>,
}

/// Which rules apply.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rules {
    /// Names of rules that are not applied.
    disable: Vec<String>,
}

/// Which names make their values secret.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    /// Names of attributes, map entries, headers and variables that are secret too.
    extra: Vec<String>,
    /// Names that are not secret though they look like it.
    allow: Vec<String>,
}

/// The processor.
pub(crate) struct Secrets {
    scanner: Scanner,
    /// By rule.
    masked: Vec<Counter>,
}

impl Editor for Secrets {
    type Config = Config;

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        let disable = config.rules.disable.iter().enumerate().map(|(index, name)| {
            Rule::of_name(name).ok_or_else(|| {
                ConfigError::new(
                    &format!("rules.disable.{index}"),
                    format!("there is no rule `{name}`; see docs/masking.md"),
                )
            })
        });
        let settings = Settings {
            disable: disable.collect::<Result<_, _>>()?,
            extra_keys: config.keys.extra,
            allowed_keys: config.keys.allow,
        };
        let tag_key = match &config.tag_key {
            Some(key) if key.expose().len() < KEY_BYTES => {
                return Err(ConfigError::new("tag_key", format!("at least {KEY_BYTES} bytes are needed")));
            }
            Some(key) => TagKey::new(key.expose().as_bytes()),
            // Shared by the pipelines that name this component, and kept over a reload.
            None => TagKey::clone(&*cx.state(random_key)?),
        };
        let masked = |rule: &Rule| cx.counter("throughline_secrets_masked", Some(("rule", rule.name())));
        Ok(Self { scanner: Scanner::new(&settings, tag_key), masked: Rule::ALL.iter().map(masked).collect() })
    }

    fn access(&self) -> AccessPattern {
        AccessPattern { visits: Levels::ALL, writes: Levels::ALL, whole: true, ..AccessPattern::default() }
    }

    fn begin<'a>(&'a self, _: Signal, chunk: &'a Chunk) -> Option<Box<dyn Pass + 'a>> {
        let walk = pass::SecretsPass::new(self, &chunk.bytes)?;
        Some(Box::new(walk))
    }
}

impl Secrets {
    fn count(&self, counts: &Counts) {
        for (rule, count) in counts.iter() {
            self.masked[rule as usize].add(count);
        }
    }
}

/// The port for randomness is not for keys: this comes from the operating system.
fn random_key() -> Result<TagKey, ConfigError> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key)
        .map_err(|error| ConfigError::new("tag_key", format!("the system has no randomness: {error}")))?;
    Ok(TagKey::new(&key))
}
