//! What can be wrong with a document, all of it at once.

mod branches;
mod findings;
mod pipelines;
mod schema;
mod sections;
mod value;
mod view;

pub(crate) use findings::{NOT_SUPPORTED, WITHOUT_MEANING};
pub use sections::{Checked, service_schema};
pub(crate) use sections::{check, normalized};
pub(crate) use view::View;
