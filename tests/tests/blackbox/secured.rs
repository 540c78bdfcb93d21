//! Authentication and TLS on both sides: who has no credentials or another authority's certificate is refused.

use std::path::Path;
use std::process::Command;

use throughline_tests::{Agent, await_that, http, records};
use tonic::Code;

use crate::grpc::{Call, export};
use crate::otlp;

const LOGS: &str = "logs.v1.LogsService";

fn make(folder: &Path) -> &Path {
    std::fs::create_dir_all(folder).expect("the test's folder can be written");
    folder
}

/// An agent that lets in only those whom an authenticator knows.
fn guarded(folder: &Path, authenticator: &str, settings: &str) -> Agent {
    let server = format!("{{endpoint: '127.0.0.1:0', auth: {{authenticator: {authenticator}}}}}");
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {server}, http: {server}}}}}}}
extensions: {{{authenticator}: {settings}}}
exporters: {{file: {{path: logs.jsonl}}}}
service:
  extensions: [{authenticator}]
  pipelines: {{logs: {{receivers: [otlp], exporters: [file]}}}}
"
    );
    Agent::start(make(folder), &config)
}

/// An agent that passes logs on by one exporter with these settings.
fn sender(folder: &Path, exporter: &str, extensions: &str, settings: &str) -> Agent {
    let names = if extensions.is_empty() { "" } else { "bearertokenauth, basicauth" };
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
extensions: {{{extensions}}}
exporters: {{{exporter}: {settings}}}
service:
  extensions: [{names}]
  pipelines: {{logs: {{receivers: [otlp], exporters: [{exporter}]}}}}
"
    );
    Agent::start(make(folder), &config)
}

fn post(agent: &Agent, headers: &[(&str, &str)], body: &str) -> u16 {
    let headers = [headers, &[("content-type", "application/x-protobuf")]].concat();
    http::post(&agent.http(), "/v1/logs", &headers, &otlp::log(body)).status
}

fn assert_arrived(sink: &Agent, body: &str) {
    let path = sink.folder().join("logs.jsonl");
    await_that(&format!("`{body}` arrives"), || records::read(&path).iter().any(|log| log.body() == body));
}

#[test]
fn bearer_tokens_and_passwords_open_the_receiver_and_nothing_else_does() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let bearer = guarded(&folder.path().join("bearer"), "bearertokenauth", "{token: the-right-token}");
    let basic = guarded(&folder.path().join("basic"), "basicauth", "{htpasswd: {inline: 'ada:lovelace'}}");
    // `ada:lovelace` in base64.
    for (agent, right) in [(&bearer, "Bearer the-right-token"), (&basic, "Basic YWRhOmxvdmVsYWNl")] {
        let wrong = [
            "",
            "Bearer",
            "Bearer the-right-toke",
            "Bearer the-right-token2",
            "Basic YWRhOmNvdW50ZXNz",
            "Basic !!",
        ];
        for wrong in wrong {
            assert_eq!(post(agent, &[("authorization", wrong)], "wrong"), 401, "`{wrong}`");
            let metadata = vec![("authorization", wrong.to_owned())];
            let call = Call { metadata, ..Call::default() };
            let refused = export(&agent.grpc(), LOGS, otlp::log("wrong"), &call).expect_err("refused");
            assert_eq!(refused.code(), Code::Unauthenticated, "`{wrong}`: {refused}");
        }
        assert_eq!(post(agent, &[], "without"), 401);
        assert_eq!(post(agent, &[("authorization", right)], "over HTTP"), 200);
        let call = Call { metadata: vec![("authorization", right.to_owned())], ..Call::default() };
        assert!(export(&agent.grpc(), LOGS, otlp::log("over gRPC"), &call).is_ok());
        let bodies: Vec<_> =
            records::read(&agent.folder().join("logs.jsonl")).iter().map(records::Record::body).collect();
        assert_eq!(bodies, ["over HTTP", "over gRPC"]);
        assert!(!agent.log().contains("the-right-token") && !agent.log().contains("lovelace"));
        agent.assert_sound();
    }
}

/// Whoever issues tokens replaces the file; the agent is neither told nor restarted.
#[test]
fn a_token_file_is_followed_while_the_agent_runs() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "first\n").expect("written");
    let settings = format!("{{filename: '{}'}}", tokens.display());
    let agent = guarded(&folder.path().join("bearer"), "bearertokenauth", &settings);
    let takes = |token: &str| post(&agent, &[("authorization", &format!("Bearer {token}"))], "a log") == 200;
    assert!(takes("first") && !takes("second"));
    std::fs::write(&tokens, "second\n").expect("written");
    await_that("the second token is taken", || takes("second"));
    assert!(!takes("first"), "the first is not taken any more");
    agent.assert_sound();
}

#[test]
fn the_health_page_is_guarded_if_asked_to() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let config = "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
extensions:
  basicauth: {htpasswd: {inline: 'ada:lovelace'}}
  health_check: {endpoint: '127.0.0.1:0', auth: {authenticator: basicauth}}
exporters: {debug: {}}
service:
  extensions: [basicauth, health_check]
  pipelines: {logs: {receivers: [otlp], exporters: [debug]}}
";
    let agent = Agent::start(make(&folder.path().join("agent")), config);
    let address = agent.address("health_check", "/");
    assert_eq!(http::post(&address, "/", &[], b"").status, 401);
    assert_eq!(http::post(&address, "/", &[("authorization", "Basic YWRhOmxvdmVsYWNl")], b"").status, 200);
}

#[test]
fn an_exporter_with_credentials_is_let_in_and_one_with_others_is_told_so_at_its_door() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let bearer = guarded(&folder.path().join("bearer"), "bearertokenauth", "{token: the-right-token}");
    let basic = guarded(&folder.path().join("basic"), "basicauth", "{htpasswd: {inline: 'ada:lovelace'}}");
    let extensions = "bearertokenauth: {token: the-right-token}, \
        basicauth: {client_auth: {username: ada, password: lovelace}}";
    for (sink, authenticator) in [(&bearer, "bearertokenauth"), (&basic, "basicauth")] {
        for exporter in ["otlp_grpc", "otlp_http"] {
            let settings = |authenticator: &str| {
                let endpoint =
                    if exporter == "otlp_grpc" { sink.grpc() } else { format!("http://{}", sink.http()) };
                format!(
                    "{{endpoint: '{endpoint}', tls: {{insecure: true}}, auth: {{authenticator: {authenticator}}}, \
                     retry_on_failure: {{enabled: false}}}}"
                )
            };
            let name = format!("{authenticator}-{exporter}");
            let right = sender(&folder.path().join(&name), exporter, extensions, &settings(authenticator));
            assert_eq!(post(&right, &[], &name), 200);
            assert_arrived(sink, &name);
            let other = if authenticator == "basicauth" { "bearertokenauth" } else { "basicauth" };
            let wrong =
                sender(&folder.path().join(format!("{name}-wrong")), exporter, extensions, &settings(other));
            let answer = post(&wrong, &[], "never");
            assert_eq!(answer, 503, "{name}: a backend's 401 is not the sender's own, which keeps its data");
            assert_eq!(right.stop().code, Some(0));
        }
        let path = sink.folder().join("logs.jsonl");
        assert!(records::read(&path).iter().all(|log| log.body() != "never"));
    }
}

/// An authority and a certificate it signed for 127.0.0.1, `{name}-ca.pem`, `{name}.pem` and `{name}.key`.
fn authority(folder: &Path, name: &str) {
    let run = |arguments: &str| {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let output = Command::new("openssl").args(words).current_dir(folder).output().expect("openssl runs");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(&format!("req -x509 {new} -days 2 -subj /CN={name}-ca -keyout {name}-ca.key -out {name}-ca.pem"));
    run(&format!("req {new} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
    let extensions = "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
    std::fs::write(folder.join("extensions"), extensions).expect("the folder can be written");
    run(&format!(
        "x509 -req -in {name}.csr -CA {name}-ca.pem -CAkey {name}-ca.key -CAcreateserial -days 2 \
         -extfile extensions -out {name}.pem"
    ));
}

#[test]
fn tls_and_mutual_tls_join_two_agents_and_another_authority_is_refused() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    authority(folder.path(), "ours");
    authority(folder.path(), "theirs");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key, ca) = (file("ours.pem"), file("ours.key"), file("ours-ca.pem"));
    for mutual in [false, true] {
        let client_ca = if mutual { format!(", client_ca_file: '{ca}'") } else { String::new() };
        let tls = format!("tls: {{cert_file: '{certificate}', key_file: '{key}'{client_ca}}}");
        let config = format!(
            "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0', {tls}}}, http: {{endpoint: '127.0.0.1:0', {tls}}}}}}}}}
exporters: {{file: {{path: logs.jsonl}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [file]}}}}}}
"
        );
        let sink = Agent::start(make(&folder.path().join(format!("sink-{mutual}"))), &config);
        let shown = |name: &str| {
            format!(
                ", cert_file: '{}', key_file: '{}'",
                file(&format!("{name}.pem")),
                file(&format!("{name}.key"))
            )
        };
        let mut senders = vec![(
            "trusts another authority",
            format!("ca_file: '{}'{}", file("theirs-ca.pem"), shown("ours")),
            false,
        )];
        senders.push(("trusts the authority", format!("ca_file: '{ca}'"), !mutual));
        senders.push(("shows our certificate", format!("ca_file: '{ca}'{}", shown("ours")), true));
        senders.push(("shows another's certificate", format!("ca_file: '{ca}'{}", shown("theirs")), !mutual));
        for (number, (who, tls, welcome)) in senders.into_iter().enumerate() {
            for exporter in ["otlp_grpc", "otlp_http"] {
                let address = if exporter == "otlp_grpc" { sink.grpc() } else { sink.http() };
                let settings = format!(
                    "{{endpoint: 'https://{address}', tls: {{{tls}}}, timeout: 2s, sending_queue: {{enabled: false}}, retry_on_failure: {{enabled: false}}}}"
                );
                let name = format!("{who}, {exporter}, mutual: {mutual}");
                let relay = folder.path().join(format!("relay-{mutual}-{number}-{exporter}"));
                let relay = sender(&relay, exporter, "", &settings);
                let answer = post(&relay, &[], &name);
                assert_eq!(answer == 200, welcome, "{name}: {answer}\n{}", relay.log());
                if welcome {
                    assert_arrived(&sink, &name);
                }
            }
        }
        let plain = http::request(&sink.http(), "POST", "/v1/logs", &[], b"");
        assert!(plain.is_err(), "plain text is not answered on a TLS port: {plain:?}");
        sink.assert_sound();
    }
}

/// Whose certificate a server shows, as openssl sees it.
fn shown_by(address: &str) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", address])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("openssl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let subject = text.lines().find_map(|line| line.trim().strip_prefix("subject="));
    subject.unwrap_or_else(|| panic!("no certificate: {text}")).replace(' ', "")
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart_once_it_fits_its_key() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    authority(folder.path(), "old");
    authority(folder.path(), "new");
    let file = |name: &str| folder.path().join(name);
    let (certificate, key) = (file("old.pem").display().to_string(), file("old.key").display().to_string());
    let tls = format!("{{cert_file: '{certificate}', key_file: '{key}', reload_interval: 1ms}}");
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0', tls: {tls}}}}}}}}}
exporters: {{file: {{path: logs.jsonl}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [file]}}}}}}
"
    );
    let agent = Agent::start(make(&folder.path().join("agent")), &config);
    assert_eq!(shown_by(&agent.http()), "CN=old");
    std::fs::copy(file("new.pem"), file("old.pem")).expect("the folder can be written");
    assert_eq!(shown_by(&agent.http()), "CN=old", "half a pair is not put into service");
    assert!(agent.log().contains("not the key of the certificate"), "{}", agent.log());
    std::fs::copy(file("new.key"), file("old.key")).expect("the folder can be written");
    assert_eq!(shown_by(&agent.http()), "CN=new");
    std::fs::write(file("old.pem"), "nothing").expect("the folder can be written");
    assert_eq!(shown_by(&agent.http()), "CN=new");
    agent.assert_sound();
}
