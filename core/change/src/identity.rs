//! Which change a signal belongs to.
//!
//! The state is a set of claims and the answers are functions of that set, so any order and any repetition of the same
//! claims gives the same answers. Identity and membership are two relations: a pull request, its heads and its merge
//! commit are one change; a commit that several pull requests claim *carries* them, and two never become one.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

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

/// What a signal knows about its change.
#[derive(Clone, Debug, Default)]
pub struct Hint<'a> {
    /// The repository, if it is named.
    pub repository: Option<&'a Repository>,
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
    numbers: HashMap<Repository, u32>,
    commits: HashMap<Sha, Claimants>,
    /// Commits in the order of their first claim, for forgetting.
    order: VecDeque<Sha>,
    forgotten: u64,
}

type Claimants = SmallVec<[Claimant; 1]>;

/// A repository that claims a commit, and its pull requests that do.
#[derive(Clone, Debug)]
struct Claimant {
    repository: u32,
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

    /// Takes a claim.
    pub fn claim(&mut self, claim: &Claim) -> Learned {
        let (repository, pull_request, sha) = match claim {
            Claim::PullRequestCommit(repository, number, sha) => (repository, Some(*number), *sha),
            Claim::Commit(repository, sha) => (repository, None, *sha),
        };
        let number = self.number(repository);
        let mut learned = Learned::default();
        if !self.commits.contains_key(&sha) {
            self.forget_down_to(self.bounds.commits.saturating_sub(1));
            self.order.push_back(sha);
        }
        let claimants = self.commits.entry(sha).or_default();
        let at = match claimants.iter().position(|claimant| claimant.repository == number) {
            Some(at) => at,
            None if claimants.len() == self.bounds.repositories_per_commit => {
                return Learned { refused: true, ..learned };
            }
            None => {
                learned.new = true;
                let change_id = ChangeId::of_commit(repository, sha);
                let pull_requests = SmallVec::new();
                claimants.push(Claimant { repository: number, pull_requests, change_id, named: false });
                claimants.len() - 1
            }
        };
        let Some(pull_request) = pull_request else { return learned };
        let claimant = &mut claimants[at];
        let Err(place) = claimant.pull_requests.binary_search(&pull_request) else { return learned };
        if claimant.pull_requests.len() == self.bounds.changes_per_commit {
            return Learned { refused: true, ..learned };
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
        learned
    }

    /// Finds the change that a hint points to. A pull request is its own change; a commit belongs to the pull request
    /// that claims it; a bare commit ties only if exactly one repository claims it.
    pub fn resolve(&mut self, hint: &Hint<'_>) -> Resolution {
        if let (Some(repository), Some(number)) = (hint.repository, hint.pull_request) {
            return Resolution::Tied(Tie {
                change_id: ChangeId::of_pull_request(repository, number),
                change_ids: Vec::new(),
                repository: repository.clone(),
                pull_request: Some(number),
            });
        }
        let Some(sha) = hint.commit else { return Resolution::Unknown };
        let numbers = &self.numbers;
        let claimants = self.commits.get_mut(&sha);
        match hint.repository {
            None => match claimants.map(SmallVec::as_mut_slice) {
                None | Some([]) => Resolution::Unknown,
                Some([only]) => tie(&self.repositories[only.repository as usize], only),
                Some(_) => Resolution::Ambiguous,
            },
            Some(repository) => {
                let number = numbers.get(repository);
                let claimant = claimants
                    .and_then(|list| list.iter_mut().find(|claimant| Some(&claimant.repository) == number));
                match claimant {
                    Some(claimant) => tie(repository, claimant),
                    // A repository and a commit name a change by themselves; the caller claims the commit, so that
                    // a pull request that turns up later is announced.
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
            let repository = &self.repositories[claimant.repository as usize];
            let own = claimant.pull_requests.is_empty().then(|| Claim::Commit(repository.clone(), sha));
            let numbers = claimant.pull_requests.iter();
            own.into_iter().chain(numbers.map(move |n| Claim::PullRequestCommit(repository.clone(), *n, sha)))
        })
        .collect()
    }

    fn number(&mut self, repository: &Repository) -> u32 {
        if let Some(number) = self.numbers.get(repository) {
            return *number;
        }
        let number = u32::try_from(self.repositories.len()).unwrap_or(u32::MAX);
        self.repositories.push(repository.clone());
        self.numbers.insert(repository.clone(), number);
        number
    }

    fn forget_down_to(&mut self, limit: usize) {
        while self.commits.len() > limit {
            let Some(oldest) = self.order.pop_front() else { return };
            self.commits.remove(&oldest);
            self.forgotten += 1;
        }
    }
}

fn tie(repository: &Repository, claimant: &mut Claimant) -> Resolution {
    let all = &claimant.pull_requests;
    claimant.named |= all.is_empty();
    let several = all.len() > 1;
    Resolution::Tied(Tie {
        change_id: claimant.change_id.clone(),
        change_ids: all
            .iter()
            .filter(|_| several)
            .map(|n| ChangeId::of_pull_request(repository, *n))
            .collect(),
        repository: repository.clone(),
        pull_request: all.last().copied(),
    })
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
