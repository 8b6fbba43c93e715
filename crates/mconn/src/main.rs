//! The binary: command line, configuration, wiring, shutdown. Everything that decides lives in the libraries.

mod cli;
mod client;
mod commands;
mod config;
mod demo;
mod logging;
mod node;
mod report;
mod run;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run::main()
}
