//! Black-box tests: the real binary, real sockets on the loopback interface, real backends.
//!
//! This library is the support that the tests in `tests/blackbox/` stand on. It knows the agent only as a user does: its
//! command line, its log, its pages and its files. [`Agent`] starts one from a configuration, [`http`] talks to it without
//! a client library in the way (so that a request can be as wrong as a test needs), [`records`] reads what it wrote, and
//! [`backends`] finds Prometheus and Python, or says that they are not there.

mod agent;
pub mod backend;
pub mod backends;
pub mod github;
pub mod http;
pub mod records;
pub mod soak;

pub use agent::{Agent, Ended, await_that, cli, program};
