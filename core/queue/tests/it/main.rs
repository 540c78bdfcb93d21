//! The log on a disk that loses what was not synced, and on a real one.

mod backlog;
mod crashes;
mod full;
mod harness;
mod history;
mod leases;
mod lost;
mod oracle;
mod poison;
mod quota;
mod real;
mod refusals;
mod removal;
mod said;
mod scale;
mod thread;
mod torn;
