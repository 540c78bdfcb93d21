//! The oracle of `core/otlp`'s tests, as a module of every fuzz target.

#[path = "../../core/otlp/tests/oracle/fields.rs"]
pub(crate) mod fields;
#[path = "../../core/otlp/tests/oracle/generate.rs"]
pub(crate) mod generate;
#[path = "../../core/otlp/tests/oracle/groups.rs"]
pub(crate) mod groups;
#[path = "../../core/otlp/tests/oracle/ops.rs"]
pub(crate) mod ops;
#[path = "../../core/otlp/tests/oracle/reference.rs"]
pub(crate) mod reference;
