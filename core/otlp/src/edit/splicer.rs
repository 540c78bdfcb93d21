//! The one tool all edits are made with: copies a source to an output with changes, fixing the lengths around them.

use smallvec::SmallVec;

use crate::steps;
use crate::wire::{self, WireType};

/// Copies a source from front to back. Nothing is copied before the first change; from then on, what lies between
/// two changes is copied as one run. Message frames around the current position are opened and closed as the caller goes; a
/// frame is written only if something inside it changes.
#[derive(Default)]
pub(super) struct Splicer {
    /// The output so far.
    pub(super) out: Vec<u8>,
    /// Up to where the source has been copied or skipped.
    pub(super) copied: usize,
    frames: SmallVec<[Frame; 8]>,
    /// How many of the frames, from the outside, stand in the output.
    written: usize,
    changed: bool,
}

struct Frame {
    number: u32,
    /// In the source: where the tag starts, where the content starts.
    tag: usize,
    content: usize,
    /// In the output, once written: the same, and how many bytes were kept for the length.
    out_tag: usize,
    out_content: usize,
    width: usize,
}

impl Splicer {
    /// Starts over with another source, keeping the memory.
    pub(super) fn reset(&mut self) {
        self.out.clear();
        self.copied = 0;
        self.frames.clear();
        self.written = 0;
        self.changed = false;
    }

    /// Enters the message field `number` whose tag and content start at these positions of the source.
    #[inline]
    pub(super) fn open(&mut self, number: u32, tag: usize, content: usize) {
        self.frames.push(Frame { number, tag, content, out_tag: 0, out_content: 0, width: 0 });
    }

    /// Leaves the innermost message, which ends at `end`.
    #[inline]
    pub(super) fn close(&mut self, source: &[u8], end: usize) {
        let Some(frame) = self.frames.pop() else { return };
        if self.written > self.frames.len() {
            self.written = self.frames.len();
            self.copy(source, end);
            wire::close_length(&mut self.out, frame.out_content, frame.width);
        }
    }

    /// Leaves out the innermost message, which ends at `end`, with whatever was written of it.
    pub(super) fn discard(&mut self, source: &[u8], end: usize) {
        let Some(frame) = self.frames.pop() else { return };
        if self.written > self.frames.len() {
            self.written = self.frames.len();
            self.out.truncate(frame.out_tag);
            self.copied = end;
        } else {
            self.cut(source, frame.tag, end);
        }
    }

    /// Copies the source up to `to`: what is appended to [`Self::out`] next comes at this place.
    #[inline]
    pub(super) fn reach(&mut self, source: &[u8], to: usize) {
        if !self.changed {
            self.changed = true;
            // Room for a few labels in every record; memory that is not written to costs nothing.
            self.out.reserve(source.len() + source.len() / 4 + 256);
        }
        for frame in &mut self.frames[self.written..] {
            steps::add(frame.tag - self.copied);
            self.out.extend_from_slice(&source[self.copied..frame.tag]);
            frame.out_tag = self.out.len();
            wire::put_tag(&mut self.out, frame.number, WireType::Len);
            // As wide as it was, most likely.
            frame.width =
                (frame.content - frame.tag).saturating_sub(self.out.len() - frame.out_tag).clamp(1, 5);
            self.out.resize(self.out.len() + frame.width, 0);
            frame.out_content = self.out.len();
            self.copied = frame.content;
        }
        self.written = self.frames.len();
        self.copy(source, to);
    }

    fn copy(&mut self, source: &[u8], to: usize) {
        steps::add(to - self.copied);
        self.out.extend_from_slice(&source[self.copied..to]);
        self.copied = to;
    }

    /// Leaves out what stands between `from` and `to`.
    pub(super) fn cut(&mut self, source: &[u8], from: usize, to: usize) {
        self.reach(source, from);
        self.copied = to;
    }

    /// Puts what `write` appends in place of what stands between `from` and `to`.
    pub(super) fn replace(
        &mut self,
        source: &[u8],
        from: usize,
        to: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.cut(source, from, to);
        write(&mut self.out);
    }

    /// Whether anything was changed so far.
    pub(super) const fn is_changed(&self) -> bool {
        self.changed
    }

    /// Copies the rest. Whether anything was changed; if not, the output is empty.
    pub(super) fn finish(&mut self, source: &[u8]) -> bool {
        if self.changed {
            self.copy(source, source.len());
        }
        self.changed
    }
}
