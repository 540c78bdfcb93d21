//! The suite itself: components that break a promise do not pass it.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use throughline_component::{Batch, Build, ConfigError, Emitter, Factory, Outcome, Processor, Services};
use throughline_testkit::conformance::{Subject, check};

#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct NoSettings {}

/// What a processor does with a batch.
trait Habit: Send + 'static {
    fn accept(kept: &mut Vec<Batch>, batch: Batch, out: &mut Emitter);
}

struct Of<H>(Vec<Batch>, PhantomData<H>);

impl<H: Habit> Processor for Of<H> {
    type Config = NoSettings;
    fn build(_: NoSettings, _: &Build) -> Result<Self, ConfigError> {
        Ok(Self(Vec::new(), PhantomData))
    }
    fn accept(&mut self, batch: Batch, out: &mut Emitter) {
        H::accept(&mut self.0, batch, out);
    }
}

struct PassesOn;
impl Habit for PassesOn {
    fn accept(_: &mut Vec<Batch>, batch: Batch, out: &mut Emitter) {
        out.send(batch);
    }
}

struct Forgets;
impl Habit for Forgets {
    fn accept(kept: &mut Vec<Batch>, batch: Batch, _: &mut Emitter) {
        kept.push(batch);
    }
}

struct Swallows;
impl Habit for Swallows {
    fn accept(_: &mut Vec<Batch>, batch: Batch, _: &mut Emitter) {
        batch.settle(&Outcome::DONE);
    }
}

struct Doubles;
impl Habit for Doubles {
    fn accept(_: &mut Vec<Batch>, batch: Batch, out: &mut Emitter) {
        batch.fork(2).into_iter().for_each(|copy| out.send(copy));
    }
}

async fn verdict<H: Habit>() -> Result<(), String> {
    let factory = Factory::processor::<Of<H>>("habit");
    check(&Subject { factory: &factory, settings: json!({}), services: Services::default() }).await
}

#[tokio::test]
async fn who_passes_everything_on_passes() {
    assert_eq!(verdict::<PassesOn>().await, Ok(()));
}

#[tokio::test]
async fn who_keeps_a_token_beyond_a_flush_fails() {
    let why = verdict::<Forgets>().await.expect_err("nothing was settled");
    assert!(why.contains("of 20 batches 0 were settled"), "{why}");
}

#[tokio::test]
async fn who_makes_items_disappear_or_appear_fails() {
    let why = verdict::<Swallows>().await.expect_err("nothing came out");
    assert!(why.contains("210 items went in, 0 came out"), "{why}");
    let why = verdict::<Doubles>().await.expect_err("everything is there twice");
    assert!(why.contains("210 items went in, 420 came out"), "{why}");
}
