//! The commands. Each asks, prints a table or JSON, and gives an exit code.

mod cert;
mod fragment;
mod plan;
mod quarantine;
pub(crate) mod serve;
mod status;
mod store;
mod switch;
mod transfers;
mod verify;

use std::future::Future;

use crate::args::{CertCommand, Command, FragmentCommand, QuarantineCommand, StoreCommand};
use crate::demo;
use crate::error::{CliError, Exit};

/// Runs one command to its end.
pub(crate) fn run(command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Status(ask) => block_on(status::run(&ask)),
        Command::Fragment(FragmentCommand::Show(args)) => block_on(fragment::show(&args)),
        Command::Plan(ask) => block_on(plan::run(&ask)),
        Command::Transfers(ask) => block_on(transfers::run(&ask)),
        Command::Verify(args) => block_on(verify::run(&args)),
        Command::Promote(ask) => block_on(switch::promote(&ask)),
        Command::Follow(args) => block_on(switch::follow(&args)),
        Command::Cert(CertCommand::Issue(args)) => cert::issue(&args),
        Command::Store(StoreCommand::Check(folder)) => store::check(&folder),
        Command::Store(StoreCommand::Stats(folder)) => store::stats(&folder),
        Command::Store(StoreCommand::Dump(dump)) => store::dump(&dump),
        Command::Store(StoreCommand::ForgetHistory(folder)) => store::forget_history(&folder),
        Command::Quarantine(QuarantineCommand::List(ask)) => block_on(quarantine::list(&ask)),
        Command::Quarantine(QuarantineCommand::Show(args)) => block_on(quarantine::show(&args)),
    }
}

/// One thread is enough to ask one node.
fn block_on(work: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| limosa_server::ServerError::Resources { source })?.block_on(work)
}
