//! GitHub webhooks: signed deliveries become domain events and CI spans.
//!
//! A 2xx is said once the delivery has settled; GitHub waits ten seconds and does not resend by itself, so 503 is said
//! after eight. A delivery counts as seen only once it has settled. Source: GitHub's "Webhook events and payloads",
//! "Validating webhook deliveries"; requirements SYS-02, SYS-03, SYS-10, EVT and GAP rows.

mod claim;
mod events;
mod payload;
mod recent_deliveries;
mod spans;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::StatusCode;
use percent_encoding::percent_decode;
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use throughline_component::port::{Budget, Clock, Mask};
use throughline_component::{
    Build, ComponentId, ConfigError, Context, Counter, Factory, Fatal, Journaled, Outcome, Output, Receiver,
    Stop, Ticket, Transport, Warnings,
};
use throughline_config::{Secret, reasons};
use throughline_net::{
    Addresses, Authenticator, Body, Handler, Listeners, Reply, Request, Route, ServerSettings,
};
use throughline_otlp::{Signal, Value, build};

use crate::domain_event;
use claim::{Claimed, claim};
use payload::Payload;
use recent_deliveries::RecentDeliveries;

pub(crate) const FACTORY: Factory = Factory::receiver::<GitHub>("github");

/// How long a delivery may take before GitHub is told to have it redelivered.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Receives GitHub webhooks as domain events and CI spans.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-not-supported" = reasons(&[
    ("scrapers", "deliveries tell the same as it happens; `change_metrics` makes metrics of them"),
    ("initial_delay", "nothing is scraped"),
    ("collection_interval", "nothing is scraped"),
])))]
pub(crate) struct Config {
    /// The server that GitHub delivers to.
    webhook: Webhook,
    /// Accepts deliveries without a signature. Anybody who can reach the address can then invent changes.
    #[serde(default)]
    insecure_unsigned: bool,
    /// Keeps events that are no domain events as plain log records, instead of counting them only.
    #[serde(default)]
    keep_other_events: bool,
    /// The storage extension in which recorded deliveries are remembered over a restart. Unset: in memory.
    #[serde(default)]
    storage: Option<String>,
}

/// `webhook`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
#[schemars(
    extend("x-not-supported" = ServerSettings::unsupported(&[
        ("include_span_events", "events come as log records of their own"),
    ])),
    extend("x-without-meaning" = ServerSettings::without_meaning(&[]))
)]
struct Webhook {
    /// The settings of every server; `endpoint` is `localhost:8080` unless set.
    #[serde(flatten)]
    server: ServerSettings,
    /// The path that GitHub posts to. `/events` unless set.
    path: Option<String>,
    /// The path for load balancers. `/health` unless set.
    health_path: Option<String>,
    /// The webhook's secret, which signs every delivery (`X-Hub-Signature-256`).
    secret: Option<Secret>,
    /// Headers every delivery must have, with these values.
    required_headers: BTreeMap<String, Secret>,
    /// The `service.name` of what is emitted; unset: the repository's name.
    service_name: Option<String>,
}

/// The receiver.
pub(crate) struct GitHub {
    endpoint: Arc<Endpoint>,
    server: ServerSettings,
    auth: Option<Arc<dyn Authenticator>>,
    listeners: Arc<Listeners>,
    paths: [String; 2],
}

/// What handles deliveries.
struct Endpoint {
    id: ComponentId,
    config: Config,
    clock: Arc<dyn Clock>,
    budget: Arc<Budget>,
    seen: Arc<Journaled<RecentDeliveries>>,
    mask: Option<Arc<dyn Mask>>,
    deliveries: BTreeMap<&'static str, Counter>,
    warnings: Arc<Warnings>,
}

const RESULTS: [&str; 6] = ["settled", "repeated", "ignored", "unsigned", "malformed", "unsettled"];

impl Receiver for GitHub {
    type Config = Config;
    const SIGNALS: &'static [Signal] = &[Signal::Traces, Signal::Logs];

    fn build(config: Config, cx: &Build) -> Result<Self, ConfigError> {
        let signed = config.webhook.secret.as_ref().is_some_and(|secret| !secret.is_empty());
        if !signed && !config.insecure_unsigned {
            return Err(ConfigError::new(
                "webhook::secret",
                "deliveries must be signed: set the webhook's secret, or say `insecure_unsigned: true`",
            ));
        }
        let mut server = config.webhook.server.clone();
        server.endpoint_or("localhost:8080");
        let auth = server.checked(cx, "webhook")?;
        let path = |set: &Option<String>, default: &str| set.clone().unwrap_or_else(|| default.to_owned());
        let paths = [path(&config.webhook.path, "/events"), path(&config.webhook.health_path, "/health")];
        Addresses::note(cx, &server, "webhook", paths.iter().map(|path| (path.clone(), None)).collect());
        let result = |result: &'static str| {
            (result, cx.counter("throughline_github_deliveries", Some(("result", result))))
        };
        let seen = Journaled::of(cx, config.storage.as_deref(), RecentDeliveries::default)?;
        let endpoint = Endpoint {
            id: cx.id.clone(),
            config,
            clock: Arc::clone(&cx.clock),
            budget: cx.need::<Budget>("memory budget")?,
            seen,
            mask: cx.services.get::<dyn Mask>(),
            deliveries: RESULTS.into_iter().map(result).collect(),
            warnings: cx.warnings(),
        };
        let listeners = cx.need::<Listeners>("listeners")?;
        Ok(Self { endpoint: Arc::new(endpoint), server, auth, listeners, paths })
    }

    async fn run(self, out: Output, mut stop: Stop) -> Result<(), Fatal> {
        let [path, health] = self.paths;
        let deliveries = Deliveries { endpoint: Arc::clone(&self.endpoint), out };
        let routes = vec![
            Route { path, handler: Arc::new(deliveries) },
            Route { path: health, handler: Arc::new(Healthy) },
        ];
        let serving = self.listeners.open(&self.server, self.auth, &self.endpoint.id, routes).await?;
        stop.ready();
        stop.stopped().await;
        drop(serving);
        Ok(())
    }
}

struct Healthy;

impl Handler for Healthy {
    fn call(&self, _: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        Box::pin(std::future::ready(say(StatusCode::OK, "ok")))
    }
}

struct Deliveries {
    endpoint: Arc<Endpoint>,
    out: Output,
}

impl Handler for Deliveries {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        Box::pin(async move {
            let (result, reply) = self.endpoint.receive(request, &self.out).await;
            if let Some(counter) = self.endpoint.deliveries.get(result) {
                counter.add(1);
            }
            if let Some(refused) = refused(result) {
                self.endpoint.warnings.warn(&self.endpoint.id, refused, 0, &reply.status().to_string());
            }
            reply
        })
    }
}

/// What is said of deliveries that are not recorded.
fn refused(result: &str) -> Option<&'static str> {
    match result {
        "unsigned" => Some("deliveries are refused: their signature does not fit"),
        "malformed" => Some("deliveries are refused: they cannot be read"),
        "unsettled" => {
            Some("deliveries are not recorded; GitHub shows them as failed and can redeliver them")
        }
        _ => None,
    }
}

/// GitHub delivers forms unless the webhook says `application/json`.
const FORM: &str = "application/x-www-form-urlencoded";

/// The field `payload` of a form.
fn form(body: &[u8]) -> Option<Bytes> {
    let field = body.split(|byte| *byte == b'&').find_map(|field| field.strip_prefix(b"payload="))?;
    let spaced: Vec<u8> = field.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Some(percent_decode(&spaced).collect::<Vec<u8>>().into())
}

type Answer = (&'static str, Reply);

impl Endpoint {
    async fn receive(&self, mut request: Request, out: &Output) -> Answer {
        if request.method() != http::Method::POST {
            return ("malformed", say(StatusCode::METHOD_NOT_ALLOWED, "GitHub delivers by POST"));
        }
        for (name, value) in &self.config.webhook.required_headers {
            // In constant time: the value may be what keeps others out.
            let fits = |given: &str| bool::from(value.expose().as_bytes().ct_eq(given.as_bytes()));
            if !request.header(name).is_some_and(fits) {
                return (
                    "unsigned",
                    say(StatusCode::UNAUTHORIZED, "a required header is missing or different"),
                );
            }
        }
        let mut charge = request.charge(&self.budget);
        let body = match request.read(&mut charge).await {
            Ok(body) => body,
            Err(error) => return ("malformed", say(error.status(), &error.to_string())),
        };
        if !self.is_signed(&request, &body) {
            return (
                "unsigned",
                say(StatusCode::UNAUTHORIZED, "X-Hub-Signature-256 is missing or does not fit"),
            );
        }
        let Some(event) = request.header("x-github-event").map(str::to_owned) else {
            return ("malformed", say(StatusCode::BAD_REQUEST, "X-GitHub-Event is missing"));
        };
        if event == "ping" {
            return ("ignored", say(StatusCode::OK, "pong"));
        }
        let delivery = request.header("x-github-delivery").unwrap_or_default().to_owned();
        let unsettled = |why: &str| ("unsettled", say(StatusCode::SERVICE_UNAVAILABLE, why));
        let _claim = match claim(&self.seen, &delivery, TIMEOUT).await {
            Ok(Claimed::Ours(claim)) => claim,
            Ok(Claimed::Settled) => return ("repeated", say(StatusCode::OK, "delivered before")),
            Ok(Claimed::Lost) => return unsettled("delivered just before, but not settled; redeliver it"),
            Err(error) => return unsettled(&error.to_string()),
        };
        // curl calls everything a form; JSON is none.
        let is_form = request.header("content-type").is_some_and(|kind| kind.starts_with(FORM));
        let form = (is_form && !body.starts_with(b"{")).then(|| form(&body));
        let Some(body) = form.unwrap_or(Some(body)) else {
            return ("malformed", say(StatusCode::BAD_REQUEST, "the form has no field `payload`"));
        };
        let cost = Payload::cost(&body);
        if cost > self.budget.limit() {
            request.refused("too_large");
            return (
                "malformed",
                say(StatusCode::PAYLOAD_TOO_LARGE, "it has more values than the memory budget allows"),
            );
        }
        if !charge.grow(cost) {
            request.refused("over_budget");
            return unsettled("the agent holds as much data as its memory budget allows; redeliver it");
        }
        let payload = match Payload::parse(&body, self.mask.as_deref()) {
            Ok(payload) => payload,
            Err(error) => return ("malformed", say(StatusCode::BAD_REQUEST, &format!("not JSON: {error}"))),
        };
        let requests = self.translate(&event, &payload, &body);
        if requests.is_empty() {
            return ("ignored", say(StatusCode::ACCEPTED, "nothing to record"));
        }
        let context = Arc::new(Context {
            source: self.id.clone(),
            transport: Transport::Http,
            peer: Some(request.peer()),
            metadata: request.metadata(),
            auth: request.auth(),
            received_at: self.clock.unix_nanos(),
        });
        let mut charge = Some(charge);
        let tickets: Vec<_> = requests
            .into_iter()
            .filter(|(signal, _)| out.takes(*signal))
            .map(|(signal, bytes)| {
                out.send(signal, bytes, Arc::clone(&context), charge.take().unwrap_or_default())
            })
            .collect();
        let settled = async {
            let mut worst = Outcome::DONE;
            for ticket in tickets {
                worst = worst.worst(ticket.await);
            }
            if let Outcome::Done { .. } = worst
                && let Some(journaled) = self.settled(delivery)
            {
                worst = worst.worst(journaled.await);
            }
            worst
        };
        match tokio::time::timeout(TIMEOUT, settled).await {
            Ok(Outcome::Done { .. }) => ("settled", say(StatusCode::OK, "recorded")),
            Ok(Outcome::Reject { why, .. }) => ("malformed", say(StatusCode::UNPROCESSABLE_ENTITY, &why)),
            Ok(Outcome::Retry { why, .. }) => unsettled(&why),
            Err(_) => unsettled("not settled in time; redeliver it"),
        }
    }

    /// Compares in constant time; without a secret everything passes (the configuration says so in words).
    fn is_signed(&self, request: &Request, body: &[u8]) -> bool {
        let Some(secret) = self.config.webhook.secret.as_ref().filter(|secret| !secret.is_empty()) else {
            return true;
        };
        let given = request.header("x-hub-signature-256").and_then(|value| value.strip_prefix("sha256="));
        let Some(given) = given.and_then(|digits| hex::decode(digits).ok()) else { return false };
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
            .is_ok_and(|mac| mac.chain_update(body).verify_slice(&given).is_ok())
    }

    /// The requests that a delivery becomes.
    fn translate(&self, event: &str, payload: &Payload, body: &[u8]) -> Vec<(Signal, Bytes)> {
        let now = self.clock.unix_nanos();
        let name = self.config.webhook.service_name.clone().unwrap_or_else(|| payload.service_name());
        let address = payload.text("/repository/html_url").unwrap_or_default();
        let resource: Vec<(&str, Value<'_>)> = [
            ("service.name", &*name),
            ("vcs.provider.name", "github"),
            ("vcs.repository.url.full", address),
            ("vcs.repository.name", payload.text("/repository/name").unwrap_or_default()),
            ("vcs.owner.name", payload.text("/repository/owner/login").unwrap_or_default()),
        ]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(key, text)| (key, Value::Str(text)))
        .collect();
        let mut requests = Vec::new();
        // Events first: they teach which commit belongs to which change, and spans may know only the commit.
        let events = events::of(event, payload);
        if !events.is_empty() {
            requests
                .push((Signal::Logs, domain_event::request(&events, "throughline.github", &resource, now)));
        } else if self.config.keep_other_events {
            requests.push((Signal::Logs, plain(event, body, &resource, now)));
        }
        if let Some(spans) = spans::of(event, payload, &resource) {
            requests.push((Signal::Traces, spans));
        }
        requests
    }

    /// Remembers a delivery that has settled; the ticket tells once that is synced.
    fn settled(&self, delivery: String) -> Option<Ticket> {
        let mut seen = self.seen.open().ok()?;
        let entry = delivery.clone().into_bytes();
        seen.insert(delivery).then(|| seen.append_and_wait(entry))
    }
}

/// An event that is no domain event, as a log record whose body is the delivery.
fn plain(event: &str, body: &[u8], resource: &[(&str, Value<'_>)], now: u64) -> Bytes {
    build::logs(|request| {
        request.resource(resource, |resource| {
            resource.scope("throughline.github", env!("CARGO_PKG_VERSION"), |scope| {
                scope.log_record(|log| {
                    log.time_unix_nano(now).observed_time_unix_nano(now).severity(9, "INFO");
                    log.attribute("throughline.github.event", event).body(&*String::from_utf8_lossy(body));
                });
            });
        });
    })
}

fn say(status: StatusCode, text: &str) -> Reply {
    let mut reply = http::Response::new(Body::new(Bytes::from(format!("{text}\n"))));
    *reply.status_mut() = status;
    reply
}
