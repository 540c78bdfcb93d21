//! How long it takes to load and check a configuration of so many exporters (default 20):
//! `cargo run --release -p throughline-config --example load_time -- 20`.

use std::hint::black_box;
use std::io::Write as _;

use throughline_config::{Catalog, ComponentType, Input, Kind, Process, Service, Signal, load};

#[allow(clippy::disallowed_methods, reason = "this measures time, it does not tell it")]
fn main() -> std::io::Result<()> {
    let count: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(20);
    // The service section's own settings serve as a component's: nested blocks, enums, durations, maps.
    let schema = schemars::schema_for!(Service);
    let known = |kind, consumes, produces| ComponentType {
        kind,
        type_name: "sample",
        aliases: &[],
        schema: schema.clone(),
        consumes,
        produces,
    };
    let catalog = Catalog::new(vec![
        known(Kind::Receiver, &[], &Signal::ALL),
        known(Kind::Exporter, &Signal::ALL, &[]),
    ]);
    let exporters: String = (0..count)
        .map(|n| format!("  sample/{n}:\n    shutdown_timeout: 1m\n    telemetry:\n      logs: {{level: warn}}\n      resource: {{a: \"${{HOME}}\", b: c}}\n"))
        .collect();
    let ids: Vec<_> = (0..count).map(|n| format!("sample/{n}")).collect();
    let text = format!(
        "receivers: {{sample: }}\nexporters:\n{exporters}service:\n  pipelines:\n    logs: {{receivers: [sample], exporters: [{}]}}\n",
        ids.join(", ")
    );
    let inputs = [Input::Yaml(text.clone())];
    let rounds = 50;
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        let checked = load(&inputs, &[], &Process).map(|document| document.check(&catalog));
        assert!(black_box(checked).is_ok_and(|checked| checked.errors.is_empty()), "the sample is correct");
    }
    let each = start.elapsed() / rounds;
    writeln!(std::io::stdout(), "{count} exporters, {} bytes: {each:?}", text.len())
}
