//! What a reload leaves as it is: components that run on in the next graph, with their connections and queues.

use std::collections::{BTreeMap, BTreeSet};

use throughline_component::{ComponentId, Kind};

use crate::entry::Taking;
use crate::plan::Plan;
use crate::run::Graph;
use crate::setup::Reused;

impl Graph {
    /// Which of these components, whose settings and services are the same in the next plan, can run on in it. A receiver
    /// must emit the same signals as before: what it opens may depend on them.
    pub fn reusable(&self, plan: &Plan, unchanged: &BTreeSet<(Kind, ComponentId)>) -> Reused {
        let of = |kind: Kind| unchanged.iter().filter(move |(of, _)| *of == kind).map(|(_, id)| id);
        let mut signals: BTreeMap<&ComponentId, [bool; 3]> = BTreeMap::new();
        for pipeline in &plan.pipelines {
            for receiver in &pipeline.receivers {
                signals.entry(receiver).or_default()[pipeline.signal as usize] = true;
            }
        }
        let exported: BTreeSet<&ComponentId> =
            plan.pipelines.iter().flat_map(|pipeline| pipeline.sinks.iter().map(|(_, id)| id)).collect();
        let emits = |taking: &Taking| taking.each_ref().map(|pipelines| !pipelines.is_empty());
        let same = |id: &&ComponentId| {
            let before = self.entries.get(*id).map(|entry| emits(&entry.taking()));
            self.receivers.has(id) && before.is_some() && before == signals.get(*id).copied()
        };
        Reused {
            receivers: of(Kind::Receiver).filter(same).cloned().collect(),
            exporters: of(Kind::Exporter)
                .filter(|id| self.sinks.contains_key(*id) && exported.contains(id))
                .cloned()
                .collect(),
            extensions: of(Kind::Extension).filter(|id| self.extensions.has(id)).cloned().collect(),
        }
    }
}
