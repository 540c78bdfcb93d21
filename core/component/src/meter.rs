//! Counters of what components themselves have to count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ComponentId;

/// A counter. Cheap to clone; to be had once, when a component is built, and bumped once a chunk.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Counts `items` more.
    pub fn add(&self, items: u64) {
        if items > 0 {
            self.0.fetch_add(items, Ordering::Relaxed);
        }
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

type Key = (String, String);

/// The counters of all components. A service of the graph: self-telemetry shows them. They outlive a reload.
#[derive(Debug, Default)]
pub struct Meter {
    counters: Mutex<BTreeMap<Key, Counter>>,
}

impl Meter {
    /// The counter `throughline_…` of a component. `label` is one more label, its values few: `("event", "push")`.
    pub fn counter(&self, name: &str, component: &ComponentId, label: Option<(&str, &str)>) -> Counter {
        let mut labels = format!("component=\"{component}\"");
        if let Some((key, value)) = label {
            let value = value.replace(['\\', '"', '\n'], "_");
            labels.push_str(&format!(",{key}=\"{value}\""));
        }
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.entry((name.to_owned(), labels)).or_default().clone()
    }

    /// All counters: name, labels in the text format, count.
    pub fn read(&self) -> Vec<(String, String, u64)> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters
            .iter()
            .map(|((name, labels), counter)| (name.clone(), labels.clone(), counter.get()))
            .collect()
    }
}
