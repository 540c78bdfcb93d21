//! The forwarder: a bare tonic server and client that pass requests on as opaque bytes. What the agent is compared with.
//!
//! `forwarder LISTEN SINK`: one current-thread runtime, 4 MiB stream windows, 1 MiB frames, the agent's allocator.

use bytes::Bytes;
use throughline_benches::codec::{self, Service, Unary};
use tonic::Status;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone)]
struct Forward(tonic::transport::Channel);

impl Unary for Forward {
    async fn call(&self, message: Bytes) -> Result<Bytes, Status> {
        codec::send(self.0.clone(), message).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (listen, sink) =
        (arguments.next().ok_or("LISTEN is missing")?, arguments.next().ok_or("SINK is missing")?);
    let service = Service(Forward(codec::channel(&sink)));
    codec::server().add_service(service).serve(listen.parse()?).await?;
    Ok(())
}
