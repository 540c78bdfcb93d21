//! Timelines for people.

use std::fmt::Write;

use jiff::Timestamp;
use throughline_change::timeline::{Listing, Report, StageReport, State, Summary};

use crate::show::table;

/// Writing to memory does not fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { let _ = writeln!($out, $($text)*); };
}

/// Several changes, a line each.
pub(crate) fn listing(listing: &Listing) -> String {
    let Listing { now, changes, matched, known, forgotten } = listing;
    let heads = ["CHANGE", "STATE", "WHAT", "SINCE", "LAST HEARD", "ENVIRONMENTS"].map(String::from);
    let mut rows = vec![heads];
    for summary in changes {
        let Summary { change_id, state, what, since, last_event, environments, .. } = summary;
        let ago = |at: &Option<Timestamp>| at.map_or_else(String::new, |at| ago(at, *now));
        rows.push(
            [
                change_id.clone(),
                state.as_str().to_owned(),
                what.clone(),
                ago(since),
                ago(last_event),
                environments.join(", "),
            ]
            .map(|cell| plain(&cell)),
        );
    }
    let mut out = if changes.is_empty() { String::new() } else { table(&rows) };
    let more = if *forgotten > 0 { format!("; {forgotten} were forgotten") } else { String::new() };
    put!(out, "{} shown, {matched} fit, {known} known{more}", changes.len());
    out
}

/// One change with its stages.
pub(crate) fn story(report: &Report) -> String {
    let Report { summary, former_names, stages, links, left_out_events } = report;
    let mut out = String::new();
    put!(out, "  THE CHANGE  {}", plain(&summary.change_id));
    for name in former_names {
        put!(out, "  formerly    {}", plain(name));
    }
    let since = summary.since.map_or_else(String::new, |since| format!(" since {}", clock(since)));
    let what = match summary.state {
        State::Waiting => format!("waiting for {}", summary.what),
        state => format!("{}: {}", state.as_str(), summary.what),
    };
    put!(out, "  {}{since}\n", plain(&what));
    let heads = ["at", "stage", "name", "source", "waited", "took", "outcome", "by"].map(String::from);
    let mut rows = vec![heads];
    rows.extend(stages.iter().map(|stage| row(stage).map(|cell| plain(&cell))));
    table(&rows).lines().for_each(|line| {
        put!(out, "  {line}");
    });
    if *left_out_events > 0 {
        put!(out, "  {left_out_events} more events are not kept (`max_events_per_change`)");
    }
    if !links.is_empty() {
        put!(out, "\n  LINKED COMMITS");
    }
    for link in links {
        put!(out, "  {}  by {} from {}", plain(&link.commit_sha), plain(&link.by), plain(&link.source));
    }
    out
}

/// Text that others chose, without what a terminal would obey or take for another line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_invisible(c) { '\u{fffd}' } else { c }).collect()
}

/// Marks that change the direction of text, or are not seen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn row(stage: &StageReport) -> [String; 8] {
    let attempt = if stage.attempt > 1 { format!(" (attempt {})", stage.attempt) } else { String::new() };
    let parts = [&stage.outcome, &stage.detail, &stage.environment];
    let outcome: Vec<&str> = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let by = match (stage.actor.as_str(), stage.asked.as_str()) {
        (actor, asked) if asked.is_empty() || actor == asked => actor.to_owned(),
        (actor, asked) => format!("{actor}, asked of {asked}"),
    };
    [
        stage.began.or(stage.ended).map_or_else(String::new, clock),
        stage.stage.clone(),
        format!("{}{attempt}", stage.name),
        stage.source.clone(),
        short(stage.waited_seconds),
        stage.took_seconds.map_or_else(String::new, short),
        outcome.join(", "),
        by,
    ]
}

fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs_f64();
    if seconds < 1.0 { "now".to_owned() } else { format!("{} ago", short(seconds)) }
}

/// A length of time.
fn short(seconds: f64) -> String {
    match seconds as u64 {
        0 => "-".into(),
        s @ 1..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        s @ 3600..172_800 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        s => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_others_chose_moves_no_cursor_and_makes_no_line() {
        let hostile = "CI\u{1b}]0;title\u{7}\u{1b}[2J\r\nFAKE LINE\u{9b}1m\u{202e}";
        let shown = plain(hostile);
        assert!(shown.starts_with("CI") && shown.contains("FAKE LINE"));
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
        assert_eq!(plain("Prüfung · 漢字"), "Prüfung · 漢字");
    }
}
