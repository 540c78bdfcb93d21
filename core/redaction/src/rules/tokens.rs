//! Tokens with a prefix of their own: the prefix, then a run of one class.

use super::{Found, Rule};
use crate::allow;
use crate::class::{ALPHANUMERIC, BASE64URL, CAPITALS, Class, DOTTED, PATH, TOKEN68, TOKEN68_IN_URL, WORD};

/// A prefix, and what must follow it.
pub(crate) struct Shape {
    pub(crate) rule: Rule,
    pub(crate) prefix: &'static str,
    class: Class,
    least: usize,
    /// Whether the prefix stays readable.
    keep: bool,
    /// How the prefix goes on, where it does so in several ways: the length of the rest, `None` if it is another word.
    rest: fn(&[u8]) -> Option<usize>,
}

const fn shape(rule: Rule, prefix: &'static str, class: Class, least: usize) -> Shape {
    Shape { rule, prefix, class, least, keep: false, rest: |_| Some(0) }
}

const fn keeping_prefix(shape: Shape) -> Shape {
    Shape { keep: true, ..shape }
}

const fn going_on(rest: fn(&[u8]) -> Option<usize>, shape: Shape) -> Shape {
    Shape { rest, ..shape }
}

/// Slack's letters: bot, user, configuration, cookie and so on.
fn slack(after: &[u8]) -> Option<usize> {
    let known =
        matches!(after, [b'a' | b'b' | b'c' | b'd' | b'e' | b'o' | b'p' | b'r' | b's', b'-' | b'.', ..]);
    known.then_some(2)
}

/// A slash, or one that JSON spells `\\/`.
fn slash(after: &[u8]) -> Option<usize> {
    match after {
        [b'/', ..] => Some(1),
        [b'\\', b'/', ..] => Some(2),
        _ => None,
    }
}

/// All of them. No prefix is the start of another.
pub(crate) static SHAPES: [Shape; 38] = [
    shape(Rule::Aws, "AKIA", CAPITALS, 16),
    shape(Rule::Aws, "ASIA", CAPITALS, 16),
    shape(Rule::Github, "ghp_", ALPHANUMERIC, 30),
    shape(Rule::Github, "gho_", ALPHANUMERIC, 30),
    shape(Rule::Github, "ghu_", ALPHANUMERIC, 30),
    shape(Rule::Github, "ghs_", ALPHANUMERIC, 30),
    shape(Rule::Github, "ghr_", ALPHANUMERIC, 30),
    shape(Rule::Github, "github_pat_", WORD, 36),
    shape(Rule::Gitlab, "glpat-", DOTTED, 20),
    shape(Rule::Gitlab, "gldt-", DOTTED, 20),
    shape(Rule::Gitlab, "glrt-", DOTTED, 20),
    shape(Rule::Gitlab, "glptt-", DOTTED, 20),
    shape(Rule::Gitlab, "glcbt-", DOTTED, 20),
    // Cookies (`xoxd-`) are spelled as URLs spell them, some tokens have a slash in them.
    going_on(slack, shape(Rule::Slack, "xox", TOKEN68_IN_URL, 10)),
    shape(Rule::Slack, "xapp-", TOKEN68_IN_URL, 10),
    going_on(slash, keeping_prefix(shape(Rule::SlackWebhook, "hooks.slack.com", PATH, 20))),
    shape(Rule::Age, "AGE-SECRET-KEY-", CAPITALS, 40),
    shape(Rule::Stripe, "sk_live_", ALPHANUMERIC, 16),
    shape(Rule::Stripe, "rk_live_", ALPHANUMERIC, 16),
    shape(Rule::Stripe, "sk_test_", ALPHANUMERIC, 16),
    shape(Rule::Stripe, "rk_test_", ALPHANUMERIC, 16),
    shape(Rule::Stripe, "whsec_", TOKEN68, 24),
    shape(Rule::Npm, "npm_", ALPHANUMERIC, 36),
    shape(Rule::Pypi, "pypi-", BASE64URL, 50),
    shape(Rule::Vault, "hvs.", BASE64URL, 20),
    shape(Rule::Vault, "hvb.", BASE64URL, 20),
    shape(Rule::Vault, "hvr.", BASE64URL, 20),
    shape(Rule::Docker, "dckr_pat_", BASE64URL, 20),
    shape(Rule::Docker, "dckr_oat_", BASE64URL, 20),
    shape(Rule::Google, "AIza", BASE64URL, 35),
    shape(Rule::Google, "GOCSPX-", BASE64URL, 20),
    shape(Rule::Google, "ya29.", DOTTED, 20),
    shape(Rule::Grafana, "glsa_", WORD, 32),
    shape(Rule::Grafana, "glc_", TOKEN68, 32),
    shape(Rule::Sentry, "sntrys_", TOKEN68, 32),
    shape(Rule::Sentry, "sntryu_", TOKEN68, 32),
    shape(Rule::Anthropic, "sk-ant-", BASE64URL, 24),
    keeping_prefix(shape(Rule::Signature, "sig=", Class::alphanumeric_and(b"%+/_-="), 20)),
];

impl Shape {
    /// Whether enough follows a prefix that ends at `end`.
    pub(super) fn is_plausible(&self, bytes: &[u8], end: usize) -> bool {
        let rest = (self.rest)(bytes.get(end..).unwrap_or_default());
        rest.is_some_and(|rest| self.class.run_spelled(bytes, end + rest, self.least) >= self.least)
    }

    /// The token whose prefix ends at `end`.
    pub(super) fn find(&self, text: &[u8], end: usize) -> Option<Found> {
        let (before, end) =
            (end - self.prefix.len(), end + (self.rest)(text.get(end..).unwrap_or_default())?);
        let run = self.class.run_spelled(text, end, usize::MAX);
        let mut body = &text[end..end + run];
        // The end of a sentence.
        while let [rest @ .., b'.'] = body {
            body = rest;
        }
        let run = body.len();
        let start = if self.keep { end } else { before };
        (run >= self.least && !allow::is_example(body)).then(|| Found::new(self.rule, start..end + run))
    }
}
