//! Every component that the agent can be built from, in the suite of `core/testkit` (architecture, "which part proves what").

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use throughline_component::port::{Budget, SystemClock, SystemRandom};
use throughline_component::{
    Build, Built, ComponentId, Factory, Health, Internal, Kind, Meter, Services, States, Warnings,
};
use throughline_graph::Ledger;
use throughline_net::{Listeners, Resources};
use throughline_testkit::conformance::{Subject, check};
use throughline_tests::cli;

/// Settings that are right, for each component that needs any. A new one that is not here must do without.
fn settings(factory: &Factory, folder: &Path) -> Json {
    let any = "127.0.0.1:0";
    let path = |name: &str| folder.join(name);
    match (factory.kind, factory.name) {
        (Kind::Receiver, "otlp") => {
            json!({ "protocols": { "grpc": { "endpoint": any }, "http": { "endpoint": any } } })
        }
        (Kind::Receiver, "github") => json!({ "webhook": { "endpoint": any, "secret": "s" } }),
        (Kind::Exporter, "otlp_grpc") => json!({ "endpoint": "127.0.0.1:9", "tls": { "insecure": true } }),
        (Kind::Exporter, "otlp_http") => json!({ "endpoint": "http://127.0.0.1:9" }),
        (Kind::Exporter, "prometheus") | (Kind::Extension, "health_check") => json!({ "endpoint": any }),
        (Kind::Exporter, "file") => json!({ "path": path("out.jsonl") }),
        (Kind::Extension, "file_storage") => {
            json!({ "directory": path("storage"), "create_directory": true })
        }
        (Kind::Extension, "basicauth") => json!({ "htpasswd": { "inline": "user:password" } }),
        (Kind::Processor, "memory_limiter") => json!({ "check_interval": "1s", "limit_mib": 4096 }),
        (Kind::Extension, "bearertokenauth") => json!({ "token": "token" }),
        _ => json!({}),
    }
}

fn services() -> Services {
    let mut services = Services::default();
    let warnings = Arc::new(Warnings::new(Arc::new(SystemClock::default())));
    services.offer(Arc::new(Listeners::new(Resources::unbounded(Arc::default(), Arc::clone(&warnings)))));
    services.offer(warnings);
    services.offer::<Ledger>(Arc::default());
    services.offer::<Health>(Arc::default());
    services.offer::<Internal>(Arc::default());
    services.offer::<Meter>(Arc::default());
    services.offer::<States>(Arc::default());
    services.offer(Budget::new(usize::MAX));
    services
}

/// Offers a storage too.
fn with_storage(mut services: Services, folder: &Path) -> Services {
    let factory = throughline_extensions::ALL.iter().find(|factory| factory.name == "file_storage");
    let settings = json!({ "directory": folder.join("kept"), "create_directory": true });
    let cx = Build {
        id: ComponentId::new("file_storage"),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(SystemRandom::default()),
        services: services.clone(),
    };
    match factory.expect("it is in the table").build(settings, &cx) {
        Ok(Built::Extension(_, offers)) => services.merge(offers),
        other => panic!("no extension, though it was built: {}", other.is_ok()),
    }
    services
}

fn factories() -> impl Iterator<Item = &'static Factory> {
    let tables = [
        throughline_receivers::ALL,
        throughline_processors::ALL,
        throughline_connectors::ALL,
        throughline_exporters::ALL,
        throughline_extensions::ALL,
    ];
    tables.into_iter().flatten()
}

#[test]
fn every_component_refuses_an_option_that_does_not_exist_and_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut wrong = Vec::new();
    // What does nothing here takes whatever the Collector's takes.
    let idle = ["memory_ballast", "pprof", "zpages"];
    for factory in factories().filter(|factory| !idle.contains(&factory.name)) {
        let name = factory.name;
        let config =
            format!("{}s:\n  {name}:\n    no_such_option: 1\nservice: {{pipelines: {{}}}}\n", factory.kind);
        std::fs::write(folder.path().join("wrong.yaml"), config).expect("the folder can be written");
        let output = cli(folder.path(), &["validate", "--config", "wrong.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(2)
            || !said.contains("wrong.yaml:3:5")
            || !said.contains("no_such_option")
        {
            wrong.push(format!("{name}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_component_keeps_the_contract() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for factory in factories() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings(factory, folder.path());
        let mut subjects = vec![("", settings.clone(), services())];
        if factory.schema().pointer("/properties/storage").is_some() {
            let mut settings = settings;
            settings["storage"] = json!("file_storage");
            subjects.push((" with storage", settings, with_storage(services(), folder.path())));
        }
        for (how, settings, services) in subjects {
            checked += 1;
            if let Err(why) = check(&Subject { factory, settings, services }).await {
                wrong.push(format!("{} `{}`{how}: {why}", factory.kind, factory.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 18, "{checked} components were checked");
}
