//! Setting and removing what a path names.

use std::ops::Range;

use super::fresh::{fresh_field, fresh_pair, put_scalar};
use super::splicer::Splicer;
use crate::path::{PathError, PathStep, Segment, data_of, find_element};
use crate::schema::{self, Cardinality, Field, Kind, Message};
use crate::value::Value;
use crate::wire::{self, Fields};

/// What is to be done at the end of the path.
#[derive(Clone, Copy)]
pub(super) enum Action<'v> {
    Set(&'v Value<'v>),
    Remove,
}

/// Follows a path into a message and acts there. Whether anything was changed. After an error the splicer's output
/// is worth nothing.
pub(super) fn apply<'a>(
    splicer: &mut Splicer,
    source: &'a [u8],
    schema: &'static Message,
    path: &[Segment],
    action: Action<'a>,
) -> Result<bool, PathError> {
    PathEdit { splicer, source, action }.message(schema, 0..source.len(), path)
}

struct PathEdit<'s, 'a> {
    splicer: &'s mut Splicer,
    source: &'a [u8],
    action: Action<'a>,
}

impl<'a> PathEdit<'_, 'a> {
    fn message(
        &mut self,
        schema: &'static Message,
        region: Range<usize>,
        path: &[Segment],
    ) -> Result<bool, PathError> {
        let Some((first, rest)) = path.split_first() else { return Err(PathError::Shape(schema.name)) };
        match PathStep::of(schema, &self.source[region.clone()], first)? {
            PathStep::Data(_) => {
                let Some((found, nested, _)) = data_of(schema, &self.source[region.clone()]) else {
                    return self.missing("data_points");
                };
                self.inside(&found, region.start, |walk, region| walk.message(nested, region, path))
            }
            PathStep::Element(field) => self.element_of_value(field, region, first, rest),
            PathStep::Field(field) => match (field.kind, rest.split_first()) {
                (_, Some((element, rest))) if field.cardinality == Cardinality::Repeated => {
                    self.element(field, region, element, rest)
                }
                (_, None) if field.cardinality == Cardinality::Repeated => self.all(field, region),
                (Kind::Message(nested), _) => self.nested(field, nested, region, rest),
                (_, None) => self.scalar(schema, field, region),
                _ => Err(PathError::Shape(field.name)),
            },
        }
    }

    /// A singular message field.
    fn nested(
        &mut self,
        field: &'static Field,
        nested: &'static Message,
        region: Range<usize>,
        rest: &[Segment],
    ) -> Result<bool, PathError> {
        let found = self.find(region.clone(), |number| number == field.number);
        match (found, self.action) {
            (Some(found), Action::Remove) if rest.is_empty() => {
                self.splicer.cut(self.source, found.start, found.end);
                Ok(true)
            }
            (Some(found), Action::Set(value)) if rest.is_empty() && nested.is(&schema::ANY_VALUE) => {
                self.splicer.replace(self.source, found.start, found.end, |out| {
                    wire::put_message(out, field.number, |out| value.put(out));
                });
                Ok(true)
            }
            (_, Action::Set(_)) if rest.is_empty() && !nested.is(&schema::ANY_VALUE) => {
                Err(PathError::WrongType(field.name))
            }
            (Some(found), _) => self.inside(&found, 0, |walk, region| walk.message(nested, region, rest)),
            (None, Action::Remove) => Ok(false),
            (None, Action::Set(_)) if field.cardinality == Cardinality::OneOf => {
                Err(PathError::NotThere(field.name))
            }
            (None, Action::Set(value)) => {
                self.splicer.reach(self.source, region.end);
                fresh_field(&mut self.splicer.out, field.number, nested, rest, value)?;
                Ok(true)
            }
        }
    }

    /// A scalar field.
    fn scalar(
        &mut self,
        schema: &'static Message,
        field: &'static Field,
        region: Range<usize>,
    ) -> Result<bool, PathError> {
        let rival = |number: u32| {
            number == field.number
                || (field.cardinality == Cardinality::OneOf
                    && matches!(self.action, Action::Set(_))
                    && schema.field(number).is_some_and(|other| other.cardinality == Cardinality::OneOf))
        };
        let found = self.find(region.clone(), rival);
        let (from, to) = found.map_or((region.end, region.end), |found| (found.start, found.end));
        match self.action {
            Action::Remove if from == to => return Ok(false),
            Action::Remove => self.splicer.cut(self.source, from, to),
            Action::Set(value) => {
                self.splicer.cut(self.source, from, to);
                put_scalar(&mut self.splicer.out, field, value)?;
            }
        }
        Ok(true)
    }

    /// An element of a repeated field.
    fn element(
        &mut self,
        field: &'static Field,
        region: Range<usize>,
        element: &Segment,
        rest: &[Segment],
    ) -> Result<bool, PathError> {
        let Kind::Message(nested) = field.kind else { return Err(PathError::Shape(field.name)) };
        let by_key = matches!(element, Segment::Key(_));
        if matches!(element, Segment::Field(_)) || (by_key && !nested.is(&schema::KEY_VALUE)) {
            return Err(PathError::Shape(field.name));
        }
        let found = find_element(field, &self.source[region.clone()], element);
        match (found, self.action, element) {
            (Some(found), Action::Remove, _) if rest.is_empty() => {
                self.splicer.cut(self.source, region.start + found.start, region.start + found.end);
                Ok(true)
            }
            (Some(found), ..) if by_key => self.inside(&found, region.start, |walk, pair| {
                let Some(value) = nested.field(2) else { return Err(PathError::Shape(nested.name)) };
                walk.nested(value, &schema::ANY_VALUE, pair, rest)
            }),
            (Some(found), Action::Set(value), _) if rest.is_empty() && nested.is(&schema::ANY_VALUE) => {
                let (from, to) = (region.start + found.start, region.start + found.end);
                self.splicer.replace(self.source, from, to, |out| {
                    wire::put_message(out, field.number, |out| value.put(out));
                });
                Ok(true)
            }
            (Some(_), Action::Set(_), _) if rest.is_empty() => Err(PathError::WrongType(field.name)),
            (Some(found), ..) => {
                self.inside(&found, region.start, |walk, region| walk.message(nested, region, rest))
            }
            (None, Action::Set(value), Segment::Key(key)) => {
                self.splicer.reach(self.source, region.end);
                fresh_pair(&mut self.splicer.out, field.number, key, rest, value)?;
                Ok(true)
            }
            (None, ..) => self.missing(field.name),
        }
    }

    /// An element of the list or map in an any-value; `field` is the member that holds it.
    fn element_of_value(
        &mut self,
        field: &'static Field,
        region: Range<usize>,
        element: &Segment,
        rest: &[Segment],
    ) -> Result<bool, PathError> {
        let Kind::Message(list) = field.kind else { return Err(PathError::Shape(field.name)) };
        let Some(values) = list.fields.first() else { return Err(PathError::Shape(list.name)) };
        let member = self.find(region.clone(), |number| schema::ANY_VALUE.field(number).is_some());
        match (member, self.action, element) {
            (Some(found), ..) if found.number == field.number => {
                self.inside(&found, 0, |walk, region| walk.element(values, region, element, rest))
            }
            (Some(_), Action::Set(_), _) => Err(PathError::WrongType(field.name)),
            (None, Action::Set(value), Segment::Key(key)) => {
                self.splicer.reach(self.source, region.end);
                wire::put_message(&mut self.splicer.out, field.number, |out| {
                    fresh_pair(out, values.number, key, rest, value)
                })?;
                Ok(true)
            }
            _ => self.missing(field.name),
        }
    }

    /// All elements of a repeated field: they can be removed together.
    fn all(&mut self, field: &'static Field, region: Range<usize>) -> Result<bool, PathError> {
        if matches!(self.action, Action::Set(_)) {
            return Err(PathError::WrongType(field.name));
        }
        let mut any = false;
        for found in Fields::within(self.source, region).filter(|found| found.number == field.number) {
            self.splicer.cut(self.source, found.start, found.end);
            any = true;
        }
        Ok(any)
    }

    fn missing(&self, name: &'static str) -> Result<bool, PathError> {
        match self.action {
            Action::Set(_) => Err(PathError::NotThere(name)),
            Action::Remove => Ok(false),
        }
    }

    fn find(&self, region: Range<usize>, wanted: impl Fn(u32) -> bool) -> Option<wire::Field<'a>> {
        Fields::within(self.source, region).find(|field| wanted(field.number))
    }

    /// Acts inside the field `found`, whose positions are relative to `base`.
    fn inside(
        &mut self,
        found: &wire::Field<'_>,
        base: usize,
        act: impl FnOnce(&mut Self, Range<usize>) -> Result<bool, PathError>,
    ) -> Result<bool, PathError> {
        let region = base + found.value..base + found.end;
        self.splicer.open(found.number, base + found.start, region.start);
        let result = act(self, region.clone());
        self.splicer.close(self.source, region.end);
        result
    }
}
