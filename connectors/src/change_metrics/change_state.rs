//! What is known of one change, and what follows from it. The order in which events came never matters.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::moment::{Labels, Moment};
use super::table::{From, Kind, METRICS, Metric, Per};

/// How many events of a change are kept.
const MOST: usize = 64;

/// What is known of one change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ChangeState {
    moments: Vec<Moment>,
    /// Metrics that are observed once for a change, and were: when what was observed ended.
    once: Vec<(Box<str>, u64)>,
}

/// Something to observe.
#[derive(Debug, PartialEq)]
pub(super) struct Observation {
    pub(super) metric: usize,
    pub(super) series: Vec<Box<str>>,
    /// In nanoseconds; of counters nothing.
    pub(super) nanos: u64,
    /// When it ended.
    pub(super) at: u64,
}

impl ChangeState {
    /// Takes an event.
    pub(super) fn take(&mut self, moment: Moment) {
        self.moments.push(moment);
        self.share(self.moments.len() - 1);
    }

    /// What was read from a snapshot, with labels that are shared again.
    pub(super) fn shared(mut self) -> Self {
        (0..self.moments.len()).for_each(|index| self.share(index));
        self
    }

    /// Most events of a change are of one place.
    fn share(&mut self, index: usize) {
        let (before, rest) = self.moments.split_at_mut(index);
        if let Some(moment) = rest.first_mut()
            && let Some(same) = before.iter().find(|known| known.labels == moment.labels)
        {
            moment.labels = Arc::clone(&same.labels);
        }
    }

    /// Takes over what was known of the change under a former name.
    pub(super) fn merge(&mut self, other: Self) {
        for moment in other.moments {
            self.take(moment);
        }
        for (metric, ended) in other.once {
            match self.once.iter_mut().find(|(known, _)| *known == metric) {
                Some((_, at)) => *at = ended.min(*at),
                None => self.once.push((metric, ended)),
            }
        }
    }

    /// Whether there is no room for another event.
    pub(super) fn is_full(&self) -> bool {
        self.moments.len() >= MOST
    }

    /// Whether there are more events than are kept.
    pub(super) fn is_over_full(&self) -> bool {
        self.moments.len() > MOST
    }

    /// Leaves out the oldest event. (All are final by then.)
    pub(super) fn leave_out_oldest(&mut self) {
        let oldest = (0..self.moments.len()).min_by_key(|index| {
            let moment = &self.moments[*index];
            (moment.kind.name == "ChangeOpened", moment.at)
        });
        oldest.map(|index| self.moments.swap_remove(index));
    }

    /// Whether an event comes too late: what ended after it, and would count from it, is final.
    pub(super) fn is_late(&self, moment: &Moment) -> bool {
        METRICS.iter().any(|metric| match metric.kind {
            Kind::Duration { begins, per, .. } | Kind::LastDuration { begins, per, .. } => {
                let ended_before = self.once(metric).is_some_and(|ended| moment.at < ended);
                let begins = moment.is_any(begins);
                let ends = metric.ended_by(moment).is_some();
                let is_final = |other: &&Moment| {
                    other.is_final && other.at >= moment.at && metric.ended_by(other).is_some()
                };
                match per {
                    Per::Change => (begins || ends) && ended_before,
                    Per::End => {
                        begins
                            && self
                                .moments
                                .iter()
                                .filter(is_final)
                                .any(|end| self.beginning(metric, end) < Some(moment.at))
                    }
                }
            }
            _ => false,
        })
    }

    fn once(&self, metric: &Metric) -> Option<u64> {
        self.once.iter().find(|(name, _)| **name == *metric.name).map(|(_, ended)| *ended)
    }

    /// Makes final what was heard of until `heard`; says what is to be observed, in the order of the ends.
    pub(super) fn finish(&mut self, heard: u64) -> Vec<Observation> {
        let mut due: Vec<usize> = (0..self.moments.len())
            .filter(|index| !self.moments[*index].is_final && self.moments[*index].heard <= heard)
            .collect();
        due.sort_by(|a, b| self.moments[*a].by_time(&self.moments[*b]));
        let mut observed = Vec::new();
        for index in due {
            self.moments[index].is_final = true;
            let moment = self.moments[index].clone();
            for (number, metric) in METRICS.iter().enumerate() {
                observed.extend(self.observe(number, metric, &moment));
            }
        }
        observed
    }

    /// What an event that has become final means for a metric.
    fn observe(&mut self, number: usize, metric: &Metric, moment: &Moment) -> Option<Observation> {
        metric.ended_by(moment)?;
        let per = match metric.kind {
            Kind::Duration { per, .. } | Kind::LastDuration { per, .. } => per,
            _ => Per::End,
        };
        // Of several ends the first counts, whichever was heard of first.
        let first = match per {
            Per::End if moment.is_carried => return None,
            Per::End => None,
            Per::Change if self.once(metric).is_some() => return None,
            Per::Change => {
                let ends = self.moments.iter().filter(|other| metric.ended_by(other).is_some());
                ends.min_by(|a, b| a.by_time(b)).cloned()
            }
        };
        let end = first.as_ref().unwrap_or(moment);
        let nanos = match metric.kind {
            Kind::Count { .. } => 0,
            _ => end.at.saturating_sub(self.beginning(metric, end)?),
        };
        if per == Per::Change {
            self.once.push((metric.name.into(), end.at));
        }
        let result = metric.ended_by(end)?.result.unwrap_or(if end.result.is_empty() {
            "unknown"
        } else {
            &end.result
        });
        Some(Observation {
            metric: number,
            series: metric.series(&self.labels(end), result),
            nanos,
            at: end.at,
        })
    }

    /// When what ended here began.
    fn beginning(&self, metric: &Metric, end: &Moment) -> Option<u64> {
        let (Kind::Duration { begins, from, .. } | Kind::LastDuration { begins, from, .. }) = metric.kind
        else {
            return None;
        };
        // Sources' clocks differ; what has no time at all has no duration.
        let before = self.moments.iter().filter(|moment| moment.is_any(begins) && moment.at > 0);
        match from {
            From::First => before.map(|moment| moment.at).min(),
            From::Last => before.map(|moment| moment.at).filter(|at| *at <= end.at).max(),
            From::Own => {
                let said =
                    end.duration_ms.map(|millis| end.at.saturating_sub(millis.saturating_mul(1_000_000)));
                let own = before.filter(|moment| moment.is_of_object(end) && moment.at <= end.at);
                said.or_else(|| own.map(|moment| moment.at).max())
            }
        }
    }

    /// An event's labels; what it does not say, the change's other events do, the earliest first.
    pub(super) fn labels(&self, moment: &Moment) -> Labels {
        let mut labels = (*moment.labels).clone();
        let mut others: Vec<&Moment> = self.moments.iter().collect();
        others.sort_by(|a, b| a.by_time(b));
        others.iter().for_each(|other| labels.fill(&other.labels));
        labels
    }

    /// Since when the change waits for what ends this, and its labels; nothing if it does not.
    pub(super) fn waits(&self, begins: &[&str], ends: &[&str]) -> Option<(u64, Labels)> {
        let began = self.moments.iter().filter(|moment| moment.is_any(begins)).min_by(|a, b| a.by_time(b))?;
        let ended = self.moments.iter().any(|moment| moment.is_any(ends) && moment.at >= began.at);
        (!ended).then(|| (began.at, self.labels(began)))
    }

    /// Those of its objects that have begun and not ended.
    pub(super) fn active<'k>(
        &'k self,
        begins: &'k [&'k str],
        ends: &'k [&'k str],
    ) -> impl Iterator<Item = Labels> + 'k {
        let begun = self.moments.iter().filter(move |moment| moment.is_any(begins) && !moment.is_carried);
        let ended =
            move |begun: &&Moment| self.moments.iter().any(|end| end.is_any(ends) && end.is_of_object(begun));
        begun.filter(move |moment| !ended(moment)).map(|moment| self.labels(moment))
    }

    /// When each of its events that is not final was heard.
    pub(super) fn pending(&self) -> impl Iterator<Item = u64> {
        self.moments.iter().filter(|moment| !moment.is_final).map(|moment| moment.heard)
    }
}
