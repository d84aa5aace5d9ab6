//! Flags of the commands about fragments, nodes and moves.

use clap::{Args, Subcommand};
use limosa_node::pki::NodeName;
use limosa_server::http::api::{Failover, MoveTo, OfNode, Operation, Slots};

use super::{Ask, node_name};

/// What says which operation is meant.
pub(crate) trait Asks {
    /// The operation.
    fn operation(&self) -> Operation;
}

/// An operation, and how it is carried out.
#[derive(Debug, Args)]
pub(crate) struct Do<T: Args> {
    #[command(flatten)]
    pub(crate) what: T,
    /// Refuse if planning it now gives materially something else than this plan of `limosa plan`
    #[arg(long, value_name = "ID")]
    pub(crate) plan: Option<String>,
    /// Wait until the moves that it begins have ended; exit code 1 when one was aborted
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// An operation that is only planned.
#[derive(Debug, Args)]
pub(crate) struct Plan<T: Args> {
    #[command(flatten)]
    pub(crate) what: T,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// Fragments, and where they go.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// Numbers of fragments
    #[arg(value_name = "FRAGMENT", value_parser = fragment, required_unless_present = "slots")]
    pub(crate) fragments: Vec<u32>,
    /// Every fragment in these slots, for example 0-4095; may be given again
    #[arg(long, value_name = "FIRST-LAST", value_parser = slots)]
    pub(crate) slots: Vec<Slots>,
    /// Name of the node that they go to
    #[arg(long, value_name = "NODE", value_parser = node_name)]
    pub(crate) to: NodeName,
}

impl Where {
    fn body(&self) -> MoveTo {
        MoveTo { fragments: self.fragments.clone(), slots: self.slots.clone(), to: self.to.to_string() }
    }
}

/// `limosa move`.
#[derive(Debug, Args)]
pub(crate) struct Move {
    #[command(flatten)]
    place: Where,
}

impl Asks for Move {
    fn operation(&self) -> Operation {
        Operation::Move(self.place.body())
    }
}

/// `limosa stage`.
#[derive(Debug, Args)]
pub(crate) struct Stage {
    #[command(flatten)]
    place: Where,
}

impl Asks for Stage {
    fn operation(&self) -> Operation {
        Operation::Stage(self.place.body())
    }
}

/// `limosa rebalance`.
#[derive(Debug, Args)]
pub(crate) struct Rebalance {}

impl Asks for Rebalance {
    fn operation(&self) -> Operation {
        Operation::Rebalance
    }
}

/// `limosa handover`.
#[derive(Debug, Args)]
pub(crate) struct Handover {
    /// Name of the node that gives its roles away
    #[arg(value_name = "NODE", value_parser = node_name)]
    of: NodeName,
}

impl Asks for Handover {
    fn operation(&self) -> Operation {
        Operation::Handover(OfNode { node: self.of.to_string() })
    }
}

/// `limosa decommission`.
#[derive(Debug, Args)]
pub(crate) struct Decommission {
    /// Name of the node that is emptied
    #[arg(value_name = "NODE", value_parser = node_name)]
    of: NodeName,
}

impl Asks for Decommission {
    fn operation(&self) -> Operation {
        Operation::Decommission(OfNode { node: self.of.to_string() })
    }
}

/// `limosa failover`.
#[derive(Debug, Args)]
pub(crate) struct FailOver {
    /// Numbers of fragments that lost their owner, or the name of a node that is lost
    #[arg(value_name = "FRAGMENT|NODE", required = true, value_parser = lost)]
    lost: Vec<Lost>,
    /// Promote also when acknowledged writes may be missing: they are lost, and the fragment stays marked
    #[arg(long)]
    accept_loss: bool,
}

/// What was lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Lost {
    Fragment(u32),
    Node(String),
}

impl Asks for FailOver {
    fn operation(&self) -> Operation {
        let mut body = Failover { accept_loss: self.accept_loss, ..Failover::default() };
        for lost in &self.lost {
            match lost {
                Lost::Fragment(id) => body.fragments.push(*id),
                Lost::Node(name) => body.node = Some(name.clone()),
            }
        }
        Operation::Failover(body)
    }
}

/// `limosa split`.
#[derive(Debug, Args)]
pub(crate) struct Split {
    /// Number of the fragment
    #[arg(value_name = "FRAGMENT", value_parser = fragment)]
    fragment: u32,
    /// Begin the right part with the slot of this key; by default the bytes are halved
    #[arg(long, value_name = "KEY", conflicts_with = "at_slot")]
    at: Option<String>,
    /// Begin the right part with this slot
    #[arg(long, value_name = "SLOT")]
    at_slot: Option<u16>,
}

impl Asks for Split {
    fn operation(&self) -> Operation {
        Operation::Split { fragment: self.fragment, at_key: self.at.clone(), at_slot: self.at_slot }
    }
}

/// `limosa merge`.
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// Number of the fragment with the lower slots
    #[arg(value_name = "LEFT", value_parser = fragment)]
    left: u32,
    /// Number of the fragment that follows it
    #[arg(value_name = "RIGHT", value_parser = fragment)]
    right: u32,
}

impl Asks for Merge {
    fn operation(&self) -> Operation {
        Operation::Merge { left: self.left, right: self.right }
    }
}

/// `limosa plan`: of an operation, or, without one, of the transfers to standbys.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PlanArgs {
    #[command(subcommand)]
    pub(crate) of: Option<PlanCommand>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// What is planned.
#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// What moving fragments to a node would do and cost
    #[command(after_help = "Example:\n  limosa plan move 3 4 --to c")]
    Move(Plan<Move>),
    /// What bringing bytes ahead to a node would do and cost
    #[command(after_help = "Example:\n  limosa plan stage 3 --to c")]
    Stage(Plan<Stage>),
    /// Which moves would make the nodes hold about equal bytes
    #[command(after_help = "Example:\n  limosa plan rebalance")]
    Rebalance(Plan<Rebalance>),
    /// What handing a node's roles over would do
    #[command(after_help = "Example:\n  limosa plan handover a")]
    Handover(Plan<Handover>),
    /// What emptying a node would do and cost
    #[command(after_help = "Example:\n  limosa plan decommission a")]
    Decommission(Plan<Decommission>),
    /// Who would be promoted, and what would be lost
    #[command(after_help = "Example:\n  limosa plan failover a")]
    Failover(Plan<FailOver>),
    /// Where a fragment would be parted
    #[command(after_help = "Example:\n  limosa plan split 3\n  limosa plan split 3 --at user:1000")]
    Split(Plan<Split>),
    /// What two neighbours would become
    #[command(after_help = "Example:\n  limosa plan merge 3 4")]
    Merge(Plan<Merge>),
}

impl PlanArgs {
    /// Where to ask, and how to answer.
    pub(crate) fn ask(&self) -> &Ask {
        match &self.of {
            None => &self.ask,
            Some(PlanCommand::Move(plan)) => &plan.ask,
            Some(PlanCommand::Stage(plan)) => &plan.ask,
            Some(PlanCommand::Rebalance(plan)) => &plan.ask,
            Some(PlanCommand::Handover(plan)) => &plan.ask,
            Some(PlanCommand::Decommission(plan)) => &plan.ask,
            Some(PlanCommand::Failover(plan)) => &plan.ask,
            Some(PlanCommand::Split(plan)) => &plan.ask,
            Some(PlanCommand::Merge(plan)) => &plan.ask,
        }
    }

    /// The operation that is planned; none: the transfers to standbys are shown.
    pub(crate) fn operation(&self) -> Option<Operation> {
        Some(match self.of.as_ref()? {
            PlanCommand::Move(plan) => plan.what.operation(),
            PlanCommand::Stage(plan) => plan.what.operation(),
            PlanCommand::Rebalance(plan) => plan.what.operation(),
            PlanCommand::Handover(plan) => plan.what.operation(),
            PlanCommand::Decommission(plan) => plan.what.operation(),
            PlanCommand::Failover(plan) => plan.what.operation(),
            PlanCommand::Split(plan) => plan.what.operation(),
            PlanCommand::Merge(plan) => plan.what.operation(),
        })
    }
}

/// `limosa cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Make this node's fragments those of a cluster, whose manifest the node was told of
    #[command(after_help = "\
The node must run with --cluster and --manifest, and hold whatever state the cluster begins with.

With --from, an embedded manifest comes into the etcd that the node was told of: stop the node that held it, start nodes with
--manifest http(s)://HOST:PORT of etcd, and name the folder at one of them. No state is copied.

Example:
  limosa cluster init
  limosa cluster init --from /var/lib/limosa/a")]
    Init(ClusterInit),
    /// Show who owns and who copies each fragment
    #[command(after_help = "Example:\n  limosa cluster cells")]
    Cells(Ask),
}

/// `limosa cluster init`.
#[derive(Debug, Args)]
pub(crate) struct ClusterInit {
    /// Folder, on the machine of the node that is asked, whose embedded manifest is moved into etcd
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `limosa node`.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Let the node that is asked take part in its cluster: fragments are placed on it from now on
    #[command(after_help = "Example:\n  limosa node join --node 127.0.0.1:7612")]
    Join(Ask),
    /// List the cluster's nodes
    #[command(after_help = "Example:\n  limosa node list")]
    List(Ask),
    /// Let the cluster forget a node that owns and copies nothing any more
    #[command(after_help = "Example:\n  limosa node remove c")]
    Remove(NodeRemove),
}

/// `limosa node remove`.
#[derive(Debug, Args)]
pub(crate) struct NodeRemove {
    /// Its name
    #[arg(value_name = "NODE", value_parser = node_name)]
    pub(crate) name: NodeName,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `limosa locate`.
#[derive(Debug, Args)]
pub(crate) struct Locate {
    /// The key
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `limosa cancel`.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// Id of the move, as `limosa moves` prints it; or `all`
    #[arg(value_name = "MOVE|all", value_parser = move_id)]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `limosa safe-to-stop`.
#[derive(Debug, Args)]
pub(crate) struct SafeToStop {
    /// Name of the node; by default the one that is asked
    #[arg(value_name = "NODE", value_parser = node_name)]
    pub(crate) of: Option<NodeName>,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// A fragment's number: `7` or `f7`, as tables print it.
fn fragment(text: &str) -> Result<u32, String> {
    text.strip_prefix('f').unwrap_or(text).parse().map_err(|_| "not a fragment's number such as 7 or f7".to_owned())
}

fn lost(text: &str) -> Result<Lost, String> {
    fragment(text).map(Lost::Fragment).or_else(|_| node_name(text).map(|name| Lost::Node(name.to_string())))
}

fn slots(text: &str) -> Result<Slots, String> {
    let wanted = || "not slots such as 0-4095, of 0 to 16383".to_owned();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let slots = Slots { first: first.parse().map_err(|_| wanted())?, last: last.parse().map_err(|_| wanted())? };
    if slots.first <= slots.last && slots.last < limosa_core::slot::SLOTS { Ok(slots) } else { Err(wanted()) }
}

fn move_id(text: &str) -> Result<String, String> {
    let is_id = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_id || text == "all" { Ok(text.to_owned()) } else { Err("not the id of a move, and not `all`".to_owned()) }
}
