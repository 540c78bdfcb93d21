//! Runs the cases and prints them as ratios of one run. Arguments: `FORWARDER AGENT [SECONDS [FOLDER [PART …]]]`; streams
//! are synced in the folder, which must not be on a tmpfs; the parts are `cpu`, `paced`, `disk` and `memory`, all of them
//! if none is named.

#![allow(clippy::print_stdout, reason = "a measuring program for people")]

use std::time::Duration;

mod config;
mod disk;

use config::Storage;
use throughline_benches::load::{Grpc, Http, LoadResult, Send, Sink, http_sink, offer, paced, run};
use throughline_benches::process::{Subject, pin_self};
use throughline_benches::{codec, corpus, micro};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Any<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Any<()> {
    pin_self(1)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [forwarder, agent, rest @ ..] = arguments.as_slice() else {
        return Err("FORWARDER AGENT [SECONDS [FOLDER [PART …]]]".into());
    };
    let seconds = rest.first().map_or(Ok(4), |text| text.parse())?;
    let folder = tempfile::tempdir_in(rest.get(1).map_or(".", String::as_str))?;
    let bench = Bench { forwarder, agent, span: Duration::from_secs(seconds), folder };
    let parts = rest.get(2..).unwrap_or_default();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|named| named == part);
    let large = corpus::requests(64, BATCH, CHANGES);
    println!(
        "{} bytes a span; {seconds} s a round, best of {ROUNDS} rounds in turn; one core for the subject, one for the load",
        large.iter().map(bytes::Bytes::len).sum::<usize>() / (64 * BATCH),
    );
    if wants("cpu") {
        bench.cpu(&large).await?;
    }
    if wants("paced") {
        bench.paced(&large).await?;
    }
    if wants("disk") {
        bench.synced(&large).await?;
    }
    if wants("memory") {
        bench.idle().await?;
        bench.silent(&large).await?;
    }
    Ok(())
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
    seen: LoadResult,
    peak: u64,
}

const BATCH: usize = 512;
const ROUNDS: usize = 5;
/// Changes that are open while `change` is measured; every span names the commit of one.
const CHANGES: u64 = 10_000;

impl Bench<'_> {
    async fn cpu(&self, large: &[bytes::Bytes]) -> Any<()> {
        let small = corpus::requests(512, 1, CHANGES);
        println!(
            "{:<44}{:>12}{:>9}{:>9}{:>14}{:>10}{:>10}{:>9}",
            "case", "CPU ns/span", "ratio", "bound", "spans/s", "p50 µs", "p99 µs", "peak MB"
        );
        let many = |case| (large, BATCH, 8, case);
        let single = |case| (&small[..], 1, 8, case);
        // The two forwarders first: each row is held against the one with requests of its size.
        let cases = [
            many(Case::Forwarder),
            single(Case::Forwarder),
            many(Case::Agent("")),
            many(Case::AgentHttp),
            single(Case::Agent("")),
            many(Case::Agent("secrets")),
            many(Case::Agent("change")),
            many(Case::Agent("change, secrets")),
        ];
        let [forward, one, pass, http, agent_one, secrets, change, both] = self.best(cases).await?;
        row("forwarder, 512 a request", &forward, &forward, None);
        row("agent, OTLP/gRPC, no editor", &pass, &forward, Some(1.4));
        row("agent, OTLP/HTTP, no editor", &http, &forward, Some(1.1));
        row("forwarder, 1 a request", &one, &one, None);
        row("agent, 1 a request", &agent_one, &one, Some(1.5));
        row("agent, secrets", &secrets, &forward, None);
        row("agent, change, 10,000 open", &change, &forward, None);
        row("agent, change + secrets", &both, &forward, None);
        println!(
            "change + secrets, added: {:.2} × forwarder (bound 1.5)",
            (both.cpu - pass.cpu) / forward.cpu
        );
        pieces(forward.cpu);
        Ok(())
    }

    /// Latencies while requests come at a steady pace: a quarter of what the forwarder can do with one core.
    async fn paced(&self, large: &[bytes::Bytes]) -> Any<()> {
        let [forward] = self.best([(large, BATCH, 8, Case::Forwarder)]).await?;
        let most = forward.rate / BATCH as f64;
        let micros = |took: Duration| took.as_secs_f64() * 1e6;
        println!("paced, {:.0} requests of {BATCH} spans a second:", most / 4.0);
        for (name, case) in [
            ("forwarder", Case::Forwarder),
            ("agent, no editor", Case::Agent("")),
            ("agent, change + secrets", Case::Agent("change, secrets")),
        ] {
            let mut seen = Vec::new();
            for _ in 0..ROUNDS {
                let subject = self.start(case).await?;
                seen.push(paced(&subject.listen, large, most / 4.0, self.span).await);
            }
            seen.sort_by_key(|seen| seen.quantile(0.99));
            let median = &seen[ROUNDS / 2];
            println!(
                "  {name:<30} p50 {:>6.0} µs   p99 {:>6.0} µs   {} done, {} failed",
                micros(median.quantile(0.5)),
                micros(median.quantile(0.99)),
                median.done,
                median.failed
            );
        }
        Ok(())
    }

    /// Of each case the round with the least CPU: noise only ever adds. The cases take turns, for noise comes and goes.
    async fn best<const N: usize>(&self, cases: [Round<'_>; N]) -> Any<[Figure; N]> {
        let mut best = cases.map(|_| None::<Figure>);
        for _ in 0..ROUNDS {
            for ((corpus, batch, in_flight, case), best) in cases.into_iter().zip(&mut best) {
                let figure = self.round(corpus, batch, in_flight, case).await?;
                if best.as_ref().is_none_or(|known| figure.cpu < known.cpu) {
                    *best = Some(figure);
                }
            }
        }
        Ok(best.map(|figure| figure.expect("there are rounds")))
    }

    async fn round(
        &self,
        corpus: &[bytes::Bytes],
        batch: usize,
        in_flight: usize,
        case: Case,
    ) -> Any<Figure> {
        let Started { listen, subject } = self.start(case).await?;
        match case {
            Case::AgentHttp => self.measure(Http::new(&listen), corpus, batch, in_flight, &subject).await,
            _ => self.measure(Grpc(codec::channel(&listen)), corpus, batch, in_flight, &subject).await,
        }
    }

    /// Starts the subject of a case, and a sink behind it.
    async fn start(&self, case: Case) -> Any<Started> {
        let sink_address = if matches!(case, Case::AgentHttp) {
            http_sink().await?
        } else {
            Sink::default().serve().await?
        };
        let listen = free_port()?;
        let subject = match case {
            Case::Forwarder => Subject::start(self.forwarder, &[&listen, &sink_address])?,
            Case::Agent(processors) => self.agent(&config::grpc(&listen, &sink_address, processors, None))?,
            Case::Stored(durability) => {
                let storage = self.folder.path().join("stored");
                drop(std::fs::remove_dir_all(&storage));
                let storage = Some(Storage { folder: &storage, durability });
                self.agent(&config::grpc(&listen, &sink_address, "", storage))?
            }
            Case::AgentHttp => self.agent(&config::http(&listen, &sink_address))?,
        };
        wait_for(&listen).await?;
        if matches!(case, Case::Agent(processors) if processors.contains("change")) {
            for request in corpus::openings(CHANGES, 500) {
                codec::send_logs(codec::channel(&listen), request).await?;
            }
        }
        Ok(Started { listen, subject })
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
        let subject = self.agent(&config::grpc(&listen, "127.0.0.1:9", "", None))?;
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

    /// What a request costs that is acknowledged once it is synced. The bare disk is measured in turn with the agent, since
    /// its speed drifts.
    async fn synced(&self, large: &[bytes::Bytes]) -> Any<()> {
        println!("streams on {}", disk::file_system(self.folder.path())?);
        let micros = |took: Duration| took.as_secs_f64() * 1e6;
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let bare = micros(disk::append_and_sync(self.folder.path(), large, 1)?.p50);
            let forward = micros(self.round(large, BATCH, 1, Case::Forwarder).await?.seen.quantile(0.5));
            let one = micros(self.round(large, BATCH, 1, Case::Stored("synced")).await?.seen.quantile(0.5));
            ratios.push(one / (forward + 1.5 * bare));
            println!(
                "  one in flight, p50: {one:.0} µs; forwarder {forward:.0}, append and fdatasync {bare:.0}"
            );
        }
        println!(
            "synced, one in flight, p50 by forwarder + 1.5 × append and fdatasync: {} (bound 1)",
            spread(ratios)
        );
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let group = disk::append_and_sync(self.folder.path(), large, 64)?.rate * BATCH as f64;
            let synced = self.round(large, BATCH, 64, Case::Stored("synced")).await?.rate;
            let unsynced = self.round(large, BATCH, 64, Case::Stored("memory")).await?.rate;
            ratios.push(synced / unsynced.min(group));
            println!(
                "  64 in flight, spans/s: synced {synced:.0}, unsynced {unsynced:.0}, bare group writer {group:.0}"
            );
        }
        println!(
            "64 in flight, by the smaller of unsynced and a bare group writer: {} (at least 0.8)",
            spread(ratios)
        );
        Ok(())
    }

    /// Memory while the sink accepts and never answers, at twice the highest rate.
    async fn silent(&self, large: &[bytes::Bytes]) -> Any<()> {
        let [Figure { rate, .. }] = self.best([(large, BATCH, 8, Case::Agent(""))]).await?;
        let sink = Sink::default();
        sink.silent.store(true, std::sync::atomic::Ordering::Relaxed);
        let sink_address = sink.serve().await?;
        let listen = free_port()?;
        let subject = self.agent(&config::grpc(&listen, &sink_address, "", None))?;
        wait_for(&listen).await?;
        let per_second = 2.0 * rate / BATCH as f64;
        offer(&listen, large, per_second, Duration::from_secs(10)).await;
        println!(
            "RSS with a silent sink, {per_second:.0} requests/s offered for 10 s: {:.1} MB, peak {:.1} MB (bound 100)",
            mb(subject.memory().0),
            mb(subject.memory().1)
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

/// What is measured, and where it listens.
struct Started {
    listen: String,
    subject: Subject,
}

/// Requests, how many spans each has, how many are sent at once, and to whom.
type Round<'a> = (&'a [bytes::Bytes], usize, usize, Case);

#[derive(Clone, Copy)]
enum Case {
    Forwarder,
    Agent(&'static str),
    AgentHttp,
    /// With a stream on disk, of this durability.
    Stored(&'static str),
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

/// What the pieces cost in this process.
fn pieces(forward: f64) {
    let costs = micro::measure();
    for (name, cost, bound) in [
        ("one prost decode", costs.prost, ""),
        ("admission alone", costs.admission, "0.40"),
        ("one attribute inserted", costs.insertion, "0.45"),
        ("change alone", costs.change, ""),
        ("secrets alone", costs.secrets, ""),
        ("change + secrets", costs.both, "1.50"),
    ] {
        println!("{name:<44}{cost:>12.1}{:>9.2}{bound:>9}", cost / forward);
    }
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

/// The median, and the extremes.
fn spread(mut ratios: Vec<f64>) -> String {
    ratios.sort_by(f64::total_cmp);
    let last = ratios.len() - 1;
    format!("{:.2} ({:.2} to {:.2})", ratios[last / 2], ratios[0], ratios[last])
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
