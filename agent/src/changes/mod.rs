//! `changes` and `change`: what a running agent knows of the changes that went through it.

mod print;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use throughline_change::timeline::{Listing, Report};
use throughline_component::port::{SystemClock, SystemRandom};
use throughline_component::{Build, ComponentId, Services};
use throughline_net::{Client, ClientSettings, Protocol};

use crate::cli::{Agent, Which};
use crate::show::{print_error, say};

pub(crate) use print::{listing, story};

/// How long an agent may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often `--watch` asks.
const EVERY: Duration = Duration::from_secs(2);

/// Lists changes.
pub(crate) fn changes(agent: &Agent, which: &Which, watch: bool) -> ExitCode {
    let question = question(which);
    answered(async move {
        loop {
            let text = get(agent, &question).await?;
            let shown = if agent.json { text } else { listing(&read::<Listing>(&text)?) };
            if !watch {
                return Ok(shown);
            }
            // Clears the screen and goes to its top.
            say(&format!("\x1b[2J\x1b[H{shown}"));
            tokio::time::sleep(EVERY).await;
        }
    })
}

/// Tells the story of one change.
pub(crate) fn change(agent: &Agent, what: &str) -> ExitCode {
    answered(async move {
        let text = get(agent, &path(what)).await?;
        Ok(if agent.json { text } else { story(&read::<Report>(&text)?) })
    })
}

/// Where a change is asked for.
pub(crate) fn path(what: &str) -> String {
    format!("/changes/{}", utf8_percent_encode(what, NON_ALPHANUMERIC))
}

fn question(which: &Which) -> String {
    let Which { stuck, state, environment, repository, limit } = which;
    let mut parameters = Vec::new();
    let mut add = |key: &str, value: &str| {
        parameters.push(format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    };
    stuck.iter().for_each(|value| add("stuck", value));
    state.iter().for_each(|value| add("state", value));
    environment.iter().for_each(|value| add("environment", value));
    repository.iter().for_each(|value| add("repository", value));
    limit.iter().for_each(|value| add("limit", &value.to_string()));
    format!("/changes?{}", parameters.join("&"))
}

fn answered(work: impl Future<Output = Result<String, String>>) -> ExitCode {
    let answer =
        crate::runtime::aside().map_err(|error| error.to_string()).and_then(|aside| aside.block_on(work));
    match answer {
        Ok(text) => say(&text),
        Err(why) => {
            print_error(&why);
            ExitCode::FAILURE
        }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("the answer is not what this program expects: {error}"))
}

async fn get(Agent { agent, .. }: &Agent, question: &str) -> Result<String, String> {
    let base = agent.trim_end_matches('/');
    let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
    let uri: Uri =
        format!("{base}{question}").parse().map_err(|_| format!("{agent} is no address of an agent"))?;
    let client = client()?;
    let headers = HeaderMap::new();
    let answer = tokio::time::timeout(TIMEOUT, client.get(&uri, &headers)).await;
    let help = format!(
        "--agent names the telemetry address of a running agent (`service::telemetry::metrics`), {agent} now"
    );
    let answer =
        answer.map_err(|_| format!("{base} does not answer within {} s; {help}", TIMEOUT.as_secs()))?;
    let answer = answer.map_err(|error| format!("{base} cannot be asked: {error}; {help}"))?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    match answer.status {
        StatusCode::OK => Ok(text),
        StatusCode::MULTIPLE_CHOICES => {
            let several: Vec<String> = read(&text)?;
            Err(format!("several changes fit; say which:\n  {}", several.join("\n  ")))
        }
        StatusCode::NOT_FOUND if text.starts_with("nothing is here") => Err(format!(
            "the agent at {base} keeps no timelines: put the `changes` exporter into a pipeline of its events"
        )),
        status => Err(format!("{status}: {}", text.trim_end())),
    }
}

/// A client for this program's own questions.
pub(crate) fn client() -> Result<Client, String> {
    let cx = Build {
        id: ComponentId::new("throughline"),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(SystemRandom::default()),
        services: Services::default(),
    };
    Client::build(&ClientSettings::default(), Protocol::Http, &cx).map_err(|error| error.to_string())
}
