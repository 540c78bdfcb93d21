//! The rules: what each kind of secret looks like behind its anchor.

mod jwt;
mod names;
mod pairs;
mod pem;
mod tokens;
mod unquoted;
mod url;
mod values;

use std::ops::Range;

use jwt::Jwt;
use names::follows_a_name;
pub(crate) use names::{Quote, is_directory};
pub(crate) use pairs::KEY_STEMS;
use pairs::Pairs;
pub(crate) use tokens::{SHAPES, Shape};
pub(crate) use url::{Userinfo, passwords};

use crate::keys::Keys;

/// A kind of secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rule {
    /// Ids of AWS access keys. The keys themselves have no shape: they are found by name.
    Aws,
    /// GitHub tokens, classic and fine-grained.
    Github,
    /// GitLab tokens.
    Gitlab,
    /// Slack tokens.
    Slack,
    /// The path of a Slack webhook, which is all that protects it.
    SlackWebhook,
    /// JSON Web Tokens, signed or encrypted, expired or not.
    Jwt,
    /// PEM blocks with a private key.
    Pem,
    /// Secret keys of age, which SOPS uses.
    Age,
    /// Stripe keys and webhook secrets.
    Stripe,
    /// npm tokens.
    Npm,
    /// `PyPI` tokens.
    Pypi,
    /// `HashiCorp` Vault tokens.
    Vault,
    /// Docker access tokens.
    Docker,
    /// Google API keys, OAuth client secrets and access tokens.
    Google,
    /// Grafana service account, cloud and legacy keys.
    Grafana,
    /// Sentry tokens and the key in a DSN.
    Sentry,
    /// Anthropic keys.
    Anthropic,
    /// PagerDuty routing keys, found by name and shape.
    Pagerduty,
    /// The password in a URL or connection string.
    Userinfo,
    /// Signatures in signed URLs and requests.
    Signature,
    /// What follows `Bearer` or `Basic`.
    Bearer,
    /// A value in text whose name says that it is secret: `DB_PASSWORD=…`.
    Pair,
    /// A value whose attribute or map key says that it is secret.
    Key,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 23] = [
        Self::Aws,
        Self::Github,
        Self::Gitlab,
        Self::Slack,
        Self::SlackWebhook,
        Self::Jwt,
        Self::Pem,
        Self::Age,
        Self::Stripe,
        Self::Npm,
        Self::Pypi,
        Self::Vault,
        Self::Docker,
        Self::Google,
        Self::Grafana,
        Self::Sentry,
        Self::Anthropic,
        Self::Pagerduty,
        Self::Userinfo,
        Self::Signature,
        Self::Bearer,
        Self::Pair,
        Self::Key,
    ];

    /// The name in replacements, settings and counters. No name holds an anchor, so that a replacement is never masked again.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Slack => "slack",
            Self::SlackWebhook => "slack-webhook",
            Self::Jwt => "jwt",
            Self::Pem => "pem",
            Self::Age => "age",
            Self::Stripe => "stripe",
            Self::Npm => "npm",
            Self::Pypi => "pypi",
            Self::Vault => "vault",
            Self::Docker => "docker",
            Self::Google => "google",
            Self::Grafana => "grafana",
            Self::Sentry => "sentry",
            Self::Anthropic => "anthropic",
            Self::Pagerduty => "pagerduty",
            Self::Userinfo => "userinfo",
            Self::Signature => "signature",
            Self::Bearer => "bearer",
            Self::Pair => "pair",
            Self::Key => "key",
        }
    }

    /// The rule of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

/// A secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) rule: Rule,
    pub(crate) range: Range<usize>,
    /// The quotes to put around what stands in for it: where it stands without any, and JSON would be none without them.
    pub(crate) quote: Option<Quote>,
}

impl Found {
    pub(crate) const fn new(rule: Rule, range: Range<usize>) -> Self {
        Self { rule, range, quote: None }
    }
}

/// What to look for around an anchor.
#[derive(Clone, Copy)]
pub(crate) enum Probe {
    /// A fixed prefix and a run of one class.
    Shape(&'static Shape),
    /// The first or second part of a JSON Web Token.
    Jwt,
    /// `BEGIN `.
    Pem,
    /// `earer ` and `asic `.
    Scheme,
    /// A part of a name that may be secret.
    Name,
}

/// Looks behind the anchors of a text, from front to back. What is remembered from one to the next keeps the work linear.
#[derive(Default)]
pub(crate) struct Probing {
    jwt: Jwt,
    pairs: Pairs,
}

impl Probing {
    /// The secret at an anchor that stands in `text` from `at` to `end`.
    pub(crate) fn find(
        &mut self,
        probe: Probe,
        text: &[u8],
        Range { start: at, end }: Range<usize>,
        keys: &Keys,
        is_on: impl Fn(Rule) -> bool,
    ) -> Option<Found> {
        match probe {
            Probe::Shape(shape) => shape.find(text, end),
            Probe::Jwt => self.jwt.find(text, at),
            Probe::Pem => pem::find(text, at),
            Probe::Scheme => pairs::scheme(text, end),
            Probe::Name => self.pairs.find(text, at, end, keys, is_on),
        }
    }

    /// Whether there may be a secret at an anchor in undivided bytes: yes wherever [`Self::find`] finds one in any part of them.
    pub(crate) fn is_plausible(
        &mut self,
        probe: Probe,
        bytes: &[u8],
        Range { start: at, end }: Range<usize>,
    ) -> bool {
        match probe {
            Probe::Shape(shape) => shape.is_plausible(bytes, end),
            Probe::Jwt => self.jwt.is_plausible(bytes, at),
            Probe::Pem => pem::header(bytes, at).is_some(),
            Probe::Scheme => pairs::scheme(bytes, end).is_some(),
            Probe::Name => follows_a_name(bytes, at, end),
        }
    }
}

/// The anchors of all rules but those of names: the literal, the rules it can lead to, and what to look for.
pub(crate) fn anchors() -> impl Iterator<Item = (&'static str, &'static [Rule], Probe)> {
    let shapes =
        SHAPES.iter().map(|shape| (shape.prefix, std::slice::from_ref(&shape.rule), Probe::Shape(shape)));
    let jwt = jwt::ANCHORS.iter().map(|anchor| (*anchor, &[Rule::Jwt, Rule::Grafana][..], Probe::Jwt));
    let schemes = ["earer ", "asic "].into_iter().map(|anchor| (anchor, &[Rule::Bearer][..], Probe::Scheme));
    shapes.chain(jwt).chain([("BEGIN ", &[Rule::Pem][..], Probe::Pem)]).chain(schemes)
}
