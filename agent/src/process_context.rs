//! What the process keeps over reloads: clock, listeners, accounts, budget, health.

use std::sync::Arc;

use throughline_component::port::{Budget, Clock, Random, SystemClock, SystemRandom};
use throughline_component::{
    Build, ComponentId, Health, Internal, Meter, Openings, Services, States, Warnings,
};
use throughline_config::Service;
use throughline_graph::Ledger;
use throughline_net::{Listeners, Resources, TelemetryRoutes};
use tokio::runtime::Handle;

/// What outlives a reload.
pub(crate) struct ProcessContext {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) listeners: Listeners,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) health: Arc<Health>,
    pub(crate) internal: Arc<Internal>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) warnings: Arc<Warnings>,
    pub(crate) states: Arc<States>,
    /// Of this process, in `service.instance.id`.
    pub(crate) instance: String,
}

impl ProcessContext {
    /// Without limits on connections, for commands that only validate.
    pub(crate) fn new(service: &Service) -> Self {
        Self::with(service, usize::MAX, None)
    }

    /// `connections`: how many may be open at once; `aside`: what serves health and self-telemetry.
    pub(crate) fn with(service: &Service, connections: usize, aside: Option<Handle>) -> Self {
        let meter = Arc::<Meter>::default();
        let budget = Budget::new(usize::try_from(service.memory_budget.bytes()).unwrap_or(usize::MAX));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let warnings = Arc::new(Warnings::new(Arc::clone(&clock)));
        let random: Arc<dyn Random> = Arc::new(SystemRandom::default());
        Self {
            clock,
            instance: instance_id(&*random),
            random,
            listeners: Listeners::new(Resources {
                meter: Arc::clone(&meter),
                warnings: Arc::clone(&warnings),
                budget: Some(Arc::clone(&budget)),
                connections,
                aside,
            }),
            ledger: Arc::default(),
            health: Arc::default(),
            internal: Arc::default(),
            budget,
            meter,
            warnings,
            states: Arc::default(),
        }
    }

    /// The services of one configuration.
    pub(crate) fn services(&self) -> Services {
        let mut services = Services::default();
        services.offer(Arc::clone(&self.ledger));
        services.offer(Arc::clone(&self.health));
        services.offer(Arc::clone(&self.internal));
        services.offer(Arc::clone(&self.budget));
        services.offer(Arc::clone(&self.meter));
        services.offer(Arc::clone(&self.warnings));
        services.offer(Arc::clone(&self.states));
        // These two belong to one configuration.
        services.offer(Arc::new(TelemetryRoutes::default()));
        services.offer(Arc::new(Openings::default()));
        services
    }

    /// What a component is built with.
    pub(crate) fn build(&self, id: ComponentId, services: &Services) -> Build {
        Build {
            id,
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            services: services.clone(),
        }
    }
}

/// A new id for this process: a UUID of version 4.
fn instance_id(random: &dyn Random) -> String {
    let (high, low) = (random.bits(), random.bits());
    let (high, low) = (high & !0xf000 | 0x4000, low & !(0b11 << 62) | (0b10 << 62));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}
