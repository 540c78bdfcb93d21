//! Running a plan: start, drain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use throughline_component::port::{Budget, Clock};
use throughline_component::{ComponentId, Fatal, Meter, Output};

use crate::assembly::{Assembly, NewReceiver, make_receiver};
use crate::entry::{Entry, Taking};
use crate::feeder::Feeder;
use crate::pipeline::{Connector, Pipeline, Stage};
use crate::setup::{Make, Reused, Setup};
use crate::share::Share;
use crate::sink::Sink;
use crate::supervisor::Supervisor;

/// A running graph.
pub struct Graph {
    pub(crate) receivers: Supervisor,
    feeders: Supervisor,
    services: Supervisor,
    pub(crate) extensions: Supervisor,
    pub(crate) sinks: BTreeMap<ComponentId, Arc<Sink>>,
    /// What stands behind the receivers' outputs.
    pub(crate) entries: BTreeMap<ComponentId, Arc<Entry>>,
    /// Who reads streams, by name.
    readers: BTreeMap<ComponentId, Arc<Feeder>>,
    pipelines: Vec<Arc<Pipeline>>,
    connectors: Vec<Arc<Connector>>,
    make: Make,
}

impl Graph {
    /// Builds and starts everything beside what is in service, in two phases. First all parts are built, and their storages and
    /// listeners opened: extensions first, then exporters, then what lies between, receivers last. Once all of it stands, the
    /// listeners are committed, and data comes to this graph. Only then are the streams read.
    ///
    /// Of the graph `before`, which is in service, the components in [`Setup::reused`] run on in this one; an exclusive receiver is
    /// ended before its successor starts.
    ///
    /// # Errors
    /// The first component that cannot be built or started. What was started is stopped again, and what was in service before
    /// is as it was.
    pub async fn start(setup: Setup, before: Option<&mut Self>) -> Result<Self, Fatal> {
        let mut graph = Self {
            receivers: Supervisor::new(&setup.health),
            feeders: Supervisor::new(&setup.health),
            services: Supervisor::new(&setup.health),
            extensions: Supervisor::new(&setup.health),
            sinks: BTreeMap::new(),
            entries: BTreeMap::new(),
            readers: BTreeMap::new(),
            pipelines: Vec::new(),
            connectors: Vec::new(),
            make: Arc::clone(&setup.make),
        };
        let kept = |before: &Self| {
            let sinks = before.sinks.iter().filter(|(id, _)| setup.reused.exporters.contains(*id));
            sinks.map(|(id, sink)| (id.clone(), Arc::clone(sink))).collect()
        };
        let sinks = before.as_deref().map(kept).unwrap_or_default();
        let mut assembly = Assembly::new(&setup, sinks);
        let mut handed_over = Vec::new();
        match graph.launch(&setup, &mut assembly, before, &mut handed_over).await {
            Ok(()) => {
                setup.health.started();
                assembly.tell_of_stranded().await;
                Ok(graph)
            }
            Err((error, before)) => {
                graph.abandon(&setup.reused).await;
                assembly.unsubscribe().await;
                if let Some(before) = before {
                    for id in handed_over {
                        before.resume(&id).await;
                    }
                }
                Err(error)
            }
        }
    }

    /// On an error the graph before is given back, with those of its receivers ended that were handed over.
    async fn launch<'g>(
        &mut self,
        setup: &Setup,
        assembly: &mut Assembly<'_>,
        mut before: Option<&'g mut Self>,
        handed_over: &mut Vec<ComponentId>,
    ) -> Result<(), (Fatal, Option<&'g mut Self>)> {
        let taking = match self.stand_up(setup, assembly, before.as_deref_mut(), handed_over).await {
            Ok(taking) => taking,
            Err(error) => return Err((error, before)),
        };
        // The last thing that can fail; if it does, what was in service before still is.
        if let Err(error) = setup.listeners.commit().await {
            return Err((error, before));
        }
        if let Some(before) = before {
            self.take_over(&setup.reused, before, &taking);
        }
        for part in [&self.extensions, &self.services, &self.receivers, &self.feeders] {
            part.in_service();
        }
        Ok(())
    }

    /// Builds and starts all that does not run on; says where the data of each receiver goes.
    async fn stand_up(
        &mut self,
        setup: &Setup,
        assembly: &mut Assembly<'_>,
        mut before: Option<&mut Self>,
        handed_over: &mut Vec<ComponentId>,
    ) -> Result<BTreeMap<ComponentId, Arc<Taking>>, Fatal> {
        let reused = &setup.reused;
        assembly.open_streams().await?;
        self.pipelines = assembly.pipelines()?;
        self.sinks = assembly.sinks.clone();
        self.connectors = assembly.connectors.values().cloned().collect();
        for (id, extension) in setup.extensions.iter().filter(|(id, _)| !reused.extensions.contains(id)) {
            let extension = Arc::clone(extension);
            self.extensions.start(id, move |stop| Ok(Arc::clone(&extension).run(stop))).await?;
        }
        for (id, exporter) in
            assembly.exporters().into_iter().filter(|(id, _)| !reused.exporters.contains(id))
        {
            self.services.start(&id, move |stop| Ok(Arc::clone(&exporter).run(stop))).await?;
        }
        self.tick(&setup.clock);
        let taking = assembly.taking(&self.pipelines);
        let mut exclusive = Vec::new();
        for (id, taking) in taking.iter().filter(|(id, _)| !reused.receivers.contains(*id)) {
            let new = assembly.receiver(id, Arc::clone(taking))?;
            if new.receiver.is_exclusive() {
                exclusive.push(new);
            } else {
                self.receive(new).await?;
            }
        }
        self.feed(setup, assembly, before.as_deref()).await?;
        for new in exclusive {
            if let Some(before) = before.as_deref_mut().filter(|before| before.receivers.has(&new.id)) {
                before.receivers.end_one(&new.id).await;
                handed_over.push(new.id.clone());
            }
            self.receive(new).await?;
        }
        Ok(taking)
    }

    /// Starts a receiver.
    async fn receive(&mut self, new: NewReceiver) -> Result<(), Fatal> {
        let NewReceiver { id, receiver, entry } = new;
        let (make, own) = (Arc::clone(&self.make), id.clone());
        let out = Output::new(Arc::clone(&entry) as _);
        let mut first = Some(receiver);
        let run = move |stop| {
            let receiver = match first.take() {
                Some(receiver) => receiver,
                None => make_receiver(&make, &own)?,
            };
            Ok(receiver.run(out.clone(), stop))
        };
        self.receivers.start(&id, run).await?;
        self.entries.insert(id, entry);
        Ok(())
    }

    /// Starts again a receiver that had made way for one that did not come into service.
    async fn resume(&mut self, id: &ComponentId) {
        let Some(entry) = self.entries.get(id).cloned() else { return };
        let resumed = match make_receiver(&self.make, id) {
            Ok(receiver) => self.receive(NewReceiver { id: id.clone(), receiver, entry }).await,
            Err(error) => Err(error),
        };
        match resumed {
            Ok(()) => self.receivers.in_service(),
            Err(error) => {
                tracing::error!(component = %id, %error, "it made way, and cannot be started again")
            }
        }
    }

    /// Takes over what runs on.
    fn take_over(&mut self, reused: &Reused, before: &mut Self, taking: &BTreeMap<ComponentId, Arc<Taking>>) {
        self.extensions.take_over(&mut before.extensions, |id| reused.extensions.contains(id));
        self.services.take_over(&mut before.services, |id| reused.exporters.contains(id));
        let (readers, old) = (&self.readers, &before.readers);
        let reads_on = |name: &ComponentId| {
            readers.get(name).zip(old.get(name)).is_some_and(|(reader, old)| Arc::ptr_eq(reader, old))
        };
        self.feeders.take_over(&mut before.feeders, reads_on);
        self.receivers.take_over(&mut before.receivers, |id| reused.receivers.contains(id));
        for (_, sink) in before.sinks.extract_if(.., |id, _| reused.exporters.contains(id)) {
            sink.retry_now();
        }
        for (id, entry) in before.entries.extract_if(.., |id, _| reused.receivers.contains(id)) {
            if let Some(taking) = taking.get(&id) {
                entry.redirect(Arc::clone(taking));
            }
            self.entries.insert(id, entry);
        }
    }

    /// Starts those who read streams; they read once all is in service.
    async fn feed(
        &mut self,
        setup: &Setup,
        assembly: &mut Assembly<'_>,
        before: Option<&Self>,
    ) -> Result<(), Fatal> {
        let (memory, readers) = (setup.services.get::<Budget>(), assembly.feeders.len());
        let meter = setup.services.get::<Meter>().unwrap_or_default();
        for feeder in assembly.feeders.drain(..) {
            let name = feeder.name.clone();
            let old = before.and_then(|before| before.readers.get(&name)).filter(|old| old.is_like(&feeder));
            if let Some(old) = old {
                self.readers.insert(name, Arc::clone(old));
                continue;
            }
            self.readers.insert(name.clone(), Arc::clone(&feeder));
            let waits = meter.counter("throughline_stream_reader_waits", &name, None);
            let share = Share::of(memory.as_ref(), readers, waits);
            let run = move |stop| Arc::clone(&feeder).run(Arc::clone(&share), stop);
            self.feeders.start(&name, move |stop| Ok(Box::pin(run(stop)))).await?;
        }
        Ok(())
    }

    /// Ends what was started and never came into service.
    async fn abandon(self, reused: &Reused) {
        let Self { receivers, feeders, services, extensions, sinks, .. } = self;
        sinks.iter().filter(|(id, _)| !reused.exporters.contains(*id)).for_each(|(_, sink)| sink.stop());
        for part in [receivers, feeders, services, extensions] {
            part.end().await;
        }
    }

    /// Drains: receivers take in nothing more, what is on its way is delivered, then the rest stops. What is not
    /// delivered within `deadline` is returned to its senders. Says how many batches that was.
    pub async fn stop(self, deadline: Duration) -> usize {
        let Self { mut receivers, feeders, services, extensions, sinks, pipelines, connectors, .. } = self;
        let sinks: Vec<Arc<Sink>> = sinks.into_values().collect();
        receivers.say_stop();
        // What is in a storage is safe: nobody waits for its delivery.
        feeders.say_stop();
        // Requests that are still arriving come to this graph, even once it has stopped.
        pipelines.iter().for_each(|pipeline| pipeline.drain());
        connectors.iter().for_each(|connector| connector.step.drain());
        sinks.iter().for_each(|sink| sink.drain());
        let drain = async {
            // Receivers wait for settlements, and settlements for what steps keep: flush until both are through.
            loop {
                flush(&pipelines, &connectors);
                if !receivers.is_running() && sinks.iter().all(|sink| sink.load() == 0) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let drained = tokio::time::timeout(deadline, drain).await.is_ok();
        let left = if drained { 0 } else { sinks.iter().map(|sink| sink.load()).sum() };
        // They stop by themselves after a short grace; only then may a sink give up what it is trying.
        feeders.end().await;
        sinks.iter().for_each(|sink| sink.stop());
        for part in [services, extensions] {
            part.end().await;
        }
        sinks.iter().for_each(|sink| sink.clear_health());
        left
    }

    /// The tasks that tick steps and connectors.
    fn tick(&mut self, clock: &Arc<dyn Clock>) {
        for pipeline in &self.pipelines {
            for (at, stage) in pipeline.stages.iter().enumerate() {
                let Stage::Processor(step) = stage else { continue };
                let (pipeline, step, clock, stop) =
                    (Arc::clone(pipeline), Arc::clone(step), Arc::clone(clock), self.services.stop().clone());
                self.services.adopt(tokio::spawn(async move {
                    step.tick(&*clock, stop, |batch| pipeline.push_from(at + 1, batch)).await;
                }));
            }
        }
        for connector in &self.connectors {
            let (connector, clock, stop) =
                (Arc::clone(connector), Arc::clone(clock), self.services.stop().clone());
            self.services.adopt(tokio::spawn(async move {
                let step = Arc::clone(&connector.step);
                step.tick(&*clock, stop, |batch| connector.forward(batch)).await;
            }));
        }
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.pipelines.iter().map(|pipeline| &pipeline.id)).finish()
    }
}

fn flush(pipelines: &[Arc<Pipeline>], connectors: &[Arc<Connector>]) {
    pipelines.iter().for_each(|pipeline| pipeline.flush());
    for connector in connectors {
        connector.step.flush().into_iter().for_each(|batch| connector.forward(batch));
    }
}
