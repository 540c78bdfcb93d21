//! The binary a user runs, against the world it will meet. A module is a subject; a test's name is what it promises.

mod demo;
mod github;
mod reference;
mod sdk;
