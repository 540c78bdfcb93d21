//! The plan: what the configuration means, before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use throughline_component::{AccessPattern, ComponentId, Kind};
use throughline_otlp::Signal;
use throughline_otlp::edit::Levels;

/// What the configuration wires together.
#[derive(Clone, Debug, Default)]
pub struct Wiring {
    /// The pipelines, in the configuration's order.
    pub pipelines: Vec<Wire>,
}

/// One pipeline as the configuration has it.
#[derive(Clone, Debug)]
pub struct Wire {
    /// `traces`, `logs/audit` …
    pub id: String,
    /// What flows through it.
    pub signal: Signal,
    /// Receivers and connectors it takes from.
    pub receivers: Vec<ComponentId>,
    /// Its processors, in order.
    pub processors: Vec<ComponentId>,
    /// Exporters and connectors it gives to.
    pub exporters: Vec<ComponentId>,
}

/// What the planner must know of components beyond their ids.
pub type Roles = BTreeMap<(Kind, ComponentId), Role>;

/// What the planner must know of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Looks at single records.
    Editor(AccessPattern),
    /// Sees whole batches; `holds` if it may keep them longer than a client waits.
    Processor {
        /// See [`throughline_component::Processor::holds`].
        holds: bool,
    },
    /// Leads into other pipelines.
    Connector,
    /// Delivers; `storage` names the extension that keeps what waits for it.
    Exporter {
        /// `sending_queue.storage`, or where its registry's snapshots lie.
        storage: Option<ComponentId>,
        /// See [`throughline_component::Exporter::metadata_keys`].
        metadata: Vec<String>,
    },
}

/// How secrets are masked where the configuration says nothing.
#[derive(Clone, Debug)]
pub struct Masking {
    /// The type of the step that masks; a pipeline that has one is left alone.
    pub type_name: &'static str,
    /// The id of the step to insert.
    pub default: ComponentId,
}

/// The picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One entry a pipeline, in the configuration's order.
    pub pipelines: Vec<Pipeline>,
}

/// One planned pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// The pipeline's id.
    pub id: String,
    /// What flows through it.
    pub signal: Signal,
    /// Where it takes from.
    pub receivers: Vec<ComponentId>,
    /// What happens on the way, in order.
    pub stages: Vec<Stage>,
    /// The streams before the fan-out, one in each storage that an exporter names.
    pub streams: Vec<Stored>,
    /// Where it gives to.
    pub sinks: Vec<(Kind, ComponentId)>,
}

/// A planned stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it lies.
    pub storage: ComponentId,
    /// The exporters that are fed from it.
    pub fed: Vec<ComponentId>,
    /// What is kept of requests' metadata, since one of them asks for it; sorted, in lower case.
    pub metadata: Vec<String>,
}

/// One stage of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Editors fused into one walk over the bytes.
    Walk {
        /// The editors, in order.
        editors: Vec<ComponentId>,
        /// Which of them the planner put in, so that secrets are masked.
        inserted: Option<ComponentId>,
    },
    /// A processor that sees whole batches.
    Processor(ComponentId),
    /// A stream before a processor that holds: the sender hears of the sync, the processor may take its time.
    Stream(Stored),
}

impl Plan {
    /// Plans the wiring. `masking` is `None` if the configuration turned it off.
    ///
    /// Every component of the wiring must have its role; the caller has checked the configuration.
    pub fn new(wiring: &Wiring, roles: &Roles, masking: Option<&Masking>) -> Self {
        Self { pipelines: wiring.pipelines.iter().map(|wire| pipeline(wire, roles, masking)).collect() }
    }

    /// The pipelines of a cycle, if connectors lead back to where they take from: data would go round for ever.
    pub fn cycle(&self) -> Option<Vec<&str>> {
        let next = |from: usize| {
            let sinks = self.pipelines[from].sinks.iter().filter(|(kind, _)| *kind == Kind::Connector);
            let ids: Vec<&ComponentId> = sinks.map(|(_, id)| id).collect();
            let taking = self.pipelines.iter().enumerate();
            taking.filter(move |(_, to)| ids.iter().any(|id| to.receivers.contains(id))).map(|(at, _)| at)
        };
        // Pipelines are few: from each, follow every way that has not been followed.
        (0..self.pipelines.len()).find_map(|start| {
            let (mut ways, mut seen) = (vec![vec![start]], vec![false; self.pipelines.len()]);
            while let Some(way) = ways.pop() {
                for to in next(*way.last()?) {
                    if to == start {
                        return Some(way.iter().map(|at| &*self.pipelines[*at].id).collect());
                    }
                    if !std::mem::replace(&mut seen[to], true) {
                        ways.push(way.iter().copied().chain([to]).collect());
                    }
                }
            }
            None
        })
    }

    /// Who is fed from which stream, by the stream's name.
    pub(crate) fn fed(&self) -> impl Iterator<Item = (String, ComponentId)> + '_ {
        let of_one = |pipeline: &Pipeline| {
            let before_holders = pipeline.stages.iter().filter_map(|stage| match stage {
                Stage::Stream(stored) => Some((pipeline.before(stored), stored)),
                _ => None,
            });
            let before_sinks = pipeline.streams.iter().map(|stored| (pipeline.id.clone(), stored));
            let named = before_holders.chain(before_sinks);
            named
                .flat_map(|(name, stored)| stored.fed.iter().map(move |fed| (name.clone(), fed.clone())))
                .collect::<Vec<_>>()
        };
        self.pipelines.iter().flat_map(of_one)
    }

    /// Whether the planner put a masking step in anywhere.
    pub fn inserts_masking(&self) -> bool {
        self.pipelines
            .iter()
            .flat_map(|pipeline| &pipeline.stages)
            .any(|stage| matches!(stage, Stage::Walk { inserted: Some(_), .. }))
    }
}

impl Pipeline {
    /// The name of the stream before a holder. No pipeline's id has a space in it.
    pub(crate) fn before(&self, stored: &Stored) -> String {
        let holder: Vec<_> = stored.fed.iter().map(ComponentId::as_str).collect();
        format!("{} before {}", self.id, holder.join(" "))
    }
}

fn pipeline(wire: &Wire, roles: &Roles, masking: Option<&Masking>) -> Pipeline {
    let sinks: Vec<(Kind, ComponentId)> =
        wire.exporters.iter().map(|id| (sink_kind(id, roles), id.clone())).collect();
    let mut processors = wire.processors.clone();
    let masked = |masking: &Masking| processors.iter().any(|id| id.type_name() == masking.type_name);
    let exports = sinks.iter().any(|(kind, _)| *kind == Kind::Exporter);
    let inserted = masking.filter(|masking| exports && !masked(masking)).map(|masking| {
        // In front of the first thing that may put data on a disk: a holder's stream, or the exporters.
        let holder = processors.iter().position(|id| holds(id, roles)).unwrap_or(processors.len());
        processors.insert(holder, masking.default.clone());
        masking.default.clone()
    });
    let streams = streams(&sinks, roles);
    // A holder's stream lies where the pipeline's first does, and keeps what any sink behind it asks for.
    let storage = streams.first().map(|stream| &stream.storage);
    let stored = storage.map(|storage| (storage.clone(), metadata(sinks.iter(), roles)));
    Pipeline {
        id: wire.id.clone(),
        signal: wire.signal,
        receivers: wire.receivers.clone(),
        stages: stages(&processors, roles, inserted.as_ref(), stored.as_ref()),
        streams,
        sinks,
    }
}

fn sink_kind(id: &ComponentId, roles: &Roles) -> Kind {
    if roles.contains_key(&(Kind::Connector, id.clone())) { Kind::Connector } else { Kind::Exporter }
}

fn holds(id: &ComponentId, roles: &Roles) -> bool {
    roles.get(&(Kind::Processor, id.clone())) == Some(&Role::Processor { holds: true })
}

fn stages(
    processors: &[ComponentId],
    roles: &Roles,
    inserted: Option<&ComponentId>,
    stored: Option<&(ComponentId, Vec<String>)>,
) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut walk: Vec<AccessPattern> = Vec::new();
    for id in processors {
        let inserted = inserted.filter(|masking| *masking == id).cloned();
        let Some(Role::Editor(access)) = roles.get(&(Kind::Processor, id.clone())) else {
            if let Some((storage, metadata)) = stored.filter(|_| holds(id, roles)) {
                let (storage, metadata) = (storage.clone(), metadata.clone());
                stages.push(Stage::Stream(Stored { storage, fed: vec![id.clone()], metadata }));
            }
            stages.push(Stage::Processor(id.clone()));
            walk.clear();
            continue;
        };
        match stages.last_mut() {
            Some(Stage::Walk { editors, inserted: known }) if fuses(&walk, *access) => {
                editors.push(id.clone());
                *known = known.take().or(inserted);
            }
            _ => {
                stages.push(Stage::Walk { editors: vec![id.clone()], inserted });
                walk.clear();
            }
        }
        walk.push(*access);
    }
    stages
}

/// Whether an editor may join a walk, which shows a resource to all its editors before it shows them the records below, and a record
/// before its parts. So the editor must not meet what an earlier one has yet to do further down, and an earlier one must not meet
/// further down what this editor has done above. One that looks at the whole chunk has to see what all earlier ones wrote.
pub(crate) fn fuses(walk: &[AccessPattern], next: AccessPattern) -> bool {
    let (next_writes, next_uses) = (next.writes | next.writes_above, next.visits | next.writes);
    !next.whole
        && walk.iter().all(|earlier| {
            let reads_from_below = next_writes.intersects(earlier.reads_above);
            let writes_from_below = earlier.writes_above.intersects(next.reads_above | next.writes_above);
            // Where a group goes, with an edit or with the last of its records, depends on who was called for it before.
            let writes_up = earlier.writes_above | next.writes_above != Levels::NONE;
            let side_by_side = earlier.visits == next.visits && next.visits.is_one();
            // A record is read and written with all its parts.
            let is_further_down = (earlier.visits | earlier.writes).intersects(next_uses.nested());
            !reads_from_below && !writes_from_below && !is_further_down && (side_by_side || !writes_up)
        })
}

fn streams(sinks: &[(Kind, ComponentId)], roles: &Roles) -> Vec<Stored> {
    let mut streams: Vec<Stored> = Vec::new();
    for sink in sinks {
        let (kind, id) = sink;
        let Some(Role::Exporter { storage: Some(storage), .. }) = roles.get(&(*kind, id.clone())) else {
            continue;
        };
        let at = streams.iter().position(|stream| stream.storage == *storage).unwrap_or(streams.len());
        if at == streams.len() {
            streams.push(Stored { storage: storage.clone(), fed: Vec::new(), metadata: Vec::new() });
        }
        let stream = &mut streams[at];
        stream.fed.push(sink.1.clone());
    }
    for stream in &mut streams {
        stream.metadata = metadata(sinks.iter().filter(|(_, id)| stream.fed.contains(id)), roles);
    }
    streams
}

/// The metadata that some sinks ask for.
fn metadata<'a>(sinks: impl Iterator<Item = &'a (Kind, ComponentId)>, roles: &Roles) -> Vec<String> {
    let asked = sinks.filter_map(|sink| match roles.get(sink) {
        Some(Role::Exporter { metadata, .. }) => Some(metadata),
        _ => None,
    });
    let keys: BTreeSet<_> = asked.flatten().map(|key| key.to_ascii_lowercase()).collect();
    keys.into_iter().collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pipeline in &self.pipelines {
            write!(f, "{pipeline}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.id)?;
        writeln!(f, "  from    {}", join(&self.receivers))?;
        writeln!(f, "  admit   structure, UTF-8, size")?;
        for stage in &self.stages {
            match stage {
                Stage::Processor(id) => writeln!(f, "  step    {id}")?,
                Stage::Stream(stored) => write!(f, "{stored}")?,
                Stage::Walk { editors, inserted } => {
                    write!(
                        f,
                        "  walk    {}",
                        editors.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(" · ")
                    )?;
                    match inserted {
                        Some(id) => writeln!(f, "   ({id} inserted: nothing else masks secrets here)")?,
                        None => writeln!(f)?,
                    }
                }
            }
        }
        for stored in &self.streams {
            write!(f, "{stored}")?;
        }
        for (kind, id) in &self.sinks {
            writeln!(f, "  to      {id}{}", if *kind == Kind::Connector { "  (connector)" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  stream  {}, synced; feeds {}", self.storage, join(&self.fed))?;
        match &self.metadata[..] {
            [] => writeln!(f),
            keys => writeln!(f, "   (with metadata {})", keys.join(", ")),
        }
    }
}

fn join(ids: &[ComponentId]) -> String {
    ids.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
