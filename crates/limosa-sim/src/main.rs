//! `limosa-sim`: runs worlds by their seeds, and says which rule did not hold.

use std::process::ExitCode;

fn main() -> ExitCode {
    limosa_sim::program::main()
}
