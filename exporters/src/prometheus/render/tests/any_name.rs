//! Any name under any scheme is written so that it can be read back, by a reader made from the formats' grammar.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::super::super::limits::clean;
use super::*;

/// A metric: its name, which kind it is of, and the labels of its one point.
type Given = (String, u8, Labels);

/// Strings of few characters, so that some become equal, and of any.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[ab1._:/\"\\\\\n\r\t\0{}=, é\u{85}]{0,4}", 1 => any::<String>()]
}

fn given() -> impl Strategy<Value = Vec<Given>> {
    let labels = prop::collection::btree_map(text(), text(), 0..4).prop_map(|map| map.into_iter().collect());
    prop::collection::vec((text(), 0_u8..4, labels), 0..6)
}

fn request_of(metrics: &[Given]) -> bytes::Bytes {
    request("", |scope| {
        for (name, kind, labels) in metrics {
            let attributes: Vec<_> = labels.iter().map(|(key, v)| (key.as_str(), Value::Str(v))).collect();
            let exemplars = [BuildExemplar { filtered_attributes: &attributes, ..BuildExemplar::default() }];
            let point =
                NumberPoint { attributes: &attributes, exemplars: &exemplars, ..NumberPoint::default() };
            let histogram = HistogramPoint {
                attributes: &attributes,
                exemplars: &exemplars,
                explicit_bounds: &[0.0, 0.5, 0.5, 1e300, f64::INFINITY],
                bucket_counts: &[1, 2, 3, 0, 1, 5],
                ..HistogramPoint::default()
            };
            let metric = scope.metric(name).description(name).unit(name);
            match kind {
                0 => metric.gauge(&[point]),
                1 => metric.sum(Temporality::Cumulative, true, &[point]),
                2 => metric.sum(Temporality::Cumulative, false, &[point]),
                _ => metric.histogram(Temporality::Cumulative, &[histogram]),
            };
        }
    })
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ReadSample {
    name: String,
    labels: Labels,
}

/// Reads a page: its families and its samples. The grammar is that of text 1.0.0 and of OpenMetrics 1.0 with quoted names.
fn read(page: &str) -> Result<(Vec<String>, Vec<ReadSample>), String> {
    let (mut families, mut samples, mut kind) = (Vec::new(), Vec::new(), String::new());
    // Readers differ in what ends a line or a text; none takes these for anything else.
    if let Some(c) = page.chars().find(|c| c.is_control() && !"\n\t".contains(*c)) {
        return Err(format!("{c:?} on the page"));
    }
    for line in page.strip_suffix('\n').unwrap_or(page).split('\n') {
        let mut rest = line.chars().peekable();
        if line == "# EOF" || page.is_empty() {
            continue;
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            let mut rest = help.chars().peekable();
            name(&mut rest, Of::Metric)?;
            expect(&mut rest, ' ')?;
        } else if let Some(family) = line.strip_prefix("# TYPE ") {
            let mut rest = family.chars().peekable();
            families.push(name(&mut rest, Of::Metric)?);
            expect(&mut rest, ' ')?;
            kind = rest.collect();
        } else {
            samples.push(
                sample(&mut rest, matches!(&*kind, "counter" | "histogram"))
                    .map_err(|why| format!("{why} in {line}"))?,
            );
        }
    }
    Ok((families, samples))
}

fn sample(rest: &mut Peekable<Chars<'_>>, may_have_exemplar: bool) -> Result<ReadSample, String> {
    let bare = if rest.peek() == Some(&'{') { None } else { Some(name(rest, Of::Metric)?) };
    let (quoted, labels) = if rest.peek() == Some(&'{') { braces(rest)? } else { (None, Vec::new()) };
    let name = match (bare, quoted) {
        (Some(name), None) | (None, Some(name)) => name,
        _ => return Err("not one name".into()),
    };
    expect(rest, ' ')?;
    number(rest)?;
    if may_have_exemplar && rest.peek() == Some(&' ') {
        " # ".chars().try_for_each(|c| expect(rest, c))?;
        let (None, labels) = braces(rest)? else { return Err("an exemplar with a name".into()) };
        let size: usize = labels.iter().map(|(key, value)| key.chars().count() + value.chars().count()).sum();
        if size > 128 {
            return Err(format!("an exemplar of {size} characters"));
        }
        expect(rest, ' ')?;
        number(rest)?;
    }
    if rest.peek().is_some() {
        Err("something behind the sample".into())
    } else {
        Ok(ReadSample { name, labels })
    }
}

/// What stands in braces: a metric's name in quotes, and labels.
fn braces(rest: &mut Peekable<Chars<'_>>) -> Result<(Option<String>, Labels), String> {
    let (mut metric, mut labels) = (None, Vec::new());
    expect(rest, '{')?;
    while rest.peek() != Some(&'}') {
        if metric.is_some() || !labels.is_empty() {
            expect(rest, ',')?;
        }
        let is_quoted = rest.peek() == Some(&'"');
        let key = name(rest, Of::Label)?;
        if rest.peek() == Some(&'=') {
            rest.next();
            labels.push((key, quoted(rest)?));
        } else if is_quoted && labels.is_empty() && metric.is_none() {
            metric = Some(key);
        } else {
            return Err(format!("{key} has no value"));
        }
    }
    rest.next();
    let keys: BTreeSet<_> = labels.iter().map(|(key, _)| key).collect();
    if keys.len() < labels.len() || keys.contains(&"__name__".to_owned()) {
        return Err("a label twice".into());
    }
    labels.sort();
    Ok((metric, labels))
}

fn name(rest: &mut Peekable<Chars<'_>>, of: Of) -> Result<String, String> {
    if rest.peek() == Some(&'"') {
        return quoted(rest);
    }
    let mut out = String::new();
    while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || "_:".contains(*c)) {
        out.push(c);
    }
    let first = out.starts_with(|c: char| c.is_ascii_digit());
    if out.is_empty() || first || (of == Of::Label && out.contains(':')) {
        return Err(format!("no name: {out:?}"));
    }
    Ok(out)
}

fn quoted(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    expect(rest, '"')?;
    let mut out = String::new();
    loop {
        match rest.next().ok_or("no quote at the end")? {
            '"' => return Ok(out),
            '\\' => out.push(match rest.next().ok_or("nothing escaped")? {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                c => return Err(format!("{c} is escaped")),
            }),
            c => out.push(c),
        }
    }
}

fn number(rest: &mut Peekable<Chars<'_>>) -> Result<(), String> {
    let mut out = String::new();
    while let Some(c) = rest.next_if(|c| *c != ' ') {
        out.push(c);
    }
    out.parse::<f64>().map(drop).map_err(|why| format!("{out:?}: {why}"))
}

fn expect(rest: &mut Peekable<Chars<'_>>, wanted: char) -> Result<(), String> {
    match rest.next() {
        Some(c) if c == wanted => Ok(()),
        other => Err(format!("{other:?} for {wanted:?}")),
    }
}

proptest! {
    #[test]
    fn whatever_metrics_are_called_every_page_can_be_read(metrics in given(), translated: bool) {
        let bytes = request_of(&metrics);
        for kind in ["text/plain", "application/openmetrics-text"] {
            for scheme in [Scheme::AllowUtf8, Scheme::Underscores, Scheme::Dots, Scheme::Values] {
                let accept = format!("{kind};version=1.0.0;escaping={}", scheme.name());
                let page = if translated { Page::default() } else { not_translating() };
                let page = written(&bytes, page, Wanted::of(&accept, true)).0;
                let (families, samples) = read(&page).map_err(|why| TestCaseError::fail(format!("{why}\n{page}")))?;
                let plain = scheme == Scheme::AllowUtf8 || samples.iter().all(|sample| Of::Metric.is_plain(&sample.name));
                prop_assert!(plain, "{}: {page}", scheme.name());
                prop_assert_eq!(families.iter().collect::<BTreeSet<_>>().len(), families.len(), "a family twice\n{}", page);
                prop_assert_eq!(samples.iter().collect::<BTreeSet<_>>().len(), samples.len(), "a series twice\n{}", page);
            }
        }
    }

    #[test]
    fn who_reads_utf_8_reads_the_very_names(metric in text(), labels in prop::collection::btree_map(text(), text(), 0..4)) {
        let labels: Vec<_> = labels.into_iter().collect();
        let points = labels.iter().map(|(key, value)| (key.as_str(), Value::Str(value)));
        let points = points.collect::<Vec<_>>();
        let points = [NumberPoint { attributes: &points, ..NumberPoint::default() }];
        let bytes = request("", |scope| scope.metric(&metric).gauge(&points));
        let page = untranslated(&bytes, Scheme::AllowUtf8);
        let (_, samples) = read(&page).map_err(TestCaseError::fail)?;
        let given = labels.into_iter().filter(|(key, value)| !key.is_empty() && !value.is_empty());
        let clean = |text: &str| clean(text).into_owned();
        let given = given.map(|(key, value)| (clean(&key), clean(&value)));
        let expected = series::labels(given.chain([("job".into(), "ci".into())]), None);
        let read: Vec<_> = samples.into_iter().filter(|sample| sample.name != "target_info").collect();
        let expected = ReadSample { name: clean(&metric), labels: expected };
        prop_assert_eq!(read, if metric.is_empty() { vec![] } else { vec![expected] });
    }
}
