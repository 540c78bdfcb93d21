//! The binary a user runs, against the world it will meet. A module is a subject; a test's name is what it promises.

mod bad_input;
mod bombs;
mod bounds;
mod canary;
mod codecs;
mod config;
mod crash;
mod crowd;
mod deliveries;
mod demo;
mod github;
mod grpc;
mod keep_alive;
mod one_core;
mod otlp;
mod prometheus;
mod prometheus_bounds;
mod reference;
mod refusals;
mod reload;
mod reload_phases;
mod restarts;
mod sdk;
mod secured;
mod storage;
mod telemetry;
