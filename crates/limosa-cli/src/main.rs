//! The `limosa` program: runs a node, and asks running ones.
//!
//! # Not here
//! - What a node does: `limosa-server` and below. A command is one HTTP call and its table, or one call on a data folder.

mod args;
mod client;
mod commands;
mod demo;
mod error;
mod format;
mod output;

use std::process::ExitCode;

use clap::Parser;

/// Gives the memory of what was dropped or deleted back to the system, which the C library's does not (docs/decisions/0015).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Usage errors end here, with clap's text and exit code 2.
    let cli = args::Cli::parse();
    let json = cli.command.wants_json();
    match commands::run(cli.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::report(&error, json);
            error.exit().into()
        }
    }
}
