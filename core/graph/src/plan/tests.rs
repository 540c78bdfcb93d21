use throughline_otlp::edit::Levels;

use super::*;

fn ids(list: &[&str]) -> Vec<ComponentId> {
    list.iter().map(|id| ComponentId::new(id)).collect()
}

fn editor(visits: Levels, reads_above: Levels, writes: Levels) -> Role {
    Role::Editor(AccessPattern { visits, reads_above, writes, ..AccessPattern::default() })
}

fn scanner() -> Role {
    Role::Editor(AccessPattern {
        visits: Levels::ALL,
        reads_above: Levels::NONE,
        writes: Levels::ALL,
        whole: true,
        ..AccessPattern::default()
    })
}

fn stored(storage: Option<&str>, metadata: &[&str]) -> Role {
    let metadata = metadata.iter().map(ToString::to_string).collect();
    Role::Exporter { storage: storage.map(ComponentId::new), metadata }
}

fn roles() -> Roles {
    let processor = |id: &str, role: Role| ((Kind::Processor, ComponentId::new(id)), role);
    Roles::from([
        processor("secrets", scanner()),
        processor("secrets/default", scanner()),
        processor("change", editor(Levels::SPAN, Levels::RESOURCE, Levels::SPAN)),
        processor("tag", editor(Levels::SPAN, Levels::NONE, Levels::SPAN)),
        processor("place", editor(Levels::RESOURCE, Levels::NONE, Levels::RESOURCE)),
        processor("batch", Role::Processor { holds: false }),
        processor("tail", Role::Processor { holds: true }),
        ((Kind::Connector, ComponentId::new("events")), Role::Connector),
        ((Kind::Exporter, ComponentId::new("otlp_grpc")), stored(None, &[])),
        ((Kind::Exporter, ComponentId::new("otlp_grpc/kept")), stored(Some("file_storage"), &[])),
    ])
}

fn picture(processors: &[&str], exporters: &[&str], mask: bool) -> String {
    plan(processors, exporters, mask).to_string()
}

fn plan(processors: &[&str], exporters: &[&str], mask: bool) -> Plan {
    let wire = Wire {
        id: "traces".into(),
        signal: Signal::Traces,
        receivers: ids(&["otlp"]),
        processors: ids(processors),
        exporters: ids(exporters),
    };
    let masking = Masking { type_name: "secrets", default: ComponentId::new("secrets/default") };
    Plan::new(&Wiring { pipelines: vec![wire] }, &roles(), mask.then_some(&masking))
}

#[test]
fn neighbouring_editors_share_a_walk() {
    assert_eq!(
        picture(&["secrets", "place", "tag", "batch", "tag"], &["otlp_grpc"], true),
        "traces\n  from    otlp\n  admit   structure, UTF-8, size\n  walk    secrets · place · tag\n  step    batch\n  walk    \
         tag\n  to      otlp_grpc\n"
    );
}

#[test]
fn who_looks_at_the_whole_chunk_sees_what_others_wrote() {
    let picture = picture(&["tag", "secrets"], &["otlp_grpc"], true);
    assert!(picture.contains("  walk    tag\n  walk    secrets\n"), "{picture}");
}

#[test]
fn a_later_writer_of_what_an_earlier_one_reads_from_below_starts_a_new_walk() {
    let picture = picture(&["change", "place"], &["otlp_grpc"], false);
    assert!(picture.contains("  walk    change\n  walk    place\n"), "{picture}");
}

#[test]
fn masking_is_put_in_front_of_the_first_disk_or_exporter_and_shown() {
    let plain = picture(&["batch"], &["otlp_grpc"], true);
    assert!(
        plain.contains("step    batch\n  walk    secrets/default   (secrets/default inserted"),
        "{plain}"
    );
    let held = picture(&["tail", "batch"], &["otlp_grpc"], true);
    assert!(held.find("secrets/default") < held.find("step    tail"), "{held}");
}

#[test]
fn masking_is_left_out_where_it_is_turned_off_or_nothing_is_exported() {
    assert!(!picture(&["batch"], &["otlp_grpc"], false).contains("secrets"));
    assert!(!picture(&["batch"], &["events"], true).contains("secrets"));
}

#[test]
fn a_stream_stands_before_the_fan_out_and_names_whom_it_feeds() {
    let picture = picture(&["secrets"], &["otlp_grpc", "otlp_grpc/kept", "events"], true);
    assert!(picture.contains("  stream  file_storage, synced; feeds otlp_grpc/kept\n"), "{picture}");
    assert!(
        picture.ends_with("  to      otlp_grpc\n  to      otlp_grpc/kept\n  to      events  (connector)\n")
    );
}

#[test]
fn pipelines_that_lead_back_to_themselves_are_found() {
    let wire = |id: &str, receivers: &[&str], exporters: &[&str]| Wire {
        id: id.into(),
        signal: Signal::Logs,
        receivers: ids(receivers),
        processors: Vec::new(),
        exporters: ids(exporters),
    };
    let plan = |pipelines| Plan::new(&Wiring { pipelines }, &roles(), None);
    let straight =
        plan(vec![wire("logs/a", &["otlp"], &["events"]), wire("logs/b", &["events"], &["otlp_grpc"])]);
    assert_eq!(straight.cycle(), None);
    let round = plan(vec![wire("logs/a", &["otlp"], &["events"]), wire("logs/b", &["events"], &["events"])]);
    assert_eq!(round.cycle(), Some(vec!["logs/b"]));
    let long = plan(vec![
        wire("logs/a", &["otlp"], &["events"]),
        wire("logs/b", &["events", "back"], &["on"]),
        wire("logs/c", &["on"], &["back"]),
    ]);
    assert_eq!(long.cycle(), None, "what is no connector leads nowhere");
    let mut roles = roles();
    for id in ["on", "back"] {
        roles.insert((Kind::Connector, ComponentId::new(id)), Role::Connector);
    }
    let wiring = |ways: usize| {
        let wires = [
            wire("logs/a", &["otlp"], &["events", "on"]),
            wire("logs/b", &["events", "back"], &["on"]),
            wire("logs/c", &["on"], &["back"]),
        ];
        Plan::new(&Wiring { pipelines: wires.into_iter().take(ways).collect() }, &roles, None)
    };
    assert_eq!(wiring(2).cycle(), None);
    assert_eq!(wiring(3).cycle(), Some(vec!["logs/b", "logs/c"]));
}

#[test]
fn each_storage_has_a_stream_of_its_own_which_keeps_the_metadata_its_sinks_ask_for() {
    let sink = |id: &str, role| ((Kind::Exporter, ComponentId::new(id)), role);
    let roles = Roles::from([
        sink("a", stored(Some("disk/1"), &["X-Tenant"])),
        sink("b", stored(Some("disk/2"), &[])),
        sink("c", stored(Some("disk/1"), &["x-tenant", "b3"])),
        sink("d", stored(None, &["secret"])),
    ]);
    let wire = Wire {
        id: "logs".into(),
        signal: Signal::Logs,
        receivers: ids(&["otlp"]),
        processors: Vec::new(),
        exporters: ids(&["a", "b", "c", "d"]),
    };
    let picture = Plan::new(&Wiring { pipelines: vec![wire] }, &roles, None).to_string();
    let streams: Vec<_> = picture.lines().filter(|line| line.contains("stream")).collect();
    let expected = [
        "  stream  disk/1, synced; feeds a, c   (with metadata b3, x-tenant)",
        "  stream  disk/2, synced; feeds b",
    ];
    assert_eq!(streams, expected);
}

#[test]
fn a_stream_stands_before_a_holder_where_something_is_stored_and_behind_the_masking() {
    let stored = picture(&["tag", "tail"], &["otlp_grpc/kept"], true);
    let stages = "  walk    tag\n  walk    secrets/default   (secrets/default inserted: nothing else masks secrets here)\n  \
                  stream  file_storage, synced; feeds tail\n  step    tail\n  stream  file_storage, synced; feeds \
                  otlp_grpc/kept\n";
    assert!(stored.contains(stages), "{stored}");
    assert!(!picture(&["tail"], &["otlp_grpc"], true).contains("stream"));
}

#[test]
fn every_stream_has_a_name_and_it_is_known_who_is_fed_from_it() {
    let fed = |plan: &Plan| plan.fed().map(|(stream, id)| format!("{stream}: {id}")).collect::<Vec<_>>();
    let held = plan(&["tail"], &["otlp_grpc/kept", "otlp_grpc"], false);
    assert_eq!(fed(&held), ["traces before tail: tail", "traces: otlp_grpc/kept"]);
    assert!(fed(&plan(&["tail"], &["otlp_grpc"], false)).is_empty());
}

#[test]
fn it_is_known_whether_masking_was_put_in_anywhere() {
    let inserts = |processors, mask| plan(processors, &["otlp_grpc"], mask).inserts_masking();
    assert!(inserts(&["tag"], true));
    assert!(!inserts(&["tag"], false) && !inserts(&["secrets"], true));
}
