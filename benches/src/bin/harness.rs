//! Runs the cases and prints them as ratios of one run. Arguments: `FORWARDER AGENT [SECONDS]`.

#![allow(clippy::print_stdout, reason = "a measuring program for people")]

use std::time::Duration;

use throughline_benches::load::{Grpc, Http, Seen, Send, Sink, run};
use throughline_benches::process::{Subject, pin_self};
use throughline_benches::{codec, corpus};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Any<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Any<()> {
    pin_self(1)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [forwarder, agent, rest @ ..] = arguments.as_slice() else {
        return Err("FORWARDER AGENT [SECONDS]".into());
    };
    let seconds = rest.first().map_or(Ok(4), |text| text.parse())?;
    let bench = Bench { forwarder, agent, span: Duration::from_secs(seconds), folder: tempfile::tempdir()? };
    bench.all().await
}

struct Bench<'a> {
    forwarder: &'a str,
    agent: &'a str,
    span: Duration,
    folder: tempfile::TempDir,
}

/// One case's figures: nanoseconds of the subject's CPU a span, spans a second, and latencies.
struct Figure {
    cpu: f64,
    rate: f64,
    seen: Seen,
    peak: u64,
}

const BATCH: usize = 512;
const ROUNDS: usize = 3;

impl Bench<'_> {
    async fn all(&self) -> Any<()> {
        let large = corpus::requests(64, BATCH, 10_000);
        let small = corpus::requests(512, 1, 10_000);
        println!(
            "{} bytes a span; {} s a round, best of {ROUNDS} rounds; one core for the subject, one for the load",
            large.iter().map(bytes::Bytes::len).sum::<usize>() / (64 * BATCH),
            self.span.as_secs()
        );
        println!(
            "{:<44}{:>12}{:>9}{:>9}{:>14}{:>10}{:>10}{:>9}",
            "case", "CPU ns/span", "ratio", "bound", "spans/s", "p50 µs", "p99 µs", "peak MB"
        );
        let forward = self.best(&large, BATCH, 8, Case::Forwarder).await?;
        row("forwarder, 512 a request", &forward, &forward, None);
        let pass = self.best(&large, BATCH, 8, Case::Agent("")).await?;
        row("agent, OTLP/gRPC, no editor", &pass, &forward, Some(1.4));
        let http = self.best(&large, BATCH, 8, Case::AgentHttp).await?;
        row("agent, OTLP/HTTP, no editor", &http, &forward, Some(1.1));
        let one = self.best(&small, 1, 8, Case::Forwarder).await?;
        row("forwarder, 1 a request", &one, &one, None);
        let agent_one = self.best(&small, 1, 8, Case::Agent("")).await?;
        row("agent, 1 a request", &agent_one, &one, Some(1.5));
        let change = self.best(&large, BATCH, 8, Case::Agent("change")).await?;
        row("agent, change", &change, &forward, None);
        let both = self.best(&large, BATCH, 8, Case::Agent("change, secrets")).await?;
        row("agent, change + secrets", &both, &forward, None);
        println!(
            "change + secrets, added: {:.2} × forwarder (bound 1.5)",
            (both.cpu - pass.cpu) / forward.cpu
        );
        self.idle().await
    }

    /// The round with the least CPU: noise only ever adds.
    async fn best(&self, corpus: &[bytes::Bytes], batch: usize, in_flight: usize, case: Case) -> Any<Figure> {
        let mut best: Option<Figure> = None;
        for _ in 0..ROUNDS {
            let figure = self.round(corpus, batch, in_flight, case).await?;
            if best.as_ref().is_none_or(|known| figure.cpu < known.cpu) {
                best = Some(figure);
            }
        }
        best.ok_or_else(|| "no round".into())
    }

    async fn round(
        &self,
        corpus: &[bytes::Bytes],
        batch: usize,
        in_flight: usize,
        case: Case,
    ) -> Any<Figure> {
        let sink = Sink::default();
        let sink_address =
            if matches!(case, Case::AgentHttp) { http_sink().await? } else { sink.serve().await? };
        let listen = free_port()?;
        let subject = match case {
            Case::Forwarder => Subject::start(self.forwarder, &[&listen, &sink_address])?,
            Case::Agent(processors) => self.agent(&grpc_config(&listen, &sink_address, processors))?,
            Case::AgentHttp => self.agent(&http_config(&listen, &sink_address))?,
        };
        wait_for(&listen).await?;
        match case {
            Case::AgentHttp => self.measure(Http::new(&listen), corpus, batch, in_flight, &subject).await,
            _ => self.measure(Grpc(codec::channel(&listen)), corpus, batch, in_flight, &subject).await,
        }
    }

    async fn measure(
        &self,
        via: impl Send,
        corpus: &[bytes::Bytes],
        batch: usize,
        in_flight: usize,
        subject: &Subject,
    ) -> Any<Figure> {
        run(via.clone(), corpus, in_flight, self.span / 4).await;
        let before = subject.cpu_nanos();
        let seen = run(via, corpus, in_flight, self.span).await;
        let used = subject.cpu_nanos() - before;
        let spans = (seen.done as usize * batch) as f64;
        if seen.done == 0 || seen.failed > 0 {
            return Err(format!("{} requests done, {} failed", seen.done, seen.failed).into());
        }
        let rate = spans / seen.took.as_secs_f64();
        Ok(Figure { cpu: used as f64 / spans, rate, peak: subject.memory().1, seen })
    }

    async fn idle(&self) -> Any<()> {
        let listen = free_port()?;
        #[expect(clippy::disallowed_methods, reason = "a measuring program")]
        let start = std::time::Instant::now();
        let subject = self.agent(&grpc_config(&listen, "127.0.0.1:9", ""))?;
        wait_for(&listen).await?;
        let ready = start.elapsed();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let size = std::fs::metadata(self.agent)?.len();
        println!(
            "start to ready {} ms (bound 50); RSS idle {:.1} MB (bound 25); binary {:.1} MB (bound 30)",
            ready.as_millis(),
            mb(subject.memory().0),
            mb(size)
        );
        Ok(())
    }

    fn agent(&self, config: &str) -> Any<Subject> {
        let path = self.folder.path().join("agent.yaml");
        std::fs::write(&path, config)?;
        let path = path.to_str().ok_or("a path in UTF-8")?;
        Ok(Subject::start(self.agent, &["run", "--config", path])?)
    }
}

#[derive(Clone, Copy)]
enum Case {
    Forwarder,
    Agent(&'static str),
    AgentHttp,
}

fn grpc_config(listen: &str, sink: &str, processors: &str) -> String {
    let mask = processors.contains("secrets");
    let defined: String =
        processors.split(", ").filter(|name| !name.is_empty()).map(|name| format!("  {name}:\n")).collect();
    format!(
        "receivers:\n  otlp: {{protocols: {{grpc: {{endpoint: '{listen}'}}}}}}\n\
         exporters:\n  otlp_grpc: {{endpoint: '{sink}', tls: {{insecure: true}}, compression: none}}\n\
         {}{defined}\
         service:\n  mask_secrets: {mask}\n  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}\n  \
         pipelines:\n    traces: {{receivers: [otlp], processors: [{processors}], exporters: [otlp_grpc]}}\n",
        if defined.is_empty() { "" } else { "processors:\n" }
    )
}

fn http_config(listen: &str, sink: &str) -> String {
    format!(
        "receivers:\n  otlp: {{protocols: {{http: {{endpoint: '{listen}'}}}}}}\n\
         exporters:\n  otlp_http: {{endpoint: 'http://{sink}', compression: none}}\n\
         service:\n  mask_secrets: false\n  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}\n  \
         pipelines:\n    traces: {{receivers: [otlp], exporters: [otlp_http]}}\n"
    )
}

/// An HTTP/1.1 server that reads everything and answers 200.
async fn http_sink() -> Any<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream.set_nodelay(true));
            tokio::spawn(async move {
                let service =
                    hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async {
                        let mut body = request.into_body();
                        while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
                            drop(frame?);
                        }
                        Ok::<_, hyper::Error>(http::Response::new(
                            http_body_util::Empty::<bytes::Bytes>::new(),
                        ))
                    });
                let io = hyper_util::rt::TokioIo::new(stream);
                drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
            });
        }
    });
    Ok(address)
}

fn free_port() -> Any<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

async fn wait_for(address: &str) -> Any<()> {
    for _ in 0..5000 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Err(format!("nobody listens on {address}").into())
}

fn row(name: &str, figure: &Figure, unit: &Figure, bound: Option<f64>) {
    let micros = |share: f64| figure.seen.quantile(share).as_secs_f64() * 1e6;
    let bound = bound.map_or(String::new(), |bound| format!("{bound:.2}"));
    println!(
        "{name:<44}{:>12.1}{:>9.2}{bound:>9}{:>14.0}{:>10.0}{:>10.0}{:>9.1}",
        figure.cpu,
        figure.cpu / unit.cpu,
        figure.rate,
        micros(0.5),
        micros(0.99),
        mb(figure.peak)
    );
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
