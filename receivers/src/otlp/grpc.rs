//! OTLP/gRPC: `…/Export` of the three services.

use std::pin::Pin;
use std::sync::Arc;

use throughline_component::{Outcome, Output, RejectKind, Transport};
use throughline_net::grpc::{self, Code, Status};
use throughline_net::{Handler, Reply, Request, Route};
use throughline_otlp::{Signal, partial};

use super::Shared;

struct Export {
    signal: Signal,
    shared: Arc<Shared>,
    out: Output,
}

/// Where a signal is taken in.
pub(super) fn path(signal: Signal) -> String {
    let service = match signal {
        Signal::Traces => "trace.v1.TraceService",
        Signal::Metrics => "metrics.v1.MetricsService",
        Signal::Logs => "logs.v1.LogsService",
    };
    format!("/opentelemetry.proto.collector.{service}/Export")
}

/// The routes of the signals that some pipeline takes; other calls find nobody, as with the Collector.
pub(super) fn routes(shared: &Arc<Shared>, out: &Output) -> Vec<Route> {
    let taken = Signal::ALL.into_iter().filter(|signal| out.takes(*signal));
    taken
        .map(|signal| {
            let handler = Export { signal, shared: Arc::clone(shared), out: out.clone() };
            Route { path: path(signal), handler: Arc::new(handler) }
        })
        .collect()
}

impl Handler for Export {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        Box::pin(async move { self.export(request).await.unwrap_or_else(Status::into_reply) })
    }
}

impl Export {
    async fn export(&self, mut request: Request) -> Result<Reply, Status> {
        if !grpc::is_grpc(request.headers()) {
            request.refused("content_type");
            let mut reply = Status::new(Code::Internal, "this address speaks gRPC").into_reply();
            *reply.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Ok(reply);
        }
        let mut charge = self.shared.charge(&mut request);
        let body = grpc::read(&mut request, &mut charge).await?;
        let delivery = self.shared.deliver(self.signal, Transport::Grpc, body, &request, &self.out, charge);
        let outcome = match grpc::deadline(request.headers()) {
            None => delivery.await,
            // The client gives up then; the delivery goes on without it.
            Some(deadline) => tokio::time::timeout(deadline, delivery).await.map_err(|_| {
                Status::new(Code::DeadlineExceeded, "not delivered before the deadline; it may still be")
            })?,
        };
        reply(outcome)
    }
}

fn reply(outcome: Outcome) -> Result<Reply, Status> {
    match outcome {
        Outcome::Done { rejected, why } => {
            Ok(grpc::reply(bytes::Bytes::from(partial::encode(rejected, why.as_deref()))))
        }
        Outcome::Retry { after, why, .. } => Err(Status::new(Code::Unavailable, &*why).retry_after(after)),
        Outcome::Reject { kind, why } => Err(Status::new(
            match kind {
                RejectKind::Invalid => Code::InvalidArgument,
                RejectKind::TooLarge => Code::ResourceExhausted,
            },
            &*why,
        )),
    }
}
