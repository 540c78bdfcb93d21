//! Which literals share a bucket.
//!
//! A bucket passes the *product* of what its literals have at each place: `ghp_` and `ghs_` together pass hardly more than
//! each alone, `ghp_` and `toke` a lot. So how literals are dealt out decides how often the slow comparison runs, and
//! nothing else: a change here costs speed only.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::anchors::Literal;

pub(crate) const BUCKETS: usize = 8;
/// Bytes of a literal that are looked up.
pub(crate) const PLACES: usize = 4;

/// For each place, by the low and by the high half of the byte there: which buckets have such a byte.
#[derive(Clone, Debug)]
pub(crate) struct Tables(pub(crate) [[[u8; 16]; 2]; PLACES]);

impl Tables {
    pub(crate) fn new(literals: &[Literal], buckets: &[Vec<usize>; BUCKETS]) -> Self {
        let mut tables = [[[0; 16]; 2]; PLACES];
        for (bucket, numbers) in buckets.iter().enumerate() {
            let sets = numbers.iter().fold(Sets::default(), |sets, number| sets.with(&literals[*number]));
            for (table, set) in tables.iter_mut().zip(sets.0) {
                for (half, members) in table.iter_mut().zip([set.lows, set.highs]) {
                    for (value, passed) in half.iter_mut().enumerate() {
                        *passed |= u8::from(members & 1 << value != 0) << bucket;
                    }
                }
            }
        }
        Self(tables)
    }
}

/// Deals the literals out: each to the bucket that lets the least through with it, and again once all are placed.
pub(crate) fn deal(literals: &[Literal]) -> [Vec<usize>; BUCKETS] {
    const ROUNDS: usize = 3;
    let mut buckets: [Vec<usize>; BUCKETS] = Default::default();
    for number in (0..ROUNDS).flat_map(|_| 0..literals.len()) {
        buckets.iter_mut().for_each(|members| members.retain(|member| *member != number));
        let more = |members: &Vec<usize>| {
            let sets = members.iter().fold(Sets::default(), |sets, member| sets.with(&literals[*member]));
            sets.with(&literals[number]).cost() - sets.cost()
        };
        if let Some(best) = buckets.iter_mut().min_by_key(|members| more(members)) {
            best.push(number);
        }
    }
    buckets.iter_mut().for_each(|members| members.sort_unstable());
    buckets
}

/// How often a text passes where the window of this literal is looked up, in 10⁻¹².
pub(crate) fn frequency(literal: &Literal) -> u64 {
    Sets::default().with(literal).cost()
}

/// What a bucket passes at each place.
#[derive(Clone, Copy, Default)]
struct Sets([Set; PLACES]);

/// The low and high halves of bytes: bit by bit.
#[derive(Clone, Copy, Default)]
struct Set {
    lows: u16,
    highs: u16,
}

impl Sets {
    fn with(mut self, literal: &Literal) -> Self {
        for (place, set) in self.0.iter_mut().enumerate() {
            match literal.bytes_at(place) {
                Some(bytes) => {
                    for byte in bytes {
                        set.lows |= 1 << (byte & 15);
                        set.highs |= 1 << (byte >> 4);
                    }
                }
                None => *set = Set { lows: u16::MAX, highs: u16::MAX },
            }
        }
        self
    }

    /// How often a place in a text passes, in 10⁻¹²: as bytes that know nothing of each other would, and as a sample does.
    fn cost(&self) -> u64 {
        let bytes: u64 = self.0.iter().map(Set::frequency).product();
        bytes + self.passed() * (1_000_000_000_000 / SAMPLE.len() as u64)
    }

    /// How many places of the sample pass.
    fn passed(&self) -> u64 {
        let [first, others @ ..] = &self.0;
        let mut passed = 0;
        for (_, windows) in WINDOWS.iter().filter(|(byte, _)| first.has(**byte)) {
            for window in windows {
                passed += u64::from(others.iter().zip(window).all(|(set, byte)| set.has(*byte)));
            }
        }
        passed
    }
}

/// The windows of the sample, by their first bytes.
static WINDOWS: LazyLock<BTreeMap<u8, Vec<[u8; PLACES - 1]>>> = LazyLock::new(|| {
    let mut windows: BTreeMap<u8, Vec<_>> = BTreeMap::new();
    for window in SAMPLE.as_bytes().windows(PLACES) {
        let (first, others) = (window[0], [window[1], window[2], window[3]]);
        windows.entry(first).or_default().push(others);
    }
    windows
});

impl Set {
    fn has(&self, byte: u8) -> bool {
        self.lows & 1 << (byte & 15) != 0 && self.highs & 1 << (byte >> 4) != 0
    }

    /// How often a byte is in the set, in per mille.
    fn frequency(&self) -> u64 {
        let of_high = |high: usize| -> u32 {
            let row = high.checked_sub(2).and_then(|row| FREQUENCY.get(row));
            (0..16).filter(|low| self.lows & 1 << low != 0).map(|low| row.map_or(OTHER, |row| row[low])).sum()
        };
        (0..16).filter(|high| self.highs & 1 << high != 0).map(|high| u64::from(of_high(high))).sum()
    }
}

/// How often telemetry has each printable byte, in per mille: by high half from 2, then by low half. Names of
/// attributes, hexadecimal digits, paths and hosts; what is not here is framing and rare.
const FREQUENCY: [[u32; 16]; 6] = [
    //  !  "  #  $  %  &  '  (  )  *  +  ,  -  .  /
    [20, 2, 8, 3, 1, 1, 1, 2, 2, 2, 1, 1, 3, 12, 35, 25],
    // 0 to 9 : ; < = > ?
    [30, 30, 22, 20, 20, 20, 18, 18, 20, 18, 8, 2, 1, 4, 1, 1],
    // @ A to O
    [5, 4, 2, 3, 2, 4, 2, 2, 2, 4, 1, 1, 3, 3, 3, 3],
    // P to Z [ \ ] ^ _
    [4, 1, 4, 4, 4, 2, 1, 1, 3, 1, 1, 2, 2, 2, 1, 20],
    // ` a to o
    [1, 50, 20, 35, 35, 75, 20, 15, 20, 40, 4, 10, 28, 25, 40, 45],
    // p to z { | } ~
    [28, 3, 45, 45, 55, 22, 10, 8, 6, 10, 4, 2, 1, 2, 1, 1],
];
/// What telemetry is made of: bytes come in words, and some words are everywhere.
const SAMPLE: &str = "service.name service.version service.namespace deployment.environment.name production \
    http.request.method GET POST http.response.status_code http.route url.full https://github.com/example/shop/actions/runs/ \
    host.name k8s.pod.name k8s.namespace.name k8s.deployment.name container.image.name telemetry.sdk.language \
    vcs.repository.url.full vcs.ref.head.revision refs/heads/main origin/main cicd.pipeline.run.id \
    cicd.pipeline.task.name change_id pull_request commit_sha trace_id span_id server.address client.address \
    user_agent.original exception.message exception.stacktrace error.type db.system postgresql \
    messaging.destination.name application/json content-type text/plain started completed failed success warning \
    code.file.path url.path cloud.region eu-central-1 us-east-1 github.com checkout checks thread.name library package internal response request origin original change charge resource";

/// How often it has any other byte.
const OTHER: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_literal_is_dealt_once_and_likes_share_a_bucket() {
        let literals: Vec<_> =
            (0..40).map(|n| Literal::exact(&format!("{}{:02x}", ["aaa", "zzz"][n % 2], n))).collect();
        let buckets = deal(&literals);
        let mut all = buckets.concat();
        all.sort_unstable();
        assert_eq!(all, (0..literals.len()).collect::<Vec<_>>());
        let mixed =
            |numbers: &Vec<usize>| numbers.iter().any(|n| n % 2 == 0) && numbers.iter().any(|n| n % 2 == 1);
        assert!(!buckets.iter().any(mixed), "{buckets:?}");
    }
}
