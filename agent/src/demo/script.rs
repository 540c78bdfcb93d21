//! What happens in the demo: everything that a seed decides.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// A change from its opening to production.
#[derive(Clone, Debug)]
pub(super) struct Script {
    seed: u64,
    pub(super) owner: &'static str,
    pub(super) repository: &'static str,
    pub(super) number: u64,
    pub(super) author: &'static str,
    pub(super) reviewer: &'static str,
    /// The pull request's head, and the commit it was squashed into.
    pub(super) head: String,
    pub(super) merge: String,
    pub(super) run: u64,
    pub(super) stack: &'static str,
    /// The step that fails in the first attempt.
    pub(super) failing_step: &'static str,
    /// A token that a careless script fingerprints.
    pub(super) token: String,
    pub(super) webhook_secret: String,
    start: Timestamp,
}

pub(super) const STEPS: [&str; 4] = ["Checkout", "Lint", "Unit tests", "Policy check"];
pub(super) const OWNER_TEAM: &str = "team-network";

impl Script {
    pub(super) fn new(seed: u64, now: Timestamp) -> Self {
        let pick =
            |what: &str, list: &[&'static str]| list[(number(seed, what) % list.len() as u64) as usize];
        let digits = |what: &str| digest(seed, what);
        Self {
            seed,
            owner: pick("owner", &["acme", "globex", "initech", "umbrella"]),
            repository: pick("repository", &["infra-live", "platform", "network", "edge-gateway"]),
            number: 100 + number(seed, "pull request") % 9_000,
            author: pick("author", &["ada", "grace", "linus", "margaret"]),
            reviewer: pick("reviewer", &["barbara", "edsger", "tony", "radia"]),
            head: digits("head")[..40].to_owned(),
            merge: digits("merge")[..40].to_owned(),
            run: 1_000_000 + number(seed, "run") % 9_000_000,
            stack: pick("stack", &["vpc", "dns", "clusters", "identity"]),
            failing_step: pick("step", &STEPS[1..]),
            token: format!("ghp_{}", github_token(&digits("token"))),
            webhook_secret: digits("webhook"),
            // The story took two hours, and ended a minute ago.
            start: now - SignedDuration::from_mins(121),
        }
    }

    /// A moment of the story, in minutes from its beginning.
    pub(super) fn at(&self, minutes: f64) -> Timestamp {
        self.start + SignedDuration::from_millis((minutes * 60_000.0) as i64)
    }

    pub(super) fn nanos(&self, minutes: f64) -> u64 {
        u64::try_from(self.at(minutes).as_nanosecond()).unwrap_or(0)
    }

    /// Another change of the same repository, which does not get far.
    pub(super) fn other(&self) -> Self {
        let head = digest(self.seed, "other head")[..40].to_owned();
        Self { number: self.number + 1, author: self.reviewer, reviewer: self.author, head, ..self.clone() }
    }

    /// An id of the demo's own.
    pub(super) fn id<const N: usize>(&self, what: &str) -> [u8; N] {
        let mut id = [0; N];
        id.copy_from_slice(&Sha256::digest(format!("{}{what}", self.seed))[..N]);
        id
    }
}

fn digest(seed: u64, what: &str) -> String {
    hex::encode(Sha256::digest(format!("throughline demo {seed} {what}")))
}

fn number(seed: u64, what: &str) -> u64 {
    u64::from_str_radix(&digest(seed, what)[..15], 16).unwrap_or(0)
}

/// 36 characters such as GitHub's tokens have, the last six of them a checksum of the others (base 62 of CRC-32).
fn github_token(entropy: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let body = &entropy[..30];
    let mut checksum = u64::from(crc32fast::hash(body.as_bytes()));
    let mut tail = [b'0'; 6];
    for slot in tail.iter_mut().rev() {
        *slot = DIGITS[(checksum % 62) as usize];
        checksum /= 62;
    }
    format!("{body}{}", String::from_utf8_lossy(&tail))
}
