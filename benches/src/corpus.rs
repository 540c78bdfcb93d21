//! The corpus: spans of about 500 bytes with ten attributes (seven short ASCII strings, one beyond ASCII, one integer, one
//! nested map), ids of high entropy; each names its repository and its commit. Made from a fixed seed, so it is the same on every machine.

use bytes::Bytes;
use throughline_otlp::{Value, build};

/// The repository that every span and every change names.
const REPOSITORY: &str = "github.com/example/shop";

/// Requests of `spans` spans each. Every span names a commit of its own, one of `commits`.
pub fn requests(count: usize, spans: usize, commits: u64) -> Vec<Bytes> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    (0..count).map(|_| request(&mut random, spans, commits)).collect()
}

/// The commit of this number, as text.
pub fn commit(number: u64) -> String {
    let mut random = Random(number.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1);
    format!("{:016x}{:016x}{:08x}", random.next(), random.next(), random.next() as u32)
}

/// Changes that were opened, one a commit below `commits`, as domain events in requests of `batch` log records.
pub fn openings(commits: u64, batch: u64) -> Vec<Bytes> {
    let batches = (0..commits).step_by(usize::try_from(batch).unwrap_or(1));
    batches.map(|first| opened(first..commits.min(first + batch))).collect()
}

fn opened(numbers: std::ops::Range<u64>) -> Bytes {
    build::logs(|request| {
        request.resource(&[("service.name", Value::Str("forge"))], |resource| {
            resource.scope("throughline.events", "1", |scope| {
                for number in numbers {
                    scope.log_record(|log| {
                        log.event_name("change.opened").attributes(&[
                            ("event_type", Value::Str("change.opened")),
                            ("event_id", Value::Str(&format!("opened-{number}"))),
                            ("repository", Value::Str(REPOSITORY)),
                            ("pull_request", Value::Str(&(number + 1).to_string())),
                            ("commit_sha", Value::Str(&commit(number))),
                        ]);
                    });
                }
            });
        });
    })
}

struct Random(u64);

impl Random {
    /// xorshift64*
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn request(random: &mut Random, spans: usize, commits: u64) -> Bytes {
    let resource =
        [("service.name", Value::Str("checkout")), ("service.instance.id", Value::Str("pod-7d4b9c-x2x9z"))];
    build::traces(|request| {
        request.resource(&resource, |resource| {
            resource.scope("io.opentelemetry.http", "1.4.0", |scope| {
                for _ in 0..spans {
                    scope.span(|span| write(span, random, commits));
                }
            });
        });
    })
}

fn write(span: &mut build::Span<'_>, random: &mut Random, commits: u64) {
    let mut trace = [0; 16];
    trace[..8].copy_from_slice(&random.next().to_le_bytes());
    trace[8..].copy_from_slice(&random.next().to_le_bytes());
    let start = 1_767_225_600_000_000_000 + random.next() % 1_000_000_000;
    span.trace_id(&trace).span_id(&random.next().to_le_bytes()).parent_span_id(&random.next().to_le_bytes());
    span.name("POST /api/v1/orders/{id}").kind(2).time(start, start + random.next() % 50_000_000);
    let map = [("region", Value::Str("eu-central-1")), ("zone", Value::Str("b"))];
    span.attributes(&[
        ("http.request.method", Value::Str("POST")),
        ("url.path", Value::Str(&format!("/api/v1/orders/{}", random.next() % 100_000))),
        ("server.address", Value::Str("checkout.internal.example")),
        ("user_agent.original", Value::Str("Mozilla/5.0 (X11; Linux x86_64)")),
        ("commit_sha", Value::Str(&commit(random.next() % commits))),
        ("repository", Value::Str(REPOSITORY)),
        ("customer.city", Value::Str("Zürich – Höngg")),
        ("http.response.status_code", Value::Int(200)),
        ("cloud", Value::Map(&map)),
        ("request.id", Value::Str(&format!("{:016x}", random.next()))),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_otlp::{Limits, Signal, admit};

    #[test]
    fn the_corpus_is_what_its_description_says() {
        let requests = requests(4, 512, 10_000);
        let bytes: usize = requests.iter().map(Bytes::len).sum();
        assert!((450..=560).contains(&(bytes / (4 * 512))), "{} bytes a span", bytes / (4 * 512));
        for request in requests {
            let admitted = admit(Signal::Traces, request, &Limits::default()).expect("it is legal");
            assert_eq!((admitted.items, admitted.rewritten), (512, false));
        }
    }
}
