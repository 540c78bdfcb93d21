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

    /// Lets go of what nobody else has: to be called once a graph has ended, when the next one has what it wants. What is let go
    /// of may close files, and block.
    pub fn forget_unused(&self) {
        loop {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let unused: Vec<_> = held.extract_if(|_, state| Arc::strong_count(state) == 1).collect();
            drop(held);
            if unused.is_empty() {
                return;
            }
            // One may have been the last to have another.
            drop(unused);
        }
    }
}

impl std::fmt::Debug for States {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("States")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Journal {
        _storage: Arc<Mutex<u8>>,
    }

    #[test]
    fn what_nobody_has_any_more_is_let_go_of_and_what_it_had_too() {
        let states = States::default();
        let state = |id: &str| {
            let storage = states.get_or_try(&ComponentId::new(id), || Ok::<_, ()>(Mutex::new(7_u8)));
            storage.expect("it is made")
        };
        let (kept, storage) = (state("kept"), state("gone"));
        let watched = Arc::downgrade(&storage);
        let journal =
            states.get_or_try(&ComponentId::new("gone"), || Ok::<_, ()>(Journal { _storage: storage }));
        states.forget_unused();
        assert!(watched.upgrade().is_some(), "somebody has the journal, and it the storage");
        drop(journal);
        *kept.lock().expect("no panic") = 8;
        states.forget_unused();
        assert!(watched.upgrade().is_none());
        assert_eq!(*state("kept").lock().expect("no panic"), 8, "it is the same");
        assert_eq!(*state("gone").lock().expect("no panic"), 7, "it is made anew");
    }
}
