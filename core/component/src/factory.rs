//! A factory erases a component's type once: describe, parse, validate and build come from it.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;
use throughline_otlp::Signal;

use crate::component::DynExtension;
use crate::{
    Build, ConfigError, Delivery, DeliverySettings, DynEditor, DynExporter, DynProcessor, DynReceiver,
    Editor, Exporter, Extension, Kind, Processor, Receiver, Services,
};

/// What a factory makes.
pub enum Built {
    /// A receiver, not yet running.
    Receiver(Box<dyn DynReceiver>),
    /// A processor that looks at one record at a time.
    Editor(Arc<dyn DynEditor>),
    /// A processor or connector that sees whole batches.
    Processor(Box<dyn DynProcessor>),
    /// An exporter; the settings are there if it is fed through a queue.
    Exporter(Arc<dyn DynExporter>, Option<DeliverySettings>),
    /// An extension, and what it offers.
    Extension(Arc<dyn DynExtension>, Services),
}

/// How to describe and make one type of component. A component is one file and one line in its crate's table.
#[derive(Clone, Copy)]
pub struct Factory {
    /// Where in the configuration it stands.
    pub kind: Kind,
    /// The type, as the configuration spells it.
    pub name: &'static str,
    /// Older spellings that are still understood, with a warning.
    pub aliases: &'static [&'static str],
    /// The signals it takes (a receiver: emits).
    pub signals: &'static [Signal],
    /// The signals a connector emits; empty for all others.
    pub emits: &'static [Signal],
    schema: fn() -> Schema,
    build: fn(Value, &Build) -> Result<Built, ConfigError>,
}

impl Factory {
    /// The factory of a receiver.
    pub const fn receiver<T: Receiver>(name: &'static str) -> Self {
        Self::new::<T::Config>(Kind::Receiver, name, T::SIGNALS, &[], |value, cx| {
            Ok(Built::Receiver(Box::new(T::build(parse(value)?, cx)?)))
        })
    }

    /// The factory of a processor that looks at one record at a time.
    pub const fn editor<T: Editor>(name: &'static str) -> Self {
        Self::new::<T::Config>(Kind::Processor, name, T::SIGNALS, &[], |value, cx| {
            Ok(Built::Editor(Arc::new(T::build(parse(value)?, cx)?)))
        })
    }

    /// The factory of a processor that sees whole batches.
    pub const fn processor<T: Processor>(name: &'static str) -> Self {
        Self::new::<T::Config>(Kind::Processor, name, T::SIGNALS, &[], |value, cx| {
            Ok(Built::Processor(Box::new(T::build(parse(value)?, cx)?)))
        })
    }

    /// The factory of a connector: a processor whose emitter leads into other pipelines.
    pub const fn connector<T: Processor>(name: &'static str) -> Self {
        Self::new::<T::Config>(Kind::Connector, name, T::SIGNALS, T::EMITS, |value, cx| {
            Ok(Built::Processor(Box::new(T::build(parse(value)?, cx)?)))
        })
    }

    /// The factory of an exporter.
    pub const fn exporter<T: Exporter>(name: &'static str) -> Self {
        let build: fn(Value, &Build) -> Result<Built, ConfigError> = match T::DELIVERY {
            Delivery::Queued => |value, cx| {
                let (own, mut delivery) = split_delivery(value)?;
                delivery.validate()?;
                delivery.timeout.get_or_insert(throughline_config::Duration(T::TIMEOUT));
                let queue = delivery.sending_queue.as_ref();
                if let Some(id) = queue.and_then(|queue| queue.storage.as_deref()) {
                    cx.storage("sending_queue::storage", id)?;
                }
                Ok(Built::Exporter(Arc::new(T::build(parse(own)?, cx)?), Some(delivery)))
            },
            Delivery::Direct => |value, cx| Ok(Built::Exporter(Arc::new(T::build(parse(value)?, cx)?), None)),
        };
        let mut factory = Self::new::<T::Config>(Kind::Exporter, name, T::SIGNALS, &[], build);
        if matches!(T::DELIVERY, Delivery::Queued) {
            factory.schema = queued_schema::<T::Config>;
        }
        factory
    }

    /// The factory of an extension.
    pub const fn extension<T: Extension>(name: &'static str) -> Self {
        Self::new::<T::Config>(Kind::Extension, name, &[], &[], |value, cx| {
            let mut offers = Services::default();
            let extension = T::build(parse(value)?, cx, &mut offers)?;
            Ok(Built::Extension(Arc::new(extension), offers))
        })
    }

    /// Adds older spellings of the type.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn new<C: JsonSchema>(
        kind: Kind,
        name: &'static str,
        signals: &'static [Signal],
        emits: &'static [Signal],
        build: fn(Value, &Build) -> Result<Built, ConfigError>,
    ) -> Self {
        Self { kind, name, aliases: &[], signals, emits, schema: own_schema::<C>, build }
    }

    /// The schema of its settings: what the configuration is checked against, and what the reference page shows.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// Parses the settings, validates them and builds the component. Opens nothing.
    ///
    /// # Errors
    /// What is wrong with the settings, with the path of the offending key.
    pub fn build(&self, settings: Value, cx: &Build) -> Result<Built, ConfigError> {
        let mut cx = cx.clone();
        cx.services.offer(Arc::new(self.kind));
        (self.build)(settings, &cx)
    }
}

impl std::fmt::Debug for Factory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Factory({:?} {})", self.kind, self.name)
    }
}

fn parse<C: DeserializeOwned>(value: Value) -> Result<C, ConfigError> {
    // A component given as `name:` with nothing behind it has its defaults.
    let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value };
    serde_path_to_error::deserialize(value).map_err(|error| ConfigError {
        path: error.path().iter().map(ToString::to_string).filter(|segment| segment != "?").collect(),
        message: error.into_inner().to_string(),
        here: false,
    })
}

const DELIVERY_KEYS: [&str; 3] = ["timeout", "retry_on_failure", "sending_queue"];

fn split_delivery(value: Value) -> Result<(Value, DeliverySettings), ConfigError> {
    let Value::Object(mut own) = value else { return Ok((value, DeliverySettings::default())) };
    let delivery = DELIVERY_KEYS.into_iter().filter_map(|key| own.remove_entry(key)).collect();
    Ok((Value::Object(own), parse(Value::Object(delivery))?))
}

fn own_schema<C: JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<C>()
}

fn queued_schema<C: JsonSchema>() -> Schema {
    let mut schema = own_schema::<C>();
    let mut added = own_schema::<DeliverySettings>();
    for section in ["properties", "$defs"] {
        let Some(Value::Object(from)) = added.remove(section) else { continue };
        let into =
            schema.ensure_object().entry(section).or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Value::Object(into) = into {
            into.extend(from);
        }
    }
    schema
}

#[cfg(test)]
mod tests;
