//! From a change's events to its stages. The result depends on the set of events alone, never on the order in which they came.

use std::collections::{BTreeMap, BTreeSet};

use super::change_event::ChangeEvent;
use super::report::{LinkReport, Report, StageReport, State, Summary, time};
use super::stages::{self, Ending, Stage};
use crate::change_key;

/// A stage that was gone through, or is.
struct Row<'f> {
    stage: &'static Stage,
    /// The event that began it, or else the one that ended it.
    first: &'f ChangeEvent,
    last: &'f ChangeEvent,
    began: Option<u64>,
    ended: Option<u64>,
    good: bool,
    /// It never ended, and another of its kind began since.
    abandoned: bool,
}

/// An event, the stage that it is of, and how it ends that, if it does.
type StagedEvent<'f> = (&'f ChangeEvent, &'static Stage, Option<Ending>);

/// Tells in one line where a change stands.
pub(super) fn summary(change_id: &str, events: &[ChangeEvent]) -> Summary {
    let sorted = sorted(events);
    summarise(change_id, events, &sorted, &rows(&sorted))
}

/// Tells the story of a change.
pub(super) fn report(
    change_id: &str,
    events: &[ChangeEvent],
    former_names: &[Box<str>],
    left_out: u64,
) -> Report {
    let sorted = sorted(events);
    let rows = rows(&sorted);
    let mut moments: Vec<u64> = events.iter().map(|event| event.at).collect();
    moments.sort_unstable();
    Report {
        summary: summarise(change_id, events, &sorted, &rows),
        former_names: former_names.iter().map(|name| name.to_string()).collect(),
        stages: rows.iter().map(|row| row.report(&moments)).collect(),
        links: links(&sorted),
        left_out_events: left_out,
    }
}

fn sorted(events: &[ChangeEvent]) -> Vec<StagedEvent<'_>> {
    let mut sorted: Vec<StagedEvent<'_>> = events
        .iter()
        .filter_map(|event| stages::of(event.kind).map(|(stage, end)| (event, stage, end)))
        .collect();
    // Of one moment, what begins comes first.
    sorted.sort_by_key(|(event, _, end)| (event.at, end.is_some(), &*event.event_id));
    sorted
}

fn summarise(
    change_id: &str,
    events: &[ChangeEvent],
    sorted: &[StagedEvent<'_>],
    rows: &[Row<'_>],
) -> Summary {
    let (state, what, since) = state(rows);
    let environments: BTreeSet<&str> = events.iter().map(|event| &*event.entity.environment).collect();
    let opened = rows.iter().find(|row| row.stage.name == "opened").and_then(|row| row.ended);
    let owner = sorted.iter().map(|(event, ..)| &*event.entity.owner_team).find(|team| !team.is_empty());
    Summary {
        change_id: change_id.to_owned(),
        change_key: hex::encode(change_key(change_id)),
        state,
        what,
        since: time(since),
        last_event: time(events.iter().map(|event| event.at).max().unwrap_or(0)),
        opened: opened.and_then(time),
        environments: environments.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        owner_team: owner.unwrap_or_default().to_owned(),
    }
}

fn rows<'f>(sorted: &[StagedEvent<'f>]) -> Vec<Row<'f>> {
    let mut rows: Vec<Row<'f>> = Vec::new();
    for &(event, stage, ending) in sorted {
        let Some(ending) = ending else {
            // Some sources tell several times that a thing has begun.
            let again = |row: &Row<'_>| {
                row.is_open() && std::ptr::eq(row.stage, stage) && stage.by_object && row.is_of(event)
            };
            if !event.object.is_empty() && rows.iter().any(again) {
                continue;
            }
            let began = Some(event.at);
            rows.push(Row {
                stage,
                first: event,
                last: event,
                began,
                ended: None,
                good: true,
                abandoned: false,
            });
            continue;
        };
        let good = match ending {
            Ending::Good => true,
            Ending::Bad => false,
            Ending::Result => stages::is_good(&event.result),
        };
        // A request of the one who answered, or else the oldest.
        let fits = |row: &&mut Row<'_>| row.is_open() && std::ptr::eq(row.stage, stage) && row.is_of(event);
        let mut open: Vec<&mut Row<'_>> = rows.iter_mut().filter(fits).collect();
        let asked = open.iter().position(|row| !event.actor.is_empty() && row.first.asked == event.actor);
        if !open.is_empty() {
            let row = open.swap_remove(asked.unwrap_or(0));
            (row.last, row.ended, row.good) = (event, Some(event.at), good);
            continue;
        }
        let began = event.duration_ms.map(|millis| event.at.saturating_sub(millis.saturating_mul(1_000_000)));
        rows.push(Row {
            stage,
            first: event,
            last: event,
            began,
            ended: Some(event.at),
            good,
            abandoned: false,
        });
    }
    let mut newest: BTreeMap<_, u64> = BTreeMap::new();
    for row in &rows {
        let at = newest.entry(row.kind()).or_default();
        *at = row.at().max(*at);
    }
    for row in &mut rows {
        row.abandoned = row.is_open() && newest.get(&row.kind()).is_some_and(|newest| row.at() < *newest);
    }
    rows.sort_by_key(Row::at);
    rows
}

impl<'f> Row<'f> {
    fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether the event that ends a stage ends this one.
    fn is_of(&self, end: &ChangeEvent) -> bool {
        if self.stage.by_object {
            return self.first.object == end.object && self.first.attempt == end.attempt;
        }
        self.first.entity.environment == end.entity.environment
    }

    /// When it began, as far as is known.
    fn at(&self) -> u64 {
        self.began.or(self.ended).unwrap_or(0)
    }

    /// When it was last heard of.
    fn until(&self) -> u64 {
        self.ended.or(self.began).unwrap_or(0)
    }

    /// What a later one of its kind has in common with it: of those only the last counts.
    fn kind(&self) -> (&'static str, [&'f str; 4]) {
        let place = &self.first.entity;
        let own = match self.stage.name {
            "approval" => [&*self.first.asked, "", "", ""],
            "policy" => ["", "", "", ""],
            _ => [&*self.first.name, &*place.environment, &*place.stack_id, &*place.application],
        };
        (self.stage.name, own)
    }

    fn name(&self) -> &str {
        let place = &self.last.entity;
        let names = [&self.last.name, &self.first.name, &place.application, &place.stack_id];
        names.into_iter().map(|name| &**name).find(|name| !name.is_empty()).unwrap_or_default()
    }

    fn environment(&self) -> &str {
        let own = &*self.last.entity.environment;
        if own.is_empty() { &self.first.entity.environment } else { own }
    }

    /// The stage with its name, for a sentence.
    fn title(&self) -> String {
        let (stage, name, environment) = (self.stage.name, self.name(), self.environment());
        let name = if name.is_empty() { String::new() } else { format!(" {name}") };
        let place = if environment.is_empty() { String::new() } else { format!(" in {environment}") };
        format!("{stage}{name}{place}")
    }

    fn outcome(&self) -> &str {
        match (self.ended, self.abandoned) {
            (None, true) => "no end heard",
            (None, false) if self.stage.name == "approval" => "requested",
            (None, false) => "running",
            (Some(_), _) if self.stage.ends.iter().any(|(_, ending)| *ending == Ending::Result) => {
                &self.last.result
            }
            (Some(_), _) => match self.last.kind.name {
                "ApprovalGranted" => "granted",
                "ApprovalDenied" | "PolicyDenied" => "denied",
                _ if self.stage.begins.is_empty() => "",
                _ if self.good => "success",
                _ => "failure",
            },
        }
    }

    fn report(&self, moments: &[u64]) -> StageReport {
        let at = self.at();
        let before = moments[..moments.partition_point(|moment| *moment < at)].last();
        let took = match (self.began, self.ended) {
            (Some(began), Some(ended)) => Some(seconds(began, ended)),
            _ => None,
        };
        let pick = |last: &str, first: &str| if last.is_empty() { first.to_owned() } else { last.to_owned() };
        StageReport {
            stage: self.stage.name.to_owned(),
            name: self.name().to_owned(),
            object: self.first.object.to_string(),
            attempt: self.first.attempt,
            source: self.first.source.to_string(),
            environment: self.environment().to_owned(),
            began: self.began.and_then(time),
            ended: self.ended.and_then(time),
            waited_seconds: before.map_or(0.0, |before| seconds(*before, at)),
            took_seconds: took,
            outcome: self.outcome().to_owned(),
            detail: pick(&self.last.detail, &self.first.detail),
            actor: pick(&self.last.actor, &self.first.actor),
            asked: self.first.asked.to_string(),
        }
    }
}

/// Where the change stands, what that is about, and since when.
fn state(rows: &[Row<'_>]) -> (State, String, u64) {
    let last = |name: &str| rows.iter().filter(|row| row.stage.name == name).max_by_key(|row| row.until());
    let at = |name: &str| last(name).map_or(0, Row::until);
    if let Some(closed) = last("closed").filter(|closed| closed.until() > at("opened").max(at("merged"))) {
        return (State::Done, "closed without a merge".into(), closed.until());
    }
    let current = current(rows, at("merged"));
    let failed =
        current.iter().copied().filter(|row| !row.good && !row.is_open()).max_by_key(|row| row.until());
    let running = current.iter().copied().filter(|row| row.is_open() && row.stage.name != "approval");
    let running = running.max_by_key(|row| row.at());
    let arrived = arrived(&current);
    match (failed, running, arrived) {
        (Some(failed), ..) => {
            let detail = &failed.last.detail;
            let outcome = failed.outcome();
            let outcome = if outcome.is_empty() { "failed" } else { outcome };
            let step = if detail.is_empty() { String::new() } else { format!(" {detail}") };
            (State::Failed, format!("{}: {outcome}{step}", failed.title()), failed.until())
        }
        (_, Some(running), _) => (State::Running, running.title(), running.at()),
        (_, _, Some(arrived)) => (State::Done, arrived.title(), arrived.until()),
        _ => {
            let latest = rows.iter().map(Row::until).max().unwrap_or(0);
            let (what, since) = awaited(rows, &current);
            (State::Waiting, what, since.unwrap_or(latest))
        }
    }
}

/// Of each kind the last; what came before the merge is history.
fn current<'r, 'f>(rows: &'r [Row<'f>], merged: u64) -> Vec<&'r Row<'f>> {
    let has_pipelines = rows.iter().any(|row| row.stage.name == "pipeline");
    let mut newest: BTreeMap<_, &Row<'f>> = BTreeMap::new();
    for row in rows {
        let is_history = row.at() < merged
            && matches!(
                row.stage.name,
                "pipeline" | "job" | "plan" | "policy" | "approval" | "out of merge queue"
            );
        let is_part = row.stage.name == "job" && has_pipelines;
        // A plan or a review that went well answers a policy's no; who is let into the queue again was put out before.
        let answers: &[&str] = match row.stage.name {
            "policy" => &["plan", "approval"],
            "out of merge queue" => &["in merge queue"],
            _ => &[],
        };
        let is_answered = rows.iter().any(|other| {
            answers.contains(&other.stage.name) && other.at() > row.at() && other.good && !other.is_open()
        });
        if !is_history && !is_part && !is_answered && !row.abandoned {
            let place = newest.entry(row.kind()).or_insert(row);
            if row.at() >= place.at() {
                *place = row;
            }
        }
    }
    newest.into_values().collect()
}

/// The deployment, or without any the apply, by which the change is in production.
fn arrived<'r, 'f>(current: &[&'r Row<'f>]) -> Option<&'r Row<'f>> {
    let of = |name: &'static str| current.iter().copied().filter(move |row| row.stage.name == name);
    let ended = |row: &&'r Row<'f>| row.good && !row.is_open();
    let latest = |rows: Vec<&'r Row<'f>>| rows.into_iter().max_by_key(|row| row.until());
    let production = |row: &&'r Row<'f>| row.environment() == "production";
    if of("deployment").next().is_some() {
        return latest(of("deployment").filter(ended).filter(production).collect());
    }
    let somewhere = |row: &&'r Row<'f>| row.environment().is_empty() || row.environment() == "production";
    latest(of("apply").filter(ended).filter(somewhere).collect())
}

/// What comes next where nothing runs and nothing failed; since when, if not since the last event.
fn awaited(rows: &[Row<'_>], current: &[&Row<'_>]) -> (String, Option<u64>) {
    let has = |name: &str| rows.iter().any(|row| row.stage.name == name);
    let last = |name: &str| {
        rows.iter().filter(|row| row.stage.name == name && row.good && !row.is_open()).map(Row::until).max()
    };
    let granted = last("approval")
        .is_some_and(|granted| last("approval dismissed").is_none_or(|dismissed| dismissed < granted));
    let requested = current.iter().find(|row| row.stage.name == "approval" && row.is_open());
    let deployed = rows.iter().any(|row| row.stage.name == "deployment");
    if deployed || (has("merged") && has("apply")) {
        return ("deployment to production".into(), None);
    }
    if has("merged") {
        return (if has("plan") { "apply".into() } else { "deployment".into() }, None);
    }
    if let Some(requested) = requested {
        let by = &requested.first.asked;
        let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
        return (format!("approval{by}"), Some(requested.at()));
    }
    if granted {
        return (if has("plan") { "apply or merge".into() } else { "merge".into() }, None);
    }
    (if has("opened") { "review".into() } else { "deployment".into() }, None)
}

/// Commits in the order in which they were first named.
fn links(sorted: &[StagedEvent<'_>]) -> Vec<LinkReport> {
    let mut seen = BTreeSet::new();
    let mut links = Vec::new();
    for (event, ..) in sorted {
        for commit in [&event.commit, &event.merge_commit] {
            if !commit.is_empty() && seen.insert(&**commit) {
                links.push(LinkReport {
                    commit_sha: commit.to_string(),
                    by: event.kind.name.to_owned(),
                    source: event.source.to_string(),
                    at: time(event.at),
                });
            }
        }
    }
    links
}

/// Sources' clocks differ: what ended before it began took no time.
fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}
