//! The protobuf wire format: varints, tags, fields, and how to write them.
//!
//! Reading accepts all that is legal, minimal or not; writing is always minimal. Source: the encoding chapter of the
//! Protocol Buffers documentation.

use std::ops::Range;

use crate::steps;

/// How deep groups may nest when a field is skipped. Groups of known messages do not exist in OTLP.
pub const MAX_GROUP_DEPTH: u32 = 64;

/// How a field's value is laid out: the lowest three bits of its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WireType {
    /// A variable-length integer.
    Varint = 0,
    /// Eight bytes, little-endian.
    Fixed64 = 1,
    /// A length, then so many bytes.
    Len = 2,
    /// The start of a group, a deprecated form of nesting.
    StartGroup = 3,
    /// The end of a group.
    EndGroup = 4,
    /// Four bytes, little-endian.
    Fixed32 = 5,
}

impl WireType {
    /// The type that the lowest three bits of `tag` name.
    #[must_use]
    pub const fn of(tag: u64) -> Option<Self> {
        Some(match tag & 7 {
            0 => Self::Varint,
            1 => Self::Fixed64,
            2 => Self::Len,
            3 => Self::StartGroup,
            4 => Self::EndGroup,
            5 => Self::Fixed32,
            _ => return None,
        })
    }
}

/// The value of a field as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A variable-length integer.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// Strings, bytes, messages and packed numbers.
    Len(&'a [u8]),
    /// A group, from its start tag to its end tag.
    Group,
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The field's number.
    pub number: u32,
    /// Its value.
    pub payload: Payload<'a>,
    /// Where its tag starts in the buffer.
    pub start: usize,
    /// Where its value starts: behind the tag and, for [`Payload::Len`], behind the length.
    pub value: usize,
    /// Where it ends.
    pub end: usize,
}

impl<'a> Field<'a> {
    /// The bytes of a length-delimited field, `None` for any other.
    #[must_use]
    pub fn len_bytes(&self) -> Option<&'a [u8]> {
        match self.payload {
            Payload::Len(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The range of its value in the buffer.
    #[must_use]
    pub fn value_range(&self) -> Range<usize> {
        self.value..self.end
    }
}

/// What is wrong with the framing of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A varint that has no end or does not fit 64 bits.
    Varint,
    /// A tag with field number 0, beyond 32 bits, or with a wire type that does not exist.
    Tag,
    /// A value that runs past the end; the length it claims.
    Length(u64),
    /// An end-group tag that ends nothing.
    EndGroup,
    /// Groups nested too deep.
    Depth,
}

/// The fields of a message, in the order of the bytes. Ends at the first broken field.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    buffer: &'a [u8],
    position: usize,
}

impl<'a> Fields<'a> {
    /// The fields of the message that is all of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { buffer: bytes, position: 0 }
    }

    /// The fields of the message that is `range` of `buffer`; positions stay relative to `buffer`.
    #[must_use]
    pub fn within(buffer: &'a [u8], range: Range<usize>) -> Self {
        Self { buffer: buffer.get(..range.end).unwrap_or(buffer), position: range.start }
    }

    /// The next field, `Ok(None)` at the end.
    ///
    /// # Errors
    /// What is broken, and where the broken field starts ([`Self::position`]).
    #[inline]
    pub fn try_next(&mut self, group_depth: u32) -> Result<Option<Field<'a>>, Broken> {
        let start = self.position;
        if start >= self.buffer.len() {
            return Ok(None);
        }
        steps::add(1);
        let (tag, after) = varint(self.buffer, start).ok_or(Broken::Varint)?;
        let number = field_number(tag).ok_or(Broken::Tag)?;
        let (payload, value, end) = match tag & 7 {
            0 => {
                let (v, end) = varint(self.buffer, after).ok_or(Broken::Varint)?;
                (Payload::Varint(v), after, end)
            }
            1 => {
                let bytes = self.buffer.get(after..).and_then(|b| b.first_chunk::<8>());
                let bytes = bytes.ok_or(Broken::Length(8))?;
                (Payload::Fixed64(u64::from_le_bytes(*bytes)), after, after + 8)
            }
            2 => {
                let (length, value) = varint(self.buffer, after).ok_or(Broken::Varint)?;
                let bytes = take(self.buffer, value, length).ok_or(Broken::Length(length))?;
                (Payload::Len(bytes), value, value + bytes.len())
            }
            3 => (Payload::Group, after, group_end(self.buffer, after, number, group_depth)?),
            4 => return Err(Broken::EndGroup),
            5 => {
                let bytes = self.buffer.get(after..).and_then(|b| b.first_chunk::<4>());
                let bytes = bytes.ok_or(Broken::Length(4))?;
                (Payload::Fixed32(u32::from_le_bytes(*bytes)), after, after + 4)
            }
            _ => return Err(Broken::Tag),
        };
        self.position = end;
        Ok(Some(Field { number, payload, start, value, end }))
    }

    /// Where the next field starts.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        self.try_next(MAX_GROUP_DEPTH).ok().flatten()
    }
}

/// The contents of the length-delimited fields of one number below 16: the same as [`Fields`] filtered, hand-tuned, since
/// every look at an attribute goes through it.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    message: &'a [u8],
    at: usize,
    tag: u8,
}

impl<'a> Members<'a> {
    #[inline]
    pub(crate) const fn new(message: &'a [u8], number: u32) -> Self {
        Self { message, at: 0, tag: (number << 3 | WireType::Len as u32) as u8 }
    }

    /// The field at `at`, and where the next one is. `None` at the end or where the message is broken.
    #[inline(always)]
    fn step(message: &'a [u8], at: usize, wanted: u8) -> Option<(Option<&'a [u8]>, usize)> {
        let tag = *message.get(at)?;
        steps::add(1);
        let end = match (tag & 0x87, tag >> 3) {
            (2, 1..) => {
                let (length, start) = varint(message, at + 1)?;
                let content = take(message, start, length)?;
                return Some(((tag == wanted).then_some(content), start + content.len()));
            }
            (0, 1..) => varint(message, at + 1)?.1,
            (1, 1..) => at + 9,
            (5, 1..) => at + 5,
            _ => return Self::unusual(message, at, wanted),
        };
        Some((None, end))
    }

    /// A field whose tag is longer than one byte, or a group.
    #[cold]
    fn unusual(message: &'a [u8], at: usize, wanted: u8) -> Option<(Option<&'a [u8]>, usize)> {
        let field = Fields::within(message, at..message.len()).next()?;
        Some((field.len_bytes().filter(|_| field.number == u32::from(wanted >> 3)), field.end))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (content, end) = Self::step(self.message, self.at, self.tag)?;
            self.at = end;
            if content.is_some() {
                return content;
            }
        }
    }

    /// The way of `for_each`: what is known stays in registers.
    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
        let Self { message, mut at, tag } = self;
        let mut so_far = init;
        while let Some((content, end)) = Self::step(message, at, tag) {
            at = end;
            if let Some(content) = content {
                so_far = f(so_far, content);
            }
        }
        so_far
    }
}

/// Reads the varint at `at`: its value and the position behind it. `None` if it has no end or exceeds 64 bits.
#[inline]
#[must_use]
pub fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((u64::from(first), at + 1));
    }
    long_varint(bytes, at)
}

fn long_varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, &byte) in bytes.get(at..)?.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            // The tenth byte holds the topmost bit only.
            return (index < 9 || byte < 2).then_some((value, at + index + 1));
        }
    }
    None
}

/// The field number in a tag; `None` for 0 and for tags beyond 32 bits.
#[inline]
#[must_use]
pub fn field_number(tag: u64) -> Option<u32> {
    u32::try_from(tag).ok().map(|tag| tag >> 3).filter(|&number| number != 0)
}

#[inline]
pub(crate) fn take(bytes: &[u8], at: usize, length: u64) -> Option<&[u8]> {
    bytes.get(at..)?.get(..usize::try_from(length).ok()?)
}

/// The end of the group `number` whose content starts at `at`.
fn group_end(bytes: &[u8], at: usize, number: u32, depth: u32) -> Result<usize, Broken> {
    let depth = depth.checked_sub(1).ok_or(Broken::Depth)?;
    let mut fields = Fields { buffer: bytes, position: at };
    loop {
        steps::add(1);
        let (tag, after) = varint(bytes, fields.position).ok_or(Broken::Varint)?;
        if WireType::of(tag) == Some(WireType::EndGroup) {
            return if field_number(tag) == Some(number) { Ok(after) } else { Err(Broken::EndGroup) };
        }
        fields.try_next(depth)?;
    }
}

/// How many bytes the minimal varint of `value` takes: 1 to 10.
#[inline]
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    // One byte for every started seven bits.
    (((value | 1).ilog2() as usize) * 9 + 73) / 64
}

/// Appends a minimal varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a tag.
#[inline]
pub fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: WireType) {
    put_varint(out, u64::from(number) << 3 | wire_type as u64);
}

/// Appends a varint field.
pub fn put_varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, WireType::Varint);
    put_varint(out, value);
}

/// Appends a field of eight bytes.
pub fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, WireType::Fixed64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of four bytes.
pub fn put_fixed32(out: &mut Vec<u8>, number: u32, value: u32) {
    put_tag(out, number, WireType::Fixed32);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a length-delimited field: a string, bytes or a finished message.
#[inline]
pub fn put_len(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, WireType::Len);
    put_varint(out, bytes.len() as u64);
    steps::add(bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a message field whose content `write` appends.
pub fn put_message<R>(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    put_tag(out, number, WireType::Len);
    out.push(0);
    let start = out.len();
    let result = write(out);
    close_length(out, start, 1);
    result
}

/// Writes the length of what stands behind `start` into the `width` bytes before it, and moves the content if
/// the minimal varint has another width.
pub(crate) fn close_length(out: &mut Vec<u8>, start: usize, width: usize) {
    let length = out.len() - start;
    let needed = varint_len(length as u64);
    steps::add(if needed == width { 1 } else { length });
    if needed > width {
        out.resize(out.len() + needed - width, 0);
        out.copy_within(start..start + length, start + needed - width);
    } else if needed < width {
        out.copy_within(start.., start - (width - needed));
        out.truncate(out.len() - (width - needed));
    }
    let mut rest = length;
    for slot in &mut out[start - width..start - width + needed] {
        *slot = rest as u8 | 0x80;
        rest >>= 7;
    }
    out[start - width + needed - 1] &= 0x7f;
}

/// Signed from unsigned, as `sint32` and `sint64` store it.
#[must_use]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Unsigned from signed, as `sint32` and `sint64` store it.
#[must_use]
pub const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_written_is_read_again_and_has_the_promised_width() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value));
                assert_eq!(varint(&out, 0), Some((value, out.len())));
            }
        }
    }

    #[test]
    fn varints_may_be_padded_but_not_exceed_64_bits() {
        assert_eq!(varint(&[0x81, 0x80, 0x00], 0), Some((1, 3)));
        assert_eq!(varint(&[0xff; 9], 0), None);
        let mut bytes = [0xff; 10];
        bytes[9] = 1;
        assert_eq!(varint(&bytes, 0), Some((u64::MAX, 10)));
        bytes[9] = 2;
        assert_eq!(varint(&bytes, 0), None);
    }

    #[test]
    fn a_length_that_outgrows_its_place_moves_the_content() {
        for length in [0, 1, 127, 128, 16_383, 16_384] {
            for width in 1..4 {
                let mut out = vec![0; width];
                out.extend(vec![7; length]);
                close_length(&mut out, width, width);
                let (read, start) = varint(&out, 0).expect("a varint was written");
                assert_eq!((read as usize, start), (length, varint_len(length as u64)));
                assert_eq!(&out[start..], vec![7; length]);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn members_are_the_fields_of_their_number(bytes: Vec<u8>, number in 1_u32..16) {
            let mut message = bytes.clone();
            put_len(&mut message, number, &bytes);
            put_fixed64(&mut message, 3, 7);
            for bytes in [bytes, message] {
                let filtered = Fields::new(&bytes).filter(|field| field.number == number);
                let expected: Vec<_> = filtered.filter_map(|field| field.len_bytes()).collect();
                let mut folded = Vec::new();
                Members::new(&bytes, number).for_each(|member| folded.push(member));
                proptest::prop_assert_eq!(&folded, &expected);
                let mut one_by_one = Members::new(&bytes, number);
                proptest::prop_assert_eq!(std::iter::from_fn(|| one_by_one.next()).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn groups_are_skipped_and_bounded() {
        let group = [0x0b, 0x13, 0x08, 0x01, 0x14, 0x0c, 0x18, 0x05];
        let numbers: Vec<_> = Fields::new(&group).map(|f| (f.number, f.end)).collect();
        assert_eq!(numbers, [(1, 6), (3, 8)]);
        assert_eq!(Fields::new(&group).try_next(1).err(), Some(Broken::Depth));
        assert_eq!(Fields::new(&[0x0b, 0x14]).try_next(9).err(), Some(Broken::EndGroup));
    }
}
