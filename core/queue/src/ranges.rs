//! Sets of sequence numbers that come in runs.

use std::collections::BTreeMap;

/// A set of numbers as ranges: from, and up to but not including. Neighbours are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds all numbers from `from` up to, not including, `to`.
    pub(crate) fn add(&mut self, mut from: u64, mut to: u64) {
        if from >= to {
            return;
        }
        while let Some((at, end)) = self.0.range(..=to).next_back().map(|(at, end)| (*at, *end)) {
            if end < from {
                break;
            }
            self.0.remove(&at);
            (from, to) = (from.min(at), to.max(end));
        }
        self.0.insert(from, to);
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.after(number) > number
    }

    /// The first number from `number` on that is not in the set.
    pub(crate) fn after(&self, number: u64) -> u64 {
        let before = self.0.range(..=number).next_back();
        before.map_or(number, |(_, end)| number.max(*end))
    }

    /// Leaves out ranges that end at or below `number`.
    pub(crate) fn forget_below(&mut self, number: u64) {
        while let Some(first) = self.0.first_entry().filter(|first| *first.get() <= number) {
            first.remove();
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (u64, u64)> {
        self.0.iter().map(|(from, to)| (*from, *to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one() {
        let mut ranges = Ranges::default();
        ranges.add(5, 7);
        ranges.add(10, 12);
        ranges.add(3, 3);
        assert_eq!(ranges.iter().len(), 2);
        ranges.add(7, 10);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(5, 12)]);
        ranges.add(1, 20);
        ranges.add(4, 6);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(1, 20)]);
        assert_eq!((ranges.after(0), ranges.after(1), ranges.after(19), ranges.after(20)), (0, 20, 20, 20));
        ranges.forget_below(19);
        assert!(ranges.contains(19));
        ranges.forget_below(20);
        assert!(!ranges.contains(19));
    }
}
