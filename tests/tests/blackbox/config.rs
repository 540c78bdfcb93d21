//! The configuration as a user meets it: all mistakes at once, each with its place; secrets masked.

use throughline_tests::cli;

const WRONG: &str = "\
receivers:
  otlp:
    protocols:
      http: {endpiont: localhost:4318}
  kafka:
    brokers: [a:9092]
processors:
  batch:
    timeout: soon
exporters:
  otlp_http:
    endpoint: http://localhost:4318
    cookies: {enabled: true}
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch, sekrets]
      exporters: [otlp_http]
";

#[test]
fn every_mistake_of_a_file_is_told_at_once_with_its_place() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    std::fs::write(folder.path().join("wrong.yaml"), WRONG).expect("the folder can be written");
    for command in ["validate", "run"] {
        let output = cli(folder.path(), &[command, "--config", "wrong.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for (place, word) in [
            ("wrong.yaml:4:14", "endpoint"),          // the nearest valid name
            ("wrong.yaml:5:3", "kafka"),              // a component of the Collector's that we lack
            ("wrong.yaml:9:14", "300ms"),             // what was expected
            ("wrong.yaml:13:5", "not supported yet"), // an option of the Collector's that we lack
            ("wrong.yaml:18:27", "sekrets"),          // what is not defined
        ] {
            let line = said.lines().find(|line| line.starts_with(&format!("{place}:")));
            assert!(line.is_some_and(|line| line.contains(word)), "{place} with `{word}` in\n{said}");
        }
        assert_eq!(said.lines().filter(|line| line.starts_with("wrong.yaml:")).count(), 5, "{said}");
    }
}

/// What only a component's own builder can tell stands beside what the form alone shows.
#[test]
fn what_a_component_refuses_is_told_beside_what_the_form_shows() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let config = "\
receivers: {otlp: {protocols: {http: {endpiont: 'localhost:0'}}}}
processors:
  change:
    storage: file_storage/keep
exporters:
  otlp_http:
    endpoint: not an address
service:
  pipelines:
    traces: {receivers: [otlp], processors: [change, sekrets], exporters: [otlp_http]}
";
    std::fs::write(folder.path().join("a.yaml"), config).expect("the folder can be written");
    let output = cli(folder.path(), &["validate", "--config", "a.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let places: Vec<_> =
        said.lines().map(|line| line.split(": ").next().unwrap_or_default().to_owned()).collect();
    assert_eq!(places, ["a.yaml:1:39", "a.yaml:4:14", "a.yaml:7:15", "a.yaml:10:54"], "{said}");
}

/// What would fail only once a socket is opened is found without opening one.
#[test]
fn servers_are_checked_before_they_listen() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let config = "\
receivers:
  otlp/port: {protocols: {http: {endpoint: localhost}}}
  otlp/tls: {protocols: {grpc: {endpoint: 'localhost:0', tls: {cert_file: nowhere.pem, key_file: nowhere.key}}}}
  otlp/off: {protocols: {grpc: {endpoint: 'localhost:0', tls: {enabled: false, cert_file: nowhere.pem}}}}
exporters: {debug: {}}
extensions: {health_check: {endpoint: 'localhost:99999'}}
service:
  extensions: [health_check]
  pipelines: {logs: {receivers: [otlp/port, otlp/tls, otlp/off], exporters: [debug]}}
";
    std::fs::write(folder.path().join("a.yaml"), config).expect("the folder can be written");
    let output = cli(folder.path(), &["validate", "--config", "a.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    for (line, (place, word)) in
        lines.iter().zip([("a.yaml:2:44", "expected `host:port`"), ("a.yaml:6:39", "expected `host:port`")])
    {
        assert!(line.starts_with(place) && line.contains(word), "{place} with `{word}` in\n{said}");
    }
}

/// An option or value of the Collector's that we lack says so, wherever it stands, instead of `unknown`.
#[test]
fn who_cannot_share_an_address_is_told_before_anything_listens() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let validate = |otlp: &str, health: &str, of_b: &str| {
        let config = format!(
            "\
receivers:
  otlp/a: {{protocols: {{http: {{endpoint: 'localhost:14318'}}}}}}
  otlp/b: {{protocols: {{http: {{endpoint: 'localhost:14318'{otlp}}}}}}}
  github: {{webhook: {{endpoint: 'localhost:18080', path: /health{health}}}, insecure_unsigned: true}}
  github/b: {{webhook: {{endpoint: 'localhost:18080', path: /b, health_path: /b/health}}, insecure_unsigned: true}}
exporters: {{debug: }}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp/a, github], exporters: [debug]}}
    {of_b}: {{receivers: [otlp/b, github/b], exporters: [debug]}}
"
        );
        std::fs::write(folder.path().join("a.yaml"), config).expect("the folder can be written");
        let output = cli(folder.path(), &["validate", "--config", "a.yaml"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = validate("", "1", "logs");
    assert_eq!(code, Some(0), "they have other signals and paths: {said}");
    let (code, said) = validate("", "1", "traces/b");
    assert_eq!(code, Some(2));
    assert!(said.contains("a.yaml:3:41: receivers::otlp/b::protocols::http::endpoint"), "{said}");
    assert!(said.contains("`otlp/a` has /v1/traces on localhost:14318 already"), "{said}");
    let (code, said) = validate(", max_request_body_size: 100", "1", "logs");
    assert_eq!(code, Some(2));
    assert!(said.contains("a.yaml:3:") && said.contains("other server settings"), "{said}");
    let (code, said) = validate("", ", health_path: /b", "logs");
    assert_eq!(code, Some(2));
    assert!(
        said.contains("a.yaml:5:") && said.contains("`github` has /b on localhost:18080 already"),
        "{said}"
    );
}

#[test]
fn what_the_collector_has_and_we_lack_says_so() {
    let unsupported = [
        ("receivers", "otlp", "protocols: {http: {middlewares: []}}"),
        ("receivers", "otlp", "protocols: {grpc: {transport: unix}}"),
        ("exporters", "otlp_http", "cookies: {}"),
        ("exporters", "otlp_http", "profiles_endpoint: 'http://localhost:1'"),
        ("exporters", "otlp_http", "sending_queue: {batch: {}}"),
        ("exporters", "prometheus", "write_timeout: 1s"),
        ("exporters", "file", "directory_permissions: '0755'"),
        ("extensions", "file_storage", "directory_permissions: '0750'"),
    ];
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let right = "
receivers:
  otlp: {protocols: {grpc: {}, http: {}}}
  github: {insecure_unsigned: true, webhook: {}}
exporters:
  otlp_http: {endpoint: 'http://localhost:1'}
  otlp_grpc: {endpoint: 'http://localhost:1'}
  prometheus: {endpoint: 'localhost:0'}
  file: {path: out.jsonl}
extensions: {health_check: {}, file_storage: {directory: kept}}
service:
  extensions: [health_check, file_storage]
  pipelines:
    logs: {receivers: [otlp, github], exporters: [otlp_http, otlp_grpc, file]}
    traces: {receivers: [github], exporters: [otlp_http]}
    metrics: {receivers: [otlp], exporters: [prometheus]}
";
    std::fs::write(folder.path().join("right.yaml"), right).expect("the folder can be written");
    let validate = |more: &[&str]| {
        let output = cli(folder.path(), &[&["validate", "--config", "right.yaml"], more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(validate(&[]).0, Some(0), "{}", validate(&[]).1);
    for (section, component, option) in unsupported {
        let more = format!("yaml:{{{section}: {{{component}: {{{option}}}}}}}");
        let (code, said) = validate(&["--config", &more]);
        assert_eq!((code, said.lines().count()), (Some(2), 1), "{more}: {said}");
        assert!(said.contains("supported yet"), "{more}: {said}");
    }
}

/// Options and extensions of the Collector's that change nothing here keep nobody from running his file.
#[test]
fn what_is_without_meaning_here_is_taken_with_a_note() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let config = "\
receivers: {otlp: {protocols: {grpc: {endpoint: 'localhost:0', read_buffer_size: 524288}}}}
processors: {memory_limiter: {check_interval: 1s, limit_mib: 400, min_gc_interval_when_soft_limited: 10s}}
exporters: {debug: {sampling_initial: 5, sampling_thereafter: 200}}
extensions:
  memory_ballast: {size_mib: 683}
  pprof: {endpoint: 'localhost:1777'}
  zpages:
  file_storage: {directory: ., compaction: {on_start: true}}
service:
  extensions: [memory_ballast, pprof, zpages, file_storage]
  telemetry: {logs: {sampling: {enabled: true, tick: 10s}}}
  pipelines: {logs: {receivers: [otlp], processors: [memory_limiter], exporters: [debug]}}
";
    std::fs::write(folder.path().join("taken.yaml"), config).expect("the folder can be written");
    let output = cli(folder.path(), &["validate", "--config", "taken.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for place in ["1:64", "2:67", "3:21", "3:42", "5:3", "6:3", "7:3", "8:32", "11:22"]
        .map(|at| format!("note: taken.yaml:{at}: "))
    {
        let line = said.lines().find(|line| line.starts_with(&place));
        let reason = line.and_then(|line| line.split_once("taken, but without meaning here: "));
        assert!(reason.is_some_and(|(_, why)| why.len() > 10), "{place} in\n{said}");
    }
}

#[test]
fn a_circle_of_connectors_is_a_mistake_with_a_place() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let config = "\
receivers: {otlp: {protocols: {http: {endpoint: 'localhost:0'}}}}
connectors: {events: {}}
exporters: {debug: {}}
service:
  pipelines:
    logs/in: {receivers: [otlp], exporters: [events]}
    logs/round: {receivers: [events], exporters: [events, debug]}
";
    std::fs::write(folder.path().join("a.yaml"), config).expect("the folder can be written");
    let output = cli(folder.path(), &["validate", "--config", "a.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let cycle = "data would go round for ever: logs/round → logs/round";
    assert_eq!(said.trim(), format!("a.yaml:7:5: service::pipelines::logs/round: {cycle}"));
}

#[test]
fn a_storage_that_is_not_there_is_a_mistake_with_a_place_wherever_it_is_named() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let config = "\
receivers: {otlp: {protocols: {http: {endpoint: 'localhost:0'}}}}
extensions: {file_storage/kept: {directory: kept}}
processors:
  change:
    storage: file_storage/keep
exporters:
  otlp_http:
    endpoint: http://localhost:1
    sending_queue:
      storage: file_storage/kep
  prometheus:
    endpoint: localhost:0
    storage: elsewhere
service:
  extensions: [file_storage/kept]
  pipelines: {metrics: {receivers: [otlp], processors: [change], exporters: [otlp_http, prometheus]}}
";
    std::fs::write(folder.path().join("wrong.yaml"), config).expect("the folder can be written");
    let output = cli(folder.path(), &["validate", "--config", "wrong.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for (place, word) in [
        ("wrong.yaml:5:14", "did you mean `file_storage/kept`?"),
        ("wrong.yaml:10:16", "did you mean `file_storage/kept`?"),
        ("wrong.yaml:13:14", "no storage extension `elsewhere`"),
    ] {
        let line = said.lines().find(|line| line.starts_with(&format!("{place}:")));
        assert!(line.is_some_and(|line| line.contains(word)), "{place} with `{word}` in\n{said}");
    }
}

#[test]
fn the_printed_configuration_shows_no_secret_unless_asked_to() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let config = "
receivers: {otlp: {protocols: {http: {endpoint: 'localhost:0', auth: {authenticator: bearertokenauth}}}}}
extensions: {bearertokenauth: {token: '${env:TOKEN}'}}
exporters: {otlp_http: {endpoint: 'http://me:hunter2-of-mine@localhost:1', headers: {x-api-key: key-of-the-backend}}}
service:
  extensions: [bearertokenauth]
  pipelines: {logs: {receivers: [otlp], exporters: [otlp_http]}}
";
    std::fs::write(folder.path().join("right.yaml"), config).expect("the folder can be written");
    let set = "--set=extensions::bearertokenauth::token=token-of-the-sender";
    let arguments = ["print-config", "--config", "right.yaml", set];
    for format in ["yaml", "json"] {
        let output = cli(folder.path(), &[&arguments[..], &["--format", format]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert!(text.contains("[REDACTED]") && text.contains("x-api-key"), "{text}");
        for secret in ["key-of-the-backend", "token-of-the-sender", "hunter2-of-mine"] {
            assert!(!text.contains(secret), "{text}");
            assert!(!String::from_utf8_lossy(&output.stderr).contains(secret), "{output:?}");
        }
    }
    let output = cli(folder.path(), &[&arguments[..], &["--mode", "unredacted"]].concat());
    assert!(String::from_utf8_lossy(&output.stdout).contains("key-of-the-backend"), "{output:?}");
    let wrong = [&arguments[..], &["--set=exporters::otlp_http::endpoint=nowhere", "--validate"]].concat();
    let output = cli(folder.path(), &wrong);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{output:?}");
}

#[test]
fn a_right_configuration_is_validated_and_its_graph_shows_where_masking_was_put_in() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart.yaml");
    let output = cli(folder.path(), &["validate", "--config", quickstart]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let unmasked = "
receivers: {otlp: {protocols: {grpc: }}}
exporters: {debug: }
service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}
";
    std::fs::write(folder.path().join("plain.yaml"), unmasked).expect("the folder can be written");
    let output = cli(folder.path(), &["validate", "--graph", "--config", "plain.yaml"]);
    let graph = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && graph.contains("secrets"), "{graph}");
}

#[test]
fn every_component_is_listed_and_the_help_names_the_exit_codes() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let components = cli(folder.path(), &["components"]);
    let components = String::from_utf8_lossy(&components.stdout).into_owned();
    for name in
        ["otlp", "github", "change", "secrets", "events", "change_metrics", "prometheus", "file_storage"]
    {
        assert!(components.contains(&format!("- name: {name}\n")), "{name} in\n{components}");
    }
    for arguments in [&["--help"][..], &["run", "--help"]] {
        let help = cli(folder.path(), arguments);
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.contains("Exit codes") && help.contains("  2  "), "{help}");
    }
    assert_eq!(cli(folder.path(), &["run"]).status.code(), Some(2), "a configuration is required");
}

#[test]
fn a_file_is_right_on_a_machine_that_lacks_what_it_names_and_here_says_what_that_is() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = taken.local_addr().expect("it is bound");
    let config = format!(
        "\
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: 'localhost:0', auth: {{authenticator: bearertokenauth}}, tls: {{cert_file: no.pem, key_file: no.key}}}}, http: {{endpoint: '{busy}'}}}}}}
exporters:
  otlp_grpc: {{endpoint: 'backend:4317', tls: {{ca_file: no-ca.pem}}, auth: {{authenticator: basicauth}}, sending_queue: {{storage: file_storage}}}}
  file: {{path: nowhere/out.jsonl}}
extensions:
  file_storage: {{directory: /no/such/folder}}
  bearertokenauth: {{filename: no-tokens}}
  basicauth: {{client_auth: {{username: ada, password_file: no-password}}}}
service:
  extensions: [file_storage, bearertokenauth, basicauth]
  pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_grpc, file]}}}}
"
    );
    std::fs::write(folder.path().join("a.yaml"), &config).expect("the folder can be written");
    let validate = |more: &[&str]| {
        let output = cli(folder.path(), &[&["validate", "--config", "a.yaml"], more].concat());
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), said(&output.stdout), said(&output.stderr))
    };
    let (code, graph, notes) = validate(&["--graph"]);
    assert_eq!(code, Some(0), "{notes}");
    assert!(graph.contains("stream  file_storage, synced; feeds otlp_grpc"), "{graph}");
    let (code, _, errors) = validate(&["--here"]);
    assert_eq!(code, Some(2));
    // With the whole path, and at the option itself.
    let line = config.lines().nth(1).expect("two lines");
    let column = line.find(&format!("'{busy}'")).expect("it stands there") + 1;
    let (at, of) = (format!("a.yaml:2:{column}"), "receivers::otlp::protocols::http::endpoint: ");
    for (place, words) in [
        (&*at, of),
        ("a.yaml:2:", "receivers::otlp::protocols::grpc::tls::"),
        ("a.yaml:2:", "cannot read no.pem"),
        ("a.yaml:2:", "Address already in use (os error 98); set `endpoint` to another"),
        ("a.yaml:4:", "cannot read no-ca.pem"),
        ("a.yaml:5:", "nowhere is not there; `create_directory: true` makes it"),
        ("a.yaml:7:", "/no/such/folder is not there; `create_directory: true` makes it"),
        ("a.yaml:8:", "cannot read no-tokens"),
        ("a.yaml:9:", "cannot read no-password"),
    ] {
        let told = |text: &str| text.lines().any(|line| line.contains(place) && line.contains(words));
        assert!(told(&errors), "{place} {words} in\n{errors}");
        assert!(told(&notes), "{place} {words} in\n{notes}");
    }
    let unwritable = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
extensions: {file_storage: {directory: b.yaml/x, create_directory: true}}
exporters: {file: {path: b.yaml/y/out.jsonl, create_directory: true}}
service:
  extensions: [file_storage]
  telemetry: {metrics: {address: localhost}}
  pipelines: {logs: {receivers: [otlp], exporters: [file]}}
";
    std::fs::write(folder.path().join("b.yaml"), unwritable).expect("the folder can be written");
    let output = cli(folder.path(), &["validate", "--config", "b.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "an address without a port is a mistake of the file");
    assert!(said.contains("b.yaml:7:34") && said.contains("expected `host:port`"), "{said}");
    let right = unwritable.replace("localhost", "'localhost:0'");
    std::fs::write(folder.path().join("b.yaml"), right).expect("the folder can be written");
    assert_eq!(cli(folder.path(), &["validate", "--config", "b.yaml"]).status.code(), Some(0));
    let output = cli(folder.path(), &["validate", "--here", "--config", "b.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("b.yaml/x: Not a directory"), "{said}");
    assert!(said.contains("b.yaml/y/out.jsonl cannot be made: not a directory"), "{said}");
    let run = cli(folder.path(), &["run", "--config", "a.yaml"]);
    assert_eq!(run.status.code(), Some(2));
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(said.contains("cannot read no.pem") && said.contains("cannot read no-tokens"), "{said}");
}
