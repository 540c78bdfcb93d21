//! What can be wrong with a document, all of it at once.

mod branches;
mod pipelines;
mod schema;
mod sections;
mod view;

pub(crate) use schema::{NOT_SUPPORTED, WITHOUT_MEANING};
pub use sections::service_schema;
pub(crate) use sections::{check, normalized};
pub(crate) use view::View;
