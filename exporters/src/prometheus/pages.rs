//! Pages on their way to scrapers: written once for all who wait, shared, and bounded together.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use throughline_component::Counter;
use throughline_net::Rope;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::accept::Wanted;
use super::registry::Registry;
use super::{Shared, limits, render};

/// What a second is in nanoseconds: ages on a page are as of the second in which it was written.
const SECOND: u64 = 1_000_000_000;

pub(super) struct Pages {
    shared: Arc<Shared>,
    /// The newest page of each kind, as long as anybody reads it. Locked while one is written: one at a time.
    newest: Arc<Mutex<Vec<Newest>>>,
    /// How many pages were begun.
    begun: Arc<AtomicU64>,
    /// What all pages take that somebody still reads.
    alive: Arc<AtomicUsize>,
    refused: Counter,
}

struct Newest {
    wanted: Wanted,
    page: Weak<Page>,
    /// Its number among the pages that were begun.
    number: u64,
    /// The registry's state on it.
    changes: u64,
    second: u64,
}

/// A page; its readers share it.
struct Page {
    pieces: Vec<String>,
    alive: Arc<AtomicUsize>,
}

impl Drop for Page {
    fn drop(&mut self) {
        let held: usize = self.pieces.iter().map(String::capacity).sum();
        self.alive.fetch_sub(held, Ordering::Relaxed);
    }
}

/// A piece of a page that keeps the page alive.
struct Piece {
    page: Arc<Page>,
    at: usize,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.page.pieces.get(self.at).map_or(&[], |piece| piece.as_bytes())
    }
}

impl Pages {
    pub(super) fn new(shared: Arc<Shared>, refused: Counter) -> Arc<Self> {
        let (newest, begun, alive) = Default::default();
        Arc::new(Self { shared, newest, begun, alive, refused })
    }

    pub(super) fn wanted(&self, accept: &str) -> Wanted {
        Wanted::of(accept, self.shared.page.enable_open_metrics)
    }

    /// The page as of now, or why there is none.
    pub(super) async fn get(&self, wanted: Wanted) -> Result<Rope, String> {
        let before = self.begun.load(Ordering::Acquire);
        let newest = Arc::clone(&self.newest).lock_owned().await;
        let writing = Writing {
            shared: Arc::clone(&self.shared),
            begun: Arc::clone(&self.begun),
            alive: Arc::clone(&self.alive),
            newest,
        };
        // A large page takes as long as thousands of requests: they must not wait for it.
        let page = tokio::task::spawn_blocking(move || writing.get(wanted, before)).await;
        let Some(page) = page.map_err(|error| error.to_string())?? else {
            self.refused.add(1);
            return Err("pages that scrapers have not read yet take as much memory as they may".into());
        };
        let piece = |at| Bytes::from_owner(Piece { page: Arc::clone(&page), at });
        Ok((0..page.pieces.len()).map(piece).collect())
    }
}

/// The right to write a page. Who asked for it may go away meanwhile.
struct Writing {
    shared: Arc<Shared>,
    begun: Arc<AtomicU64>,
    alive: Arc<AtomicUsize>,
    newest: OwnedMutexGuard<Vec<Newest>>,
}

impl Writing {
    /// A page that was begun after so many, or that nothing has changed since. None if there is no room for it.
    fn get(mut self, wanted: Wanted, before: u64) -> Result<Option<Arc<Page>>, String> {
        let shared = &self.shared;
        self.newest.retain(|newest| newest.page.strong_count() > 0);
        let second = shared.clock.unix_nanos() / SECOND;
        let expiration = i64::try_from(shared.page.metric_expiration.get().as_nanos()).unwrap_or(i64::MAX);
        let changes = {
            let mut state = shared.state.open().map_err(|error| error.to_string())?;
            let now = state.now();
            state.registry.expire(now.saturating_sub(expiration));
            state.registry.changes
        };
        let is_fresh = |newest: &&Newest| {
            newest.number > before || (newest.changes == changes && newest.second == second)
        };
        let known = self.newest.iter().find(|newest| newest.wanted == wanted);
        if let Some(page) = known.filter(is_fresh).and_then(|newest| newest.page.upgrade()) {
            return Ok(Some(page));
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let most = limits::size(shared.limits.max_page_bytes).saturating_mul(2);
        let mut page = Page { pieces: Vec::new(), alive: Arc::clone(&self.alive) };
        let (changes, whole) = {
            let state = shared.state.read().map_err(|error| error.to_string())?;
            (state.registry.changes, page.write(shared, &state.registry, wanted, most))
        };
        let page = Arc::new(page);
        if !whole {
            return Ok(None);
        }
        self.newest.retain(|newest| newest.wanted != wanted);
        self.newest.push(Newest { wanted, page: Arc::downgrade(&page), number, changes, second });
        Ok(Some(page))
    }
}

impl Page {
    /// Writes all of it, unless pages would take more than `most` bytes.
    fn write(&mut self, shared: &Shared, registry: &Registry, wanted: Wanted, most: usize) -> bool {
        let (mut fits, alive) = (true, Arc::clone(&self.alive));
        render::render(registry, &shared.page, wanted, shared.clock.unix_nanos(), &mut |piece| {
            let taken = alive.fetch_add(piece.capacity(), Ordering::Relaxed);
            fits = taken.saturating_add(piece.capacity()) <= most;
            self.pieces.push(piece);
            fits
        });
        fits
    }
}

#[cfg(test)]
mod tests;
