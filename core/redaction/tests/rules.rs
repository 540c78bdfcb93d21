//! What each rule finds, and what none may touch. The secrets here are put together from parts, so that no scanner of
//! repositories stumbles over this file.

use std::sync::LazyLock;

use proptest::prelude::*;
use throughline_redaction::{Counts, Rule, Scanner, Settings, TagKey};

fn scanner() -> &'static Scanner {
    static SCANNER: LazyLock<Scanner> =
        LazyLock::new(|| Scanner::new(&Settings::default(), TagKey::new(&[7; 32])));
    &SCANNER
}

fn mask(text: &str) -> Option<(String, Counts)> {
    let mut counts = Counts::default();
    let masked = scanner().mask(text.as_bytes(), &mut counts)?;
    Some((String::from_utf8(masked).expect("text stays text"), counts))
}

/// A run of letters and digits.
fn run(length: usize) -> String {
    "a1B2c3D4e5F6g7H8j9K0".chars().cycle().take(length).collect()
}

/// Each rule with a text, the secret in it cut out: what is before, the secret, what is behind.
fn examples() -> Vec<(Rule, String, String, &'static str)> {
    let jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N";
    let upper = |length| run(length).to_uppercase();
    let pem = |label: &str, line: &str| {
        format!("-----BEGIN {label}-----{line}{}{line}{}{line}-----END {label}-----", run(64), run(40))
    };
    let mut all = Vec::new();
    let mut add =
        |rule, before: &str, secret: String, behind| all.push((rule, before.to_owned(), secret, behind));
    add(Rule::Aws, "key id ", format!("AKIA{}", upper(16)), " used");
    add(Rule::Aws, "", format!("ASIA{}", upper(16)), "");
    for prefix in ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"] {
        add(Rule::Github, "x", format!("{prefix}{}", run(36)), " pushed");
    }
    add(Rule::Github, "", format!("github_pat_{}_{}", run(22), run(59)), "\n");
    add(Rule::Gitlab, "with ", format!("glpat-{}", run(20)), ".");
    add(Rule::Slack, "", format!("xoxb-123456789012-1234567890123-{}", run(24)), "");
    add(Rule::Slack, "d=", format!("xoxd-{}%2B{}%3D", run(24), run(24)), "; b=x");
    add(Rule::Slack, "", format!("xoxo-{}", run(24)), "");
    add(Rule::Slack, "", format!("xapp-1-A0000-{}/{}", run(24), run(24)), "\"");
    add(
        Rule::SlackWebhook,
        "https://hooks.slack.com/",
        format!("services/T0000/B1111/{}", run(24)),
        " posted",
    );
    add(Rule::Jwt, "sent ", jwt.into(), ", refused");
    add(Rule::Jwt, "sent ", format!("ewogICJhbGciOiAibm9uZSIKfQ.eyJzdWIiOiIxIn0.{}", run(4)), "");
    add(Rule::Pem, "key:\n", pem("RSA PRIVATE KEY", "\n"), "\nnext");
    add(Rule::Pem, "{\"x\":\"", pem("PRIVATE KEY", "\\n"), "\"}");
    add(Rule::Pem, "", format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}", run(300)), "");
    add(Rule::Pem, "", pem("PGP PRIVATE KEY BLOCK", "\n"), "");
    add(Rule::Age, "", format!("AGE-SECRET-KEY-1{}", upper(58)), "");
    add(Rule::Stripe, "", format!("sk_live_{}", run(24)), "");
    add(Rule::Stripe, "", format!("whsec_{}", run(32)), "");
    add(Rule::Npm, "", format!("npm_{}", run(36)), "");
    add(Rule::Pypi, "", format!("pypi-AgEIcHlwaS5vcmc{}", run(60)), "");
    add(Rule::Vault, "", format!("hvs.{}", run(90)), "");
    add(Rule::Docker, "", format!("dckr_pat_{}", run(27)), "");
    add(Rule::Google, "maps?key=", format!("AIza{}", run(35)), "&v=1");
    add(Rule::Google, "", format!("GOCSPX-{}", run(28)), "");
    add(Rule::Grafana, "", format!("glsa_{}_{}", run(32), "deadbeef"), "");
    add(
        Rule::Grafana,
        "",
        "eyJrIjoiT0tTcG1pUlY2RnVKZTFVaDFsNFZXdE9ZWmNrMkZYbk4iLCJuIjoidGVzdCIsImlkIjoxfQ".into(),
        " ok",
    );
    add(Rule::Sentry, "", format!("sntrys_{}", run(60)), "");
    add(Rule::Sentry, "https://", "0123456789abcdef0123456789abcdef".into(), "@o1.ingest.sentry.io/2");
    add(Rule::Anthropic, "", format!("sk-ant-api03-{}", run(60)), "");
    add(Rule::Pagerduty, "\"routing_key\":\"", run(32), "\",\"event_action\":\"trigger\"");
    add(Rule::Userinfo, "postgres://app:", "p@ss:w0rd!".into(), "@db.example:5432/shop?sslmode=require");
    add(Rule::Userinfo, "clone https://oauth2:", "hunter2".into(), "@gitlab.example/x.git done");
    add(Rule::Userinfo, "app:", "hunter2".into(), "@tcp(db:3306)/shop");
    add(Rule::Userinfo, "amqp://", run(24), "@mq.example/");
    add(
        Rule::Signature,
        "https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature=",
        "0f".repeat(32),
        "&x=1",
    );
    add(Rule::Signature, "https://storage.googleapis.com/b/o?X-Goog-Signature=", "0f".repeat(64), "");
    add(
        Rule::Signature,
        "https://x.blob.core.windows.net/c?sv=2022&sig=",
        format!("{}%3D", run(43)),
        "&se=1",
    );
    add(Rule::Signature, "https://d1.cloudfront.net/x?Expires=1&Signature=", run(80), "&Key-Pair-Id=K");
    add(Rule::Pair, "https://b.s3.amazonaws.com/k?X-Amz-Security-Token=", run(60), "&x=1");
    add(
        Rule::Pair,
        "https://b.s3.amazonaws.com/k?X-Amz-Credential=",
        format!("{}%2F20260101%2Feu%2Fs3", run(20)),
        "&x=1",
    );
    add(Rule::Bearer, "calling with bearer ", run(40), " now");
    add(Rule::Bearer, "sent Basic ", "dXNlcjpodW50ZXIyMjIy".into(), ", 401");
    add(Rule::Pair, "Authorization: Bearer ", run(12), " was refused");
    add(Rule::Pair, "curl -H \"Authorization: token ", run(12), "\" https://x");
    add(Rule::Pair, "Authorization: Token ", format!("token={}", run(20)), "");
    add(Rule::Pair, "Cookie: ", "session=abc; theme=dark".into(), "\r\nAccept: x");
    add(Rule::Pair, "DB_PASSWORD=", "hunter2".into(), " starting");
    add(Rule::Pair, "export API_KEY='", "hunter 2".into(), "'");
    add(Rule::Pair, "AWS_SECRET_ACCESS_KEY=", format!("{}/{}+{}", run(13), run(13), run(12)), "\n");
    add(Rule::Pair, "password: ", "hunter2".into(), "\nuser: x");
    add(Rule::Pair, "{\"user\":\"x\",\"password\":\"", "hun ter2".into(), "\",\"y\":1}");
    add(Rule::Pair, "{\\\"clientSecret\\\": \\\"", "hunter2".into(), "\\\"}");
    add(Rule::Pair, "{'token' => '", "hunter2".into(), "'}");
    add(Rule::Pair, "mysql --user x --password ", "hunter2".into(), " db");
    add(
        Rule::Pair,
        "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=",
        format!("{}==", run(86)),
        ";EndpointSuffix=y",
    );
    add(Rule::Pair, "Server=x;Uid=y;Pwd=", "hunter2".into(), ";Database=z");
    add(Rule::Pair, "DB_PASSWORD=", "hunt\\er2,de;f&g)h".into(), ", DB_USER=x");
    add(Rule::Pair, "helm --set db.password=", "pa,ss".into(), ",image.tag=v1");
    add(Rule::Pagerduty, "routing_key=", run(32), ",severity=critical");
    add(Rule::Pair, "DD-API-KEY: ", "0123456789abcdef0123456789abcdef".into(), "");
    all
}

#[test]
fn every_rule_masks_its_examples_and_nothing_around_them() {
    for (rule, before, secret, behind) in examples() {
        let text = format!("{before}{secret}{behind}");
        let Some((masked, counts)) = mask(&text) else { panic!("{rule:?} is not found in {text}") };
        let middle = masked.strip_prefix(&*before).and_then(|rest| rest.strip_suffix(behind));
        let shape = format!("[REDACTED:{}:", rule.name());
        assert!(
            middle.is_some_and(|middle| middle.starts_with(&shape) && middle.len() == shape.len() + 17),
            "{rule:?}: {text} became {masked}"
        );
        assert_eq!(counts.iter().collect::<Vec<_>>(), [(rule, 1)]);
    }
}

#[test]
fn every_rule_but_that_of_names_has_an_example() {
    let has = |rule: &Rule| examples().iter().any(|(with, ..)| with == rule);
    let without: Vec<_> = Rule::ALL.iter().filter(|rule| !has(rule)).collect();
    assert_eq!(without, [&Rule::Key]);
}

#[test]
fn masking_what_is_masked_changes_nothing() {
    for (_, before, secret, behind) in examples() {
        let (masked, _) = mask(&format!("{before}{secret}{behind}")).expect("it is found");
        assert_eq!(mask(&masked), None, "{masked}");
    }
}

/// RED2-12, and what looks like a secret without being one.
const HARMLESS: &[&str] = &[
    "commit 0123456789abcdef0123456789abcdef01234567 by x@example.org",
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "arn:aws:iam::123456789012:role/throughline-ci",
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/db-AbCdEf",
    "s3://evidence-bucket/2026/11/21/plan.json",
    "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "550e8400-e29b-41d4-a716-446655440000",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "ghcr.io/example/shop@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "https://example.org:8080/users?mail=a@example.org",
    "https://registry.npmjs.org/@scope/package@1.2.3",
    "git@github.com:example/shop.git",
    "ssh://git@github.com/example/shop.git",
    "https://${USER}:${PASSWORD}@example.org/",
    "https://user:***@example.org/",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "PASSWORD=${DB_PASSWORD}",
    "password: {{ .Values.password }}",
    "password=*** token=[REDACTED]",
    "API_KEY=${{ secrets.API_KEY }}",
    "token_count=512 secret_name=db tokenizer=bpe",
    "gen_ai.usage.input_tokens: 1234",
    "error: unexpected token: expected an identifier",
    "the secret: be early",
    "PWD=/home/runner",
    "basic understanding of bearer instruments",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    "BEGIN TRANSACTION",
    "eyJmb28iOiJiYXIifQ.notatoken",
    "messaging.rabbitmq.destination.routing_key=orders",
    "https://hooks.slack.com/",
    "config=prod&sig=short",
    "password=ENC[AES256_GCM,data:p673w==,iv:YY=,tag:UQ=]",
    "42 tests passed: all",
    "key=value",
    "Passwort vergessen? Schlüssel: keiner",
];

#[test]
fn what_is_no_secret_is_left_alone() {
    for text in HARMLESS {
        assert_eq!(mask(text).map(|(masked, _)| masked), None, "{text}");
    }
}

#[test]
fn a_value_whose_name_is_secret_goes_as_a_whole_unless_it_stands_in_for_one() {
    let (scanner, mut counts) = (scanner(), Counts::default());
    assert!(scanner.is_sensitive(b"db.password"));
    let masked = scanner.mask_whole("any thing: ü".as_bytes(), &mut counts).expect("it is a value");
    assert!(masked.starts_with(b"[REDACTED:key:"));
    assert_eq!(scanner.mask_whole(&masked, &mut counts), None);
    assert_eq!(scanner.mask_whole(b"${DB_PASSWORD}", &mut counts), None);
    assert_eq!(counts.total(), 1);
}

#[test]
fn rules_can_be_turned_off_one_by_one() {
    for (rule, before, secret, behind) in examples() {
        let settings = Settings { disable: vec![rule], ..Settings::default() };
        let mut counts = Counts::default();
        let scanner = Scanner::new(&settings, TagKey::new(b"key"));
        drop(scanner.mask(format!("{before}{secret}{behind}").as_bytes(), &mut counts));
        assert!(counts.iter().all(|(found, _)| found != rule), "{rule:?}");
    }
}

#[test]
fn names_can_be_added_in_every_spelling() {
    let settings = Settings { extra_keys: vec!["tenant_code".into()], ..Settings::default() };
    let scanner = Scanner::new(&settings, TagKey::new(b"key"));
    for text in
        ["tenant_code=hunter2", "TENANT_CODE=hunter2", "tenantCode=hunter2", "\"Tenant-Code\": \"hunter2\""]
    {
        assert!(!scanner.is_clean(text.as_bytes()), "{text}");
        assert!(scanner.mask(text.as_bytes(), &mut Counts::default()).is_some(), "{text}");
    }
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<Vec<u8>>(),
        prop::sample::select(examples())
            .prop_map(|(_, before, secret, _)| format!("{before}{secret}").into_bytes()),
        prop::sample::select(HARMLESS).prop_map(|text| text.as_bytes().to_vec()),
        prop::sample::select(
            &[
                "@",
                "://",
                "\"",
                "\\",
                "=",
                ": ",
                "token",
                "password",
                "eyJh",
                ".eyJ",
                "BEGIN ",
                "%3D",
                "<x>",
                "${A}",
                "{{x}}",
                "${A:-",
                "}",
                "[REDACTED]",
                "[REDACTED:pair:0123456789abcdef]",
                "PWD",
                ";",
                "Bearer ",
                "-----",
                "PRIVATE KEY",
                "_value",
                "--",
                "hunter2",
            ][..]
        )
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::sample::select(&["a", "_value", "2", " ", "\\", "A"][..])
            .prop_map(|text| text.repeat(260).into_bytes()),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_scan_of_undivided_bytes_misses_nothing_that_is_masked_in_a_part(
        before in noise(), text in noise(), behind in noise(),
    ) {
        if scanner().mask(&text, &mut Counts::default()).is_some() {
            let whole = [&before[..], &text, &behind].concat();
            let hits = scanner().hits(&whole);
            prop_assert!(hits.is_sorted());
            prop_assert!(hits.iter().any(|at| (before.len()..before.len() + text.len()).contains(at)));
        }
    }

    #[test]
    fn anything_is_masked_once_and_text_stays_text(bytes in noise()) {
        let text = String::from_utf8_lossy(&bytes).into_owned().into_bytes();
        for input in [bytes, text] {
            if let Some(masked) = scanner().mask(&input, &mut Counts::default()) {
                prop_assert!(std::str::from_utf8(&input).is_err() || std::str::from_utf8(&masked).is_ok());
                prop_assert_eq!(scanner().mask(&masked, &mut Counts::default()), None);
            }
        }
    }

    #[test]
    fn a_text_cut_anywhere_does_not_panic(
        (_, before, secret, behind) in prop::sample::select(examples()), cut in any::<prop::sample::Index>(),
    ) {
        let text = format!("{before}{secret}{behind}").into_bytes();
        let (left, right) = text.split_at(cut.index(text.len() + 1));
        for part in [left, right] {
            drop(scanner().mask(part, &mut Counts::default()));
        }
    }
}
