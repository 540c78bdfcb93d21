//! The names of repositories, commits and changes.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// Names of repositories are no longer: each record below a resource that names one gets it.
const LONGEST_REPOSITORY: usize = 256;

/// A repository: `host/owner/name`, lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository(Arc<str>);

impl Repository {
    /// Reads `host/owner/name`, a clone address (`https://…`, `ssh://…`, `git@host:owner/name.git`), or nothing else.
    /// Credentials in an address are left out. Owners may have several parts (GitLab groups).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (host, path) = match text.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?,
            None => match text.split_once(':') {
                Some((host, path)) if !host.contains('/') && host.contains('@') => (host, path),
                _ => text.split_once('/')?,
            },
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let host = host.split_once(':').map_or(host, |(host, _)| host);
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let sane = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && b != b'@');
        let named = host.contains('.') || host == "localhost";
        let parts = path.split('/').count();
        let short = host.len() + path.len() < LONGEST_REPOSITORY;
        (short && named && sane(host) && parts >= 2 && path.split('/').all(sane))
            .then(|| Self(format!("{host}/{path}").to_ascii_lowercase().into()))
    }

    /// `host/owner/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A full commit id: SHA-1 (40 hexadecimal digits) or SHA-256 (64). Prefixes name no commit: they may be ambiguous.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sha([u8; 32]);

/// Bytes of a SHA-1. Behind it there are zeros, by which it is told from a SHA-256.
const SHA1: usize = 20;

impl Sha {
    /// Reads 40 or 64 hexadecimal digits of any case. All zeros is git's word for "nothing" and no commit; nor is a SHA-256
    /// that ends in 96 zero bits, which nobody will ever see.
    pub fn parse(text: impl AsRef<[u8]>) -> Option<Self> {
        let text = text.as_ref();
        let mut bytes = [0; 32];
        if !matches!(text.len(), 40 | 64) {
            return None;
        }
        decode(text, &mut bytes)?;
        let sha = Self(bytes);
        (sha.bytes().len() * 2 == text.len() && bytes != [0; 32]).then_some(sha)
    }

    fn bytes(&self) -> &[u8] {
        let (first, rest) = self.0.split_at(SHA1);
        if rest.iter().all(|byte| *byte == 0) { first } else { &self.0 }
    }

    /// The lower-case digits, written into `into`.
    pub fn hex<'b>(&self, into: &'b mut [u8; 64]) -> &'b str {
        let bytes = self.bytes();
        let digits = &mut into[..2 * bytes.len()];
        // The buffer is as long as it must be, and digits are ASCII.
        hex::encode_to_slice(bytes, digits).map_or("", |()| std::str::from_utf8(digits).unwrap_or(""))
    }
}

/// Reads hexadecimal digits, eight at a time: every signal's commit is read.
fn decode(text: &[u8], into: &mut [u8; 32]) -> Option<()> {
    let mut wrong = 0;
    for (digits, bytes) in text.as_chunks::<8>().0.iter().zip(into.as_chunks_mut::<4>().0) {
        let (value, no_digits) = eight_digits(u64::from_le_bytes(*digits));
        *bytes = value.to_le_bytes();
        wrong |= no_digits;
    }
    (wrong == 0).then_some(())
}

/// The bytes that eight digits stand for, and a bit for each of them that is no hexadecimal digit. Each operation works on
/// all eight at once.
fn eight_digits(text: u64) -> (u32, u64) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x80 * ONES;
    // The top bit of a byte says whether it is at least this; right for all bytes below 128.
    let at_least = |bytes: u64, least: u64| bytes.wrapping_add((0x80 - least) * ONES);
    let lower = text | (0x20 * ONES);
    let digit = at_least(text, 0x30) & !at_least(text, 0x3a);
    let letter = at_least(lower, 0x61) & !at_least(lower, 0x67);
    let wrong = (!(digit | letter) | text) & TOPS;
    // The low half of `A` and `a` is 1, and only letters have bit 6.
    let halves = (text & (0x0f * ONES)) + 9 * (text >> 6 & ONES);
    let bytes = (halves << 4 | halves >> 8) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    ((pairs | pairs >> 16) as u32, wrong)
}

impl Hash for Sha {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Every byte: whoever may leave some out can be sent commits that differ only there.
        self.0.as_chunks::<8>().0.iter().for_each(|word| state.write_u64(u64::from_le_bytes(*word)));
    }
}

/// Hashes commits by NH (Black et al., *UMAC*, 1999) in a quarter of the time of SipHash: two products of sums with secret
/// words. Two commits share a product with a probability of 2⁻⁶⁴, whoever chose them: nobody outside knows the words.
#[derive(Clone, Debug)]
pub(crate) struct BuildShaHasher([u64; 4]);

impl Default for BuildShaHasher {
    fn default() -> Self {
        let secret = std::hash::RandomState::new();
        Self([0_u8, 1, 2, 3].map(|word| secret.hash_one(word)))
    }
}

impl BuildHasher for BuildShaHasher {
    type Hasher = ShaHasher;
    fn build_hasher(&self) -> ShaHasher {
        ShaHasher { secret: self.0, before: 0, words: 0, sum: 0 }
    }
}

pub(crate) struct ShaHasher {
    secret: [u64; 4],
    /// The sum that waits for its other factor.
    before: u64,
    words: usize,
    sum: u128,
}

impl Hasher for ShaHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        let factor = word.wrapping_add(self.secret[self.words % 4]);
        if self.words % 2 == 1 {
            self.sum = self.sum.wrapping_add(u128::from(self.before) * u128::from(factor));
        }
        self.before = factor;
        self.words += 1;
    }

    #[inline]
    fn finish(&self) -> u64 {
        // Tables take the topmost and the lowest bits: both must depend on all of the product.
        let folded = (self.sum as u64) ^ (self.sum >> 64) as u64;
        folded.wrapping_mul(self.secret[0] | 1).rotate_left(26)
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hex(&mut [0; 64]))
    }
}

impl fmt::Debug for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a change: `repository#pull_request`, or `repository@commit` where there was no pull request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChangeId(Arc<str>);

impl ChangeId {
    /// A pull request's change.
    pub fn of_pull_request(repository: &Repository, number: u64) -> Self {
        Self(format!("{repository}#{number}").into())
    }

    /// The change of a commit that belongs to no pull request.
    pub fn of_commit(repository: &Repository, commit: Sha) -> Self {
        Self(format!("{repository}@{commit}").into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The change in one place (PRP-01): `repository#pull_request@commit_sha:environment/stack-or-application`.
    pub fn unit(&self, commit: Option<Sha>, environment: &str, target: &str) -> String {
        let own = self.0.contains('@');
        match commit {
            Some(commit) if !own => format!("{self}@{commit}:{environment}/{target}"),
            _ => format!("{self}:{environment}/{target}"),
        }
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number's digits, without an allocation.
pub(crate) fn decimal(mut number: u64, into: &mut [u8; 20]) -> &str {
    let mut at = into.len();
    loop {
        at -= 1;
        into[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&into[at..]).unwrap_or_default();
        }
    }
}

/// The key of a change: the first 16 bytes of SHA-256 over its length-prefixed canonical id. It stands for the id in
/// URLs, paths, labels and exemplars, and is the trace id of the change.
pub fn change_key(id: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update((id.len() as u64).to_be_bytes());
    hash.update(id.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_repository_have_one_name() {
        let name = Some("github.com/acme/infra-live".to_owned());
        for text in [
            "github.com/Acme/Infra-Live",
            "https://github.com/acme/infra-live.git",
            "https://user:token@github.com/acme/infra-live",
            "git@github.com:acme/infra-live.git",
            "ssh://git@github.com:22/acme/infra-live.git",
        ] {
            assert_eq!(Repository::parse(text).map(|r| r.as_str().to_owned()), name, "{text}");
        }
        let long = format!("github.com/acme/{}", "a".repeat(300));
        for text in ["", "acme", "acme/infra-live", "https://github.com/acme", "a b.c/d/e", &long] {
            assert_eq!(Repository::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_full_commit_ids_are_commits() {
        let sha = "0123456789abcdef0123456789ABCDEF01234567";
        assert_eq!(Sha::parse(sha).map(|s| s.to_string()), Some(sha.to_ascii_lowercase()));
        assert!(Sha::parse("f".repeat(64)).is_some());
        for at in 0..40 {
            for byte in 0..=u8::MAX {
                let mut text = *b"0123456789abcdef0123456789abcdef01234567";
                text[at] = byte;
                let read = Sha::parse(text).map(|sha| sha.to_string().into_bytes());
                let expected = byte.is_ascii_hexdigit().then(|| text.to_ascii_lowercase());
                assert_eq!(read, expected, "{byte} at {at}");
            }
        }
        assert_eq!(Sha::parse(format!("{}{}", "1".repeat(40), "0".repeat(24))), None);
        for text in ["", "0123456", &"0".repeat(40), &"0".repeat(64), &"g".repeat(40)] {
            assert_eq!(Sha::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn commits_that_differ_in_any_one_byte_do_not_share_a_bucket() {
        let build = BuildShaHasher::default();
        let base = [0x5a; 32];
        let mut forged: Vec<Sha> = vec![Sha(base)];
        for at in 0..32 {
            for byte in (0..=u8::MAX).filter(|byte| *byte != base[at]) {
                let mut bytes = base;
                bytes[at] = byte;
                forged.push(Sha(bytes));
            }
        }
        let hashes: std::collections::HashSet<u64> = forged.iter().map(|sha| build.hash_one(sha)).collect();
        assert_eq!(hashes.len(), forged.len());
        for bits in [0..13, 51..64] {
            let bucket = |hash: &u64| hash >> bits.start & ((1 << bits.len()) - 1);
            let mut buckets = std::collections::HashMap::<u64, usize>::new();
            hashes.iter().for_each(|hash| *buckets.entry(bucket(hash)).or_default() += 1);
            let fullest = buckets.values().max().copied().unwrap_or_default();
            assert!(fullest < 24, "{fullest} of {} commits in one of 8192 buckets", hashes.len());
        }
    }

    #[test]
    fn hashes_of_two_tables_have_nothing_in_common() {
        let sha = Sha([7; 32]);
        assert_ne!(BuildShaHasher::default().hash_one(sha), BuildShaHasher::default().hash_one(sha));
    }

    #[test]
    fn a_key_is_the_hash_of_the_length_prefixed_id() {
        // printf '\0\0\0\0\0\0\0\x16github.com/acme/live#7' | sha256sum
        let id = "github.com/acme/live#7";
        assert_eq!(id.len(), 0x16);
        let mut hash = Sha256::new();
        hash.update(b"\0\0\0\0\0\0\0\x16github.com/acme/live#7");
        assert_eq!(change_key(id)[..], hash.finalize()[..16]);
    }

    #[test]
    fn a_unit_has_the_five_parts_of_prp_01() {
        let repository = Repository::parse("github.com/acme/live").expect("a name");
        let sha = Sha::parse("a".repeat(40));
        let id = ChangeId::of_pull_request(&repository, 7);
        let unit = format!("github.com/acme/live#7@{}:production/network", "a".repeat(40));
        assert_eq!(id.unit(sha, "production", "network"), unit);
    }
}
