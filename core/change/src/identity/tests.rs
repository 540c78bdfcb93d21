use proptest::prelude::*;

use super::*;

fn repository(n: u8) -> Repository {
    Repository::parse(&format!("github.com/acme/r{n}")).expect("a name")
}

fn sha(n: u8) -> Sha {
    Sha::parse(format!("{:040x}", u16::from(n) + 1)).expect("a commit")
}

fn bare(n: u8) -> Hint {
    Hint { commit: Some(sha(n)), ..Hint::default() }
}

fn linked(resolution: Resolution<'_>) -> Link<'_> {
    match resolution {
        Resolution::Linked(link) => link,
        other => panic!("not linked: {other:?}"),
    }
}

#[test]
fn a_commit_and_who_claims_it_fill_one_line_of_the_cache() {
    assert_eq!(size_of::<(Sha, Claimants)>(), 64);
}

#[test]
fn a_head_and_the_merge_commit_are_one_change() {
    let mut identity = Identity::default();
    identity.claim(&Claim::PullRequestCommit(repository(1), 7, sha(1)));
    identity.claim(&Claim::PullRequestCommit(repository(1), 7, sha(2)));
    let (head, merge) = (linked(identity.resolve(bare(1))), linked(identity.resolve(bare(2))));
    assert_eq!(head.change_id().as_str(), "github.com/acme/r1#7");
    assert_eq!(head, merge);
}

#[test]
fn a_commit_that_two_pull_requests_claim_carries_both_and_they_stay_two() {
    let mut identity = Identity::default();
    for number in [9, 7] {
        identity.claim(&Claim::PullRequestCommit(repository(1), number, sha(1)));
    }
    let link = linked(identity.resolve(bare(1)));
    assert_eq!(link.change_id().as_str(), "github.com/acme/r1#9", "the newest");
    assert_eq!(link.change_ids().len(), 2);
    identity.claim(&Claim::PullRequestCommit(repository(1), 7, sha(2)));
    assert_eq!(linked(identity.resolve(bare(2))).change_id().as_str(), "github.com/acme/r1#7");
}

#[test]
fn a_bare_commit_ties_only_if_one_repository_claims_it() {
    let mut identity = Identity::default();
    assert_eq!(identity.resolve(bare(1)), Resolution::Unknown);
    identity.claim(&Claim::Commit(repository(1), sha(1)));
    assert!(matches!(identity.resolve(bare(1)), Resolution::Linked(_)));
    identity.claim(&Claim::PullRequestCommit(repository(2), 3, sha(1)));
    assert_eq!(identity.resolve(bare(1)), Resolution::Ambiguous, "a fork has it too");
    let known = identity.intern(&repository(2)).expect("there is room");
    let hint = Hint { repository: Some(known), ..bare(1) };
    assert_eq!(linked(identity.resolve(hint)).change_id().as_str(), "github.com/acme/r2#3");
}

#[test]
fn a_name_that_was_given_out_is_superseded_once() {
    let mut identity = Identity::default();
    identity.claim(&Claim::Commit(repository(1), sha(1)));
    identity.observe(bare(1));
    let old = linked(identity.resolve(bare(1))).change_id();
    let learned = identity.claim(&Claim::PullRequestCommit(repository(1), 7, sha(1)));
    let new = ChangeId::of_pull_request(&repository(1), 7);
    assert_eq!(learned.superseded, Some(Superseded { old, new }));
    assert_eq!(identity.claim(&Claim::PullRequestCommit(repository(1), 7, sha(1))), Learned::default());
}

#[test]
fn a_name_that_an_earlier_self_may_have_given_out_is_superseded_too() {
    let mut before = Identity::default();
    before.claim(&Claim::Commit(repository(1), sha(1)));
    let mut after = Identity::default();
    before.claims().iter().for_each(|claim| after.remember(claim));
    let old = linked(after.resolve(bare(1))).change_id();
    let learned = after.claim(&Claim::PullRequestCommit(repository(1), 7, sha(1)));
    let new = ChangeId::of_pull_request(&repository(1), 7);
    assert_eq!(learned.superseded, Some(Superseded { old, new }));
}

#[test]
fn a_name_nobody_was_told_is_replaced_in_silence() {
    let mut identity = Identity::default();
    identity.claim(&Claim::Commit(repository(1), sha(1)));
    assert_eq!(identity.claim(&Claim::PullRequestCommit(repository(1), 7, sha(1))).superseded, None);
}

#[test]
fn who_names_a_pull_request_belongs_to_it_and_teaches_its_commit() {
    let mut identity = Identity::default();
    let known = identity.intern(&repository(1)).expect("there is room");
    let hint = |number| Hint { repository: Some(known), pull_request: Some(number), commit: Some(sha(1)) };
    for number in [9, 7] {
        assert_eq!(identity.recall(hint(number)), None, "there is something to learn");
        assert!(identity.observe(hint(number)).new);
        assert_eq!(identity.recall(hint(number)), Some(identity.resolve(hint(number))));
        assert_eq!(linked(identity.resolve(hint(number))).pull_request(), Some(number));
    }
    assert_eq!(linked(identity.resolve(bare(1))).change_ids().len(), 2);
}

#[test]
fn bounds_hold_and_are_told() {
    let bounds = Bounds { commits: 3, changes_per_commit: 2, repositories_per_commit: 2, repositories: 3 };
    let mut identity = Identity::new(bounds);
    for n in 0..10 {
        identity.claim(&Claim::Commit(repository(1), sha(n)));
    }
    assert_eq!((identity.len(), identity.forgotten()), (3, 7));
    assert!(matches!(identity.resolve(bare(9)), Resolution::Linked(_)), "the newest are kept");
    for number in 1..=2 {
        assert!(identity.claim(&Claim::PullRequestCommit(repository(1), number, sha(9))).new);
    }
    assert!(identity.claim(&Claim::PullRequestCommit(repository(1), 3, sha(9))).refused);
    identity.claim(&Claim::Commit(repository(2), sha(9)));
    assert!(identity.claim(&Claim::Commit(repository(3), sha(9))).refused);
    assert!(identity.claim(&Claim::Commit(repository(4), sha(11))).refused, "a fourth repository");
    assert_eq!((identity.index_of(&repository(4)), identity.intern(&repository(4))), (None, None));
}

fn claims() -> impl Strategy<Value = Vec<Claim>> {
    let claim =
        (0..3_u8, prop::option::of(1..4_u64), 0..4_u8).prop_map(|(r, pull_request, c)| match pull_request {
            Some(number) => Claim::PullRequestCommit(repository(r), number, sha(c)),
            None => Claim::Commit(repository(r), sha(c)),
        });
    prop::collection::vec(claim, 1..24)
}

fn answers(claims: &[Claim]) -> (BTreeSet<Claim>, Vec<String>) {
    let mut identity = Identity::default();
    claims.iter().for_each(|claim| drop(identity.claim(claim)));
    let named: Vec<_> = (0..3).map(|r| identity.intern(&repository(r))).chain([None]).collect();
    let hints = named.into_iter().flat_map(|repository| (0..4).map(move |c| Hint { repository, ..bare(c) }));
    let resolved = hints.map(|hint| format!("{:?}", identity.resolve(hint))).collect();
    (identity.claims(), resolved)
}

proptest! {
    #[test]
    fn any_order_and_any_repetition_give_the_same_answers(
        (original, shuffled) in claims().prop_flat_map(|claims| {
            let mut repeated = claims.clone();
            repeated.extend_from_slice(&claims[..claims.len() / 2]);
            (Just(claims), Just(repeated).prop_shuffle())
        })
    ) {
        prop_assert_eq!(answers(&original), answers(&shuffled));
    }

    #[test]
    fn a_snapshot_restores_every_answer(original in claims()) {
        let (snapshot, expected) = answers(&original);
        let lines: Vec<_> = snapshot.iter().map(Claim::write).collect();
        let restored: Option<Vec<_>> = lines.iter().map(|line| Claim::read(line)).collect();
        prop_assert_eq!(answers(&restored.expect("what was written can be read")).1, expected);
    }

    #[test]
    fn a_journal_line_of_any_bytes_is_read_or_refused(line in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Claim::read(&line));
    }
}
