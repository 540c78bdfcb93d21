//! The tables against the published descriptors.

use std::collections::BTreeSet;

use prost_reflect::{Cardinality as TheirCardinality, Kind as TheirKind, MessageDescriptor};
use throughline_otlp::Signal;
use throughline_otlp::schema::{Cardinality, Kind, Message};

use crate::reference::descriptor;

#[test]
fn the_tables_say_what_the_published_descriptors_say() {
    let mut seen = BTreeSet::new();
    for signal in Signal::ALL {
        compare(signal.request(), &descriptor(signal), &mut seen);
    }
}

fn compare(ours: &'static Message, theirs: &MessageDescriptor, seen: &mut BTreeSet<String>) {
    assert_eq!(ours.name, theirs.name());
    if !seen.insert(theirs.full_name().to_owned()) {
        return;
    }
    assert_eq!(ours.fields.len(), theirs.fields().len(), "{}", ours.name);
    for field in ours.fields {
        let their = theirs.get_field(field.number).expect("a field of this number");
        assert_eq!(field.name, their.name());
        let real_oneof = their.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
        let cardinality = match their.cardinality() {
            TheirCardinality::Repeated => Cardinality::Repeated,
            _ if real_oneof => Cardinality::OneOf,
            _ if their.supports_presence() && !matches!(their.kind(), TheirKind::Message(_)) => {
                Cardinality::Optional
            }
            _ => Cardinality::Singular,
        };
        assert_eq!(field.cardinality, cardinality, "{}.{}", ours.name, field.name);
        match (field.kind, their.kind()) {
            (Kind::Message(nested), TheirKind::Message(descriptor)) => compare(nested, &descriptor, seen),
            (Kind::Enum(names), TheirKind::Enum(values)) => {
                assert_eq!(names.len(), values.values().len());
                for (number, name) in names.iter().enumerate() {
                    assert_eq!(
                        values.get_value(number as i32).map(|value| value.name().to_owned()).as_deref(),
                        Some(*name)
                    );
                }
            }
            (Kind::HexId, TheirKind::Bytes) => assert!(field.name.ends_with("_id")),
            (Kind::Bytes, TheirKind::Bytes) => assert!(!field.name.ends_with("_id")),
            (ours, theirs) => {
                assert_eq!(format!("{ours:?}").to_lowercase(), format!("{theirs:?}").to_lowercase())
            }
        }
    }
}
