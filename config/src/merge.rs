//! How one configuration covers another: maps deeply, everything else as a whole.

use crate::node::{Entry, Node, Value};

/// Lays `over` on `base`. Maps are merged key by key; a list, a scalar or null replaces what was there, so that
/// `key:` wipes an earlier map and `{}` does not. Each value keeps its own place.
pub(crate) fn merge(base: &mut Node, over: Node) {
    match (&mut base.value, over.value) {
        (Value::Map(entries), Value::Map(new)) => {
            for entry in new {
                match entries.iter_mut().find(|old| old.key == entry.key) {
                    Some(old) => merge(&mut old.value, entry.value),
                    None => entries.push(entry),
                }
            }
        }
        (_, value) => *base = Node { value, at: over.at, text: over.text },
    }
}

/// Adds the entries whose key is not there yet.
pub(crate) fn insert_missing(entries: &mut Vec<Entry>, from: Vec<Entry>) {
    for entry in from {
        if entries.iter().all(|old| old.key != entry.key) {
            entries.push(entry);
        }
    }
}

/// Makes maps of keys that are written as paths: `a::b: 1` is `a: {b: 1}`.
pub(crate) fn split_paths(node: &mut Node) {
    match &mut node.value {
        Value::Seq(items) => items.iter_mut().for_each(split_paths),
        Value::Map(entries) => {
            let mut split = Node::new(Value::Map(Vec::new()), &node.at);
            for mut entry in std::mem::take(entries) {
                split_paths(&mut entry.value);
                merge(&mut split, nest(entry));
            }
            node.value = split.value;
        }
        _ => {}
    }
}

/// How many keys one written path may stand for; a longer one stays a key, and is unknown.
const MAX_STEPS: usize = 8;

/// A map of one entry, or, if its key is a path, a map in a map.
fn nest(entry: Entry) -> Node {
    let Entry { key, key_at, mut value } = entry;
    if key.split("::").count() > MAX_STEPS {
        let one = Entry { key, key_at: key_at.clone(), value };
        return Node::new(Value::Map(vec![one]), &key_at);
    }
    for step in key.rsplit("::") {
        let one = Entry { key: step.to_owned(), key_at: key_at.clone(), value };
        value = Node::new(Value::Map(vec![one]), &key_at);
    }
    value
}
