//! The life of a running component: when it is in service, and when it shall stop.
//!
//! These are `watch` channels of tokio, which is in the tree: a `CancellationToken` would cover only the stop, not readiness and not being
//! in service, does not cancel when its owner is dropped, and costs a new dependency.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells a component that it shall stop taking in data, and hears from it that it is in service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop {
    stop: watch::Receiver<bool>,
    in_service: watch::Receiver<bool>,
    ready: Option<Arc<watch::Sender<bool>>>,
}

/// The side that says stop; dropping it says so too.
#[derive(Debug)]
pub struct Stopper {
    stop: watch::Sender<bool>,
    in_service: watch::Sender<bool>,
}

impl Stopper {
    /// A pair.
    pub fn new() -> (Self, Stop) {
        let ((stop, stops), (in_service, enters)) = (watch::channel(false), watch::channel(false));
        (Self { stop, in_service }, Stop { stop: stops, in_service: enters, ready: None })
    }

    /// Says that the whole configuration is in service.
    pub fn in_service(&self) {
        self.in_service.send_replace(true);
    }

    /// Says stop to every [`Stop`] of this pair.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Stop {
    /// The same for one component, and the channel on which it says that it is in service.
    pub fn watched(&self) -> (Self, watch::Receiver<bool>) {
        let (tx, rx) = watch::channel(false);
        (Self { ready: Some(Arc::new(tx)), ..self.clone() }, rx)
    }

    /// Says that the component is in service: its sockets are open, its state is loaded.
    pub fn ready(&self) {
        if let Some(ready) = &self.ready {
            ready.send_replace(true);
        }
    }

    /// Resolves once the whole configuration is in service: until then it may still be given up, and must have changed nothing
    /// that outlives it. Never, if it does not come to that.
    pub async fn in_service(&self) {
        if self.in_service.clone().wait_for(|in_service| *in_service).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves once somebody says stop; at once if somebody has.
    pub async fn stopped(&mut self) {
        // An error means the stopper is gone, which is a stop too.
        drop(self.stop.wait_for(|stop| *stop).await);
    }

    /// Whether somebody has said stop.
    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_pending(future: impl Future<Output = ()>) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())) == Poll::Pending
    }

    #[test]
    fn stop_is_said_to_everybody_by_a_word_or_by_going_away() {
        for by_word in [true, false] {
            let (stopper, mut stop) = Stopper::new();
            let (mut other, _) = stop.watched();
            assert!(!stop.is_stopped() && is_pending(stop.stopped()) && is_pending(other.stopped()));
            if by_word {
                stopper.stop();
                assert!(stop.is_stopped());
            }
            drop(stopper);
            assert!(stop.is_stopped() && other.is_stopped());
            assert!(!is_pending(stop.stopped()) && !is_pending(other.stopped()));
        }
    }

    #[test]
    fn the_whole_is_in_service_when_it_is_said_and_never_if_it_is_given_up() {
        let (stopper, stop) = Stopper::new();
        assert!(is_pending(stop.in_service()));
        stopper.in_service();
        assert!(!is_pending(stop.in_service()));
        let (stopper, stop) = Stopper::new();
        drop(stopper);
        assert!(is_pending(stop.in_service()));
    }

    #[test]
    fn who_is_watched_says_that_it_is_ready() {
        let (_stopper, stop) = Stopper::new();
        let (watched, ready) = stop.watched();
        stop.ready();
        assert!(!*ready.borrow(), "somebody else is");
        watched.ready();
        assert!(*ready.borrow());
    }
}
