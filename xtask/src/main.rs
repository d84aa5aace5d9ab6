//! Project tasks: `cargo xtask ci`, `cargo xtask bench`, `cargo xtask sim`, `cargo xtask soak`, `cargo xtask proto`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a terminal program

mod bench;
mod ci;
mod cluster;
mod history;
mod process;
#[allow(unreachable_pub)] // written as a library's entry point
mod proto;
mod resp;
mod sim;
mod soak;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the Limosa workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// All checks and tests, with what they need installed first.
    Ci {
        /// Also what takes longer.
        #[arg(long)]
        long: bool,
        /// Only the steps whose name contains this. May be repeated.
        #[arg(long, value_name = "NAME")]
        step: Vec<String>,
    },
    /// Measures against the bars of `bench/bars.toml`.
    Bench(bench::Args),
    /// Runs simulated worlds under faults, each ruled by a seed.
    Sim(sim::Args),
    /// Runs real processes under random faults with a load, and checks what their clients saw.
    Soak(soak::Args),
    /// Generates the code of the wire contract from its `.proto` file.
    Proto {
        /// Compare instead of writing.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Ci { long, step } => ci::run(long, &step),
        Task::Bench(args) => bench::run(&args),
        Task::Sim(args) => sim::run(&args),
        Task::Soak(args) => soak::run(&args),
        Task::Proto { check } => proto::generate(check),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
