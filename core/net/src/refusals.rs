//! Counting what is refused before a pipeline sees it.

use std::sync::Arc;

use throughline_component::{ComponentId, Meter, Warnings};

/// Counts the requests that one component's address refused, by reason, and warns of them: bad input leaves a trace even
/// where nothing could be read of it.
#[derive(Clone, Debug)]
pub(crate) struct Refusals {
    meter: Arc<Meter>,
    warnings: Arc<Warnings>,
    owner: ComponentId,
}

impl Refusals {
    pub(crate) fn new(meter: &Arc<Meter>, warnings: &Arc<Warnings>, owner: &ComponentId) -> Self {
        Self { meter: Arc::clone(meter), warnings: Arc::clone(warnings), owner: owner.clone() }
    }

    /// The same for another component.
    pub(crate) fn of(&self, owner: &ComponentId) -> Self {
        Self::new(&self.meter, &self.warnings, owner)
    }

    /// Counts one. Reasons are few, and never what a sender wrote.
    pub(crate) fn count(&self, reason: &'static str) {
        let label = Some(("reason", reason));
        self.meter.counter("throughline_server_refused_requests", &self.owner, label).add(1);
        self.warnings.warn(&format_args!("{} ({reason})", self.owner), "requests are refused", 0, reason);
    }

    /// A peer speaks plain text where TLS is wanted.
    pub(crate) fn plain_text(&self) {
        self.mismatch(
            "plain_text",
            "a peer speaks plain text, and `tls` is set here: give it an https:// address",
        );
    }

    /// A peer speaks TLS where plain text is wanted.
    pub(crate) fn tls(&self) {
        self.mismatch(
            "tls",
            "a peer speaks TLS, and `tls` is not set here: give it an http:// address, or set `tls`",
        );
    }

    fn mismatch(&self, reason: &'static str, why: &str) {
        let label = Some(("reason", reason));
        self.meter.counter("throughline_server_refused_requests", &self.owner, label).add(1);
        self.warnings.warn(&format_args!("{} ({reason})", self.owner), "connections are refused", 0, why);
    }

    /// Warns that connections cannot be accepted: too many are open, mostly.
    pub(crate) fn accept_failed(&self, error: &std::io::Error) {
        self.warnings.warn(&self.owner, "connections cannot be accepted", 0, &error.to_string());
    }

    /// Notes what a peer did that costs nobody anything.
    pub(crate) fn note(&self, what: &'static str, why: &dyn std::fmt::Display) {
        self.warnings.debug(&self.owner, what, &why.to_string());
    }
}
