//! From `--config` and `--set` to one merged, expanded document.

use std::sync::Arc;

use crate::document::Document;
use crate::error::{Error, Errors, Location, Origin};
use crate::expand::expand;
use crate::input::{Input, MAX_BYTES, Sources};
use crate::merge::{merge, split_paths};
use crate::node::{Node, Value};
use crate::parse;
use crate::set::parse_set;

/// Reads, parses and merges `inputs` left to right, then applies `sets`, then expands `${…}`.
///
/// # Errors
/// All that is wrong with the inputs as YAML; if they are well-formed, all references that cannot be expanded.
pub fn load(inputs: &[Input], sets: &[String], sources: &dyn Sources) -> Result<Document, Errors> {
    let mut errors = Vec::new();
    let mut root: Option<Node> = None;
    let mut order = 0;
    let mut lay = |layer: Result<Node, Vec<Error>>| match (layer, &mut root) {
        (Ok(layer), Some(root)) => merge(root, layer),
        (Ok(layer), root @ None) => *root = Some(layer),
        (Err(found), _) => errors.extend(found),
    };
    for input in inputs {
        lay(layer(input, order, sources));
        order += 1;
    }
    for (index, argument) in sets.iter().enumerate() {
        lay(parse_set(argument, order, index + 1).map_err(|error| vec![error]));
        order += 1;
    }
    if !errors.is_empty() {
        return Err(Errors::new(errors));
    }
    let Some(mut root) = root else {
        let at = Location::whole(0, "--config");
        return Err(Error::new(&at, "", "no configuration given").into());
    };
    let (warnings, errors) = expand(&mut root, sources);
    if errors.is_empty() { Ok(Document::new(root, warnings)) } else { Err(Errors::new(errors)) }
}

/// One input as a map; an empty one is an empty map.
fn layer(input: &Input, order: u32, sources: &dyn Sources) -> Result<Node, Vec<Error>> {
    let origin = Arc::new(Origin { order, name: input.to_string() });
    let whole = Location::whole(order, &origin.name);
    let fail = |message: String| vec![Error::new(&whole, "", message)];
    let bytes = match input {
        Input::File(path) => sources.read(path).map_err(|why| fail(format!("cannot be read: {why}")))?,
        Input::Env(name) => match sources.env(name).map_err(fail)? {
            Some(text) => text.into_bytes(),
            None => return Err(fail("the environment variable is not set".to_owned())),
        },
        Input::Yaml(text) => text.clone().into_bytes(),
    };
    if bytes.len() > MAX_BYTES {
        return Err(fail(format!("larger than {MAX_BYTES} bytes")));
    }
    let text = parse::decode(&bytes, &origin).map_err(|error| vec![error])?;
    let mut node = parse::parse(text, &origin)?;
    match node.value {
        Value::Map(_) => split_paths(&mut node),
        Value::Null => node.value = Value::Map(Vec::new()),
        _ => {
            let message = format!("expected a map of sections, found {}", crate::node::found(&node, true));
            return Err(vec![Error::new(&node.at, "", message)]);
        }
    }
    Ok(node)
}
