//! What once leaked, and what is like it: nothing of a secret may be left, however it is spelled and however long it is.

use std::collections::HashSet;
use std::sync::LazyLock;

use throughline_redaction::{Counts, Scanner, Settings, TagKey};

fn scanner() -> &'static Scanner {
    static SCANNER: LazyLock<Scanner> =
        LazyLock::new(|| Scanner::new(&Settings::default(), TagKey::new(&[7; 32])));
    &SCANNER
}

fn mask(text: &str) -> String {
    let masked = scanner().mask(text.as_bytes(), &mut Counts::default());
    masked.map_or_else(|| text.to_owned(), |masked| String::from_utf8(masked).expect("text stays text"))
}

/// Asserts that no five bytes in a row of a secret are left, and that the scan of undivided bytes sees it.
#[track_caller]
fn assert_masked(text: &str, secret: &str) {
    let masked = mask(text);
    let parts: HashSet<&[u8]> = secret.as_bytes().windows(5).collect();
    let left = masked.as_bytes().windows(5).find(|part| parts.contains(part));
    let shown: String = masked.chars().take(300).collect();
    assert!(
        left.is_none(),
        "{} is left of {text:.200}: {shown}",
        String::from_utf8_lossy(left.unwrap_or_default())
    );
    assert!(!scanner().is_clean(text.as_bytes()), "{text:.200} is clean");
}

/// A run of letters and digits.
fn run(length: usize) -> String {
    "a1B2c3D4e5F6g7H8j9K0".chars().cycle().take(length).collect()
}

#[test]
fn an_escape_before_a_name_is_no_part_of_it() {
    for escape in [
        "\\n",
        "\\t",
        "\\r",
        "\\b",
        "\\f",
        "\\u0026",
        "\\u003c",
        "\\u000a",
        "\\\\n",
        "\\x1b[1m",
        "\\u001b[0m",
        "\x1b[31m",
        "\x1b[1;31m",
        "%26",
        "%3F",
        "%0A",
        "%2526",
        "&amp;",
        "\n",
        "\r\n",
    ] {
        for name in [
            "api_key",
            "apikey",
            "private_key",
            "cookie",
            "authorization",
            "pwd",
            "DB_PASSWORD",
            "clientSecret",
        ] {
            assert_masked(&format!("{{\"log\":\"env:{escape}{name}=hunter2-hunter3\"}}"), "hunter2-hunter3");
        }
        assert_masked(&format!("{{\"log\":\"mysql{escape}--password hunter2-hunter3\"}}"), "hunter2-hunter3");
    }
    // A backslash need not begin an escape.
    assert_masked("C:\\token=hunter2-hunter3", "hunter2-hunter3");
}

#[test]
fn colours_and_spelled_separators_part_no_name_from_its_value() {
    for colour in ["\x1b[0m", "\x1b[1;32m", "\\x1b[0m", "\\u001b[0m\\u001b[32m", "\\033[0m", "\\e[31m"] {
        for text in [
            format!("password{colour}=hunter2-hunter3"),
            format!("password={colour}hunter2-hunter3{colour} next"),
            format!("{colour}password{colour} : {colour} hunter2-hunter3"),
            format!("{{\"log\":\"api_key{colour}: hunter2-hunter3\"}}"),
        ] {
            assert_masked(&text, "hunter2-hunter3");
        }
    }
    for separator in [
        "\\u003d", "\\u003D", "\\x3d", "\\u003a ", "\\x3A", "%3D", "%3a", "&#61;", "&equals;", "&#58;",
        "&colon;",
    ] {
        for name in ["api_key", "DB_PASSWORD", "clientSecret"] {
            assert_masked(
                &format!("{{\"log\":\"env {name}{separator}hunter2-hunter3\"}}"),
                "hunter2-hunter3",
            );
        }
    }
}

#[test]
fn objects_and_lists_behind_a_name_without_quotes_go_whole() {
    for text in [
        "password={\"a\":\"hunter2\"}",
        "env password: {\"a\":[\"hunter2\", \"hunter3\"]} next",
        "password = {\n  a = \"hunter2\"\n}",
        "passwords: [hunter1, hunter2]",
        "passwords: [\n  hunter1,\n  hunter2\n]",
        "{Password:{A:hunter1 B:hunter2} X:1}",
        "{Password:&{A:hunter1 B:hunter2} X:1}",
        "{\"log\":\"password={\\\"a\\\":\\\"hunter2\\\"} next\"}",
        "password={hunter1 that never ends hunter2",
    ] {
        assert_masked(text, "hunter");
    }
    assert!(mask("password={a: hunter2} next").ends_with("] next"), "what is behind it stays");
    for text in ["password={}", "password: []", "password = { }"] {
        assert_eq!(mask(text), text, "nothing is in it");
    }
}

#[test]
fn a_value_goes_on_over_escapes_that_end_nothing() {
    for value in [
        "hunter\\/secret",
        "hunter\\u00fcsecret",
        "hunter\\u0026secret",
        "hunter\\u003dsecret",
        "hunter\\\\secret",
    ] {
        assert_masked(&format!("{{\"log\":\"DB_PASSWORD={value}\"}}"), "secret");
        assert_masked(&format!("{{\"log\":\"Cookie: a={value}\\nHost: x\"}}"), "secret");
        assert_masked(&format!("{{\"log\":\"https://u:{value}@h/\"}}"), "secret");
    }
    assert_eq!(mask("a=1\\u0026api_key=hunter2\\u0026b=2").split("\\u0026").count(), 3, "delimiters end it");
    let basic = "dXNlcjpodW50ZXIy\\/aHVudGVyMw==";
    assert_masked(&format!("{{\"log\":\"sent Basic {basic}\"}}"), "aHVudGVyMw");
    assert_masked(&format!("{{\"log\":\"Authorization: Basic {basic}\"}}"), "aHVudGVyMw");
}

#[test]
fn slashes_may_be_escaped_in_urls() {
    for slashes in ["//", "\\/\\/", "\\\\/\\\\/", "\\\\\\/\\\\\\/"] {
        assert_masked(
            &format!("{{\"url\":\"https:{slashes}bot:hunter2hunter@example.org\"}}"),
            "hunter2hunter",
        );
    }
    let path = format!("services\\/T0000\\/B1111\\/{}", run(24));
    assert_masked(&format!("{{\"url\":\"https:\\/\\/hooks.slack.com\\/{path}\"}}"), &run(24));
    let masked = mask("{\"a\":\"https:\\/\\/example.org:8080\\/x?mail=a@example.org\"}");
    assert!(!masked.contains("REDACTED"), "a port is no password: {masked}");
}

#[test]
fn a_header_of_a_json_web_token_may_be_long() {
    // {"alg":"RS256","x5c":["…"]} and the same with a blank line in front.
    for (length, start) in
        [(1_020, "eyJhbGciOiJSUzI1NiIsIng1YyI6WyI"), (5_000, "eyJ4NWMiOlsi"), (5_000, "ewogICJ4NWMiOiBbIg")]
    {
        for glue in ["", "token ", "\\n", "%3D"] {
            let body = "QUJD".repeat(length / 4);
            let rest = (4 - start.len() % 4) % 4;
            let header = format!("{start}{}{body}Il0sImFsZyI6IlJTMjU2In0", "A".repeat(rest));
            let token = format!("{header}.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{}", run(40));
            assert_masked(&format!("{{\"log\":\"{glue}{token}\"}}"), &token);
        }
    }
    let token = format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{}", run(200_000));
    assert_masked(&token, &token);
}

#[test]
fn no_secret_is_too_long() {
    for length in [600, 3_000, 20_000, 100_000] {
        let long = run(length);
        for text in [
            format!("https://u:{long}@host/"),
            format!("https://{long}@host/"),
            format!("u:{long}@tcp(host:3306)/db"),
            format!("glpat-{long}"),
            format!("github_pat_{long}"),
            format!("https://x/c?sig={long}"),
            format!("DB_PASSWORD={long} next"),
            format!("DB_PASSWORD='{long}'"),
            format!("{{\"password\":\"{long}\"}}"),
            format!("{{\"m\":\"{{\\\"password\\\":\\\"{long}\\\"}}\"}}"),
            format!("Authorization: Bearer {long}"),
            format!("Authorization: {long}"),
            format!("Cookie: {long}"),
            format!("bearer {long}"),
            format!("token: {long}"),
            format!("X-Amz-Signature={long}"),
            format!("-----BEGIN PRIVATE KEY-----{long}-----END PRIVATE KEY-----"),
            format!("DB_PASSWORD{}= hunter2-hunter3{long}", " ".repeat(length)),
            format!("{}_password=hunter2{long}", "a".repeat(length)),
        ] {
            assert_masked(&text, &long);
        }
        // A placeholder is short.
        assert_masked(&format!("PASSWORD=${{{}}}", long.to_lowercase()), &long.to_lowercase());
        assert_masked(&format!("PASSWORD='${{{long}}}'"), &long);
        assert_masked(&format!("glpat-EXAMPLE{long}"), &long);
        let name = format!("{}password", "long.".repeat(length));
        assert!(scanner().is_sensitive(name.as_bytes()), "the end of a name says what it is");
    }
}

#[test]
fn the_working_directory_is_told_from_a_password() {
    for text in [
        "Server=db;Database=shop;UID=sa;PWD=hunter2-hunter3",
        "Server=db;UID=sa;PWD=/hunter2-hunter3;Database=shop",
        "PWD=hunter2-hunter3;Server=db",
        "{\"dsn\":\"Driver={ODBC Driver 17};Server=x;Uid=y; PWD=/hunter2-hunter3;\"}",
        "PWD=hunter2-hunter3",
        "Server = db; UID = x; PWD = hunter2-hunter3;",
        "Server=db;Uid=x;PWD = hunter2-hunter3;",
        "PWD: hunter2-hunter3",
        "{\"Server\":\"a\",\"PWD\":\"hunter2-hunter3\"}",
        "{\"log\":\"env\\nUID=sa;PWD=hunter2-hunter3\"}",
        "DSN=x;PWD={hunter2-hunter3;x};",
    ] {
        assert_masked(text, "hunter2-hunter3");
    }
    for text in [
        "PWD=/home/runner",
        "PWD = /home/runner",
        "{\"PWD\":\"/home/runner\",\"HOME\":\"/root\"}",
        "HOME=/root;PWD=/home/runner;export PWD",
        "env:\\nPWD=/home/runner\\nOLDPWD=/home",
        "PWD=C:\\Users\\runner",
        "PWD=$HOME/x",
        "PWD: /home/runner",
        "{\"PWD\":\"/home/runner\"}",
        "cd x;PWD=~/work;ls",
        "OLDPWD=/tmp",
    ] {
        assert_eq!(mask(text), text);
    }
}

#[test]
fn objects_and_lists_under_a_secret_name_go_with_all_that_is_in_them() {
    for text in [
        "{\"credentials\":{\"user\":\"hunter1\",\"list\":[\"hunter2\",3141592]},\"x\":1}",
        "{\"Authorization\":[\"Bearer hunter2\"],\"x\":1}",
        "2026-11-21 INFO {\"db\":{\"password\":{\"v\":\"hunter2\"}}} done",
        "{\"m\":\"{\\\"password\\\":{\\\"v\\\":\\\"hunter2\\\"},\\\"x\\\":1}\"}",
        "{\"m\":\"{\\\"password\\\":{\\\"v\\\":\\\"hunter2\"}",
    ] {
        assert_masked(text, "hunter");
        assert_masked(text, "3141592");
    }
    let text = "{\"secret\":{\"secretName\":\"db\",\"optional\":false}}";
    assert_eq!(mask(text), text, "a weak name says nothing of what is below it");
}

#[test]
fn a_dot_behind_a_name_does_not_hide_it_from_the_scan() {
    for text in
        ["mysql --password. hunter2-hunter3", "password. = hunter2-hunter3", "password_ : hunter2-hunter3"]
    {
        assert_masked(text, "hunter2-hunter3");
    }
    assert!(scanner().is_clean(b"I forgot my password. The end"), "it is the end of a sentence");
}

/// Asserts of each text that nothing of the secret is left; tells all that leak.
#[track_caller]
fn assert_all_masked(texts: &[String], secret: &str) {
    let leaks: Vec<_> = texts
        .iter()
        .filter(|text| {
            let masked = mask(text);
            let left =
                secret.as_bytes().windows(5).any(|part| masked.as_bytes().windows(5).any(|it| it == part));
            left || scanner().is_clean(text.as_bytes())
        })
        .map(|text| format!("{text:.100} ({} bytes) -> {:.200}", text.len(), mask(text)))
        .collect();
    assert!(leaks.is_empty(), "{} leak:\n{}", leaks.len(), leaks.join("\n"));
}

const SECRET: &str = "Qx7Zk9mT4vLp2sRw";

/// A placeholder, a mask, or a word for nothing.
const STAND_INS: [&str; 16] = [
    "<x>",
    "<x><y>",
    "<your password>",
    "${A}",
    "${A}${B}",
    "$A",
    "{{x}}",
    "{{x}}{{y}}",
    "{{ .Values.x }}",
    "${{ secrets.X }}",
    "***",
    "[REDACTED]",
    "[REDACTED:pair:0123456789abcdef]",
    "null",
    "ENC[AES256_GCM,data:p6==,iv:Y=,tag:U=,type:str]",
    "[REDACTED:pair:0123456789abcdef][REDACTED:pair:0123456789abcdef]",
];

#[test]
fn what_is_glued_to_a_placeholder_is_no_placeholder() {
    let mut texts = Vec::new();
    for it in STAND_INS {
        for name in [
            "password=",
            "DB_PASSWORD: ",
            "token=",
            "secret: ",
            "--password ",
            "Cookie: ",
            "Authorization: Bearer ",
        ] {
            texts.push(format!("{name}{it}{SECRET}"));
            texts.push(format!("run {name}{it}{SECRET} next"));
            texts.push(format!("{{\"log\":\"{name}{it}{SECRET}\",\"x\":1}}"));
            if !name.ends_with("Bearer ") {
                texts.push(format!("{name}\"{it}{SECRET}\""));
            }
        }
        for name in ["password", "token", "authorization"] {
            texts.push(format!("{{\"{name}\":\"{it}{SECRET}\"}}"));
            texts.push(format!("{{\"{name}\":\"{it}{SECRET}{it}\"}}"));
        }
        texts.push(format!("password={it},{SECRET}"));
        texts.push(format!("password={SECRET}{it}"));
        if !it.contains(' ') {
            texts.push(format!("https://u:{it}{SECRET}@host/"));
            texts.push(format!("https://u:{SECRET}{it}@host/"));
            texts.push(format!("{{\"url\":\"https:\\/\\/u:{it}{SECRET}@host\\/\"}}"));
        }
    }
    texts.push(format!("password=abc[REDACTED:pair:0123456789abcdef]{SECRET}"));
    texts.push(format!("password=<b>{SECRET}</b>"));
    texts.push(
        "password=\"<x>SecretOfLetters<y>\""
            .replace("SecretOfLetters", &SECRET.replace(|it: char| it.is_ascii_digit(), "")),
    );
    assert_all_masked(&texts, SECRET);
}

#[test]
fn what_is_glued_to_a_value_goes_with_it_at_once() {
    for text in [
        format!("password=abc[REDACTED:pair:0123456789abcdef]{SECRET}"),
        format!("password={{\"a\":\"b c\"}}{SECRET}"),
    ] {
        let mut counts = Counts::default();
        let all = scanner().overwrite(text.as_bytes(), &mut counts).expect("there is a secret");
        assert!(all.ends_with(b"****") && counts.total() == 1, "{}", String::from_utf8_lossy(&all));
    }
}

#[test]
fn a_placeholder_of_more_than_256_bytes_is_a_secret() {
    let long = SECRET.repeat(30);
    let mut texts = Vec::new();
    for it in ["<>", "${}", "{{}}", "{{  }}", "${{}}", "[]", "ENC[]", "[REDACTED:pair:]", "$"] {
        let (open, close) = it.split_at(it.find(['>', '}', ']']).unwrap_or(it.len()));
        for name in ["password=", "password: ", "token=", "Authorization: Bearer ", "--password "] {
            texts.push(format!("{name}{open}{long}{close}"));
            if !name.ends_with("Bearer ") {
                texts.push(format!("{name}\"{open}{long}{close}\""));
            }
        }
        if !open.contains(' ') {
            texts.push(format!("https://u:{open}{long}{close}@host/"));
        }
    }
    assert_all_masked(&texts, SECRET);
}

#[test]
fn a_default_in_a_placeholder_is_a_secret() {
    let mut texts = Vec::new();
    for it in [
        "${A:-S}",
        "${A-S}",
        "${A:=S}",
        "${A=S}",
        "${A:+S}",
        "${A:?S}",
        "${A:S}",
        "${env:A:-S}",
        "${A:-two S}",
        "${A:-${B:-S}}",
        "${A:-a b}S",
        "{{ \"S\" }}",
        "{{ 'S' }}",
        "{{ x | default \"S\" }}",
        "{{ x | default 'S' }}",
        "${{ 'S' }}",
        "${{ secrets.X || 'S' }}",
        "ENC[S]",
        "ENC[AES256_GCM,S]",
    ] {
        let it = it.replace('S', SECRET);
        for name in ["password=", "DB_PASSWORD: ", "token=", "secret: ", "Authorization: "] {
            texts.push(format!("{name}{it}"));
            texts.push(format!("{name}{it} next"));
            if !it.contains('"') {
                texts.push(format!("{name}\"{it}\""));
                texts.push(format!("{{\"log\":\"{name}{it}\"}}"));
            }
        }
        if !it.contains(' ') {
            texts.push(format!("https://u:{it}@host/"));
        }
        texts.push(format!("Authorization: Bearer {it}"));
    }
    assert_all_masked(&texts, SECRET);
    for text in [
        "password=${DB_PASSWORD}",
        "password=${env:DB_PASSWORD}",
        "token: ${{ secrets.X }}",
        "password: {{ .Values.x }}",
        "password=<your password>",
        "password=<none>, next",
        "token={{ x | quote }}",
        "password=[REDACTED].",
        "https://u:<password>@host/",
        "https://u:${PASSWORD}@host/",
        "Authorization: Bearer ${TOKEN}",
        "Authorization: Bearer <token>",
        "Authorization: ${{ secrets.X }}",
        "<url>https://host:8080</url>x@example.org",
        "<b>password=</b>next",
    ] {
        assert_eq!(mask(text), text);
    }
}

#[test]
fn a_label_of_a_private_key_may_be_long() {
    for length in [10, 60, 300, 2_000, 100_000] {
        let block = format!("-----BEGIN {} PRIVATE KEY-----\n{SECRET}", "A".repeat(length));
        let ends = ["", "\n-----END PRIVATE KEY-----", "\n-----END OF IT"].map(|end| format!("{block}{end}"));
        assert_all_masked(&ends, SECRET);
    }
    let text = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\nno PRIVATE KEY-----";
    assert_eq!(mask(text), text);
}

#[test]
fn no_bound_on_what_stands_around_a_secret_opens() {
    let long = |text: &str, length: usize| text.repeat(length / text.len());
    let (mut texts, mut names) = (Vec::new(), Vec::new());
    for length in [40, 300, 3_000] {
        for words in ["_value", "_old", ".value", "2"] {
            let name = format!("db_password{}", long(words, length));
            texts.push(format!("{name}={SECRET}"));
            texts.push(format!("{{\"{name}\":\"{SECRET}\"}}"));
            texts.push(format!("--{name} {SECRET}"));
            names.push(name);
        }
        texts.push(format!("--{}-password {SECRET}", long("a", length)));
        texts.push(format!("--{}_password q{SECRET}", long("a", length)));
        texts.push(format!("Server={};PWD=/{SECRET}", long("a", length)));
        texts.push(format!("PWD=/{SECRET}{};Server=a", long("a", length)));
        texts.push(format!("PWD{}={}{SECRET}", long(" ", length), long(" ", length)));
        texts.push(format!("%{}26api_key={SECRET}", long("25", length)));
        for slashes in [5, 9, 14, 127, 128, 255, length] {
            let mark = format!("{}\"", long("\\", slashes));
            texts.push(format!("password={mark}{SECRET}{mark} next"));
            texts.push(format!("{{{mark}password{mark}:{mark}{SECRET} {SECRET}{mark}}}"));
        }
    }
    for colour in
        ["\x1b[38;2;255;255;255;48;2;100;100;100m", "\\u001b[38;5;255;48;5;100;1;4;7m", "\x1b[000001m"]
    {
        texts.push(format!("password{colour}={colour}{SECRET}"));
        texts.push(format!("{colour}api_key={SECRET}"));
    }
    for value in [".Q", "$Q", "..Q", "$q", "${A:-"] {
        texts.push(format!("PWD={}", SECRET.replacen('Q', value, 1)));
    }
    texts.push(format!("https://u:{SECRET}@münchen.example/").replace('m', "é"));
    texts.push(format!("https://u:{SECRET}@<host>/"));
    texts.push(format!("https://u:{SECRET}@\\u00e9.example/"));
    assert_all_masked(&texts, SECRET);
    assert!(names.iter().all(|name| scanner().is_sensitive(name.as_bytes())));
    let quoted = mask(&format!("password={0}\"{SECRET}{0}\" next", "\\".repeat(9)));
    assert!(quoted.ends_with(" next"), "{quoted}");
    let key = format!("AKIA{}", "QXZKMTVLPSRW2345".repeat(3));
    assert_masked(&format!("id {key} used"), &key);
}

#[test]
fn a_name_that_is_allowed_is_all_of_a_name() {
    let settings = Settings { allowed_keys: vec!["session_token".into()], ..Settings::default() };
    let scanner = Scanner::new(&settings, TagKey::new(&[7; 32]));
    for glue in ["_", "-", "."] {
        for (first, length) in
            ["secret", "admin"].into_iter().flat_map(|it| [1, 260, 600].map(|length| (it, length)))
        {
            let name = format!("{first}{}session_token", glue.repeat(length));
            assert!(scanner.is_sensitive(name.as_bytes()), "{name}");
            let masked = scanner.mask(format!("{name}={SECRET}").as_bytes(), &mut Counts::default());
            assert!(masked.is_some(), "{name}");
        }
    }
    assert!(!scanner.is_sensitive(b"session_token") && scanner.is_clean(b""));
    assert_eq!(scanner.mask(format!("--session-token={SECRET}").as_bytes(), &mut Counts::default()), None);
}
