//! The slow path: puts a well-framed request in order, and cuts out what is not UTF-8.
//!
//! One routine, driven by the schema. A message may come as several parts that protobuf says are to be merged; their fields
//! are taken as if the parts were concatenated.

use smallvec::{SmallVec, smallvec};

use super::FieldName;
use crate::batch;
use crate::schema::{Cardinality, Field, Kind, Message, Role};
use crate::steps;
use crate::wire::{self, Fields};

pub(super) struct Rewritten {
    pub(super) bytes: Vec<u8>,
    pub(super) rejected: u32,
    pub(super) why: Option<String>,
}

pub(super) fn request(schema: &'static Message, bytes: &[u8]) -> Rewritten {
    let mut pass = Pass { rejected: 0, why: None };
    let mut out = Vec::with_capacity(bytes.len());
    // A request has no strings of its own, and every damage below it is cut out where it is.
    let damage = pass.message(schema, &[bytes], &mut out);
    debug_assert!(damage.is_ok());
    Rewritten { bytes: out, rejected: pass.rejected, why: pass.why }
}

struct Pass {
    rejected: u32,
    why: Option<String>,
}

/// A string that is not UTF-8.
struct Damage(FieldName);

/// One field of the output; of a message maybe several parts of the input.
struct Slot<'a> {
    field: Option<&'static Field>,
    raw: &'a [u8],
    parts: SmallVec<[&'a [u8]; 1]>,
}

impl Pass {
    fn message(
        &mut self,
        schema: &'static Message,
        parts: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<(), Damage> {
        let slots = in_order(schema, parts)?;
        for slot in &slots {
            let Some(&Field { number, kind: Kind::Message(nested), .. }) = slot.field else {
                steps::add(slot.raw.len());
                out.extend_from_slice(slot.raw);
                continue;
            };
            let start = out.len();
            let result = wire::put_message(out, number, |out| self.message(nested, &slot.parts, out));
            if let Err(damage) = result {
                if !is_cut_out(nested) {
                    return Err(damage);
                }
                out.truncate(start);
                self.reject(nested, &slot.parts, &damage);
            }
        }
        Ok(())
    }

    fn reject(&mut self, schema: &'static Message, parts: &[&[u8]], damage: &Damage) {
        self.rejected += parts.iter().map(|part| batch::items(schema, part)).sum::<u32>();
        self.why.get_or_insert_with(|| format!("{} is not valid UTF-8", damage.0));
    }
}

/// What goes as a whole when something in it is not UTF-8.
fn is_cut_out(schema: &Message) -> bool {
    matches!(schema.role, Role::ResourceGroup | Role::ScopeGroup | Role::Record | Role::Metric)
}

/// The fields of all parts: merged where protobuf merges, a leading field first, all else in the order it came.
fn in_order<'a>(schema: &'static Message, parts: &[&'a [u8]]) -> Result<Vec<Slot<'a>>, Damage> {
    let mut slots: Vec<Slot<'a>> = Vec::new();
    let mut single = [None::<usize>; crate::schema::RULES];
    for &part in parts {
        for field in Fields::new(part) {
            let raw = &part[field.start..field.end];
            let Some(known) = schema.field(field.number) else {
                slots.push(Slot { field: None, raw, parts: smallvec![] });
                continue;
            };
            let content = field.len_bytes().unwrap_or_default();
            steps::add(if matches!(known.kind, Kind::Message(_)) { 0 } else { content.len() });
            if matches!(known.kind, Kind::String) && simdutf8::basic::from_utf8(content).is_err() {
                return Err(Damage(FieldName(schema, known)));
            }
            let earlier = match known.cardinality {
                Cardinality::Repeated => None,
                // Number 0 is no field: it stands for the message's only oneof.
                Cardinality::OneOf => single[0].replace(slots.len()),
                Cardinality::Singular | Cardinality::Optional => {
                    single[field.number as usize].replace(slots.len())
                }
            };
            let mut slot = Slot { field: Some(known), raw, parts: smallvec![content] };
            if let Some(earlier) = earlier.map(|index| &mut slots[index]) {
                let same = earlier.field.is_some_and(|field| field.number == known.number);
                if same && matches!(known.kind, Kind::Message(_)) {
                    slot.parts = std::mem::take(&mut earlier.parts);
                    slot.parts.push(content);
                }
                // What was said before is said again, or taken back, here.
                *earlier = Slot { field: None, raw: &[], parts: smallvec![] };
            }
            slots.push(slot);
        }
    }
    let leads = |slot: &Slot<'_>| slot.field.is_some_and(|field| schema.leads(field.number));
    slots.sort_by_key(|slot| !leads(slot));
    Ok(slots)
}
