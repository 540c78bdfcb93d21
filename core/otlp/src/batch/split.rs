//! Splitting a request into smaller ones.

use bytes::Bytes;

use super::count;
use crate::Signal;
use crate::schema::{Kind, Message, Role};
use crate::steps;
use crate::wire::{self, Fields, WireType};

/// Splits a canonical request into requests of at most `max_items` items, each with its number of items. Every part repeats
/// resource, scope and, where a metric is cut between its points, the metric's description. Groups without any record go
/// away. A request that is small enough is passed on as it is; a `max_items` of 0 is taken as 1.
///
/// All parts together may be larger than the request by orders of magnitude; [`Split`] makes them one by one.
#[must_use]
pub fn split(signal: Signal, bytes: &Bytes, max_items: u32) -> Vec<(Bytes, u32)> {
    let total = count(signal, bytes);
    if total <= max_items.max(1) {
        return vec![(bytes.clone(), total)];
    }
    Split::new(signal, bytes.clone(), max_items).collect()
}

/// The parts of a canonical request, made as they are asked for. What it holds meanwhile is at most twice the request.
#[derive(Debug)]
pub struct Split {
    bytes: Bytes,
    /// The messages around the next field to be looked at, the request itself first.
    around: Vec<Enclosing>,
    max_items: u32,
}

#[derive(Debug)]
struct Enclosing {
    schema: &'static Message,
    number: u32,
    /// Where its next field begins, and where it ends.
    at: usize,
    end: usize,
    /// Its fields that every part repeats.
    common: Vec<u8>,
    /// Where its content starts in the current part, once it was opened there.
    opened: Option<usize>,
}

impl Split {
    /// The parts of `bytes`, of at most `max_items` items; 0 is taken as 1.
    #[must_use]
    pub fn new(signal: Signal, bytes: Bytes, max_items: u32) -> Self {
        let (schema, end) = (signal.request(), bytes.len());
        let request = Enclosing { schema, number: 0, at: 0, end, common: Vec::new(), opened: None };
        Self { bytes, around: vec![request], max_items: max_items.max(1) }
    }

    /// How large the request is.
    #[must_use]
    pub fn whole(&self) -> usize {
        self.bytes.len()
    }

    /// Opens what stands around the next field and is not open yet in this part.
    fn open(&mut self, out: &mut Vec<u8>) {
        for around in self.around.iter_mut().skip(1).filter(|around| around.opened.is_none()) {
            wire::put_tag(out, around.number, WireType::Len);
            out.push(0);
            around.opened = Some(out.len());
            steps::add(around.common.len());
            out.extend_from_slice(&around.common);
        }
    }
}

impl Iterator for Split {
    type Item = (Bytes, u32);

    fn next(&mut self) -> Option<(Bytes, u32)> {
        let (bytes, mut out, mut items) = (self.bytes.clone(), Vec::new(), 0);
        while let Some(inner) = self.around.last_mut() {
            let (schema, start) = (inner.schema, inner.at);
            let Some(field) = bytes.get(start..inner.end).and_then(|rest| Fields::new(rest).next()) else {
                close(inner, &mut out);
                self.around.pop();
                continue;
            };
            let end = start + field.end;
            let nested = child(schema, field.number).zip(field.len_bytes());
            let Some((nested, content)) = nested else {
                inner.at = end;
                continue;
            };
            let is_item = nested.role.is_item();
            if is_item || (nested.role == Role::Metric && super::items(nested, content) == 0) {
                if items + u32::from(is_item) > self.max_items {
                    break;
                }
                inner.at = end;
                self.open(&mut out);
                steps::add(field.end - field.start);
                out.extend_from_slice(&bytes[start + field.start..end]);
                items += u32::from(is_item);
                continue;
            }
            inner.at = end;
            let (common, at) = (common(nested, content), end - content.len());
            self.around.push(Enclosing {
                schema: nested,
                number: field.number,
                at,
                end,
                common,
                opened: None,
            });
        }
        self.around.iter_mut().rev().for_each(|around| close(around, &mut out));
        (!out.is_empty()).then(|| (out.into(), items))
    }
}

fn close(around: &mut Enclosing, out: &mut Vec<u8>) {
    if let Some(start) = around.opened.take() {
        wire::close_length(out, start, 1);
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
