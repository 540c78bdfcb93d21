//! What all views share: reading fields of a message by number.

use std::marker::PhantomData;

use crate::wire::{Fields, Payload};

/// A view over the bytes of one message.
pub trait View<'a>: Copy {
    /// A view over these bytes, which should be canonical.
    fn over(bytes: &'a [u8]) -> Self;

    /// The bytes of the message.
    fn bytes(self) -> &'a [u8];
}

/// The first field of this number: the only one in canonical bytes, unless it is repeated.
#[inline]
pub(super) fn first(bytes: &[u8], number: u32) -> Option<Payload<'_>> {
    Fields::new(bytes).find(|field| field.number == number).map(|field| field.payload)
}

pub(super) fn len(bytes: &[u8], number: u32) -> Option<&[u8]> {
    match first(bytes, number)? {
        Payload::Len(content) => Some(content),
        _ => None,
    }
}

/// Strings are checked once more, as `unsafe` is not for us; short ASCII makes that cheap.
pub(super) fn text(bytes: &[u8]) -> &str {
    simdutf8::basic::from_utf8(bytes).unwrap_or_default()
}

pub(super) fn number(payload: Option<Payload<'_>>) -> u64 {
    match payload {
        Some(Payload::Varint(value) | Payload::Fixed64(value)) => value,
        Some(Payload::Fixed32(value)) => u64::from(value),
        _ => 0,
    }
}

/// A repeated message field.
#[derive(Clone, Debug)]
pub struct Messages<'a, V> {
    fields: Fields<'a>,
    number: u32,
    view: PhantomData<V>,
}

impl<'a, V> Messages<'a, V> {
    pub(super) fn new(bytes: &'a [u8], number: u32) -> Self {
        Self { fields: Fields::new(bytes), number, view: PhantomData }
    }
}

impl<'a, V: View<'a>> Iterator for Messages<'a, V> {
    type Item = V;

    fn next(&mut self) -> Option<V> {
        let number = self.number;
        self.fields
            .by_ref()
            .filter(|field| field.number == number)
            .find_map(|field| field.len_bytes())
            .map(V::over)
    }
}

/// A repeated string field.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) number: u32,
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let number = self.number;
        self.fields
            .by_ref()
            .filter(|field| field.number == number)
            .find_map(|field| field.len_bytes())
            .map(text)
    }
}

/// Declares an iterator over a repeated number field, packed, unpacked or mixed.
macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident, $item:ty, $single:pat => $read:expr, |$packed:ident| $next:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name<'a> {
            fields: Fields<'a>,
            number: u32,
            packed: &'a [u8],
        }

        impl<'a> $name<'a> {
            pub(crate) fn new(bytes: &'a [u8], number: u32) -> Self {
                Self { fields: Fields::new(bytes), number, packed: &[] }
            }
        }

        impl Iterator for $name<'_> {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                loop {
                    let $packed = &mut self.packed;
                    if let Some(value) = $next {
                        return Some(value);
                    }
                    let field = self.fields.next()?;
                    match field.payload {
                        $single if field.number == self.number => return Some($read),
                        Payload::Len(bytes) if field.number == self.number => self.packed = bytes,
                        _ => {}
                    }
                }
            }
        }
    };
}

numbers!(
    /// A repeated `fixed64` field.
    Fixed64s, u64, Payload::Fixed64(value) => value, |packed| next_fixed64(packed)
);
numbers!(
    /// A repeated `double` field.
    Doubles, f64, Payload::Fixed64(value) => f64::from_bits(value), |packed| next_fixed64(packed).map(f64::from_bits)
);
numbers!(
    /// A repeated `uint64` field.
    Varints, u64, Payload::Varint(value) => value, |packed| next_varint(packed)
);

fn next_fixed64(packed: &mut &[u8]) -> Option<u64> {
    let (eight, rest) = packed.split_first_chunk()?;
    *packed = rest;
    Some(u64::from_le_bytes(*eight))
}

fn next_varint(packed: &mut &[u8]) -> Option<u64> {
    let (value, end) = crate::wire::varint(packed, 0)?;
    *packed = &packed[end..];
    Some(value)
}

/// Declares a view: its fields as `kind name = number;`.
macro_rules! view {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $kind:ident $field:ident = $number:literal $(as $view:ident)?;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name<'a> {
            bytes: &'a [u8],
        }

        impl<'a> $crate::view::View<'a> for $name<'a> {
            fn over(bytes: &'a [u8]) -> Self {
                Self { bytes }
            }

            fn bytes(self) -> &'a [u8] {
                self.bytes
            }
        }

        impl<'a> $name<'a> {
            $(
                #[doc = concat!("The field `", stringify!($field), "`.")]
                $(#[$field_doc])*
                #[must_use]
                pub fn $field(self) -> $crate::view::message::view!(@type $kind $($view)?) {
                    $crate::view::message::view!(@read $kind self.bytes, $number $(, $view)?)
                }
            )*
        }
    };
    (@type str) => { &'a str };
    (@type bytes) => { &'a [u8] };
    (@type u32) => { u32 };
    (@type i32) => { i32 };
    (@type sint32) => { i32 };
    (@type bool) => { bool };
    (@type u64) => { u64 };
    (@type f64) => { f64 };
    (@type optional_f64) => { Option<f64> };
    (@type strings) => { $crate::view::Strings<'a> };
    (@type doubles) => { $crate::view::Doubles<'a> };
    (@type fixed64s) => { $crate::view::Fixed64s<'a> };
    (@type varints) => { $crate::view::Varints<'a> };
    (@type attributes) => { $crate::view::Attributes<'a> };
    (@type message $view:ident) => { Option<$view<'a>> };
    (@type messages $view:ident) => { $crate::view::Messages<'a, $view<'a>> };
    (@read str $bytes:expr, $n:literal) => {
        $crate::view::message::text($crate::view::message::len($bytes, $n).unwrap_or_default())
    };
    (@read bytes $bytes:expr, $n:literal) => { $crate::view::message::len($bytes, $n).unwrap_or_default() };
    (@read u32 $bytes:expr, $n:literal) => { $crate::view::message::view!(@read u64 $bytes, $n) as u32 };
    (@read i32 $bytes:expr, $n:literal) => { $crate::view::message::view!(@read u64 $bytes, $n) as i32 };
    (@read sint32 $bytes:expr, $n:literal) => {
        $crate::wire::unzigzag(u64::from($crate::view::message::view!(@read u32 $bytes, $n))) as i32
    };
    (@read bool $bytes:expr, $n:literal) => { $crate::view::message::view!(@read u64 $bytes, $n) != 0 };
    (@read u64 $bytes:expr, $n:literal) => {
        $crate::view::message::number($crate::view::message::first($bytes, $n))
    };
    (@read f64 $bytes:expr, $n:literal) => { f64::from_bits($crate::view::message::view!(@read u64 $bytes, $n)) };
    (@read optional_f64 $bytes:expr, $n:literal) => {
        $crate::view::message::first($bytes, $n)
            .map(|payload| f64::from_bits($crate::view::message::number(Some(payload))))
    };
    (@read strings $bytes:expr, $n:literal) => {
        $crate::view::Strings { fields: $crate::wire::Fields::new($bytes), number: $n }
    };
    (@read doubles $bytes:expr, $n:literal) => { $crate::view::Doubles::new($bytes, $n) };
    (@read fixed64s $bytes:expr, $n:literal) => { $crate::view::Fixed64s::new($bytes, $n) };
    (@read varints $bytes:expr, $n:literal) => { $crate::view::Varints::new($bytes, $n) };
    (@read attributes $bytes:expr, $n:literal) => { $crate::view::Attributes::new($bytes, $n) };
    (@read message $bytes:expr, $n:literal, $view:ident) => {
        $crate::view::message::len($bytes, $n).map(<$view<'_> as $crate::view::View<'_>>::over)
    };
    (@read messages $bytes:expr, $n:literal, $view:ident) => { $crate::view::Messages::new($bytes, $n) };
}
pub(super) use view;
