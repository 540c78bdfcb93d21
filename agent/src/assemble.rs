//! From a checked configuration to what the graph is started from. `validate` and `run` share all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use throughline_component::port::Mask;
use throughline_component::{
    Build, Built, ComponentId, ConfigError, DynExtension, Kind, MachineCheck, Services,
};
use throughline_config::{Component, Document, Error, Errors, Id, Process, Service, Settings};
use throughline_graph::{Make, Masking, Plan, Reused, Role, Roles, Setup, Wire, Wiring};
use throughline_net::{Addresses, Listeners};
use throughline_otlp::Signal;

use crate::catalog::{MASKING, catalog, factory};
use crate::cli::Inputs;
use crate::mask::Masker;
use crate::metrics::{Push, Resource};
use crate::process_context::ProcessContext;
use crate::unchanged::{Fingerprint, Previous};

/// A configuration that is right.
pub(crate) struct Assembled {
    pub(crate) setup: Setup,
    pub(crate) service: Service,
    /// What the agent is, and those to whom its own metrics are sent.
    pub(crate) resource: Resource,
    pub(crate) pushes: Vec<Push>,
    pub(crate) notes: Vec<String>,
    /// What the next configuration is to be compared with.
    pub(crate) before: Previous,
    /// What is as it was in the configuration before.
    pub(crate) unchanged: BTreeSet<(Kind, ComponentId)>,
    /// What is wrong with this machine, for who validates.
    pub(crate) here: Errors,
}

/// Reads and checks a configuration. All that is wrong is in the text of the error, a line each.
pub(crate) fn settings(inputs: &Inputs) -> Result<(Settings, Vec<String>), String> {
    let document = document(inputs)?;
    let checked = document.check(&catalog());
    let gates = inputs.feature_gates.iter().filter(|gate| !gate.is_empty());
    let gates = gates.map(|gate| {
        format!("--feature-gates: `{gate}` is without meaning here: it is about the Collector's own code")
    });
    let warnings: Vec<_> = gates.chain(checked.warnings.iter().map(ToString::to_string)).collect();
    match checked.settings {
        Some(settings) => Ok((settings, warnings)),
        None => {
            let mut errors: Vec<Error> = checked.errors.iter().cloned().collect();
            if let Some(sound) = checked.sound {
                let process = ProcessContext::new(&sound.service);
                errors.extend(Parts::build(&sound, &process, &Purpose::Validate).errors);
            }
            Err(Errors::new(errors).to_string())
        }
    }
}

/// Reads a configuration: loads, merges, expands.
pub(crate) fn document(inputs: &Inputs) -> Result<Document, String> {
    let locations: Result<Vec<_>, _> = inputs.config.iter().map(|location| location.parse()).collect();
    let locations = locations.map_err(|error| format!("--config: {error}"))?;
    throughline_config::load(&locations, &inputs.set, &Process).map_err(|errors| errors.to_string())
}

/// Every component that is named, built once, so that all of them have had their say.
struct Parts {
    services: Services,
    /// What the extensions offer, and they.
    offers: Services,
    extensions: Vec<(ComponentId, Arc<dyn DynExtension>)>,
    components: BTreeMap<(Kind, ComponentId), Component>,
    /// What was built of them, to be put to use.
    built: BTreeMap<(Kind, ComponentId), Built>,
    fingerprints: BTreeMap<(Kind, ComponentId), Fingerprint>,
    unchanged: BTreeSet<(Kind, ComponentId)>,
    roles: Roles,
    errors: Vec<Error>,
    /// What is wrong with this machine, if it was looked at.
    here: Vec<Error>,
}

impl Parts {
    fn build(settings: &Settings, process: &ProcessContext, purpose: &Purpose) -> Self {
        let mut services = process.services();
        let check = Arc::new(MachineCheck::default());
        let before = match purpose {
            Purpose::Run(listeners, before) => {
                services.offer(Arc::clone(listeners));
                before.as_ref()
            }
            Purpose::Validate => {
                services.offer(Arc::new(process.listeners.next()));
                services.offer(Arc::clone(&check));
                None
            }
        };
        let masks = settings.service.mask_secrets;
        if masks {
            services.offer::<dyn Mask>(Arc::new(Masker));
        }
        let addresses = Arc::new(Addresses::default());
        services.offer(Arc::clone(&addresses));
        let components: BTreeMap<(Kind, ComponentId), Component> = settings
            .components
            .iter()
            .map(|((kind, id), component)| ((*kind, component_id(id)), component.clone()))
            .collect();
        let fingerprints =
            components.iter().map(|(key, component)| (key.clone(), Fingerprint::of(component))).collect();
        let ids: Vec<ComponentId> = settings.extensions.iter().map(|id| component_id(&id.value)).collect();
        let unchanged = before.map(|before| before.unchanged(&fingerprints, masks, &ids)).unwrap_or_default();
        let mut parts = Self {
            services,
            offers: Services::default(),
            extensions: Vec::new(),
            components,
            built: BTreeMap::new(),
            fingerprints,
            unchanged,
            roles: Roles::new(),
            errors: Vec::new(),
            here: Vec::new(),
        };
        match before.filter(|_| !parts.unchanged.is_empty()) {
            // They run on, and what is new finds them as what runs on does.
            Some(before) => {
                (parts.extensions, parts.offers) = (before.extensions.clone(), before.offers.clone())
            }
            None => ids.into_iter().for_each(|id| parts.extend(id, process, &check)),
        }
        parts.services.merge(parts.offers.clone());
        let used = used(settings);
        for (key, component) in parts.components.iter().filter(|(key, _)| used.contains(&key.1)) {
            match build(component, &process.build(key.1.clone(), &parts.services)) {
                Ok(built) => {
                    parts.roles.extend(role(key.0, &built).map(|role| (key.clone(), role)));
                    parts.built.insert(key.clone(), built);
                }
                Err(error) => parts.errors.push(component.locate(&error)),
            }
            parts.here.extend(check.take().iter().map(|problem| component.locate(problem)));
        }
        for (owner, problem) in addresses.conflicts(takes(settings)) {
            let owners = parts.components.iter().filter(|((_, id), _)| *id == owner);
            parts.errors.extend(owners.take(1).map(|(_, component)| component.locate(&problem)));
        }
        parts
    }

    /// Builds an extension, which finds what those before it offer.
    fn extend(&mut self, id: ComponentId, process: &ProcessContext, check: &MachineCheck) {
        let component = &self.components[&(Kind::Extension, id.clone())];
        let mut services = self.services.clone();
        services.merge(self.offers.clone());
        match build(component, &process.build(id.clone(), &services)) {
            Ok(Built::Extension(extension, offers)) => {
                self.offers.merge(offers);
                self.extensions.push((id, extension));
            }
            Ok(_) => {}
            Err(error) => self.errors.push(component.locate(&error)),
        }
        self.here.extend(check.take().iter().map(|problem| component.locate(problem)));
    }
}

/// What components are built for.
pub(crate) enum Purpose {
    /// To be run. What they open, they open through these; what is as it was runs on.
    Run(Arc<Listeners>, Option<Previous>),
    /// To hear what they have to say of their settings, and of this machine.
    Validate,
}

/// Builds and plans.
pub(crate) fn assemble(
    settings: Settings,
    process: &ProcessContext,
    purpose: &Purpose,
) -> Result<Assembled, String> {
    let Parts {
        services,
        offers: of_extensions,
        extensions,
        components,
        built,
        fingerprints,
        unchanged,
        mut roles,
        errors,
        here,
    } = Parts::build(&settings, process, purpose);
    if !errors.is_empty() {
        return Err(Errors::new(errors).to_string());
    }
    let wiring = wiring(&settings);
    let unmasked = |wire: &Wire| wire.processors.iter().all(|id| id.type_name() != MASKING);
    let masking = if settings.service.mask_secrets && wiring.pipelines.iter().any(unmasked) {
        Some(masking(process, &services, &mut roles)?)
    } else {
        None
    };
    let plan = Plan::new(&wiring, &roles, masking.as_ref());
    if let Some(cycle) = plan.cycle() {
        return Err(round(&settings, &cycle).to_string());
    }
    let notes = notes(&settings.service, &plan);
    let (clock, random) = (Arc::clone(&process.clock), Arc::clone(&process.random));
    let offers = services.clone();
    let make: Make = {
        let (clock, random) = (Arc::clone(&clock), Arc::clone(&random));
        // What is as it was runs on; if it cannot, it is built anew.
        let runs_on = |key: &(Kind, ComponentId)| key.0 != Kind::Processor && unchanged.contains(key);
        let built =
            Mutex::new(built.into_iter().filter(|(key, _)| !runs_on(key)).collect::<BTreeMap<_, _>>());
        Arc::new(move |kind, id| {
            // Each was built to learn its role; whoever needs another instance, or one that has died, has it built anew.
            let ready = built.lock().unwrap_or_else(PoisonError::into_inner).remove(&(kind, id.clone()));
            if let Some(ready) = ready {
                return Ok(ready);
            }
            let (clock, random) = (Arc::clone(&clock), Arc::clone(&random));
            let cx = Build { id: id.clone(), clock, random, services: services.clone() };
            match components.get(&(kind, id.clone())) {
                Some(component) => build(component, &cx),
                // Only the planner names a component that the configuration does not define.
                None => default(kind, id, &cx),
            }
        })
    };
    let (ledger, health) = (Arc::clone(&process.ledger), Arc::clone(&process.health));
    let warnings = Arc::clone(&process.warnings);
    let listeners = match purpose {
        Purpose::Run(listeners, _) => Arc::clone(listeners),
        Purpose::Validate => Arc::new(process.listeners.next()),
    };
    let services = offers;
    let masks = settings.service.mask_secrets;
    let before = Previous { fingerprints, masks, extensions: extensions.clone(), offers: of_extensions };
    let reused = Reused::default();
    let resource = Resource::new(&settings.service.telemetry.resource, &process.instance);
    let pushes = Push::all(&settings.service.telemetry.metrics, &resource, (process, &services))?;
    let setup = Setup {
        plan,
        make,
        services,
        extensions,
        clock,
        random,
        ledger,
        health,
        warnings,
        listeners,
        reused,
    };
    let (service, here) = (settings.service, Errors::new(here));
    Ok(Assembled { setup, service, resource, pushes, notes, before, unchanged, here })
}

fn build(component: &Component, cx: &Build) -> Result<Built, ConfigError> {
    let factory = factory(component.kind, component.type_name).ok_or_else(|| {
        ConfigError::new("", format!("there is no {} `{}`", component.kind, component.type_name))
    })?;
    let value = component.typed().map_err(|error| ConfigError::new("", error.to_string()))?;
    factory.build(value, cx)
}

fn default(kind: Kind, id: &ComponentId, cx: &Build) -> Result<Built, ConfigError> {
    let factory = factory(kind, id.type_name())
        .ok_or_else(|| ConfigError::new("", format!("there is no {kind} `{}`", id.type_name())))?;
    factory.build(serde_json::Value::Null, cx)
}

fn role(kind: Kind, built: &Built) -> Option<Role> {
    match built {
        Built::Processor(_) if kind == Kind::Connector => Some(Role::Connector),
        Built::Editor(editor) => Some(Role::Editor(editor.access())),
        Built::Processor(processor) => Some(Role::Processor { holds: processor.holds() }),
        Built::Exporter(exporter, delivery) => {
            let queue = delivery.as_ref().and_then(|delivery| delivery.sending_queue.as_ref());
            let queued = queue.and_then(|queue| queue.storage.as_deref()).map(ComponentId::new);
            let storage = || exporter.snapshot_watermark().map(|watermark| watermark.storage().clone());
            Some(Role::Exporter { storage: queued.or_else(storage), metadata: exporter.metadata_keys() })
        }
        Built::Receiver(_) | Built::Extension(..) => None,
    }
}

fn round(settings: &Settings, cycle: &[&str]) -> Error {
    let message = format!("data would go round for ever: {} → {}", cycle.join(" → "), cycle[0]);
    let first = settings.pipelines.iter().find(|pipeline| pipeline.id.to_string() == cycle[0]);
    let at = &first.expect("the plan's pipelines are the configuration's").at;
    Error::new(at, format!("service::pipelines::{}", cycle[0]), message)
}

/// The masking step to insert where a pipeline has none.
fn masking(process: &ProcessContext, services: &Services, roles: &mut Roles) -> Result<Masking, String> {
    let id = ComponentId::new(&format!("{MASKING}/default"));
    let built = default(Kind::Processor, &id, &process.build(id.clone(), services));
    let built = built.map_err(|error| format!("the default masking cannot be built: {error}"))?;
    roles.extend(role(Kind::Processor, &built).map(|role| ((Kind::Processor, id.clone()), role)));
    Ok(Masking { type_name: MASKING, default: id })
}

fn used(settings: &Settings) -> BTreeSet<ComponentId> {
    let pipelines = settings.pipelines.iter();
    let ids = pipelines.flat_map(|p| p.receivers.iter().chain(&p.processors).chain(&p.exporters));
    ids.map(|id| component_id(&id.value)).collect()
}

fn wiring(settings: &Settings) -> Wiring {
    let ids =
        |list: &[throughline_config::Located<Id>]| list.iter().map(|id| component_id(&id.value)).collect();
    let pipelines = settings.pipelines.iter().map(|pipeline| Wire {
        id: pipeline.id.to_string(),
        signal: signal(pipeline.signal),
        receivers: ids(&pipeline.receivers),
        processors: ids(&pipeline.processors),
        exporters: ids(&pipeline.exporters),
    });
    Wiring { pipelines: pipelines.collect() }
}

/// Which receivers are in a pipeline of which signal.
fn takes(settings: &Settings) -> impl Fn(&ComponentId, Signal) -> bool {
    let pipelines = wiring(settings).pipelines;
    move |id, signal| pipelines.iter().any(|wire| wire.signal == signal && wire.receivers.contains(id))
}

fn signal(signal: throughline_config::Signal) -> Signal {
    match signal {
        throughline_config::Signal::Traces => Signal::Traces,
        throughline_config::Signal::Metrics => Signal::Metrics,
        throughline_config::Signal::Logs => Signal::Logs,
    }
}

fn component_id(id: &Id) -> ComponentId {
    ComponentId::new(id.as_str())
}

/// What the operator must be told at start-up.
fn notes(service: &Service, plan: &Plan) -> Vec<String> {
    let mut notes = Vec::new();
    if !service.mask_secrets {
        notes.push("secrets are NOT masked (service::mask_secrets is false)".to_owned());
    } else if plan.inserts_masking() {
        notes.push(
            "the default masking was put into pipelines without a `secrets` step; see `validate --graph`"
                .into(),
        );
    }
    let stored: Vec<&str> = plan
        .pipelines
        .iter()
        .filter(|pipeline| pipeline.streams.is_empty())
        .map(|pipeline| &*pipeline.id)
        .collect();
    if !stored.is_empty() {
        notes.push(format!(
            "nothing is kept on disk in {}: senders wait for every destination",
            stored.join(", ")
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_right() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
        let files = std::fs::read_dir(folder).expect("the examples");
        let files: Vec<_> = files.flatten().map(|file| file.path()).collect();
        let files: Vec<_> =
            files.iter().filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
        assert!(files.len() >= 3);
        for file in files {
            // What an example takes from its environment.
            let needed = [
                "receivers::github::webhook::secret=x",
                "extensions::bearertokenauth::token=x",
                "exporters::otlp_grpc::endpoint=backend:4317",
            ];
            let text = std::fs::read_to_string(file).expect("the example");
            let set =
                if text.contains("${env:BACKEND}") { needed.map(str::to_owned).into() } else { Vec::new() };
            let inputs = Inputs { config: vec![file.display().to_string()], set, feature_gates: Vec::new() };
            let (settings, _) = settings(&inputs).unwrap_or_else(|errors| panic!("{errors}"));
            let process = ProcessContext::new(&settings.service);
            let assembled =
                assemble(settings, &process, &Purpose::Validate).unwrap_or_else(|errors| panic!("{errors}"));
            assert!(!assembled.setup.plan.pipelines.is_empty());
        }
    }
}
