//! A record under the editor's hand.

use std::ops::Range;

use super::by_path;
use super::lists;
use super::splicer::Splicer;
use super::strings::{self, Leaf, Rewrite};
use super::written::WrittenAbove;
use super::{Keep, Level};
use crate::path::{Node, Path, PathError, Segment};
use crate::schema::{self, Message};
use crate::steps;
use crate::value::{Value, put_pair};
use crate::view::{Attributes, LogRecord, Metric, Resource, Scope, Span, View};
use crate::wire::{self, WireType};

/// A resource, scope or record that is being edited. What is read from it is always what was last written.
pub struct Record<'a> {
    pub(super) level: Level,
    message: &'static Message,
    pub(super) source: &'a [u8],
    pub(super) range: FieldRange,
    pub(super) output: &'a mut Splicer,
    pub(super) scratch: &'a mut Splicer,
    pub(super) above: Above<'a>,
    pub(super) written: &'a mut WrittenAbove,
    pub(super) copy: Option<Copied>,
}

/// What a record belongs to.
#[derive(Clone, Copy)]
pub(super) struct Above<'a> {
    pub(super) resource: ByteRange,
    pub(super) scope: ByteRange,
    /// Of an event, a link or a data point: its span or metric, and where the ranges lead to.
    pub(super) part_of: Option<PartOf<'a>>,
}

#[derive(Clone, Copy)]
pub(super) struct PartOf<'a> {
    pub(super) source: &'a [u8],
    pub(super) output: &'a [u8],
    pub(super) record: &'a [u8],
}

/// Where a record stands in the source.
pub(super) struct FieldRange {
    /// The number of its field.
    pub(super) number: u32,
    /// The whole field; empty if there is none.
    pub(super) field: Range<usize>,
    /// Its content.
    pub(super) content: Range<usize>,
}

/// Where the content of a finished record stands.
#[derive(Clone, Copy)]
pub(super) enum ByteRange {
    Source(usize, usize),
    Output(usize, usize),
}

/// A record that was changed stands at the end of the output.
pub(super) struct Copied {
    tag: usize,
    pub(super) content: usize,
    width: usize,
}

/// How an edit ended.
pub(super) enum Outcome {
    Unchanged(ByteRange),
    Changed(ByteRange),
    Dropped,
}

impl ByteRange {
    pub(super) const NOWHERE: Self = Self::Source(0, 0);

    pub(super) fn of<'a>(self, source: &'a [u8], output: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Source(start, end) => &source[start..end],
            Self::Output(start, end) => &output[start..end],
        }
    }
}

/// Reading.
impl<'a> Record<'a> {
    /// What kind of record this is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Where the record's content stands in the request that is being rewritten; empty for a resource or scope that is missing.
    #[must_use]
    pub fn source_range(&self) -> Range<usize> {
        self.range.content.clone()
    }

    /// The bytes of the record as they are now.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.copy {
            Some(copy) => &self.output.out[copy.content..],
            None => &self.source[self.range.content.clone()],
        }
    }

    /// The record as a span, if it is one.
    #[must_use]
    pub fn as_span(&self) -> Option<Span<'_>> {
        (self.level == Level::Span).then(|| Span::over(self.bytes()))
    }

    /// The record as a log record, if it is one.
    #[must_use]
    pub fn as_log(&self) -> Option<LogRecord<'_>> {
        (self.level == Level::Log).then(|| LogRecord::over(self.bytes()))
    }

    /// The record as a metric, if it is one.
    #[must_use]
    pub fn as_metric(&self) -> Option<Metric<'_>> {
        (self.level == Level::Metric).then(|| Metric::over(self.bytes()))
    }

    /// The attributes. A metric has none of its own: see [`Metric::data`] for those of its points.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        self.level
            .attributes(self.message)
            .map_or_else(Attributes::default, |number| Attributes::new(self.bytes(), number))
    }

    /// The resource of this record, with what was changed in it before; of a resource itself.
    #[must_use]
    pub fn resource(&self) -> Resource<'_> {
        Resource::over(match self.level {
            Level::Resource => self.bytes(),
            _ => self.written.resource.as_deref().unwrap_or_else(|| self.group(self.above.resource)),
        })
    }

    /// The scope of this record, with what was changed in it before; of a scope itself. Empty for a resource.
    #[must_use]
    pub fn scope(&self) -> Scope<'_> {
        Scope::over(match self.level {
            Level::Scope => self.bytes(),
            _ => self.written.scope.as_deref().unwrap_or_else(|| self.group(self.above.scope)),
        })
    }

    fn group(&self, range: ByteRange) -> &[u8] {
        match self.above.part_of {
            Some(PartOf { source, output, .. }) => range.of(source, output),
            None => range.of(self.source, &self.output.out),
        }
    }

    /// The bytes of the span or metric that an event, link or data point is part of, as they were before the first of its parts
    /// was visited. Empty for others.
    #[must_use]
    pub fn parent(&self) -> &[u8] {
        self.above.part_of.map_or(&[], |part_of| part_of.record)
    }

    /// What stands at `path`. A path that starts with `resource` or `scope` leads there from any level, one that starts with
    /// `span` or `metric` from what these consist of.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<Node<'_>> {
        let (level, rest) = path.level(self.level);
        if level == self.level {
            return crate::path::get(self.message, self.bytes(), rest);
        }
        let bytes = match level {
            Level::Resource => self.resource().bytes(),
            Level::Scope => self.scope().bytes(),
            _ => self.parent(),
        };
        crate::path::get(level.message(), bytes, rest)
    }
}

/// Writing. On a metric, attributes are those of every data point.
impl Record<'_> {
    /// Adds an attribute at the end, unless the key is there. Whether it was added.
    pub fn insert_attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) -> bool {
        let value = value.into();
        let Some(number) = self.level.attributes(self.message) else {
            return self.points("attributes", &mut |splicer, source, region, number| {
                lists::insert(splicer, source, region, number, key, &value)
            });
        };
        if lists::has(self.bytes(), number, key.as_bytes()) {
            return false;
        }
        self.begin_copy(true);
        put_pair(&mut self.output.out, number, key, &value);
        true
    }

    /// Adds an attribute at the end without looking whether the key is there: for callers that have just read them all.
    pub fn append_attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        let value = value.into();
        match self.level.attributes(self.message) {
            None => {
                self.insert_attribute(key, value);
            }
            Some(number) => {
                self.begin_copy(true);
                put_pair(&mut self.output.out, number, key, &value);
            }
        }
    }

    /// Sets an attribute: the value of the first with this key, or a new one at the end.
    pub fn set_attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        let value = value.into();
        self.each_list(&mut |splicer, source, region, number| {
            lists::set(splicer, source, region, number, key, &value);
            true
        });
    }

    /// Removes every attribute with this key. Whether there was one.
    pub fn remove_attribute(&mut self, key: &str) -> bool {
        self.each_list(&mut |splicer, source, region, number| {
            lists::remove(splicer, source, region, number, key)
        })
    }

    /// Gives the attribute `from` the key `to`; changes nothing where `to` is there already. Whether anything was changed.
    pub fn rename_attribute(&mut self, from: &str, to: &str) -> bool {
        self.each_list(&mut |splicer, source, region, number| {
            lists::rename(splicer, source, region, number, [from, to])
        })
    }

    /// Adds a filtered attribute to every exemplar of a metric, unless the key is there. Whether it was added to any.
    pub fn insert_exemplar_attribute<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) -> bool {
        let value = value.into();
        self.points("exemplars", &mut |splicer, source, region, number| {
            let mut any = false;
            for exemplar in wire::Fields::within(source, region).filter(|field| field.number == number) {
                splicer.open(number, exemplar.start, exemplar.value);
                any |= lists::insert(splicer, source, exemplar.value_range(), 7, key, &value);
                splicer.close(source, exemplar.end);
            }
            any
        })
    }

    /// Writes `value` at `path`. Attributes, map entries and messages on the way come into being; elements of lists do not. A path
    /// that leads to the resource or scope changes it for all that is below it: what is visited later sees the change.
    ///
    /// # Errors
    /// If the path leads nowhere, from a part of a record to the record, or to a field of another type. Nothing is changed then.
    pub fn set<'v>(&mut self, path: &Path, value: impl Into<Value<'v>>) -> Result<(), PathError> {
        let value = value.into();
        self.at_path(path, by_path::Action::Set(&value)).map(drop)
    }

    /// Removes what stands at `path`: a field, an attribute, an element of a list. Whether it was there.
    ///
    /// # Errors
    /// If there can be nothing at the path, or it leads from a part of a record to the record.
    pub fn remove(&mut self, path: &Path) -> Result<bool, PathError> {
        self.at_path(path, by_path::Action::Remove)
    }

    /// Shows every string and bytes field to `edit`, at any depth, keys of attributes and maps included, and replaces what
    /// it says. Whether anything was replaced.
    pub fn rewrite_strings(&mut self, edit: &mut dyn FnMut(Leaf<'_>) -> Rewrite) -> bool {
        let message = self.message;
        self.transform(|splicer, source| strings::rewrite(splicer, source, message, false, edit));
        self.adopt()
    }

    /// The same, and shows fields that the schema does not know too (see [`Leaf::is_unknown`]), unless they are numbers or groups.
    pub fn rewrite_strings_and_unknown(&mut self, edit: &mut dyn FnMut(Leaf<'_>) -> Rewrite) -> bool {
        let message = self.message;
        self.transform(|splicer, source| strings::rewrite(splicer, source, message, true, edit));
        self.adopt()
    }

    fn at_path(&mut self, path: &Path, action: by_path::Action<'_>) -> Result<bool, PathError> {
        let (level, rest) = path.level(self.level);
        if level != self.level {
            return self.above_at_path(level, rest, action);
        }
        let message = self.message;
        let result = self.transform(|splicer, source| by_path::apply(splicer, source, message, rest, action));
        result.inspect(|_| {
            self.adopt();
        })
    }
}

impl Record<'_> {
    /// Changes a copy of the resource or scope, which takes its place when the walk is over.
    fn above_at_path(
        &mut self,
        level: Level,
        path: &[Segment],
        action: by_path::Action<'_>,
    ) -> Result<bool, PathError> {
        let bytes = match level {
            Level::Resource => self.resource().bytes(),
            Level::Scope if self.level != Level::Resource => self.scope().bytes(),
            _ => return Err(PathError::OtherLevel),
        };
        let mut splicer = Splicer::default();
        let done = by_path::apply(&mut splicer, bytes, level.message(), path, action)?;
        if splicer.finish(bytes) {
            let written = match level {
                Level::Resource => &mut self.written.resource,
                _ => &mut self.written.scope,
            };
            *written = Some(splicer.out);
        }
        Ok(done)
    }

    /// Replaces all of the content.
    pub(super) fn replace(&mut self, content: &[u8]) {
        let start = self.begin_copy(false);
        self.output.out.truncate(start);
        self.output.out.extend_from_slice(content);
    }
}

type EditList<'f> = dyn FnMut(&mut Splicer, &[u8], Range<usize>, u32) -> bool + 'f;

impl<'a> Record<'a> {
    pub(super) fn new(
        (level, message): (Level, &'static Message),
        source: &'a [u8],
        range: FieldRange,
        output: &'a mut Splicer,
        scratch: &'a mut Splicer,
        above: Above<'a>,
        written: &'a mut WrittenAbove,
    ) -> Self {
        Self { level, message, source, range, output, scratch, above, written, copy: None }
    }

    /// Ends the edit: fixes the record's length, or takes it out of the output.
    pub(super) fn settle(self, keep: Keep) -> Outcome {
        match (keep, self.copy) {
            (Keep::Yes, None) => {
                Outcome::Unchanged(ByteRange::Source(self.range.content.start, self.range.content.end))
            }
            (Keep::Yes, Some(copy)) => {
                let length = self.output.out.len() - copy.content;
                wire::close_length(&mut self.output.out, copy.content, copy.width);
                let end = self.output.out.len();
                Outcome::Changed(ByteRange::Output(end - length, end))
            }
            (Keep::No(_), copy) => {
                // A missing resource that goes takes its group along, which is the walk's business.
                if let Some(copy) = copy {
                    self.output.out.truncate(copy.tag);
                } else if !self.range.field.is_empty() {
                    self.output.cut(self.source, self.range.field.start, self.range.field.end);
                }
                Outcome::Dropped
            }
        }
    }

    /// Edits the record's attributes, or those of every point of a metric.
    fn each_list(&mut self, edit: &mut EditList<'_>) -> bool {
        let Some(number) = self.level.attributes(self.message) else {
            return self.points("attributes", edit);
        };
        let any = self.transform(|splicer, source| edit(splicer, source, 0..source.len(), number));
        self.adopt();
        any
    }

    /// Edits the field `name` of every data point of a metric.
    fn points(&mut self, name: &str, edit: &mut EditList<'_>) -> bool {
        if self.level != Level::Metric {
            return false;
        }
        let mut any = false;
        self.transform(|splicer, source| {
            lists::each_point(splicer, source, &schema::METRIC, &mut |splicer, region, point| {
                if let Some(field) = point.field_named(name) {
                    any |= edit(splicer, source, region, field.number);
                }
            });
        });
        self.adopt();
        any
    }

    /// Runs an edit from the record's present content into the scratch splicer.
    fn transform<R>(&mut self, edit: impl FnOnce(&mut Splicer, &[u8]) -> R) -> R {
        self.scratch.reset();
        let content = match &self.copy {
            Some(copy) => &self.output.out[copy.content..],
            None => &self.source[self.range.content.clone()],
        };
        let result = edit(self.scratch, content);
        self.scratch.finish(content);
        result
    }

    /// Makes the outcome of [`Self::transform`] the record's content. Whether it is different.
    pub(super) fn adopt(&mut self) -> bool {
        let changed = self.scratch.is_changed();
        if changed {
            let start = self.begin_copy(false);
            self.output.out.truncate(start);
            steps::add(self.scratch.out.len());
            self.output.out.extend_from_slice(&self.scratch.out);
        }
        changed
    }

    /// Makes sure that the record stands at the end of the output; where its content starts.
    fn begin_copy(&mut self, with_content: bool) -> usize {
        if let Some(copy) = &self.copy {
            return copy.content;
        }
        self.output.reach(self.source, self.range.field.start);
        let out = &mut self.output.out;
        let tag = out.len();
        wire::put_tag(out, self.range.number, WireType::Len);
        let width = wire::varint_len(self.range.content.len() as u64 + 48);
        out.resize(out.len() + width, 0);
        let content = out.len();
        if with_content {
            steps::add(self.range.content.len());
            out.extend_from_slice(&self.source[self.range.content.clone()]);
        }
        self.output.copied = self.range.field.end;
        self.copy = Some(Copied { tag, content, width });
        content
    }
}
