//! Extensions of the Collector that look into its Go runtime, or steer it. They are taken, so that a configuration need not be
//! changed, and do nothing; the configuration's check says why nothing is lost, whatever options they are given.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use throughline_component::{Build, ConfigError, Extension, Factory, Services};

pub(crate) const MEMORY_BALLAST: Factory = Factory::extension::<Idle<Ballast>>("memory_ballast");
pub(crate) const PPROF: Factory = Factory::extension::<Idle<Pprof>>("pprof");
pub(crate) const ZPAGES: Factory = Factory::extension::<Idle<Zpages>>("zpages");

/// Taken for the Collector's sake: its ballast makes Go's garbage collector run less often.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(extend("x-without-meaning" = "there is no garbage collector to be kept calm"))]
pub(crate) struct Ballast {}

/// Taken for the Collector's sake: it serves profiles of Go's runtime.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(extend("x-without-meaning" = "it serves profiles of Go's runtime; `perf` profiles the agent, which has symbols"))]
pub(crate) struct Pprof {}

/// Taken for the Collector's sake: it serves pages about the Collector's own spans and pipelines.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(extend("x-without-meaning" = "there is no such page yet; `/ledger` on the telemetry address accounts for every hop"))]
pub(crate) struct Zpages {}

/// An extension that does nothing.
pub(crate) struct Idle<C>(std::marker::PhantomData<fn(C)>);

impl<C: DeserializeOwned + JsonSchema + Send + 'static> Extension for Idle<C> {
    type Config = C;

    fn build(_: C, _: &Build, _: &mut Services) -> Result<Self, ConfigError> {
        Ok(Self(std::marker::PhantomData))
    }
}
