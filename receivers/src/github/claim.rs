//! Of several requests that bring the same delivery at once, one records it; the others wait for what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use throughline_component::Journaled;
use throughline_component::port::StoreError;
use tokio::sync::watch;

use super::recent_deliveries::{RecentDeliveries, State};

/// A delivery in the hands of one request. Dropping it lets go, whatever became of the delivery, and wakes who waits.
#[derive(Debug)]
pub(super) struct Claim {
    seen: Arc<Journaled<RecentDeliveries>>,
    delivery: String,
    /// Dropped after [`Drop::drop`] has run, so that who is woken finds the delivery free or settled.
    _wakes: watch::Sender<()>,
}

/// What a request learns of its delivery.
#[derive(Debug)]
pub(super) enum Claimed {
    /// It is this request's to record.
    Ours(Claim),
    /// It was recorded before.
    Settled,
    /// Another request brought it just before, and could not settle it in time.
    Lost,
}

/// Claims a delivery. While another request has it in hand this waits, `patience` at most.
///
/// # Errors
/// The journal cannot be opened.
pub(super) async fn claim(
    seen: &Arc<Journaled<RecentDeliveries>>,
    delivery: &str,
    patience: Duration,
) -> Result<Claimed, StoreError> {
    let state = seen.open()?.state(delivery);
    let mut other = match state {
        State::Settled => return Ok(Claimed::Settled),
        State::Free(wakes) => {
            let claim = Claim { seen: Arc::clone(seen), delivery: delivery.to_owned(), _wakes: wakes };
            return Ok(Claimed::Ours(claim));
        }
        State::InHand(other) => other,
    };
    // Nothing is ever sent: an end is all there is to hear.
    drop(tokio::time::timeout(patience, other.changed()).await);
    Ok(if seen.open()?.contains(delivery) { Claimed::Settled } else { Claimed::Lost })
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Ok(mut seen) = self.seen.open() {
            seen.let_go(&self.delivery);
        }
    }
}
