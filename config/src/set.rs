//! `--set key::path=value`.

use std::sync::Arc;

use crate::error::{Error, Location, Origin};
use crate::expand::lenient;
use crate::node::{Entry, Node, Value};

/// How many keys deep a path may go.
const MAX_KEYS: usize = 32;

/// The map that one `--set` argument stands for; `.` separates keys as `::` does. The value is YAML.
pub(crate) fn parse_set(argument: &str, order: u32, number: usize) -> Result<Node, Error> {
    let at = Location::whole(order, &format!("--set #{number}"));
    let wrong = |message: &str| Error::new(&at, "", message);
    let (path, value) = argument.split_once('=').ok_or_else(|| wrong("expected key::path=value"))?;
    let path = path.replace("::", ".");
    let keys: Vec<&str> = path.split('.').map(str::trim).collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(wrong("expected key::path=value, found an empty key"));
    }
    if keys.len() > MAX_KEYS {
        return Err(wrong("the key path is too deep"));
    }
    let origin = Arc::new(Origin { order, name: String::new() });
    let mut node = lenient(value, &origin);
    node.set_location(&at);
    for key in keys.into_iter().rev() {
        let entry = Entry { key: key.to_owned(), key_at: at.clone(), value: node };
        node = Node::new(Value::Map(vec![entry]), &at);
    }
    Ok(node)
}
