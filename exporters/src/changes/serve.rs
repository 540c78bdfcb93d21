//! `GET /changes` and `GET /changes/ID`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use throughline_change::timeline::{Found, Listing, State, Summary};
use throughline_component::Journaled;
use throughline_component::port::{Clock, StoreError};
use throughline_net::{Body, Handler, Reply, Request};

use super::journal::JournaledTimelines;

/// How many changes an answer has unless asked for another number, and at most.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// How many changes are looked at before those who deliver events have their turn.
const AT_ONCE: usize = 64;

/// What `stuck` means without a duration.
const STUCK: Duration = Duration::from_secs(3600);

/// Answers questions about changes, one at a time: whoever asks a lot waits for himself.
pub(super) struct Pages {
    known: Arc<Journaled<JournaledTimelines>>,
    clock: Arc<dyn Clock>,
    turn: tokio::sync::Mutex<()>,
}

/// Which changes are asked for.
#[derive(Debug, Default, PartialEq)]
struct Filter {
    stuck: Option<Duration>,
    state: Option<State>,
    environment: Option<String>,
    repository: Option<String>,
    owner_team: Option<String>,
    limit: Option<usize>,
}

const PARAMETERS: &str = "stuck (a duration, 1h unless given), state (waiting, running, failed or done), environment, \
                          repository, owner_team, limit";

impl Pages {
    pub(super) fn new(known: Arc<Journaled<JournaledTimelines>>, clock: Arc<dyn Clock>) -> Self {
        Self { known, clock, turn: tokio::sync::Mutex::default() }
    }

    fn list(&self, filter: &Filter) -> Result<Listing, StoreError> {
        let now = Timestamp::from_nanosecond(i128::from(self.clock.unix_nanos())).unwrap_or_default();
        let (ids, forgotten) = {
            let known = self.known.read()?;
            (known.0.ids(), known.0.forgotten())
        };
        let mut changes: Vec<Summary> = Vec::new();
        for some in ids.chunks(AT_ONCE) {
            let known = self.known.read()?;
            let summaries = some.iter().filter_map(|id| known.0.summary(id));
            changes.extend(summaries.filter(|summary| filter.fits(summary, now)));
        }
        // What waits longest first; what is done last, the newest of it first.
        let is_done = |summary: &Summary| summary.state == State::Done;
        changes.sort_by(|a, b| match (is_done(a), is_done(b)) {
            (true, true) => b.since.cmp(&a.since),
            (false, false) => (a.since, &a.change_id).cmp(&(b.since, &b.change_id)),
            (one, other) => one.cmp(&other),
        });
        let matched = changes.len();
        changes.truncate(filter.limit.unwrap_or(LIMIT));
        Ok(Listing { now, changes, matched, known: ids.len(), forgotten })
    }

    fn answer(&self, path: &str, query: &str) -> Reply {
        match path.strip_prefix("/changes/") {
            None => match Filter::read(query).map(|filter| self.list(&filter)) {
                Err(why) => text(StatusCode::BAD_REQUEST, &why),
                Ok(Err(error)) => text(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
                Ok(Ok(listing)) => json(StatusCode::OK, &listing),
            },
            Some(wanted) => {
                let wanted = percent_decode_str(wanted).decode_utf8_lossy();
                match self.known.read().map(|known| known.0.find(&wanted)) {
                    Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
                    Ok(Found::One(report)) => json(StatusCode::OK, &report),
                    Ok(Found::Several(several)) => json(StatusCode::MULTIPLE_CHOICES, &several),
                    Ok(Found::None) => text(
                        StatusCode::NOT_FOUND,
                        "no change that is remembered has this id, key, pull request or commit (7 digits or more)",
                    ),
                }
            }
        }
    }
}

/// The route to them.
pub(super) struct Page(pub(super) Arc<Pages>);

impl Handler for Page {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        let (path, query) = (request.path().to_owned(), request.query().to_owned());
        let reads = matches!(*request.method(), http::Method::GET | http::Method::HEAD);
        Box::pin(async move {
            if !reads {
                return text(StatusCode::METHOD_NOT_ALLOWED, "changes can be read, not written: use GET");
            }
            let _turn = self.0.turn.lock().await;
            let pages = Arc::clone(&self.0);
            let answering = tokio::task::spawn_blocking(move || pages.answer(&path, &query));
            answering
                .await
                .unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made"))
        })
    }
}

impl Filter {
    fn read(query: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned();
            match key {
                "stuck" if matches!(&*value, "" | "true") => filter.stuck = Some(STUCK),
                "stuck" => {
                    let duration: Result<throughline_config::Duration, _> = value.parse();
                    let why = |error| format!("stuck={value}: {error}; for example stuck=30m");
                    filter.stuck = Some(duration.map_err(why)?.get());
                }
                "state" => {
                    let found = State::ALL.into_iter().find(|state| state.as_str() == value);
                    filter.state = Some(found.ok_or_else(|| {
                        format!("state={value}: a change is waiting, running, failed or done")
                    })?);
                }
                "environment" => {
                    let lower = value.to_lowercase();
                    filter.environment = Some(throughline_change::labels::environment(&lower).to_owned());
                }
                "repository" => filter.repository = Some(value.to_lowercase()),
                "owner_team" => filter.owner_team = Some(value),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                    filter.limit =
                        Some(limit.ok_or_else(|| format!("limit={value}: a number from 1 to {MAX_LIMIT}"))?);
                }
                other => return Err(format!("there is no parameter `{other}`; there are {PARAMETERS}")),
            }
        }
        Ok(filter)
    }

    fn fits(&self, summary: &Summary, now: Timestamp) -> bool {
        let is_stuck = |least: Duration| {
            let silent = summary.last_event.map(|last| now.duration_since(last));
            summary.state != State::Done
                && silent.is_some_and(|silent| silent.unsigned_abs() >= least && silent.is_positive())
        };
        let repository =
            || summary.change_id.rsplit_once(['#', '@']).map_or("", |(repository, _)| repository);
        self.stuck.is_none_or(is_stuck)
            && self.state.is_none_or(|state| state == summary.state)
            && self.environment.as_ref().is_none_or(|wanted| summary.environments.contains(wanted))
            && self.owner_team.as_ref().is_none_or(|wanted| summary.owner_team == *wanted)
            // The whole name, or its end: `acme/infra-live`.
            && self.repository.as_ref().is_none_or(|wanted| {
                repository().strip_suffix(&**wanted).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
            })
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default(); // plain data always serialises
    bytes.push(b'\n');
    reply(status, "application/json", bytes)
}

fn text(status: StatusCode, text: &str) -> Reply {
    reply(status, "text/plain; charset=utf-8", format!("{text}\n").into_bytes())
}

fn reply(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Reply {
    let mut reply = http::Response::new(Body::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_cannot_be_understood_is_told_what_there_is() {
        assert_eq!(Filter::read(""), Ok(Filter::default()));
        let read = Filter::read("stuck&environment=prod&state=failed&limit=5").expect("it is right");
        assert_eq!(read.stuck, Some(STUCK));
        assert_eq!(read.environment.as_deref(), Some("production"));
        assert_eq!((read.state, read.limit), (Some(State::Failed), Some(5)));
        assert_eq!(Filter::read("stuck=30m").expect("it is right").stuck, Some(Duration::from_secs(1800)));
        for (query, part) in [
            ("stuck=soon", "for example stuck=30m"),
            ("state=lost", "waiting, running, failed or done"),
            ("limit=0", "from 1 to 1000"),
            ("enviroment=x", "environment"),
        ] {
            let why = Filter::read(query).expect_err(query);
            assert!(why.contains(part), "{query}: {why}");
        }
    }
}
