//! What was written to resources and scopes from below them.

use super::Level;

/// The resource and scope of the records that are being visited, as these have changed them.
#[derive(Default)]
pub(super) struct WrittenAbove {
    pub(super) resource: Option<Vec<u8>>,
    pub(super) scope: Option<Vec<u8>>,
    /// How many groups stay so far: of resources, and of scopes in all of them.
    groups: [usize; 2],
    /// What goes in the place of the resources and of the scopes with these numbers, in their order.
    finished: [Vec<(usize, Vec<u8>)>; 2],
}

impl WrittenAbove {
    /// The group of a resource or scope is over. (A resource goes before its scopes are visited, or with the last of them.)
    pub(super) fn group_is_over(&mut self, level: Level, stays: bool) {
        let (at, written) = match level {
            Level::Resource => (0, self.resource.take()),
            _ => (1, self.scope.take()),
        };
        if stays {
            self.finished[at].extend(written.map(|written| (self.groups[at], written)));
            self.groups[at] += 1;
        }
    }

    /// What goes in the place of resources and of scopes, by their number.
    pub(super) fn finish(self) -> [Vec<(usize, Vec<u8>)>; 2] {
        self.finished
    }
}
