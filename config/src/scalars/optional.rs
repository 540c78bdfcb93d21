//! Blocks that can be turned on and off.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An optional block of settings, as the Collector's `configoptional`.
///
/// | written | is |
/// |---|---|
/// | not there | the field's default, on or off |
/// | `key:` or `key: {}` | on, with the block's defaults (an error if the block has required options) |
/// | `key: {…}` | on |
/// | `key: {enabled: false, …}` | off |
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Optional<T> {
    /// Turned off.
    #[default]
    Off,
    /// Turned on, with these settings.
    On(T),
}

impl<T> Optional<T> {
    /// The settings, if it is on.
    pub fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Off => None,
            Self::On(settings) => Some(settings),
        }
    }

    /// The settings, if it is on.
    pub fn into_option(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::On(settings) => Some(settings),
        }
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }
}

impl<T: Serialize> Serialize for Optional<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.collect_map([("enabled", false)]),
            Self::On(settings) => settings.serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Optional<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut map = Option::<serde_json::Map<String, serde_json::Value>>::deserialize(deserializer)?
            .unwrap_or_default();
        match map.remove("enabled") {
            Some(serde_json::Value::Bool(false)) => return Ok(Self::Off),
            None | Some(serde_json::Value::Bool(true) | serde_json::Value::Null) => {}
            Some(_) => return Err(D::Error::custom("`enabled` takes true or false")),
        }
        T::deserialize(serde_json::Value::Object(map)).map(Self::On).map_err(D::Error::custom)
    }
}

impl<T: JsonSchema> JsonSchema for Optional<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Optional_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = generator.subschema_for::<T>();
        schema.insert("x-optional".to_owned(), true.into());
        schema
    }
}
