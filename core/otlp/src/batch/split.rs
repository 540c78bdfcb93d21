//! Splitting a request into smaller ones.

use bytes::Bytes;

use super::{count, items};
use crate::Signal;
use crate::schema::{Kind, Message, Role};
use crate::steps;
use crate::wire::{self, Fields, WireType};

/// Splits a tidy request into requests of at most `max_items` items, each with its number of items. Every part repeats
/// resource, scope and, where a metric is cut between its points, the metric's description. Groups without any record go
/// away. A request that is small enough is passed on as it is; a `max_items` of 0 is taken as 1.
#[must_use]
pub fn split(signal: Signal, bytes: &Bytes, max_items: u32) -> Vec<(Bytes, u32)> {
    let max_items = max_items.max(1);
    let total = count(signal, bytes);
    if total <= max_items {
        return vec![(bytes.clone(), total)];
    }
    let mut parts = Parts { done: Vec::new(), out: Vec::new(), around: Vec::new(), items: 0, max_items };
    parts.message(signal.request(), bytes);
    parts.finish();
    parts.done
}

struct Parts {
    done: Vec<(Bytes, u32)>,
    out: Vec<u8>,
    around: Vec<Around>,
    items: u32,
    max_items: u32,
}

/// A message around the one being written.
struct Around {
    number: u32,
    /// Its fields that every part repeats.
    common: Vec<u8>,
    /// Where its content starts in the current part, once it was opened there.
    opened: Option<usize>,
}

impl Parts {
    fn message(&mut self, schema: &'static Message, bytes: &[u8]) {
        for field in Fields::new(bytes) {
            let Some(nested) = child(schema, field.number) else { continue };
            let Some(content) = field.len_bytes() else { continue };
            let whole = nested.role.is_item() || (nested.role == Role::Metric && items(nested, content) == 0);
            if whole {
                self.put(&bytes[field.start..field.end], u32::from(nested.role.is_item()));
                continue;
            }
            self.around.push(Around { number: field.number, common: common(nested, content), opened: None });
            self.message(nested, content);
            self.close_innermost();
            self.around.pop();
        }
    }

    fn put(&mut self, field: &[u8], items: u32) {
        if self.items + items > self.max_items {
            self.finish();
        }
        for around in &mut self.around {
            if around.opened.is_none() {
                wire::put_tag(&mut self.out, around.number, WireType::Len);
                self.out.push(0);
                around.opened = Some(self.out.len());
                steps::add(around.common.len());
                self.out.extend_from_slice(&around.common);
            }
        }
        steps::add(field.len());
        self.out.extend_from_slice(field);
        self.items += items;
    }

    fn finish(&mut self) {
        for around in self.around.iter_mut().rev() {
            if let Some(start) = around.opened.take() {
                wire::close_length(&mut self.out, start, 1);
            }
        }
        if !self.out.is_empty() {
            self.done.push((std::mem::take(&mut self.out).into(), std::mem::take(&mut self.items)));
        }
    }

    fn close_innermost(&mut self) {
        if let Some(start) = self.around.last_mut().and_then(|around| around.opened.take()) {
            wire::close_length(&mut self.out, start, 1);
        }
    }
}

/// The message in field `number` that holds items of `parent`, or is one.
fn child(parent: &'static Message, number: u32) -> Option<&'static Message> {
    match parent.field(number)?.kind {
        Kind::Message(nested) if super::may_hold_items(parent, nested) => Some(nested),
        _ => None,
    }
}

/// The fields of a message that every part repeats.
fn common(schema: &'static Message, bytes: &[u8]) -> Vec<u8> {
    let mut common = Vec::new();
    for field in Fields::new(bytes).filter(|field| child(schema, field.number).is_none()) {
        common.extend_from_slice(&bytes[field.start..field.end]);
    }
    common
}
