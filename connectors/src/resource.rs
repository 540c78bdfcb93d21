//! What a resource says, looked up for all of its records in one pass over its attributes.

use std::cell::OnceCell;
use std::collections::HashMap;

use throughline_otlp::steps;
use throughline_otlp::view::{AnyValue, Attributes, ResourceGroup, View};

/// Text that is copied is cut behind so many bytes: a resource is told once, and copied for each of its records.
const LONGEST: usize = 1024;

/// As much of a text as is copied.
pub(crate) fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(LONGEST);
    steps::add(end);
    &text[..end]
}

/// The attributes of a resource. They are read once, when the first is asked for, however many records ask.
pub(crate) struct Resource<'a> {
    group: ResourceGroup<'a>,
    values: OnceCell<HashMap<&'a str, AnyValue<'a>>>,
}

impl<'a> Resource<'a> {
    /// Of this group; given the group before, which mostly is the same.
    pub(crate) fn of(group: ResourceGroup<'a>, before: Option<Self>) -> Self {
        match before {
            Some(same) if std::ptr::eq(same.group.bytes(), group.bytes()) => same,
            _ => Self { group, values: OnceCell::new() },
        }
    }

    /// The value of the first attribute with this key.
    pub(crate) fn get(&self, key: &str) -> Option<AnyValue<'a>> {
        self.values.get_or_init(|| first_by_key(self.group.resource().attributes())).get(key).copied()
    }

    /// Its text, if it is a string.
    pub(crate) fn get_str(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.as_str()
    }
}

fn first_by_key(attributes: Attributes<'_>) -> HashMap<&str, AnyValue<'_>> {
    let mut values = HashMap::new();
    for (key, value) in attributes.iter() {
        steps::add(1);
        values.entry(key).or_insert(value);
    }
    values
}
