//! `limosa-sim-planted`: plants one bug after the other and looks whether the rules find it.

use std::process::ExitCode;

fn main() -> ExitCode {
    limosa_sim::hunt::main()
}
