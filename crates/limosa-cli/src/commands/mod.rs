//! The commands. Each asks, prints a table or JSON, and gives an exit code.

mod cert;
mod cluster;
mod fragment;
mod moves;
mod operate;
mod plan;
mod quarantine;
pub(crate) mod serve;
mod status;
mod store;
mod switch;
mod transfers;
mod verify;

use std::future::Future;

use crate::args::cluster::{ClusterCommand, NodeCommand};
use crate::args::{CertCommand, Command, FragmentCommand, QuarantineCommand, StoreCommand};
use crate::demo;
use crate::error::{CliError, Exit};

/// Runs one command to its end.
pub(crate) fn run(command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Status(args) => block_on(status::run(&args)),
        Command::Fragment(FragmentCommand::Show(args)) => block_on(fragment::show(&args)),
        Command::Plan(args) => match args.operation() {
            Some(operation) => block_on(operate::plan(&operation, args.ask())),
            None => block_on(plan::run(args.ask())),
        },
        Command::Cluster(ClusterCommand::Init(args)) => block_on(cluster::init(&args)),
        Command::Cluster(ClusterCommand::Cells(ask)) => block_on(cluster::cells(&ask)),
        Command::Node(NodeCommand::Join(ask)) => block_on(cluster::join(&ask)),
        Command::Node(NodeCommand::List(ask)) => block_on(cluster::nodes(&ask)),
        Command::Node(NodeCommand::Remove(args)) => block_on(cluster::remove(&args)),
        Command::Locate(args) => block_on(cluster::locate(&args)),
        Command::Move(todo) => block_on(operate::run(&todo)),
        Command::Stage(todo) => block_on(operate::run(&todo)),
        Command::Rebalance(todo) => block_on(operate::run(&todo)),
        Command::Handover(todo) => block_on(operate::run(&todo)),
        Command::Decommission(todo) => block_on(operate::run(&todo)),
        Command::Failover(todo) => block_on(operate::run(&todo)),
        Command::Split(todo) => block_on(operate::run(&todo)),
        Command::Merge(todo) => block_on(operate::run(&todo)),
        Command::Moves(ask) => block_on(moves::list(&ask)),
        Command::Cancel(args) => block_on(moves::cancel(&args)),
        Command::SafeToStop(args) => block_on(cluster::safe_to_stop(&args)),
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
        Command::Quarantine(QuarantineCommand::Reapply(args)) => block_on(quarantine::reapply(&args)),
        Command::Quarantine(QuarantineCommand::Drop(args)) => block_on(quarantine::drop_file(&args)),
    }
}

/// One thread is enough to ask one node.
fn block_on(work: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| limosa_server::ServerError::Resources { source })?.block_on(work)
}
