//! Which change a signal belongs to.
//!
//! The state is a set of claims and the answers are functions of that set, so any order and any repetition of the same
//! claims gives the same answers. Identity and membership are two relations: a pull request, its heads and its merge
//! commit are one change; a commit that several pull requests claim *carries* them, and two never become one.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::id::{BuildShaHasher, decimal};
use crate::{ChangeId, Repository, Sha};

/// Something a source knows for certain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claim {
    /// The commit is a head of the pull request, or its merge or squash commit once it was merged. (GitHub's
    /// `merge_commit_sha` of an open pull request is a test merge and must not be claimed.)
    PullRequestCommit(Repository, u64, Sha),
    /// The commit exists in the repository.
    Commit(Repository, Sha),
}

/// A repository that an [`Identity`] knows by number: names are long and looked up once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepositoryIndex(u32);

/// What a signal knows about its change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint {
    /// The repository, if it is named; see [`Identity::intern`].
    pub repository: Option<RepositoryIndex>,
    /// The pull request, if it is named.
    pub pull_request: Option<u64>,
    /// The commit, if it is named.
    pub commit: Option<Sha>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution<'a> {
    /// It belongs to a change.
    Linked(Link<'a>),
    /// More than one repository claims the commit.
    Ambiguous,
    /// Nothing is known about it.
    Unknown,
}

/// The change of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its repository.
    pub repository: &'a Repository,
    /// What it is called after; of several changes that a commit carries, the newest.
    name: Name,
    /// The pull requests that the commit carries, if there are several; empty otherwise.
    several: &'a [u64],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    PullRequest(u64),
    Commit(Sha),
}

impl Link<'_> {
    /// Its pull request, if it has one.
    pub fn pull_request(&self) -> Option<u64> {
        match self.name {
            Name::PullRequest(number) => Some(number),
            Name::Commit(_) => None,
        }
    }

    /// The change; of several that a commit carries, the newest.
    pub fn change_id(&self) -> ChangeId {
        match self.name {
            Name::PullRequest(number) => ChangeId::of_pull_request(self.repository, number),
            Name::Commit(sha) => ChangeId::of_commit(self.repository, sha),
        }
    }

    /// The text of [`Self::change_id`], written over what is in `into`.
    pub fn write_change_id(&self, into: &mut String) {
        into.clear();
        into.push_str(self.repository.as_str());
        match self.name {
            Name::PullRequest(number) => {
                into.push('#');
                into.push_str(decimal(number, &mut [0; 20]));
            }
            Name::Commit(sha) => {
                into.push('@');
                into.push_str(sha.hex(&mut [0; 64]));
            }
        }
    }

    /// All changes, if the commit carries several; empty otherwise.
    pub fn change_ids(&self) -> Vec<ChangeId> {
        self.several.iter().map(|number| ChangeId::of_pull_request(self.repository, *number)).collect()
    }
}

/// A change has a new name: what was exported under the old one is never rewritten, readers resolve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The name that was given out.
    pub old: ChangeId,
    /// The name from now on.
    pub new: ChangeId,
}

/// What a claim taught.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Whether it was new.
    pub new: bool,
    /// The claim would have broken a bound and was not taken.
    pub refused: bool,
    /// A name that changed by it.
    pub superseded: Option<Superseded>,
}

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Commits; beyond it the one claimed longest ago is forgotten.
    pub commits: usize,
    /// Pull requests that one commit may carry.
    pub changes_per_commit: usize,
    /// Repositories that may claim one commit (forks, mirrors).
    pub repositories_per_commit: usize,
    /// Repositories; what names another is not linked by it.
    pub repositories: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { commits: 200_000, changes_per_commit: 64, repositories_per_commit: 16, repositories: 50_000 }
    }
}

/// All claims.
#[derive(Debug, Default)]
pub struct Identity {
    bounds: Bounds,
    repositories: Vec<Repository>,
    numbers: HashMap<Repository, RepositoryIndex>,
    commits: HashMap<Sha, Claimants, BuildShaHasher>,
    /// Commits in the order of their first claim, for forgetting.
    order: VecDeque<Sha>,
    forgotten: u64,
}

/// The repositories that claim a commit. With its commit it fills one line of the processor's cache: memory is slow, and
/// every signal's commit is looked up.
#[derive(Clone, Debug)]
struct Claimants {
    first: Claimant,
    others: Option<Box<Many<Claimant>>>,
}

/// A repository that claims a commit, and its pull requests that do.
#[derive(Clone, Debug)]
struct Claimant {
    repository: RepositoryIndex,
    /// Whether the name `repository@commit` was given out, so that a new one must be announced.
    named: bool,
    pull_requests: PullRequests,
}

/// Numbers in ascending order.
#[derive(Clone, Debug)]
enum PullRequests {
    None,
    One(u64),
    Several(Box<Many<u64>>),
}

/// So that what is rare takes one word where it is not.
#[derive(Clone, Debug)]
struct Many<T>(Vec<T>);

impl Claimants {
    fn iter(&self) -> impl Iterator<Item = &Claimant> {
        std::iter::once(&self.first).chain(self.others.iter().flat_map(|others| &others.0))
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Claimant> {
        std::iter::once(&mut self.first).chain(self.others.iter_mut().flat_map(|others| &mut others.0))
    }

    /// The only one.
    fn only(&self) -> Option<&Claimant> {
        self.others.is_none().then_some(&self.first)
    }

    fn of(&self, repository: RepositoryIndex) -> Option<&Claimant> {
        self.iter().find(|claimant| claimant.repository == repository)
    }
}

impl PullRequests {
    fn as_slice(&self) -> &[u64] {
        match self {
            Self::None => &[],
            Self::One(number) => std::slice::from_ref(number),
            Self::Several(numbers) => &numbers.0,
        }
    }

    fn insert(&mut self, at: usize, number: u64) {
        match self {
            Self::None => *self = Self::One(number),
            Self::One(other) => {
                let mut numbers = vec![*other];
                numbers.insert(at, number);
                *self = Self::Several(Box::new(Many(numbers)));
            }
            Self::Several(numbers) => numbers.0.insert(at, number),
        }
    }
}

impl Claimant {
    /// Whether an answer with this claimant would give out a name that was not given out before.
    fn is_unnamed(&self) -> bool {
        !self.named && matches!(self.pull_requests, PullRequests::None)
    }
}

impl Identity {
    /// An empty set of claims.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// The number of a repository, if it is known.
    pub fn index_of(&self, repository: &Repository) -> Option<RepositoryIndex> {
        self.numbers.get(repository).copied()
    }

    /// The number of a repository, which is known from now on, unless too many are.
    pub fn intern(&mut self, repository: &Repository) -> Option<RepositoryIndex> {
        if let Some(number) = self.index_of(repository) {
            return Some(number);
        }
        if self.repositories.len() >= self.bounds.repositories {
            return None;
        }
        let number = RepositoryIndex(u32::try_from(self.repositories.len()).ok()?);
        self.repositories.push(repository.clone());
        self.numbers.insert(repository.clone(), number);
        Some(number)
    }

    /// Takes a claim.
    pub fn claim(&mut self, claim: &Claim) -> Learned {
        let (repository, pull_request, sha) = match claim {
            Claim::PullRequestCommit(repository, number, sha) => (repository, Some(*number), *sha),
            Claim::Commit(repository, sha) => (repository, None, *sha),
        };
        match self.intern(repository) {
            Some(known) => self.learn(known, pull_request, sha),
            None => Learned { refused: true, ..Learned::default() },
        }
    }

    /// Takes a claim that an earlier self made. What it told of the commit's name is not known any more, so the name counts as
    /// given out: a change is announced once too often rather than not at all.
    pub fn remember(&mut self, claim: &Claim) {
        self.claim(claim);
        let Claim::Commit(repository, sha) = claim else { return };
        let known = self.index_of(repository);
        if let Some(claimants) = self.commits.get_mut(sha)
            && let Some(claimant) = claimants.iter_mut().find(|claimant| Some(claimant.repository) == known)
        {
            claimant.named |= claimant.is_unnamed();
        }
    }

    /// Takes what a signal knows as a claim, if it names a repository and a commit, and remembers that its change is told.
    pub fn observe(&mut self, hint: Hint) -> Learned {
        let Some(sha) = hint.commit else { return Learned::default() };
        let learned = match hint.repository {
            Some(known) => self.learn(known, hint.pull_request, sha),
            None => Learned::default(),
        };
        if hint.pull_request.is_none()
            && let Some(claimants) = self.commits.get_mut(&sha)
        {
            let is_only = claimants.others.is_none();
            let answers =
                |claimant: &Claimant| hint.repository.map_or(is_only, |known| claimant.repository == known);
            if let Some(claimant) = claimants.iter_mut().find(|claimant| answers(claimant)) {
                claimant.named |= claimant.is_unnamed();
            }
        }
        learned
    }

    /// What [`resolve`](Self::resolve) says of what a signal knows, if [`observe`](Self::observe) would neither learn from
    /// it nor have to remember anything: the answer for almost all signals.
    pub fn recall(&self, hint: Hint) -> Option<Resolution<'_>> {
        let Some(sha) = hint.commit else { return Some(self.resolve(hint)) };
        let claimants = self.commits.get(&sha);
        let Some(known) = hint.repository else {
            let only = claimants.and_then(Claimants::only);
            return only.is_none_or(|only| !only.is_unnamed()).then(|| self.bare(sha, claimants));
        };
        let claimant = claimants?.of(known)?;
        match hint.pull_request {
            None => (!claimant.is_unnamed()).then(|| Resolution::Linked(self.link(sha, claimant))),
            Some(number) => {
                let taught = claimant.pull_requests.as_slice().binary_search(&number).is_ok();
                taught.then(|| self.named(known, number))
            }
        }
    }

    /// The change of what a signal knows: a pull request is its own change; a commit belongs to the pull request that claims
    /// it; a bare commit links only if exactly one repository claims it.
    pub fn resolve(&self, hint: Hint) -> Resolution<'_> {
        match (hint.repository, hint.pull_request, hint.commit) {
            (None, _, Some(sha)) => self.bare(sha, self.commits.get(&sha)),
            (None, _, None) | (Some(_), None, None) => Resolution::Unknown,
            (Some(known), None, Some(sha)) => match self.commits.get(&sha).and_then(|all| all.of(known)) {
                Some(claimant) => Resolution::Linked(self.link(sha, claimant)),
                None => Resolution::Unknown,
            },
            // Who names its pull request belongs to it, whatever else its commit carries.
            (Some(known), Some(number), _) => self.named(known, number),
        }
    }

    /// What [`observe`](Self::observe) would learn from a hint.
    pub fn as_claim(&self, hint: Hint) -> Option<Claim> {
        let (repository, sha) = (self.repositories[hint.repository?.0 as usize].clone(), hint.commit?);
        Some(match hint.pull_request {
            Some(number) => Claim::PullRequestCommit(repository, number, sha),
            None => Claim::Commit(repository, sha),
        })
    }

    fn named(&self, known: RepositoryIndex, number: u64) -> Resolution<'_> {
        let repository = self.repository(known);
        Resolution::Linked(Link { repository, name: Name::PullRequest(number), several: &[] })
    }

    fn bare<'a>(&'a self, sha: Sha, claimants: Option<&'a Claimants>) -> Resolution<'a> {
        match claimants.map(Claimants::only) {
            None => Resolution::Unknown,
            Some(Some(only)) => Resolution::Linked(self.link(sha, only)),
            Some(None) => Resolution::Ambiguous,
        }
    }

    fn link<'a>(&'a self, sha: Sha, claimant: &'a Claimant) -> Link<'a> {
        let all = claimant.pull_requests.as_slice();
        Link {
            repository: self.repository(claimant.repository),
            name: all.last().map_or(Name::Commit(sha), |newest| Name::PullRequest(*newest)),
            several: if all.len() > 1 { all } else { &[] },
        }
    }

    fn repository(&self, known: RepositoryIndex) -> &Repository {
        &self.repositories[known.0 as usize]
    }

    /// Takes a claim, unless a bound refuses it.
    fn learn(&mut self, known: RepositoryIndex, pull_request: Option<u64>, sha: Sha) -> Learned {
        let mut learned = Learned::default();
        let new = Claimant { repository: known, named: false, pull_requests: PullRequests::None };
        let most = self.bounds.repositories_per_commit;
        self.forget();
        let claimant = match self.commits.entry(sha) {
            Entry::Vacant(free) => {
                learned.new = true;
                self.order.push_back(sha);
                &mut free.insert(Claimants { first: new, others: None }).first
            }
            Entry::Occupied(there) => {
                let claimants = there.into_mut();
                let at = claimants.iter().position(|claimant| claimant.repository == known);
                let all = claimants.iter().count();
                if at.is_none() {
                    if all >= most {
                        learned.refused = true;
                        return learned;
                    }
                    learned.new = true;
                    claimants.others.get_or_insert_with(|| Box::new(Many(Vec::new()))).0.push(new);
                }
                let Some(claimant) = claimants.iter_mut().nth(at.unwrap_or(all)) else { return learned };
                claimant
            }
        };
        let numbers = claimant.pull_requests.as_slice();
        if let Some(pull_request) = pull_request
            && let Err(place) = numbers.binary_search(&pull_request)
        {
            if numbers.len() == self.bounds.changes_per_commit {
                learned.refused = true;
                return learned;
            }
            claimant.pull_requests.insert(place, pull_request);
            learned.new = true;
            if std::mem::take(&mut claimant.named) {
                let repository = &self.repositories[known.0 as usize];
                learned.superseded = Some(Superseded {
                    old: ChangeId::of_commit(repository, sha),
                    new: ChangeId::of_pull_request(repository, pull_request),
                });
            }
        }
        learned
    }

    /// How many commits are known.
    pub fn len(&self) -> usize {
        self.commits.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// How many commits were forgotten to stay within bounds.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// All claims, to be journaled as a snapshot. Sorted, so that equal states have equal snapshots.
    pub fn claims(&self) -> BTreeSet<Claim> {
        let each = self.commits.iter().flat_map(|(sha, all)| all.iter().map(move |c| (*sha, c)));
        each.flat_map(|(sha, claimant)| {
            let repository = &self.repositories[claimant.repository.0 as usize];
            let numbers = claimant.pull_requests.as_slice();
            let own = numbers.is_empty().then(|| Claim::Commit(repository.clone(), sha));
            own.into_iter()
                .chain(numbers.iter().map(move |n| Claim::PullRequestCommit(repository.clone(), *n, sha)))
        })
        .collect()
    }

    /// Makes room for one more commit.
    fn forget(&mut self) {
        while self.commits.len() >= self.bounds.commits.max(1) {
            let Some(oldest) = self.order.pop_front() else { return };
            self.commits.remove(&oldest);
            self.forgotten += 1;
        }
    }
}

/// The journal's form of a claim.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(rename = "r")]
    repository: String,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pull_request: Option<u64>,
    #[serde(rename = "c")]
    commit: String,
}

impl Claim {
    /// The claim as a line of a journal: names and ids, nothing else.
    pub fn write(&self) -> Vec<u8> {
        let (repository, pull_request, commit) = match self {
            Self::PullRequestCommit(repository, number, sha) => (repository, Some(*number), sha),
            Self::Commit(repository, sha) => (repository, None, sha),
        };
        let written =
            Written { repository: repository.to_string(), pull_request, commit: commit.to_string() };
        serde_json::to_vec(&written).unwrap_or_default() // strings and numbers always serialise
    }

    /// Reads what [`write`](Self::write) wrote.
    pub fn read(line: &[u8]) -> Option<Self> {
        let Written { repository, pull_request, commit } = serde_json::from_slice(line).ok()?;
        let (repository, commit) = (Repository::parse(&repository)?, Sha::parse(&commit)?);
        Some(match pull_request {
            Some(number) => Self::PullRequestCommit(repository, number, commit),
            None => Self::Commit(repository, commit),
        })
    }
}

#[cfg(test)]
mod tests;
