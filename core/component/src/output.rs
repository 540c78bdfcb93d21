//! Where a receiver sends.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use throughline_otlp::Signal;

use crate::port::Charge;
use crate::{Context, Position, Ticket, Transport};

/// Where a receiver (or a connector's timer) sends what it took in. Cheap to clone.
#[derive(Clone)]
pub struct Output(Arc<dyn Sender>);

/// What the graph puts behind an [`Output`].
pub trait Sender: Send + Sync {
    /// Whether any pipeline takes this signal from this component.
    fn takes(&self, signal: Signal) -> bool;

    /// Admits one request and sends it down the pipelines. Returns once it is accepted or refused; the ticket tells
    /// which, and what became of it.
    fn send(&self, signal: Signal, request: Bytes, from: Origin) -> Ticket;

    /// Books items that the receiver does not send on, for a reason from a closed list.
    fn dropped(&self, signal: Signal, transport: Transport, reason: &'static str, items: u64);
}

/// What a receiver knows of a request.
#[derive(Debug)]
pub struct Origin {
    /// Where it came from.
    pub context: Arc<Context>,
    /// The memory it holds of the budget; it is given back when the chunk has settled.
    pub charge: Charge,
    /// Its place in its source (a partition and an offset, a file and an offset), the same when it comes again.
    pub position: Option<Position>,
}

impl Output {
    /// Wraps what the graph provides.
    pub fn new(sender: Arc<dyn Sender>) -> Self {
        Self(sender)
    }

    /// Whether any pipeline takes this signal from this component.
    pub fn takes(&self, signal: Signal) -> bool {
        self.0.takes(signal)
    }

    /// Sends the protobuf bytes of one OTLP export request. Admission happens here: the bytes need not be trusted.
    /// `charge` is the memory they hold of the budget; it is given back when the chunk has settled.
    pub fn send(&self, signal: Signal, request: Bytes, context: Arc<Context>, charge: Charge) -> Ticket {
        self.0.send(signal, request, Origin { context, charge, position: None })
    }

    /// The same for what has a place in its source: whoever must not take it twice recognises it by that.
    pub fn send_from(&self, signal: Signal, request: Bytes, from: Origin) -> Ticket {
        self.0.send(signal, request, from)
    }

    /// Says that items were taken in and are not sent on, for a reason from the component's closed list: they stand in its account as
    /// dropped.
    pub fn dropped(&self, signal: Signal, transport: Transport, reason: &'static str, items: u64) {
        self.0.dropped(signal, transport, reason, items);
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ComponentId, Outcome, Settle};

    struct LogsOnly;

    impl Sender for LogsOnly {
        fn takes(&self, signal: Signal) -> bool {
            signal == Signal::Logs
        }
        fn dropped(&self, _: Signal, _: Transport, _: &'static str, _: u64) {}
        fn send(&self, _: Signal, request: Bytes, _: Origin) -> Ticket {
            let (settle, ticket) = Settle::ticket();
            settle.settle(if request == "good" { Outcome::DONE } else { Outcome::retry("later") });
            ticket
        }
    }

    #[tokio::test]
    async fn an_output_is_what_the_graph_put_behind_it() {
        let output = Output::new(Arc::new(LogsOnly));
        assert_eq!([Signal::Logs, Signal::Traces].map(|signal| output.takes(signal)), [true, false]);
        let context = Arc::new(Context::internal(ComponentId::new("test"), 0));
        let ticket = output.send(Signal::Logs, Bytes::from_static(b"good"), context, Charge::none());
        assert_eq!(ticket.await, Outcome::DONE);
    }
}
