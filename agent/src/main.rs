//! `throughline`: the command line, the tables of components, signals, and the admin endpoint. Thin: `assemble` takes a
//! checked configuration to what the graph is started from, `run` starts, reloads and drains it, `demo` plays a change.

mod admin;
mod assemble;
mod catalog;
mod changes;
mod cli;
mod collector;
mod demo;
mod descriptors;
mod logs;
mod mask;
mod metrics;
mod process_context;
mod queue;
mod run;
mod runtime;
mod show;
mod signals;
mod unchanged;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::Cli::parse().chosen() {
        cli::Command::Run(inputs) => run::run(&inputs),
        cli::Command::Validate { inputs, graph, here } => show::validate(&inputs, graph, here),
        cli::Command::Components => show::components(),
        cli::Command::PrintConfig { inputs, mode, format, validate } => {
            show::print_config(&inputs, mode, format, validate)
        }
        cli::Command::Demo { once, seed, folder } => demo::demo(once, seed, folder),
        cli::Command::Changes { agent, which, watch } => changes::changes(&agent, &which, watch),
        cli::Command::Change { what, agent } => changes::change(&agent, &what),
        cli::Command::Queue { directory, what } => queue::queue(&directory, what),
        cli::Command::Reference { folder } => show::reference(&folder),
        cli::Command::Completion { shell } => show::completion(shell),
    }
}
