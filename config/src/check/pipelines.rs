//! What the `service` section wires together: every id defined, every pipeline whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Catalog;
use crate::error::{Error, Location, Warning};
use crate::id::{Id, PipelineId};
use crate::kind::{Kind, Signal};
use crate::nearest::did_you_mean;
use crate::node::{Entry, Node, Value};
use crate::path::Path;
use crate::settings::{Located, Pipeline};

/// The ids that the sections define, whether or not their settings are right.
#[derive(Default)]
pub(super) struct Defined {
    ids: BTreeMap<(Kind, Id), Location>,
    broken: BTreeSet<Kind>,
}

impl Defined {
    /// Adds an id; gives the place of the first if it is there already.
    pub(super) fn insert(&mut self, kind: Kind, id: &Id, at: &Location) -> Option<Location> {
        let key = (kind, id.clone());
        if let Some(first) = self.ids.get(&key) {
            return Some(first.clone());
        }
        self.ids.insert(key, at.clone());
        None
    }

    /// Something stands in the section that could not be read; its absence is not reported again.
    pub(super) fn mark_broken(&mut self, kind: Kind) {
        self.broken.insert(kind);
    }

    pub(super) fn is_missing(&self, kind: Kind) -> bool {
        !self.broken.contains(&kind) && self.of(kind).next().is_none()
    }

    fn has(&self, kind: Kind, id: &Id) -> bool {
        self.ids.contains_key(&(kind, id.clone()))
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Id> {
        self.ids.keys().filter(move |(of, _)| *of == kind).map(|(_, id)| id)
    }
}

/// The pipelines and extensions of the `service` section, and what is wrong with them.
pub(super) struct Wiring {
    pub(super) pipelines: Vec<Pipeline>,
    pub(super) extensions: Vec<Located<Id>>,
    pub(super) errors: Vec<Error>,
    pub(super) warnings: Vec<Warning>,
}

impl Wiring {
    pub(super) fn new(root: &Node, catalog: &Catalog, defined: Defined) -> Self {
        let wiring =
            Self { pipelines: Vec::new(), extensions: Vec::new(), errors: Vec::new(), warnings: Vec::new() };
        let mut pass = Pass { catalog, defined, wiring, used: BTreeSet::new(), ends: BTreeMap::new() };
        pass.connector_ids();
        pass.extensions(root);
        pass.pipelines(root);
        pass.connectors();
        pass.unused();
        pass.wiring
    }
}

/// The two ends of a connector: where it is an exporter, and where it is a receiver.
#[derive(Default)]
struct Ends {
    takes: Vec<(Location, String)>,
    gives: Vec<(Location, String)>,
}

struct Pass<'a> {
    catalog: &'a Catalog,
    defined: Defined,
    wiring: Wiring,
    used: BTreeSet<(Kind, Id)>,
    ends: BTreeMap<Id, Ends>,
}

impl Pass<'_> {
    fn connector_ids(&mut self) {
        for id in self.defined.of(Kind::Connector) {
            for kind in [Kind::Receiver, Kind::Exporter] {
                if self.defined.has(kind, id) {
                    let at = &self.defined.ids[&(Kind::Connector, id.clone())];
                    let path = format!("connectors::{id}");
                    let message = format!(
                        "{} is also called `{id}`; one of them needs a name, such as `{id}/2`",
                        kind.with_article()
                    );
                    self.wiring.errors.push(Error::new(at, path, message));
                }
            }
        }
    }

    fn extensions(&mut self, root: &Node) {
        let Some(node) = root.get("service").and_then(|service| service.get("extensions")) else { return };
        let path = Path::Root.key("service");
        let path = path.key("extensions");
        let ids = self.ids(node, &path, &[Kind::Extension], None);
        self.wiring.extensions = ids.into_iter().map(|(_, id)| id).collect();
    }

    fn pipelines(&mut self, root: &Node) {
        let service = root.get("service");
        let node = service.and_then(|service| service.get("pipelines"));
        let path = Path::Root.key("service");
        let path = path.key("pipelines");
        // Only what is a map, or not there at all, was not already complained about.
        let readable = service.is_none_or(|service| matches!(service.value, Value::Map(_)))
            && node.is_none_or(|node| matches!(node.value, Value::Map(_)));
        if readable && node.is_none_or(|node| node.entries().is_empty()) {
            let at = node.or(service).unwrap_or(root).at.clone();
            self.wiring.errors.push(Error::new(&at, path, "at least one pipeline is needed"));
            return;
        }
        for entry in node.map(Node::entries).unwrap_or_default() {
            let path = path.key(&entry.key);
            let id = match entry.key.parse::<PipelineId>() {
                Ok(id) => Some(id),
                Err(message) => {
                    self.wiring.errors.push(Error::new(&entry.key_at, path, message));
                    None
                }
            };
            self.pipeline(id, entry, &path);
        }
    }

    /// One pipeline; without an id its references are still looked at.
    fn pipeline(&mut self, id: Option<PipelineId>, entry: &Entry, path: &Path<'_>) {
        let node = &entry.value;
        if !matches!(node.value, Value::Map(_)) {
            return;
        }
        let signal = id.as_ref().map(PipelineId::signal);
        for (section, what) in [("receivers", "receiver"), ("exporters", "exporter")] {
            let list = node.get(section);
            let readable = list.is_none_or(|list| matches!(list.value, Value::Seq(_)));
            if readable && list.is_none_or(|list| list.items().is_empty()) {
                let at = list.map_or(&entry.key_at, |list| &list.at);
                let message = format!("a pipeline needs at least one {what}");
                self.wiring.errors.push(Error::new(at, path.key(section), message));
            }
        }
        let mut read = |section: &'static str, kinds: &[Kind]| match node.get(section) {
            Some(list) => self.ids(list, &path.key(section), kinds, signal),
            None => Vec::new(),
        };
        let receivers = read("receivers", &[Kind::Receiver, Kind::Connector]);
        let processors = read("processors", &[Kind::Processor]);
        let exporters = read("exporters", &[Kind::Exporter, Kind::Connector]);
        for (index, (_, processor)) in processors.iter().enumerate() {
            if processors[..index].iter().any(|(_, earlier)| earlier.value == processor.value) {
                let message = format!("processor `{}` is listed twice in this pipeline", processor.value);
                let path = path.key("processors");
                self.wiring.errors.push(Error::new(&processor.at, path, message));
            }
        }
        for (is_receiver, (kind, id)) in
            receivers.iter().map(|found| (true, found)).chain(exporters.iter().map(|found| (false, found)))
        {
            if *kind == Kind::Connector {
                let ends = self.ends.entry(id.value.clone()).or_default();
                let end = if is_receiver { &mut ends.gives } else { &mut ends.takes };
                end.push((id.at.clone(), entry.key.clone()));
            }
        }
        let plain = |ids: Vec<(Kind, Located<Id>)>| ids.into_iter().map(|(_, id)| id).collect();
        if let Some(id) = id {
            self.wiring.pipelines.push(Pipeline {
                signal: id.signal(),
                id,
                receivers: plain(receivers),
                processors: plain(processors),
                exporters: plain(exporters),
                at: entry.key_at.clone(),
            });
        }
    }

    /// The ids in a list that are defined as one of `kinds`; complains about the others.
    fn ids(
        &mut self,
        list: &Node,
        path: &Path<'_>,
        kinds: &[Kind],
        signal: Option<Signal>,
    ) -> Vec<(Kind, Located<Id>)> {
        let mut ids = Vec::new();
        for (index, item) in list.items().iter().enumerate() {
            let Some(text) = item.as_text() else { continue };
            let path = path.index(index);
            let id = match text.parse::<Id>() {
                Ok(id) => id,
                Err(message) => {
                    self.wiring.errors.push(Error::new(&item.at, path, message));
                    continue;
                }
            };
            let Some(kind) = kinds.iter().copied().find(|kind| self.defined.has(*kind, &id)) else {
                let message = self.explain_undefined(kinds, &id);
                self.wiring.errors.push(Error::new(&item.at, path, message));
                continue;
            };
            if let Some(message) = signal.and_then(|signal| self.explain_signal(kind, kinds[0], &id, signal))
            {
                self.wiring.errors.push(Error::new(&item.at, path, message));
            }
            self.used.insert((kind, id.clone()));
            ids.push((kind, Located { value: id, at: item.at.clone() }));
        }
        ids
    }

    fn explain_undefined(&self, kinds: &[Kind], id: &Id) -> String {
        let wanted = kinds[0];
        if let Some(other) = Kind::ALL.into_iter().find(|kind| self.defined.has(*kind, id)) {
            return format!("`{id}` is {}, not {}", other.with_article(), wanted.with_article());
        }
        let defined = kinds.iter().flat_map(|kind| self.defined.of(*kind)).map(Id::as_str);
        let hint = did_you_mean(id.as_str(), defined);
        format!("{wanted} `{id}` is not defined under `{}`{hint}", wanted.section())
    }

    /// Why a component cannot stand here: it does not know the pipeline's signal.
    fn explain_signal(&self, kind: Kind, role: Kind, id: &Id, signal: Signal) -> Option<String> {
        let known = self.catalog.find(kind, id.type_name())?;
        let (signals, verb) =
            if role == Kind::Receiver { (known.produces, "gives") } else { (known.consumes, "takes") };
        if signals.contains(&signal) {
            return None;
        }
        let words: Vec<_> = signals.iter().map(|signal| signal.as_str()).collect();
        let words = if words.is_empty() { "no signal".to_owned() } else { words.join(" and ") };
        Some(format!("{kind} `{id}` {verb} {words}, not {signal}"))
    }

    fn connectors(&mut self) {
        for (id, ends) in &self.ends {
            let (uses, is, other) = match (ends.takes.is_empty(), ends.gives.is_empty()) {
                (false, true) => (&ends.takes, "an exporter", "a receiver"),
                (true, false) => (&ends.gives, "a receiver", "an exporter"),
                _ => continue,
            };
            for (at, pipeline) in uses {
                let message = format!(
                    "connector `{id}` is {is} of pipeline `{pipeline}`, but {other} of none; it must be both"
                );
                self.wiring.errors.push(Error::new(at, format!("connectors::{id}"), message));
            }
        }
    }

    fn unused(&mut self) {
        for ((kind, id), at) in &self.defined.ids {
            if !self.used.contains(&(*kind, id.clone())) {
                let place = if *kind == Kind::Extension { "`service::extensions`" } else { "a pipeline" };
                let path = format!("{}::{id}", kind.section());
                let message = format!("defined, but not used in {place}");
                self.wiring.warnings.push(Warning::new(at, path, message));
            }
        }
    }
}
