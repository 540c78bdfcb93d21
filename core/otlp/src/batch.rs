//! Whole requests: counting, joining and splitting, without decoding records.

mod split;

use bytes::{Bytes, BytesMut};

use crate::Signal;
use crate::schema::{Kind, Message, Role};
use crate::wire::Fields;

pub use split::{Split, split};

/// The number of items in a request: spans, log records or metric data points.
#[must_use]
pub fn count(signal: Signal, bytes: &[u8]) -> u32 {
    items(signal.request(), bytes)
}

/// The number of items in one message of a request.
pub(crate) fn items(schema: &'static Message, bytes: &[u8]) -> u32 {
    if schema.role.is_item() {
        return 1;
    }
    let mut sum = 0;
    for field in Fields::new(bytes) {
        let Some(Kind::Message(nested)) = schema.field(field.number).map(|known| known.kind) else {
            continue;
        };
        if let Some(content) = field.len_bytes().filter(|_| may_hold_items(schema, nested)) {
            sum += items(nested, content);
        }
    }
    sum
}

/// Whether counting has to look into `nested` inside `parent`.
fn may_hold_items(parent: &Message, nested: &Message) -> bool {
    match parent.role {
        Role::Request => true,
        Role::ResourceGroup => nested.role == Role::ScopeGroup,
        Role::ScopeGroup => matches!(nested.role, Role::Record | Role::Metric),
        // Gauge, sum, …: whatever is not metadata.
        Role::Metric => nested.role == Role::Part,
        _ => nested.role == Role::Point,
    }
}

/// Joins requests of one signal into one; a single one is passed on as it is.
///
/// Protobuf merges what is concatenated, so this is a copy and nothing more.
pub fn concat(requests: impl IntoIterator<Item = Bytes>) -> Bytes {
    let requests: Vec<Bytes> = requests.into_iter().collect();
    if let [only] = requests.as_slice() {
        return only.clone();
    }
    let mut joined = BytesMut::with_capacity(requests.iter().map(Bytes::len).sum());
    requests.iter().for_each(|request| joined.extend_from_slice(request));
    joined.freeze()
}
