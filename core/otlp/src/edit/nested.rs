//! Events and links of spans, and data points of metrics: records within a record.

use super::record::{Above, FieldRange, Outcome, PartOf};
use super::splicer::Splicer;
use super::written::WrittenAbove;
use super::{Keep, Level, Levels, Record};
use crate::schema::{Kind, Message, Role};
use crate::wire::{Field, Fields};

/// What became of what a record consists of.
#[derive(Default)]
pub(super) struct Parts {
    kept: bool,
    /// Why each data point that went was dropped.
    pub(super) dropped: Vec<u32>,
}

impl Parts {
    /// Whether it had data points, and all of them went.
    pub(super) fn are_gone(&self) -> bool {
        !self.kept && !self.dropped.is_empty()
    }
}

impl Record<'_> {
    /// Lets `edit` look at and change every event and link of a span, or every data point of a metric, at these levels.
    pub(super) fn visit_parts(
        &mut self,
        levels: Levels,
        spare: &mut Splicer,
        edit: &mut dyn FnMut(&mut Record<'_>) -> Keep,
    ) -> Parts {
        let (message, output) = (self.level.message(), &self.output.out);
        let record = match &self.copy {
            Some(copy) => &output[copy.content..],
            None => &self.source[self.range.content.clone()],
        };
        self.scratch.reset();
        let mut visit = Visit {
            levels,
            record,
            output: self.scratch,
            spare,
            above: Above { part_of: Some(PartOf { source: self.source, output, record }), ..self.above },
            written: self.written,
            edit,
            parts: Parts::default(),
        };
        for field in Fields::new(record) {
            let Some(Kind::Message(nested)) = message.field(field.number).map(|known| known.kind) else {
                continue;
            };
            match (self.level, field.number) {
                (Level::Span, 11) => visit.part(Level::Event, nested, &field),
                (Level::Span, 13) => visit.part(Level::Link, nested, &field),
                (Level::Metric, _) if nested.role == Role::Part => visit.points(nested, &field),
                _ => {}
            }
        }
        let parts = visit.parts;
        self.scratch.finish(record);
        self.adopt();
        parts
    }
}

struct Visit<'v> {
    levels: Levels,
    record: &'v [u8],
    output: &'v mut Splicer,
    spare: &'v mut Splicer,
    above: Above<'v>,
    written: &'v mut WrittenAbove,
    edit: &'v mut dyn FnMut(&mut Record<'_>) -> Keep,
    parts: Parts,
}

impl Visit<'_> {
    fn points(&mut self, data: &'static Message, field: &Field<'_>) {
        if field.len_bytes().is_none() {
            return;
        }
        self.output.open(field.number, field.start, field.value);
        for point in Fields::within(self.record, field.value_range()) {
            match data.field(point.number).map(|known| known.kind) {
                Some(Kind::Message(message)) if message.role == Role::Point => {
                    self.part(Level::Point, message, &point);
                }
                _ => {}
            }
        }
        self.output.close(self.record, field.end);
    }

    fn part(&mut self, level: Level, message: &'static Message, field: &Field<'_>) {
        if !self.levels.contains(level) || field.len_bytes().is_none() {
            return;
        }
        let range =
            FieldRange { number: field.number, field: field.start..field.end, content: field.value_range() };
        let above = self.above;
        let mut part =
            Record::new((level, message), self.record, range, self.output, self.spare, above, self.written);
        let keep = (self.edit)(&mut part);
        let is_point = level == Level::Point;
        match (part.settle(keep), keep) {
            (Outcome::Dropped, Keep::No(cause)) if is_point => self.parts.dropped.push(cause),
            (Outcome::Dropped, _) => {}
            _ => self.parts.kept |= is_point,
        }
    }
}
