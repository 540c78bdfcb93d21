//! Memory as a resource: a bounded number of bytes that requests may hold until they settle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes all requests together may hold. Charged as bytes arrive, given back when the chunk has settled.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// Bytes in use now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be in use.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// An empty charge that can grow.
    pub fn charge(self: &Arc<Self>) -> Charge {
        Charge { held: 0, budget: Some(Arc::clone(self)) }
    }

    /// Takes `bytes` for a charge that holds `held`. One that is alone may go beyond the limit: a request that is larger than
    /// the budget can be taken when nothing else is, and never when something is.
    fn take(&self, bytes: usize, held: usize) -> bool {
        let grown = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit || used == held);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok()
    }
}

/// Bytes held of a [`Budget`]; dropping it gives them back.
#[derive(Debug, Default)]
pub struct Charge {
    held: usize,
    budget: Option<Arc<Budget>>,
}

impl Charge {
    /// A charge to nothing: for data that is accounted for elsewhere.
    pub fn none() -> Self {
        Self::default()
    }

    /// The limit of the budget it is charged to, if it is charged to one.
    pub fn limit(&self) -> Option<usize> {
        self.budget.as_ref().map(|budget| budget.limit)
    }

    /// Holds `bytes` more, unless that would break the budget; says whether it could.
    #[must_use = "bytes that the budget does not grant must be refused"]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let granted = self.budget.as_ref().is_none_or(|budget| budget.take(bytes, self.held));
        if granted {
            self.held += bytes;
        }
        granted
    }

    /// Holds `bytes` more that are there already, be it beyond the limit: nothing else is granted until they are given back.
    pub fn owe(&mut self, bytes: usize) {
        if let Some(budget) = &self.budget {
            budget.used.fetch_add(bytes, Ordering::Relaxed);
            self.held += bytes;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.used.fetch_sub(self.held, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_stops_at_the_limit_and_gives_back_when_dropped() {
        let budget = Budget::new(100);
        let mut charge = budget.charge();
        assert!(charge.grow(60));
        let mut other = budget.charge();
        assert!(!other.grow(41), "101 bytes do not fit into 100");
        assert!(other.grow(40));
        assert_eq!(budget.used(), 100);
        drop((charge, other));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_owed_is_refused_to_others_until_it_is_given_back() {
        let budget = Budget::new(100);
        let (mut owing, mut other) = (budget.charge(), budget.charge());
        assert!(owing.grow(60));
        owing.owe(500);
        assert!(!other.grow(1));
        drop(owing);
        assert!(other.grow(100));
    }

    #[test]
    fn a_charge_that_is_alone_may_go_beyond_the_limit() {
        let budget = Budget::new(100);
        let (mut large, mut small) = (budget.charge(), budget.charge());
        assert!(large.grow(80) && large.grow(80), "nothing else is held");
        assert!(!small.grow(1));
        drop(large);
        assert!(small.grow(1));
        assert!(!budget.charge().grow(100), "something else is held");
    }
}
