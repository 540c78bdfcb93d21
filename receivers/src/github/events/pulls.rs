//! Pull requests, their reviews, and the merge queue.

use super::draft::{Draft, number};
use crate::domain_event::DomainEvent;
use crate::github::payload::Payload;

pub(super) fn pull_request(payload: &Payload) -> Option<DomainEvent> {
    let merged = payload.truth("/pull_request/merged") == Some(true);
    let action = payload.text("/action")?;
    let name = match action {
        "opened" | "reopened" => "ChangeOpened",
        "synchronize" | "ready_for_review" | "converted_to_draft" | "edited" => "ChangeUpdated",
        "closed" if merged => "ChangeMerged",
        "closed" => "ChangeClosed",
        "review_requested" => "ApprovalRequested",
        _ => return None,
    };
    let mut draft = Draft::new(payload)?;
    let pull = number(payload, "/pull_request/number").or_else(|| number(payload, "/number"))?;
    draft.pull_request(Some(&pull));
    draft.commit(payload.text("/pull_request/head/sha"));
    // GitHub shows a test merge here while the pull request is open: it names no commit of the change.
    let merge = payload.text("/pull_request/merge_commit_sha").filter(|_| merged);
    draft.label("throughline.merge_commit_sha", merge);
    draft.attribute("vcs.ref.head.name", "/pull_request/head/ref");
    draft.attribute("vcs.ref.base.name", "/pull_request/base/ref");
    let state = match name {
        "ChangeMerged" => "merged",
        "ChangeClosed" => "closed",
        _ if payload.truth("/pull_request/draft") == Some(true) => "wip",
        _ => "open",
    };
    draft.label("vcs.change.state", Some(state));
    draft.say("action", action);
    draft.text("title", "/pull_request/title");
    draft.text("author", "/pull_request/user/login");
    draft.text("url", "/pull_request/html_url");
    draft.truth("draft", "/pull_request/draft");
    // A person or a team.
    let person = payload.text("/requested_reviewer/login").is_some();
    let reviewer = if person { "/requested_reviewer/login" } else { "/requested_team/slug" };
    draft.text("reviewer", reviewer);
    draft.number("additions", "/pull_request/additions");
    draft.number("deletions", "/pull_request/deletions");
    let times: &[&str] = match name {
        "ChangeOpened" if action == "opened" => &["/pull_request/created_at"],
        "ChangeMerged" => &["/pull_request/merged_at"],
        "ChangeClosed" => &["/pull_request/closed_at"],
        _ => &["/pull_request/updated_at"],
    };
    let occurred_at = payload.first_time(times);
    let entity = match name {
        "ApprovalRequested" => {
            format!("{}#{pull}/approval/{}", draft.repository, payload.text(reviewer).unwrap_or("anyone"))
        }
        _ => format!("{}#{pull}", draft.repository),
    };
    let state = format!("{} {occurred_at}", payload.text("/pull_request/head/sha").unwrap_or_default());
    draft.finish(name, entity, occurred_at, &[&state, payload.text(reviewer).unwrap_or_default()])
}

pub(super) fn review(payload: &Payload) -> Option<DomainEvent> {
    let state = payload.text("/review/state")?.to_ascii_lowercase();
    let name = match (payload.text("/action")?, &*state) {
        ("submitted", "approved") => "ApprovalGranted",
        ("submitted", "changes_requested") => "ApprovalDenied",
        ("dismissed", _) => "ApprovalDismissed",
        _ => return None,
    };
    let mut draft = Draft::new(payload)?;
    let pull = number(payload, "/pull_request/number")?;
    draft.pull_request(Some(&pull));
    draft.commit(payload.text("/review/commit_id"));
    // Whose review it is; whoever dismissed it is the sender.
    draft.text("reviewer", "/review/user/login");
    if name != "ApprovalDismissed" {
        draft.actor(&["/review/user/login"]);
        draft.text("approver", "/review/user/login");
    }
    draft.text("url", "/review/html_url");
    let id = number(payload, "/review/id")?;
    let by = payload.text("/review/user/login").unwrap_or("anyone");
    let entity = format!("{}#{pull}/approval/{by}", draft.repository);
    // A review has no time of its dismissal; the pull request was updated by it.
    let dismissed: &[&str] = &["/pull_request/updated_at", "/review/submitted_at"];
    let times: &[&str] = if name == "ApprovalDismissed" { dismissed } else { &["/review/submitted_at"] };
    draft.finish(name, entity, payload.first_time(times), &[&id])
}

/// `refs/heads/gh-readonly-queue/BASE/pr-NUMBER-SHA`: the pull request that a group of the merge queue ends with.
fn queued(reference: &str) -> Option<&str> {
    let (number, base) = reference.rsplit_once("/pr-")?.1.split_once('-')?;
    (throughline_change::Sha::parse(base).is_some() && number.bytes().all(|byte| byte.is_ascii_digit()))
        .then_some(number)
}

pub(super) fn merge_group(payload: &Payload) -> Option<DomainEvent> {
    let name = match (payload.text("/action")?, payload.text("/reason")) {
        ("checks_requested", _) => "ChangeQueued",
        // One that was merged is told of by its pull request.
        ("destroyed", Some("dequeued" | "invalidated")) => "ChangeDequeued",
        _ => return None,
    };
    let mut draft = Draft::new(payload)?;
    let pull = queued(payload.text("/merge_group/head_ref")?)?;
    draft.pull_request(Some(pull));
    // The group's commit is of its last pull request, and of those before it: it is the change that is tested with them.
    draft.commit(payload.text("/merge_group/head_sha"));
    draft.attribute("vcs.ref.base.name", "/merge_group/base_ref");
    draft.text("reason", "/reason");
    let entity = format!("{}#{pull}", draft.repository);
    let sha = payload.text("/merge_group/head_sha").unwrap_or_default().to_owned();
    draft.finish(name, entity, payload.first_time(&["/merge_group/head_commit/timestamp"]), &[&sha])
}
