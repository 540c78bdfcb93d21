//! Which change a signal belongs to.
//!
//! The state is a set of claims and the answers are functions of that set, so any order and any repetition of the same
//! claims gives the same answers. Identity and membership are two relations: a pull request, its heads and its merge
//! commit are one change; a commit that several pull requests claim *carries* them, and two never become one.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::id::BuildShaHasher;
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
pub struct Known(u32);

/// What a signal knows about its change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint {
    /// The repository, if it is named; see [`Identity::know`].
    pub repository: Option<Known>,
    /// The pull request, if it is named.
    pub pull_request: Option<u64>,
    /// The commit, if it is named.
    pub commit: Option<Sha>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It belongs to a change.
    Tied(Tie),
    /// More than one repository claims the commit.
    Ambiguous,
    /// Nothing is known about it.
    Unknown,
}

/// The change of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie {
    /// The change; of several that a commit carries, the newest.
    pub change_id: ChangeId,
    /// All changes, if the commit carries several; empty otherwise.
    pub change_ids: Vec<ChangeId>,
    /// Its repository.
    pub repository: Repository,
    /// Its pull request, if it has one.
    pub pull_request: Option<u64>,
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
}

impl Default for Bounds {
    fn default() -> Self {
        Self { commits: 200_000, changes_per_commit: 64, repositories_per_commit: 16 }
    }
}

/// All claims.
#[derive(Debug, Default)]
pub struct Identity {
    bounds: Bounds,
    repositories: Vec<Repository>,
    numbers: HashMap<Repository, Known>,
    commits: HashMap<Sha, Claimants, BuildShaHasher>,
    /// Commits in the order of their first claim, for forgetting.
    order: VecDeque<Sha>,
    forgotten: u64,
}

type Claimants = SmallVec<[Claimant; 1]>;

/// A repository that claims a commit, and its pull requests that do.
#[derive(Clone, Debug)]
struct Claimant {
    repository: Known,
    pull_requests: SmallVec<[u64; 2]>,
    /// The change of the newest, or of the commit itself: what almost every answer is.
    change_id: ChangeId,
    /// Whether the name `repository@commit` was given out, so that a new one must be announced.
    named: bool,
}

impl Identity {
    /// An empty set of claims.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// The number of a repository, which is known from now on.
    pub fn know(&mut self, repository: &Repository) -> Known {
        if let Some(number) = self.numbers.get(repository) {
            return *number;
        }
        let number = Known(u32::try_from(self.repositories.len()).unwrap_or(u32::MAX));
        self.repositories.push(repository.clone());
        self.numbers.insert(repository.clone(), number);
        number
    }

    /// Takes a claim.
    pub fn claim(&mut self, claim: &Claim) -> Learned {
        let (repository, pull_request, sha) = match claim {
            Claim::PullRequestCommit(repository, number, sha) => (repository, Some(*number), *sha),
            Claim::Commit(repository, sha) => (repository, None, *sha),
        };
        let known = self.know(repository);
        self.learn(known, pull_request, sha, |_, _| ()).0
    }

    /// Takes what a signal knows as a claim, if it names a repository and a commit, and finds its change: a pull
    /// request is its own change; a commit belongs to the pull request that claims it; a bare commit ties only if
    /// exactly one repository claims it.
    pub fn observe(&mut self, hint: Hint) -> (Learned, Resolution) {
        let Hint { repository, pull_request, commit } = hint;
        let Some(known) = repository else {
            return (Learned::default(), commit.map_or(Resolution::Unknown, |sha| self.bare(sha)));
        };
        let Some(sha) = commit else {
            let resolution =
                pull_request.map_or(Resolution::Unknown, |number| self.of_pull_request(known, number));
            return (Learned::default(), resolution);
        };
        let (learned, tie) = self.learn(known, pull_request, sha, tie);
        // Who names its pull request belongs to it, whatever else its commit carries.
        match (tie, pull_request) {
            (Some(tie), None) => (learned, Resolution::Tied(tie)),
            (Some(tie), Some(number)) if tie.pull_request == Some(number) => (learned, Resolution::Tied(tie)),
            (_, Some(number)) => (learned, self.of_pull_request(known, number)),
            (None, None) => (learned, Resolution::Unknown),
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

    /// What [`observe`](Self::observe) finds, and nothing is learnt.
    pub fn resolve(&mut self, hint: Hint) -> Resolution {
        let Hint { repository, pull_request, commit } = hint;
        match (repository, pull_request, commit) {
            (Some(known), Some(number), _) => self.of_pull_request(known, number),
            (_, _, None) => Resolution::Unknown,
            (None, _, Some(sha)) => self.bare(sha),
            (Some(known), None, Some(sha)) => {
                let repository = &self.repositories[known.0 as usize];
                let claimants = self.commits.get_mut(&sha).map_or(&mut [][..], SmallVec::as_mut_slice);
                match claimants.iter_mut().find(|claimant| claimant.repository == known) {
                    Some(claimant) => Resolution::Tied(tie(repository, claimant)),
                    None => Resolution::Tied(Tie {
                        change_id: ChangeId::of_commit(repository, sha),
                        change_ids: Vec::new(),
                        repository: repository.clone(),
                        pull_request: None,
                    }),
                }
            }
        }
    }

    fn of_pull_request(&self, known: Known, number: u64) -> Resolution {
        let repository = self.repositories[known.0 as usize].clone();
        let change_id = ChangeId::of_pull_request(&repository, number);
        Resolution::Tied(Tie { change_id, change_ids: Vec::new(), repository, pull_request: Some(number) })
    }

    fn bare(&mut self, sha: Sha) -> Resolution {
        match self.commits.get_mut(&sha).map(SmallVec::as_mut_slice) {
            None | Some([]) => Resolution::Unknown,
            Some([only]) => Resolution::Tied(tie(&self.repositories[only.repository.0 as usize], only)),
            Some(_) => Resolution::Ambiguous,
        }
    }

    /// Takes a claim, and asks its claimant something more, unless a bound refused it.
    fn learn<T>(
        &mut self,
        known: Known,
        pull_request: Option<u64>,
        sha: Sha,
        ask: impl FnOnce(&Repository, &mut Claimant) -> T,
    ) -> (Learned, Option<T>) {
        let mut learned = Learned::default();
        self.forget();
        let repository = &self.repositories[known.0 as usize];
        let claimants = match self.commits.entry(sha) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => {
                learned.new = true;
                self.order.push_back(sha);
                free.insert(SmallVec::new())
            }
        };
        let at = match claimants.iter().position(|claimant| claimant.repository == known) {
            Some(at) => at,
            None if claimants.len() == self.bounds.repositories_per_commit => {
                learned.refused = true;
                return (learned, None);
            }
            None => {
                learned.new = true;
                let change_id = ChangeId::of_commit(repository, sha);
                let pull_requests = SmallVec::new();
                claimants.push(Claimant { repository: known, pull_requests, change_id, named: false });
                claimants.len() - 1
            }
        };
        let claimant = &mut claimants[at];
        if let Some(pull_request) = pull_request
            && let Err(place) = claimant.pull_requests.binary_search(&pull_request)
        {
            if claimant.pull_requests.len() == self.bounds.changes_per_commit {
                learned.refused = true;
                return (learned, None);
            }
            claimant.pull_requests.insert(place, pull_request);
            if place + 1 == claimant.pull_requests.len() {
                claimant.change_id = ChangeId::of_pull_request(repository, pull_request);
            }
            learned.new = true;
            if std::mem::take(&mut claimant.named) {
                learned.superseded = Some(Superseded {
                    old: ChangeId::of_commit(repository, sha),
                    new: ChangeId::of_pull_request(repository, pull_request),
                });
            }
        }
        (learned, Some(ask(repository, claimant)))
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
        let each = self.commits.iter().flat_map(|(sha, claimants)| claimants.iter().map(move |c| (*sha, c)));
        each.flat_map(|(sha, claimant)| {
            let repository = &self.repositories[claimant.repository.0 as usize];
            let own = claimant.pull_requests.is_empty().then(|| Claim::Commit(repository.clone(), sha));
            let numbers = claimant.pull_requests.iter();
            own.into_iter().chain(numbers.map(move |n| Claim::PullRequestCommit(repository.clone(), *n, sha)))
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

fn tie(repository: &Repository, claimant: &mut Claimant) -> Tie {
    let all = &claimant.pull_requests;
    claimant.named |= all.is_empty();
    let several = all.len() > 1;
    Tie {
        change_id: claimant.change_id.clone(),
        change_ids: all
            .iter()
            .filter(|_| several)
            .map(|n| ChangeId::of_pull_request(repository, *n))
            .collect(),
        repository: repository.clone(),
        pull_request: all.last().copied(),
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
