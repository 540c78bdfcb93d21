//! The log on a disk that loses what was not synced, and on a real one.

mod crashes;
mod leases;
mod lost;
mod oracle;
mod poison;
mod real;
mod torn;
mod world;
