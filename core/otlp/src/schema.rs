//! Every message of OTLP 1.x as static tables: what generic walks (admission, paths, JSON) are driven by.
//!
//! Field names are the protobuf names. Source: the `.proto` files of opentelemetry-proto 1.x.

mod common;
mod logs;
mod metrics;
mod traces;

pub use common::*;
pub use logs::*;
pub use metrics::*;
pub use traces::*;

/// A message type.
#[derive(Debug)]
pub struct Message {
    /// The protobuf name without its package.
    pub name: &'static str,
    /// What part the message plays in a request.
    pub role: Role,
    /// Its fields, in the order of their numbers' declaration.
    pub fields: &'static [Field],
    /// The fields by number, compiled for the admission walk.
    pub(crate) rules: [Rule; RULES],
    /// What a tag of one byte stands for: a shortcut through the rules.
    pub(crate) steps: [TagKind; 128],
}

/// What part a message plays in an export request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The request itself.
    Request,
    /// `ResourceSpans` and its like.
    ResourceGroup,
    /// `ScopeSpans` and its like.
    ScopeGroup,
    /// `Span` and `LogRecord`: records that are items.
    Record,
    /// `Metric`: a record whose items are its data points.
    Metric,
    /// A data point.
    Point,
    /// A `KeyValue`.
    KeyValue,
    /// Anything else.
    Part,
}

impl Role {
    /// Whether one such message counts as one item.
    #[must_use]
    pub const fn is_item(self) -> bool {
        matches!(self, Self::Record | Self::Point)
    }
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The field's number.
    pub number: u32,
    /// Its protobuf name; the JSON name is its lowerCamelCase.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// How often it may be there.
    pub cardinality: Cardinality,
}

/// How often a field may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// At most once; absent means its default.
    Singular,
    /// At most once; absence can be told from the default.
    Optional,
    /// Any number of times; numbers may be packed.
    Repeated,
    /// A member of the message's only `oneof`: at most one of the members is there.
    OneOf,
}

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A nested message.
    Message(&'static Message),
    /// Text, always UTF-8.
    String,
    /// Any bytes (base64 in JSON).
    Bytes,
    /// A trace or span id (hexadecimal in JSON).
    HexId,
    /// `bool`.
    Bool,
    /// `int32`.
    Int32,
    /// `int64`.
    Int64,
    /// `uint32`.
    Uint32,
    /// `uint64`.
    Uint64,
    /// `sint32`, zigzag.
    Sint32,
    /// An enum: the names of its values 0, 1, 2 ….
    Enum(&'static [&'static str]),
    /// `fixed32`.
    Fixed32,
    /// `fixed64`.
    Fixed64,
    /// `sfixed64`.
    Sfixed64,
    /// `double`.
    Double,
}

impl Message {
    /// The field of this number.
    #[must_use]
    pub fn field(&self, number: u32) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.number == number)
    }

    /// The field of this protobuf name.
    #[must_use]
    pub fn field_named(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Whether this is the same message type.
    #[must_use]
    pub fn is(&self, other: &'static Self) -> bool {
        std::ptr::eq(self, other)
    }

    /// Whether canonical bytes have this field before the repeated messages beside it: a resource before the scopes, a
    /// scope before its records.
    #[must_use]
    pub const fn leads(&self, number: u32) -> bool {
        matches!(self.role, Role::ResourceGroup | Role::ScopeGroup) && number == 1
    }
}

/// How many field numbers the compiled rules cover; OTLP's highest is 16.
pub(crate) const RULES: usize = 32;

/// What admission checks about one field number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) check: Check,
    /// If one of these bits was set before, the message is not canonical.
    pub(crate) forbids: u32,
    /// The bits that this field sets.
    pub(crate) sets: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Check {
    Unknown,
    Varint,
    Fixed64,
    Fixed32,
    Bytes,
    Utf8,
    Message(&'static Message),
    Varints,
    Fixed64s,
}

/// What admission does at a tag of one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagKind {
    /// The tag is not as simple as that.
    Other,
    Varint,
    Fixed64,
    Fixed32,
    Bytes,
    Text,
    Message,
}

/// Compiles the shortcut.
pub(crate) const fn shorten(rules: &[Rule; RULES]) -> [TagKind; 128] {
    let mut steps = [TagKind::Other; 128];
    let mut number = 1;
    while number < 16 {
        let (wire_type, step) = match rules[number].check {
            Check::Varint => (0, TagKind::Varint),
            Check::Fixed64 => (1, TagKind::Fixed64),
            Check::Fixed32 => (5, TagKind::Fixed32),
            Check::Bytes => (2, TagKind::Bytes),
            Check::Utf8 => (2, TagKind::Text),
            Check::Message(_) => (2, TagKind::Message),
            Check::Unknown | Check::Varints | Check::Fixed64s => (0, TagKind::Other),
        };
        steps[number << 3 | wire_type] = step;
        number += 1;
    }
    steps
}

/// Compiles the table that the admission walk looks fields up in.
pub(crate) const fn compile(role: Role, fields: &'static [Field]) -> [Rule; RULES] {
    const ONEOF: u32 = 1 << 30;
    const BODY: u32 = 1 << 31;
    let mut rules = [Rule { check: Check::Unknown, forbids: 0, sets: 0 }; RULES];
    let mut index = 0;
    while index < fields.len() {
        let field = fields[index];
        let repeated = matches!(field.cardinality, Cardinality::Repeated);
        let check = match field.kind {
            Kind::String => Check::Utf8,
            Kind::Bytes | Kind::HexId => Check::Bytes,
            Kind::Fixed32 => Check::Fixed32,
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => {
                if repeated {
                    Check::Fixed64s
                } else {
                    Check::Fixed64
                }
            }
            Kind::Bool
            | Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Enum(_) => {
                if repeated {
                    Check::Varints
                } else {
                    Check::Varint
                }
            }
            Kind::Message(message) => Check::Message(message),
        };
        let bits = match field.cardinality {
            Cardinality::Repeated => 0,
            Cardinality::OneOf => ONEOF,
            Cardinality::Singular | Cardinality::Optional => 1 << index,
        };
        let group = matches!(role, Role::ResourceGroup | Role::ScopeGroup);
        rules[field.number as usize] = match (group, field.number) {
            (true, 1) => Rule { check, forbids: bits | BODY, sets: bits },
            (true, 2) => Rule { check, forbids: 0, sets: BODY },
            _ => Rule { check, forbids: bits, sets: bits },
        };
        index += 1;
    }
    rules
}

/// Declares message tables: `NAME "Name" Role { number name: Kind Cardinality, … }`.
macro_rules! messages {
    ($($(#[$doc:meta])* $id:ident $name:literal $role:ident {
        $($number:literal $field:literal: $kind:expr, $cardinality:ident;)*
    })*) => {$(
        $(#[$doc])*
        pub static $id: $crate::schema::Message = {
            // A static, not a constant: messages refer to each other in circles.
            static FIELDS: [$crate::schema::Field; [$($field),*].len()] = [$($crate::schema::Field {
                number: $number,
                name: $field,
                kind: $kind,
                cardinality: $crate::schema::Cardinality::$cardinality,
            }),*];
            static RULES: [$crate::schema::Rule; $crate::schema::RULES] =
                $crate::schema::compile($crate::schema::Role::$role, &FIELDS);
            $crate::schema::Message {
                name: $name,
                role: $crate::schema::Role::$role,
                fields: &FIELDS,
                rules: RULES,
                steps: $crate::schema::shorten(&RULES),
            }
        };
    )*};
}
pub(crate) use messages;
