//! Pushes of commits and tags, and releases.

use throughline_change::Sha;

use super::draft::{Draft, number};
use crate::domain_event::{DomainEvent, Field};
use crate::github::payload::Payload;

pub(super) fn push(payload: &Payload) -> Option<DomainEvent> {
    let after = payload.text("/after")?;
    Sha::parse(after)?; // all zeros: the branch or tag was deleted
    let reference = payload.text("/ref")?;
    let (name, kind, short) =
        match (reference.strip_prefix("refs/heads/"), reference.strip_prefix("refs/tags/")) {
            (Some(branch), _) => ("CommitPushed", "branch", branch),
            (_, Some(tag)) => ("TagPushed", "tag", tag),
            _ => return None,
        };
    let mut draft = Draft::new(payload)?;
    // What an annotated tag points at is its head commit; `after` is the tag object's own id.
    let commit = if kind == "tag" { payload.text("/head_commit/id").unwrap_or(after) } else { after };
    draft.commit(Some(commit));
    draft.label("vcs.ref.head.name", Some(short));
    draft.label("vcs.ref.head.type", Some(kind));
    draft.actor(&["/pusher/name"]);
    draft.say(kind, short);
    draft.text("before", "/before");
    draft.truth("forced", "/forced");
    draft.text("subject", "/head_commit/message");
    let commits = payload.count("/commits");
    draft.field("commits", Field::Int(i64::try_from(commits).unwrap_or(i64::MAX)));
    // When it was pushed, not when the commit was made, which may be weeks before.
    let occurred_at = payload
        .seconds("/repository/pushed_at")
        .unwrap_or_else(|| payload.first_time(&["/head_commit/timestamp"]));
    let entity = format!("{}@{commit}", draft.repository);
    draft.finish(name, entity, occurred_at, &[reference])
}

pub(super) fn release(payload: &Payload) -> Option<DomainEvent> {
    // `released` comes beside `published` where a release is no pre-release.
    if payload.text("/action")? != "published" {
        return None;
    }
    let mut draft = Draft::new(payload)?;
    let id = number(payload, "/release/id")?;
    let tag = payload.text("/release/tag_name")?;
    // Mostly a branch; only a commit names a change.
    let target = payload.text("/release/target_commitish").filter(|target| Sha::parse(target).is_some());
    draft.commit(target);
    draft.label("vcs.ref.head.name", Some(tag));
    draft.label("vcs.ref.head.type", Some("tag"));
    draft.say("tag", tag);
    draft.text("name", "/release/name");
    draft.text("author", "/release/author/login");
    draft.truth("prerelease", "/release/prerelease");
    draft.text("url", "/release/html_url");
    let entity = format!("{}/release/{tag}", draft.repository);
    draft.finish("ReleasePublished", entity, payload.first_time(&["/release/published_at"]), &[&id])
}
