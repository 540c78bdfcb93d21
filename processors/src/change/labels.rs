//! Reading the labels of one record, in one look at its attributes.

use std::sync::LazyLock;

use throughline_change::Sha;
use throughline_change::labels::{
    COMMIT, COPIED, PULL_REQUEST, REPOSITORY, environment, respelt_environment,
};
use throughline_otlp::view::{AnyValue, Attributes, KeyValue};

/// What a record says of its own change and place.
#[derive(Clone, Default)]
pub(super) struct Identifiers<'a> {
    /// As it stands there: neighbours mostly have the same, and need not be read again.
    pub(super) repository: Best<&'a [u8]>,
    pub(super) pull_request: Best<u64>,
    pub(super) commit: Best<Sha>,
    pub(super) merge_commit: Option<Sha>,
    /// Which of the labels are there already.
    pub(super) has: Has,
    /// Whether there may be labels to copy, see [`copied`].
    pub(super) copies: bool,
    /// The environment in its one spelling, if it is there in another.
    pub(super) environment: Option<&'static str>,
}

/// The value of the best of several attributes that name one thing.
#[derive(Clone, Copy)]
pub(super) struct Best<T> {
    pub(super) value: Option<T>,
    rank: u8,
}

impl<T> Default for Best<T> {
    fn default() -> Self {
        Self { value: None, rank: u8::MAX }
    }
}

impl<T> Best<T> {
    fn offer(&mut self, rank: u8, value: Option<T>) {
        if value.is_some() && rank < self.rank {
            *self = Self { value, rank };
        }
    }
}

/// Labels that are there and must not be overwritten.
#[derive(Clone, Copy, Default)]
pub(super) struct Has {
    pub(super) change_id: bool,
    pub(super) commit_sha: bool,
    pub(super) pull_request: bool,
    pub(super) repository: bool,
}

/// What an attribute of interest is to us; the number is its rank among its like.
#[derive(Clone, Copy)]
enum Role {
    ChangeId,
    MergeCommit,
    Commit(u8),
    PullRequest(u8),
    Repository(u8),
    /// A copied label itself.
    Label(u8),
    /// One of its inputs.
    Input(u8, u8),
}

/// A key of interest, and what it is.
type KeyRole = (&'static [u8], Role);

/// Keys of interest, and where each is by its length and ends, by which alone most attributes are ruled out.
struct Roles {
    /// One more than the key's number; zero if there is none. No two keys share a slot.
    slots: [u8; 256],
    known: Vec<KeyRole>,
}

static ROLES: LazyLock<Roles> = LazyLock::new(|| {
    let mut roles = vec![("change_id", Role::ChangeId), ("throughline.merge_commit_sha", Role::MergeCommit)];
    let ranked = |list: &'static [&'static str]| list.iter().copied().zip(0_u8..);
    roles.extend(ranked(COMMIT).map(|(key, rank)| (key, Role::Commit(rank))));
    roles.extend(ranked(PULL_REQUEST).map(|(key, rank)| (key, Role::PullRequest(rank))));
    roles.extend(ranked(REPOSITORY).map(|(key, rank)| (key, Role::Repository(rank))));
    for ((label, inputs), index) in COPIED.iter().zip(0_u8..) {
        roles.push((label, Role::Label(index)));
        roles.extend(ranked(inputs).map(|(key, rank)| (key, Role::Input(index, rank))));
    }
    let known: Vec<KeyRole> = roles.into_iter().map(|(key, role)| (key.as_bytes(), role)).collect();
    let mut slots = [0; 256];
    for ((key, _), number) in known.iter().zip(1..) {
        slots[usize::from(slot(key))] = number;
    }
    Roles { slots, known }
});

/// Where a key of interest is found.
#[inline]
fn slot(key: &[u8]) -> u8 {
    let [first, .., last] = key else { return 0 };
    (key.len() as u8) ^ first.wrapping_mul(7) ^ last.wrapping_mul(21)
}

impl<'a> Identifiers<'a> {
    pub(super) fn read(attributes: Attributes<'a>) -> Self {
        let mut seen = Self::default();
        roles(attributes, |role, pair| seen.take(role, pair));
        seen
    }

    fn take(&mut self, role: Role, pair: KeyValue<'a>) {
        match role {
            Role::ChangeId => self.has.change_id = true,
            Role::MergeCommit => self.merge_commit = pair.text_bytes().and_then(Sha::parse),
            Role::Commit(rank) => {
                self.has.commit_sha |= rank == 0;
                self.commit.offer(rank, pair.text_bytes().and_then(Sha::parse));
            }
            Role::PullRequest(rank) => {
                self.has.pull_request |= rank == 0;
                self.pull_request.offer(rank, number(pair.value()));
            }
            Role::Repository(rank) => {
                self.has.repository |= rank == 0;
                self.repository.offer(rank, pair.text_bytes());
            }
            Role::Label(ENVIRONMENT) => {
                self.environment = pair.value().as_str().and_then(respelt_environment);
            }
            Role::Label(_) => {}
            Role::Input(..) => self.copies = true,
        }
    }
}

/// The place of `environment` in [`COPIED`].
const ENVIRONMENT: u8 = 0;

/// Gives each attribute of interest to `take`.
fn roles<'a>(attributes: Attributes<'a>, mut take: impl FnMut(Role, KeyValue<'a>)) {
    let roles = &*ROLES;
    attributes.pairs().for_each(|pair| {
        let key = pair.key_bytes();
        let number = usize::from(roles.slots[usize::from(slot(key))]);
        if let Some((known, role)) = number.checked_sub(1).and_then(|number| roles.known.get(number))
            && *known == key
        {
            take(*role, pair);
        }
    });
}

/// Labels to copy, with their values: those that are not there yet.
pub(super) fn copied(attributes: Attributes<'_>) -> Vec<(&'static str, String)> {
    let (own, inputs) = bounded(attributes);
    let missing = COPIED.iter().zip(inputs).zip(own).filter(|(_, own)| own.is_none());
    missing.filter_map(|(((label, _), input), _)| Some((*label, spelt(label, input.value?)))).collect()
}

/// All bounded labels that attributes give, with their values.
pub(super) fn known(attributes: Attributes<'_>) -> Vec<(&'static str, String)> {
    let (own, inputs) = bounded(attributes);
    let each = COPIED.iter().zip(own).zip(inputs);
    each.filter_map(|(((label, _), own), input)| Some((*label, spelt(label, own.flatten().or(input.value)?))))
        .collect()
}

/// For each label its own value, of which nothing is known if it is no text, and the best of its inputs.
type Bounded<'a> = ([Option<Option<&'a str>>; COPIED.len()], [Best<&'a str>; COPIED.len()]);

fn bounded(attributes: Attributes<'_>) -> Bounded<'_> {
    let mut own = [None; COPIED.len()];
    let mut inputs = [Best::default(); COPIED.len()];
    roles(attributes, |role, pair| match role {
        Role::Label(index) => own[usize::from(index)] = Some(pair.value().as_str()),
        Role::Input(index, rank) => inputs[usize::from(index)].offer(rank, pair.value().as_str()),
        _ => {}
    });
    (own, inputs)
}

fn spelt(label: &str, value: &str) -> String {
    if label == COPIED[usize::from(ENVIRONMENT)].0 { environment(value).to_owned() } else { value.to_owned() }
}

/// Pull request numbers come as integers and as text.
fn number(value: AnyValue<'_>) -> Option<u64> {
    match value {
        AnyValue::Int(number) => u64::try_from(number).ok(),
        AnyValue::Str(text) => text.trim_start_matches('#').parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_interest_is_found_where_it_is_looked_for() {
        for (number, (key, _)) in ROLES.known.iter().enumerate() {
            let found = usize::from(ROLES.slots[usize::from(slot(key))]);
            assert_eq!(found, number + 1, "{}", String::from_utf8_lossy(key));
        }
    }
}
