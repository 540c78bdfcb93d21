//! State that outlives a component's instance.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ComponentId;

type Key = (TypeId, ComponentId);

/// State by component id and type. It is shared by all pipelines that name the component, survives a restart after a
/// panic, and is what a reload hands over. A service of the graph.
#[derive(Default)]
pub struct States {
    held: Mutex<HashMap<Key, Arc<dyn Any + Send + Sync>>>,
}

impl States {
    /// The state of type `T` that component `id` left, or the one that `make` makes.
    ///
    /// # Errors
    /// What `make` answers.
    pub fn get_or_try<T, E>(&self, id: &ComponentId, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E>
    where
        T: Send + Sync + 'static,
    {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (TypeId::of::<T>(), id.clone());
        if let Some(state) = held.get(&key).and_then(|state| Arc::clone(state).downcast().ok()) {
            return Ok(state);
        }
        let state = Arc::new(make()?);
        held.insert(key, Arc::<T>::clone(&state));
        Ok(state)
    }
}

impl std::fmt::Debug for States {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("States")
    }
}
