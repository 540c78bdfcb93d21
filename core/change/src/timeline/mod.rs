//! What is known of each change's way to production: its events, filed by change and told as stages.
//!
//! [`ChangeEvent`] is what an event says; [`Timelines`] keeps the events of many changes within a bound; a [`Report`] is what is made of
//! them when somebody asks, so that the order in which events came never shows.

mod change_event;
mod report;
pub mod stages;
mod store;
mod story;

pub use change_event::{ChangeEvent, EntityLabels, superseded};
pub use report::{LinkReport, Listing, Report, StageReport, State, Summary};
pub use store::{Found, Limits, Timelines};
