//! The walk through a request.

use bytes::Bytes;

use super::record::{Above, ByteRange, FieldRange, Outcome};
use super::splicer::Splicer;
use super::written::WrittenAbove;
use super::{Keep, Level, Levels, Record, Rewritten};
use crate::schema::Kind;
use crate::wire::{Field, Fields};
use crate::{Signal, batch};

/// [`rewrite`](super::rewrite) within bounds: `room` is asked, with the length of what is written, before that goes on, and says up to which
/// length nobody need ask again. `None` if it says that there is no more.
pub fn rewrite_within(
    signal: Signal,
    bytes: &Bytes,
    levels: Levels,
    room: &mut dyn FnMut(usize) -> Option<usize>,
    edit: &mut dyn FnMut(&mut Record<'_>) -> Keep,
) -> Option<Rewritten> {
    let record_level = Level::of_records(signal);
    let mut walk = Walk {
        signal,
        record_level,
        visits_records: levels.intersects(Levels::from(record_level) | Levels::from(record_level).nested()),
        levels,
        source: bytes,
        output: Splicer::default(),
        scratch: Splicer::default(),
        spare: Splicer::default(),
        written: WrittenAbove::default(),
        dropped_items: 0,
        dropped: Vec::new(),
        cause: 0,
        edit,
        most: 0,
        room,
        is_over: false,
    };
    for group in Fields::new(bytes).filter(|field| field.number == 1) {
        walk.resource_group(&group);
    }
    if walk.is_over {
        return None;
    }
    let changed = walk.output.finish(bytes);
    let (dropped_items, dropped) = (walk.dropped_items, walk.dropped);
    let bytes = if changed { walk.output.out.into() } else { bytes.clone() };
    let rewritten = Rewritten { bytes, dropped_items, dropped, changed };
    put_above(signal, rewritten, walk.written, walk.room)
}

/// Puts what was written to resources and scopes from below them in its place.
fn put_above(
    signal: Signal,
    before: Rewritten,
    written: WrittenAbove,
    room: &mut dyn FnMut(usize) -> Option<usize>,
) -> Option<Rewritten> {
    let written = written.finish();
    if written.iter().all(Vec::is_empty) {
        return Some(before);
    }
    let mut groups = written.map(|written| (0, written.into_iter().peekable()));
    let mut put = |record: &mut Record<'_>| {
        let (number, written) = &mut groups[usize::from(record.level() != Level::Resource)];
        if let Some((_, content)) = written.next_if(|(of, _)| of == number) {
            record.replace(&content);
        }
        *number += 1;
        Keep::Yes
    };
    let after = rewrite_within(signal, &before.bytes, Levels::RESOURCE | Levels::SCOPE, room, &mut put)?;
    Some(Rewritten { bytes: after.bytes, changed: true, ..before })
}

struct Walk<'a> {
    signal: Signal,
    record_level: Level,
    /// Whether records, or what they consist of, are visited.
    visits_records: bool,
    levels: Levels,
    source: &'a [u8],
    output: Splicer,
    scratch: Splicer,
    /// For what records consist of.
    spare: Splicer,
    written: WrittenAbove,
    dropped_items: u32,
    /// By what was given as the reason.
    dropped: Vec<(u32, u32)>,
    /// Why the last record was dropped.
    cause: u32,
    edit: &'a mut dyn FnMut(&mut Record<'_>) -> Keep,
    /// How long the output may become before `room` is asked again.
    most: usize,
    room: &'a mut dyn FnMut(usize) -> Option<usize>,
    /// There was no room for the output: nothing is edited any more.
    is_over: bool,
}

/// What happened to the members of a group.
#[derive(Default)]
struct Members {
    kept: bool,
    dropped: bool,
}

impl Members {
    fn add(&mut self, kept: bool) {
        self.kept |= kept;
        self.dropped |= !kept;
    }

    fn stay(&self) -> bool {
        self.kept || !self.dropped
    }
}

impl Walk<'_> {
    fn resource_group(&mut self, group: &Field<'_>) {
        self.output.open(1, group.start, group.value);
        let stays = self.in_resource_group(group);
        if stays {
            self.output.close(self.source, group.end);
        } else {
            self.output.discard(self.source, group.end);
        }
        self.written.group_is_over(Level::Resource, stays);
    }

    /// Whether the group stays.
    fn in_resource_group(&mut self, group: &Field<'_>) -> bool {
        let mut resource = None;
        let mut scopes = Members::default();
        let below = self.visits_records || self.levels.contains(Level::Scope);
        for field in Fields::within(self.source, group.value_range()) {
            if field.number > 2 || field.len_bytes().is_none() {
                continue;
            }
            let place = match resource {
                Some(place) => place,
                None => match self.leading(Level::Resource, &field, ByteRange::NOWHERE) {
                    Some(place) => place,
                    None => return self.drop_all(group, 1),
                },
            };
            resource = Some(place);
            if !below {
                return true;
            }
            if field.number == 2 {
                self.output.open(2, field.start, field.value);
                let stays = self.in_scope_group(&field, place);
                scopes.add(stays);
                self.written.group_is_over(Level::Scope, stays);
                if stays {
                    self.output.close(self.source, field.end);
                } else {
                    self.output.discard(self.source, field.end);
                }
            }
        }
        if resource.is_none() && self.absent(Level::Resource, group.end, ByteRange::NOWHERE).is_none() {
            return self.drop_all(group, 1);
        }
        scopes.stay()
    }

    /// Whether the group stays.
    fn in_scope_group(&mut self, group: &Field<'_>, resource: ByteRange) -> bool {
        let mut scope = None;
        let mut records = Members::default();
        for field in Fields::within(self.source, group.value_range()) {
            if field.number > 2 || field.len_bytes().is_none() {
                continue;
            }
            let place = match scope {
                Some(place) => place,
                None => match self.leading(Level::Scope, &field, resource) {
                    Some(place) => place,
                    None => return self.drop_all(group, 2),
                },
            };
            scope = Some(place);
            if !self.visits_records {
                return true;
            }
            if field.number == 2 {
                let range =
                    FieldRange { number: 2, field: field.start..field.end, content: field.value_range() };
                records.add(self.visit(self.record_level, range, resource, place).is_some());
            }
        }
        if scope.is_none() && self.absent(Level::Scope, group.end, resource).is_none() {
            return self.drop_all(group, 2);
        }
        records.stay()
    }

    /// Visits the resource or scope, given the first member of its group: it is that, or it is absent.
    fn leading(&mut self, level: Level, first: &Field<'_>, resource: ByteRange) -> Option<ByteRange> {
        if first.number != 1 {
            return self.absent(level, first.start, resource);
        }
        let range = FieldRange { number: 1, field: first.start..first.end, content: first.value_range() };
        self.visit(level, range, resource, ByteRange::NOWHERE)
    }

    fn absent(&mut self, level: Level, at: usize, resource: ByteRange) -> Option<ByteRange> {
        self.visit(
            level,
            FieldRange { number: 1, field: at..at, content: at..at },
            resource,
            ByteRange::NOWHERE,
        )
    }

    /// Lets the caller edit one record. `None` if it is to go.
    fn visit(
        &mut self,
        level: Level,
        range: FieldRange,
        resource: ByteRange,
        scope: ByteRange,
    ) -> Option<ByteRange> {
        if self.output.out.len() > self.most {
            match (self.room)(self.output.out.len()) {
                Some(most) => self.most = most,
                None => self.is_over = true,
            }
        }
        let (itself, parts) = (self.levels.contains(level), self.levels.and(Levels::from(level).nested()));
        if self.is_over || !itself && parts == Levels::NONE {
            return Some(ByteRange::Source(range.content.start, range.content.end));
        }
        let content = range.content.clone();
        let above = Above { resource, scope, part_of: None };
        let kind = (level, level.message());
        let mut record = Record::new(
            kind,
            self.source,
            range,
            &mut self.output,
            &mut self.scratch,
            above,
            &mut self.written,
        );
        let mut keep = if itself { (self.edit)(&mut record) } else { Keep::Yes };
        let mut points = Vec::new();
        if let Keep::No(cause) = keep {
            self.cause = cause;
        } else if parts != Levels::NONE {
            let parts = record.visit_parts(parts, &mut self.spare, self.edit);
            if parts.are_gone() {
                // As with groups: what has lost all that it had goes too.
                keep = Keep::No(self.cause);
            }
            points = parts.dropped;
        }
        let items = |bytes| batch::items(level.message(), bytes);
        let (place, gone) = match record.settle(keep) {
            Outcome::Unchanged(place) => return Some(place),
            Outcome::Changed(place) if level == Level::Metric => {
                let after = items(place.of(self.source, &self.output.out));
                (Some(place), items(&self.source[content]).saturating_sub(after))
            }
            Outcome::Changed(place) => return Some(place),
            Outcome::Dropped if matches!(level, Level::Resource | Level::Scope) => return None,
            Outcome::Dropped => (None, items(&self.source[content])),
        };
        self.dropped_items += gone;
        points.iter().for_each(|cause| self.count(*cause, 1));
        if place.is_none() && points.is_empty() {
            self.count(self.cause, gone);
        }
        place
    }

    /// Counts what goes with a whole group: a resource's (`depth` 1) or a scope's (`depth` 2).
    fn drop_all(&mut self, group: &Field<'_>, depth: u32) -> bool {
        let mut schema = self.signal.request();
        for number in (1..).take(depth as usize) {
            if let Some(Kind::Message(member)) = schema.field(number).map(|field| field.kind) {
                schema = member;
            }
        }
        let items = batch::items(schema, &self.source[group.value_range()]);
        self.dropped_items += items;
        self.count(self.cause, items);
        false
    }

    /// Counts items that go for a reason.
    fn count(&mut self, cause: u32, items: u32) {
        match self.dropped.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, count)) => *count += items,
            None if items > 0 => self.dropped.push((cause, items)),
            None => {}
        }
    }
}
