//! The newest value of every series.

use std::collections::BTreeMap;

use super::series::{Kind, Labels, Series};
use super::size::Size;

/// All series by family.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Registry {
    pub(super) families: BTreeMap<String, Family>,
    /// How many series there are in all families.
    pub(super) series: usize,
    /// What all of them take.
    pub(super) size: Size,
    /// How often anything changed.
    pub(super) changes: u64,
}

/// What a registry may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct RegistryLimits {
    pub(super) series: usize,
    pub(super) bytes: usize,
    pub(super) page: usize,
}

/// Series of one name. The first metric of a name decides its type and help; others of another type are refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Family {
    pub(super) kind: Kind,
    pub(super) help: String,
    pub(super) series: BTreeMap<Labels, Series>,
}

/// Why a series did not take a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Type,
    /// There are as many series as there may be.
    Full,
    Bytes,
    Page,
}

/// A family's name, type and help.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) help: String,
}

impl Registry {
    /// A registry of these families.
    pub(super) fn of(families: BTreeMap<String, Family>) -> Self {
        let series = families.values().map(|family| family.series.len()).sum();
        let mut size = Size::default();
        for (name, family) in &families {
            size += Size::of_family(name, &family.help);
            family.series.iter().for_each(|(labels, series)| size += Size::of_series(name, labels, series));
        }
        Self { families, series, size, changes: 0 }
    }

    /// Puts a value in its series, unless a newer one is there, or there is no room.
    pub(super) fn put(
        &mut self,
        head: &Head,
        labels: Labels,
        series: Series,
        room: &RegistryLimits,
    ) -> Result<(), Refused> {
        let Head { name, kind, help } = head;
        let mut family = self.families.get_mut(name);
        if family.as_ref().is_some_and(|family| family.kind != *kind) {
            return Err(Refused::Type);
        }
        let known = family.as_mut().and_then(|family| family.series.get_mut(&labels));
        if let Some(known) = known {
            self.changes += 1;
            if known.time > series.time {
                known.updated = series.updated;
                return Ok(());
            }
            let size = self.size.exchanged(name, &labels, known, &series);
            // What takes no more than before may stay, should the bounds have become tighter.
            fits(size, self.size, room)?;
            self.size = size;
            *known = series;
            return Ok(());
        }
        if self.series >= room.series {
            return Err(Refused::Full);
        }
        let mut size = self.size + Size::of_series(name, &labels, &series);
        if family.is_none() {
            size += Size::of_family(name, help);
        }
        fits(size, self.size, room)?;
        let family = match family {
            Some(family) => family,
            None => {
                let family = Family { kind: *kind, help: help.clone(), series: BTreeMap::new() };
                self.families.entry(name.clone()).or_insert(family)
            }
        };
        family.series.insert(labels, series);
        self.size = size;
        self.series += 1;
        self.changes += 1;
        Ok(())
    }

    /// Takes a series out: its source says that there is no value any more.
    pub(super) fn remove(&mut self, name: &str, labels: &Labels) {
        if let Some(family) = self.families.get_mut(name)
            && let Some(series) = family.series.remove(labels)
        {
            self.size -= Size::of_series(name, labels, &series);
            self.series -= 1;
            self.changes += 1;
        }
    }

    /// Takes out the series that got no value since `before` (monotonic nanoseconds), and families left empty.
    pub(super) fn expire(&mut self, before: i64) {
        let (mut gone, mut less) = (0, Size::default());
        self.families.retain(|name, family| {
            family.series.retain(|labels, series| {
                let stays = series.updated >= before;
                if !stays {
                    gone += 1;
                    less += Size::of_series(name, labels, series);
                }
                stays
            });
            if family.series.is_empty() {
                less += Size::of_family(name, &family.help);
            }
            !family.series.is_empty()
        });
        self.series -= gone;
        self.size -= less;
        self.changes += u64::from(less != Size::default());
    }
}

/// Whether a registry may become as large as that.
fn fits(size: Size, before: Size, room: &RegistryLimits) -> Result<(), Refused> {
    if size.bytes > room.bytes.max(before.bytes) {
        return Err(Refused::Bytes);
    }
    if size.page > room.page.max(before.page) {
        return Err(Refused::Page);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
