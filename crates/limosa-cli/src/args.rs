//! The command line: commands, flags, help. Every command's help ends with an example.

pub(crate) mod cluster;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use limosa_node::pki::NodeName;
use limosa_server::config::HostPort;

use crate::commands::serve::ServeArgs;
use crate::demo::DemoArgs;
use cluster::{Do, PlanArgs};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or the answer is yes
  1  the answer is no (verify: the nodes differ; plan: something blocks it; safe-to-stop: it is not)
  2  wrong flags or configuration
  3  the node can't be reached
  4  the node or data folder refuses; the message says what to do

Example:
  limosa serve --data ./a &
  limosa status";

/// State that moves only where it is missing: run a node, keep a standby, see what they do.
#[derive(Debug, Parser)]
#[command(name = "limosa", version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node
    #[command(after_help = "\
Every flag is also a key in --config FILE.toml (stop_timeout = \"25s\") and a variable (LIMOSA_STOP_TIMEOUT=25s).
A flag wins over a variable, a variable over the file.

SIGTERM or Ctrl-C: flush, stop in order, exit 0. A second one exits at once, as safe as kill -9.

Example:
  limosa serve --data ./a
  limosa serve --data ./b --bundle b.pem --standby-of 127.0.0.1:7601 \\
    --resp 127.0.0.1:7610 --peer 127.0.0.1:7611 --http 127.0.0.1:7612")]
    Serve(ServeArgs),
    /// Start an owner and a standby, let them lose touch in seven ways, and measure what it costs to agree again
    #[command(after_help = "\
Exit code 0 only if both ends held the same after every scene, as read over RESP.

Example:
  limosa demo
  limosa demo --scenes 1,4 --entries 1000000
  limosa demo --input packages.jsonl --key Package --report demo.json")]
    Demo(DemoArgs),
    /// Show what a node is and how its standbys do
    #[command(after_help = "Example:\n  limosa status\n  limosa status --watch\n  limosa status --node 127.0.0.1:7612 --json")]
    Status(StatusArgs),
    /// Look at fragments
    #[command(subcommand, after_help = "Example:\n  limosa fragment show 7")]
    Fragment(FragmentCommand),
    /// Show what an operation would do and cost; without one, how standbys are brought up to date, and why so
    #[command(after_help = "\
The plan has an id: given with the operation (--plan ID), that is refused once the world has changed materially.

Example:
  limosa plan
  limosa plan move 3 4 --to c
  limosa plan split 3")]
    Plan(PlanArgs),
    /// Make nodes a cluster, and look at it
    #[command(subcommand, after_help = "Example:\n  limosa cluster init")]
    Cluster(cluster::ClusterCommand),
    /// Take nodes in, list them, forget them
    #[command(subcommand, after_help = "Example:\n  limosa node list")]
    Node(cluster::NodeCommand),
    /// Say where a key lives
    #[command(after_help = "Example:\n  limosa locate user:1000")]
    Locate(cluster::Locate),
    /// Move ownership of fragments to another node while the service goes on
    #[command(after_help = "Example:\n  limosa move 3 4 --to c --wait\n  limosa move --slots 0-4095 --to c")]
    Move(Do<cluster::Move>),
    /// Bring a fragment's bytes ahead to another node and keep them fresh: a later move only cuts over
    #[command(after_help = "Example:\n  limosa stage 3 --to c")]
    Stage(Do<cluster::Stage>),
    /// Move fragments until the nodes hold about equal bytes, to whoever holds them already where that does
    #[command(after_help = "Example:\n  limosa plan rebalance\n  limosa rebalance --wait")]
    Rebalance(Do<cluster::Rebalance>),
    /// Give a node's roles to complete standbys before it is stopped; its data stays
    #[command(after_help = "SIGTERM does the same by itself, within --stop-timeout.\n\nExample:\n  limosa handover a --wait")]
    Handover(Do<cluster::Handover>),
    /// Empty a node before it is removed: its roles and its copies go to others
    #[command(after_help = "Example:\n  limosa decommission a\n  limosa node remove a")]
    Decommission(Do<cluster::Decommission>),
    /// Promote somebody in place of an owner that is lost
    #[command(after_help = "Example:\n  limosa failover a\n  limosa failover 3 4 --accept-loss")]
    Failover(Do<cluster::FailOver>),
    /// Part a fragment between two slots: no entry moves
    #[command(after_help = "Example:\n  limosa split 3\n  limosa split 3 --at user:1000")]
    Split(Do<cluster::Split>),
    /// Make one fragment of two neighbours: no entry moves
    #[command(after_help = "Example:\n  limosa merge 3 4")]
    Merge(Do<cluster::Merge>),
    /// List moves: phase, bytes, rate, what is left or what blocks them
    #[command(after_help = "Example:\n  limosa moves --json")]
    Moves(Ask),
    /// Give up a move before its commit; the source serves on
    #[command(after_help = "Example:\n  limosa cancel all")]
    Cancel(cluster::Cancel),
    /// Say whether a node can be stopped now, and why; exit code 1 when it can't
    #[command(after_help = "Example:\n  limosa safe-to-stop b && echo go on")]
    SafeToStop(cluster::SafeToStop),
    /// List the last transfers: method, cost, and why
    #[command(after_help = "Example:\n  limosa transfers --json")]
    Transfers(Ask),
    /// Check that two nodes hold the same; exit code 1 when they do not
    #[command(after_help = "\
By itself the node compares what the stream of commits proves: equal digests at the start of the session and behind each commit since.
With --with, this program reads the digests of all fragments from both nodes; writes that go on meanwhile are waited for a few seconds.

Example:
  limosa verify --peer b && echo equal
  limosa verify --with 127.0.0.1:7612")]
    Verify(VerifyArgs),
    /// Make a standby take writes, under a new epoch
    #[command(after_help = "\
The old owner does not learn of it by itself: stop it first, then let it follow this node.

Example:
  limosa promote --node 127.0.0.1:7612")]
    Promote(Ask),
    /// Make a node a standby of another
    #[command(after_help = "\
What it holds beyond the common history is set aside (`limosa quarantine list`) before it is replaced.

Example:
  limosa follow 127.0.0.1:7611 --node 127.0.0.1:7602")]
    Follow(FollowArgs),
    /// Make certificates
    #[command(subcommand, after_help = "Example:\n  limosa cert issue --for b --out b.pem")]
    Cert(CertCommand),
    /// Work on the data folder of a node that does not run
    #[command(subcommand, after_help = "Example:\n  limosa store check --data ./a")]
    Store(StoreCommand),
    /// Look at writes that a diverged node had to set aside
    #[command(subcommand, after_help = "Example:\n  limosa quarantine list")]
    Quarantine(QuarantineCommand),
}

impl Command {
    /// Whether answers and errors are wanted as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Serve(serve) => serve.json,
            Self::Demo(demo) => demo.json,
            Self::Status(status) => status.ask.json,
            Self::Transfers(ask) | Self::Promote(ask) | Self::Moves(ask) => ask.json,
            Self::Plan(plan) => plan.ask().json,
            Self::Cluster(cluster::ClusterCommand::Init(args)) => args.ask.json,
            Self::Cluster(cluster::ClusterCommand::Cells(ask)) => ask.json,
            Self::Node(cluster::NodeCommand::Join(ask) | cluster::NodeCommand::List(ask)) => ask.json,
            Self::Node(cluster::NodeCommand::Remove(remove)) => remove.ask.json,
            Self::Locate(locate) => locate.ask.json,
            Self::Move(todo) => todo.ask.json,
            Self::Stage(todo) => todo.ask.json,
            Self::Rebalance(todo) => todo.ask.json,
            Self::Handover(todo) => todo.ask.json,
            Self::Decommission(todo) => todo.ask.json,
            Self::Failover(todo) => todo.ask.json,
            Self::Split(todo) => todo.ask.json,
            Self::Merge(todo) => todo.ask.json,
            Self::Cancel(cancel) => cancel.ask.json,
            Self::SafeToStop(safe) => safe.ask.json,
            Self::Fragment(FragmentCommand::Show(show)) => show.ask.json,
            Self::Verify(verify) => verify.ask.json,
            Self::Follow(follow) => follow.ask.json,
            Self::Cert(CertCommand::Issue(issue)) => issue.json,
            Self::Store(StoreCommand::Check(folder) | StoreCommand::Stats(folder) | StoreCommand::ForgetHistory(folder)) => folder.json,
            Self::Store(StoreCommand::Dump(dump)) => dump.folder.json,
            Self::Quarantine(QuarantineCommand::List(ask)) => ask.json,
            Self::Quarantine(QuarantineCommand::Show(show)) => show.ask.json,
            Self::Quarantine(QuarantineCommand::Reapply(reapply)) => reapply.ask.json,
            Self::Quarantine(QuarantineCommand::Drop(show)) => show.ask.json,
        }
    }
}

fn host_port(text: &str) -> Result<HostPort, String> {
    HostPort::parse(text).map_err(|wanted| format!("not {wanted}"))
}

fn node_name(text: &str) -> Result<NodeName, String> {
    text.parse::<NodeName>().map_err(|error| error.to_string())
}

/// Which node to ask, and how to answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct Ask {
    /// HTTP address of the node
    #[arg(long, value_name = "ADDR", env = "LIMOSA_NODE", default_value = "127.0.0.1:7602", value_parser = host_port)]
    pub(crate) node: HostPort,
    /// Speak TLS and show this node's certificate: needed to change things from another machine
    #[arg(long, value_name = "FILE", env = "LIMOSA_BUNDLE")]
    pub(crate) bundle: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `limosa status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print it again each second until it is interrupted; with --json one line each
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `limosa fragment`.
#[derive(Debug, Subcommand)]
pub(crate) enum FragmentCommand {
    /// Show one fragment with its history, or all of them
    #[command(after_help = "Example:\n  limosa fragment show\n  limosa fragment show 7")]
    Show(FragmentShow),
}

/// `limosa fragment show`.
#[derive(Debug, Args)]
pub(crate) struct FragmentShow {
    /// Number of the fragment; none: all
    #[arg(value_name = "ID")]
    pub(crate) id: Option<u32>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `limosa verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Ask this node too (its HTTP address), and compare the digests of both here
    #[arg(long, value_name = "ADDR", value_parser = host_port, conflicts_with = "peer")]
    pub(crate) with: Option<HostPort>,
    /// Compare with this peer; none: with every connected one
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    pub(crate) peer: Option<NodeName>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `limosa follow`.
#[derive(Debug, Args)]
pub(crate) struct FollowArgs {
    /// Peer address of the owner
    #[arg(value_name = "OWNER", value_parser = host_port)]
    pub(crate) owner: HostPort,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `limosa cert`.
#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// Make the file with which another node joins this cluster
    #[command(after_help = "\
Run it on the node that founded the cluster (it holds the key), running or not. Who has the file can join as that node: keep it secret.

Example:
  limosa cert issue --for b --out b.pem --data ./a
  limosa serve --data ./b --bundle b.pem --standby-of 127.0.0.1:7601")]
    Issue(CertIssue),
}

/// `limosa cert issue`.
#[derive(Debug, Args)]
pub(crate) struct CertIssue {
    /// Name of the node that joins
    #[arg(long = "for", value_name = "NODE", value_parser = node_name)]
    pub(crate) node: NodeName,
    /// Where to write; by default NODE.pem
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Data folder of the node that founded the cluster
    #[arg(long, value_name = "DIR", env = "LIMOSA_DATA", default_value = "./limosa-data")]
    pub(crate) data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `limosa store`.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read everything and compare it with its digests; exit code 1 when something is damaged
    #[command(after_help = "\
Opens the folder as a start of the node would: a torn last write is cut off the journal.

Example:
  limosa store check --data ./a")]
    Check(Folder),
    /// Figures: entries, deletions, blocks, journal and checkpoint
    #[command(after_help = "\
Reads no block. Opens the folder as a start of the node would: a torn last write is cut off the journal.

Example:
  limosa store stats --data ./a")]
    Stats(Folder),
    /// Print the entries, one JSON object a line; bytes that are no UTF-8 as base64
    #[command(after_help = "\
In the order of fragments and slots, not of keys. Opens the folder as a start of the node would: a torn last write is cut off the journal.

Example:
  limosa store dump --data ./a --from-key user: --to-key 'user;' --limit 10 | jq .key")]
    Dump(DumpArgs),
    /// Make this node's history unknown to every other, for drills: they can then only compare by content
    #[command(after_help = "\
Entries and versions stay. The next session with an owner costs a comparison of all digests, and whatever is only here is set aside.

Example:
  limosa store forget-history --data ./b")]
    ForgetHistory(Folder),
}

/// `limosa store dump`.
#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    pub(crate) folder: Folder,
    /// Only this fragment
    #[arg(long, value_name = "ID")]
    pub(crate) fragment: Option<u32>,
    /// Only keys from this one on
    #[arg(long, value_name = "KEY")]
    pub(crate) from_key: Option<String>,
    /// Only keys below this one
    #[arg(long, value_name = "KEY")]
    pub(crate) to_key: Option<String>,
    /// At most so many entries
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
    /// Deletions too
    #[arg(long)]
    pub(crate) tombstones: bool,
}

/// A data folder that no node uses.
#[derive(Debug, Args)]
pub(crate) struct Folder {
    /// The folder
    #[arg(long, value_name = "DIR", env = "LIMOSA_DATA", default_value = "./limosa-data")]
    pub(crate) data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `limosa quarantine`.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List the files
    #[command(after_help = "Example:\n  limosa quarantine list")]
    List(Ask),
    /// Print the records of one file, one JSON object a line
    #[command(after_help = "Example:\n  limosa quarantine show 20261122T130405Z-1.jsonl | jq .key")]
    Show(QuarantineShow),
    /// Write records of a file again, key by key, where nobody has changed the key since; exit code 1 when a key was left alone
    #[command(after_help = "\
Large values need all their records: the whole key is read from the file. Where the node that has the file is not the owner, name that with --to.

Example:
  limosa quarantine reapply 20261122T130405Z-1.jsonl user:1000 user:1001 --node 127.0.0.1:7612 --to 127.0.0.1:7602
  limosa quarantine reapply 20261122T130405Z-1.jsonl --all")]
    Reapply(QuarantineReapply),
    /// Delete a file, for good
    #[command(after_help = "Example:\n  limosa quarantine drop 20261122T130405Z-1.jsonl")]
    Drop(QuarantineShow),
}

/// `limosa quarantine reapply`.
#[derive(Debug, Args)]
pub(crate) struct QuarantineReapply {
    /// Name of the file, as `limosa quarantine list` prints it
    #[arg(value_name = "FILE", value_parser = file_name)]
    pub(crate) name: String,
    /// The keys
    #[arg(value_name = "KEY", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) keys: Vec<String>,
    /// Every key of the file
    #[arg(long)]
    pub(crate) all: bool,
    /// HTTP address of the node that owns the keys; by default the one that has the file
    #[arg(long, value_name = "ADDR", value_parser = host_port)]
    pub(crate) to: Option<HostPort>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `limosa quarantine show`.
#[derive(Debug, Args)]
pub(crate) struct QuarantineShow {
    /// Name of the file, as `limosa quarantine list` prints it
    #[arg(value_name = "FILE", value_parser = file_name)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

fn file_name(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("not a file name of `limosa quarantine list`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn leaves(command: &clap::Command, path: &str, out: &mut Vec<(String, String)>) {
        let path = format!("{path} {}", command.get_name());
        out.push((path.clone(), command.get_after_help().map(ToString::to_string).unwrap_or_default()));
        command.get_subcommands().for_each(|sub| leaves(sub, &path, out));
    }

    #[test]
    fn the_help_of_every_command_shows_an_example_that_parses() {
        Cli::command().debug_assert();
        let mut found = Vec::new();
        leaves(&Cli::command(), "", &mut found);
        assert!(found.len() > 12);
        for (path, help) in found {
            let examples = help.split_once("Example:\n").unwrap_or_else(|| panic!("{path} has no example")).1.replace("\\\n", "");
            for line in examples.lines().filter(|line| line.trim_start().starts_with("limosa")) {
                let words = line.split(['&', '|']).next().expect("a line").split_whitespace();
                assert!(Cli::try_parse_from(words).is_ok(), "{path}: {line}");
            }
        }
    }

    #[test]
    fn wrong_flags_are_usage_errors() {
        for line in [
            "",
            "status --nod a:1",
            "status --node a",
            "fragment show seven",
            "follow",
            "follow owner",
            "cert issue",
            "cert issue --for Node",
            "verify --peer ../b",
            "move --to b",
            "move 3",
            "move x --to b",
            "move --slots 9-3 --to b",
            "move --slots 0-16384 --to b",
            "split 3 --at a --at-slot 7",
            "merge 3",
            "failover",
            "cancel 12",
            "quarantine reapply a.jsonl",
            "quarantine show ../../pki/ca.key",
            "serve extra",
        ] {
            let words = std::iter::once("limosa").chain(line.split_whitespace());
            let error = Cli::try_parse_from(words).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
