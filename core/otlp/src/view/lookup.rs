//! Looking up attributes of a resource for many of its records, in one pass over its attributes.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::{AnyValue, Attributes, ResourceGroup, View};
use crate::steps;

/// The attributes of a resource by key. They are read once, when the first is asked for, however many records ask.
pub struct ResourceLookup<'a> {
    group: ResourceGroup<'a>,
    values: OnceCell<HashMap<&'a str, AnyValue<'a>>>,
}

impl<'a> ResourceLookup<'a> {
    /// Of this group; given the lookup of the record before, whose group mostly is the same.
    pub fn of(group: ResourceGroup<'a>, before: Option<Self>) -> Self {
        match before {
            Some(same) if std::ptr::eq(same.group.bytes(), group.bytes()) => same,
            _ => Self { group, values: OnceCell::new() },
        }
    }

    /// The value of the first attribute with this key.
    pub fn get(&self, key: &str) -> Option<AnyValue<'a>> {
        self.values.get_or_init(|| first_by_key(self.group.resource().attributes())).get(key).copied()
    }

    /// Its text, if it is a string.
    pub fn get_str(&self, key: &str) -> Option<&'a str> {
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
