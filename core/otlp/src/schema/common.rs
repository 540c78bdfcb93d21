//! `common.proto` and `resource.proto`.

use super::{Kind, messages};

messages! {
    /// Any value: at most one member is there.
    ANY_VALUE "AnyValue" Part {
        1 "string_value": Kind::String, OneOf;
        2 "bool_value": Kind::Bool, OneOf;
        3 "int_value": Kind::Int64, OneOf;
        4 "double_value": Kind::Double, OneOf;
        5 "array_value": Kind::Message(&ARRAY_VALUE), OneOf;
        6 "kvlist_value": Kind::Message(&KEY_VALUE_LIST), OneOf;
        7 "bytes_value": Kind::Bytes, OneOf;
        8 "string_value_strindex": Kind::Int32, OneOf;
    }

    /// A list of values.
    ARRAY_VALUE "ArrayValue" Part {
        1 "values": Kind::Message(&ANY_VALUE), Repeated;
    }

    /// A map as a list of pairs.
    KEY_VALUE_LIST "KeyValueList" Part {
        1 "values": Kind::Message(&KEY_VALUE), Repeated;
    }

    /// A pair: an attribute, or an entry of a map.
    KEY_VALUE "KeyValue" KeyValue {
        1 "key": Kind::String, Singular;
        2 "value": Kind::Message(&ANY_VALUE), Singular;
        3 "key_strindex": Kind::Int32, Singular;
    }

    /// What produced the records of a group.
    INSTRUMENTATION_SCOPE "InstrumentationScope" Part {
        1 "name": Kind::String, Singular;
        2 "version": Kind::String, Singular;
        3 "attributes": Kind::Message(&KEY_VALUE), Repeated;
        4 "dropped_attributes_count": Kind::Uint32, Singular;
    }

    /// Which attributes of a resource identify an entity.
    ENTITY_REF "EntityRef" Part {
        1 "schema_url": Kind::String, Singular;
        2 "type": Kind::String, Singular;
        3 "id_keys": Kind::String, Repeated;
        4 "description_keys": Kind::String, Repeated;
    }

    /// What the telemetry is about.
    RESOURCE "Resource" Part {
        1 "attributes": Kind::Message(&KEY_VALUE), Repeated;
        2 "dropped_attributes_count": Kind::Uint32, Singular;
        3 "entity_refs": Kind::Message(&ENTITY_REF), Repeated;
    }
}
