//! This node as a member of its cluster, for operators.

use std::time::Duration;

use limosa_core::slot::slot_of;
use limosa_core::{NodeName, Retry};
use limosa_node::driver::Node;
use limosa_node::driver::cluster::Cluster;
use tokio::task::JoinHandle;

use super::ask::Ask;
use super::carry::no_node;
use super::gather;
use super::movelog::MoveLog;
use crate::cluster::{Unplanned, World, id, plan, safe};
use crate::http::api::{
    Cancelled, Cell, ClusterNode, Initialised, Joined, Located, Move, MovePhase, MoveState, NodeOrder, Operated, Operation, OperationPlan,
    OrderWord, Removed, SafeToStop,
};
use crate::http::{Answer, ControlError, Turn};

/// How long a node that joins waits until the manifest shows it.
const JOIN_TIME_MAX: Duration = Duration::from_secs(10);

/// See the module.
pub(in crate::server) struct Member {
    pub(super) node: Node,
    pub(super) cluster: Cluster,
    pub(super) ask: Ask,
    log: MoveLog,
    name: String,
    following: JoinHandle<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Member {
    /// A member of the cluster called `name`. Inside a runtime.
    pub(in crate::server) fn new(node: Node, cluster: Cluster, name: String) -> Self {
        let (log, ask) = (MoveLog::default(), Ask::new(node.tls().clone()));
        let following = log.follow(cluster.clone());
        Self { node, cluster, ask, log, name, following }
    }

    async fn world(&self) -> World {
        gather::world(&self.node, &self.cluster, &self.ask, &self.log).await
    }

    pub(in crate::server) async fn cells(&self) -> Vec<Cell> {
        self.world().await.cells
    }

    pub(in crate::server) async fn nodes(&self) -> Vec<ClusterNode> {
        self.world().await.nodes
    }

    pub(in crate::server) fn locate(&self, key: &[u8]) -> Answer<Located> {
        let (slot, world) = (slot_of(key), gather::known(&self.cluster));
        let cell = world.cells.iter().find(|cell| (cell.slots.first..=cell.slots.last).contains(&slot)).ok_or_else(no_cells)?;
        let owner = cell.owner.as_deref().and_then(|owner| world.node(owner));
        Ok(Located {
            slot,
            fragment: cell.fragment,
            resp: owner.map(|owner| owner.resp.clone()),
            owner: cell.owner.clone(),
            sync_set: cell.sync_set.clone(),
            moving_to: cell.moving_to.clone(),
        })
    }

    pub(in crate::server) async fn init(&self, from: Option<String>) -> Answer<Initialised> {
        let made = match from {
            Some(from) => self.node.init_cluster_from(from.into()).await,
            None => self.node.init_cluster().await,
        };
        let fragments = made.map_err(|error| ControlError {
            turn: if error.retry() == Retry::Later { Turn::Later } else { Turn::Refused },
            code: error.code(),
            message: error.to_string(),
            action: "read the entry of this code in docs/errors.md".to_owned(),
            retry: error.retry(),
        })?;
        Ok(Initialised { cluster: self.name.clone(), fragments: fragments as u64 })
    }

    /// A member registers by itself when it starts; this waits until everybody can see it.
    pub(in crate::server) async fn join(&self) -> Answer<Joined> {
        let me = self.cluster.me().clone();
        let mut changed = self.cluster.changed();
        let shown = changed.wait_for(|view| view.nodes.get(&me).is_some_and(|facts| facts.alive) && !view.cells.is_empty());
        let is_in = matches!(tokio::time::timeout(JOIN_TIME_MAX, shown).await, Ok(Ok(_)));
        let world = gather::known(&self.cluster);
        if !is_in {
            return Err(not_in(&world));
        }
        Ok(Joined { node: me.to_string(), nodes: world.nodes.len() as u64 })
    }

    pub(in crate::server) async fn remove(&self, node: &str) -> Answer<Removed> {
        let world = gather::known(&self.cluster);
        let name: NodeName = node.parse().map_err(|_| no_node(node))?;
        let known = world.node(node).ok_or_else(|| no_node(node))?;
        let holds =
            |cell: &&Cell| cell.owner.as_deref() == Some(node) || cell.sync_set.iter().chain(&cell.replicas).any(|member| member == node);
        let held = world.cells.iter().filter(holds).count();
        if held > 0 {
            return Err(still_holds(node, held));
        }
        if known.alive {
            return Err(still_runs(node));
        }
        self.cluster.forget(&name).await.map_err(|error| super::carry::refused(&error))?;
        Ok(Removed { node: node.to_owned() })
    }

    pub(in crate::server) async fn plan(&self, operation: Operation) -> Answer<OperationPlan> {
        plan(&self.world().await, operation).map_err(|why| unplanned(&why))
    }

    pub(in crate::server) async fn operate(&self, operation: Operation, asked: Option<String>) -> Answer<Operated> {
        let world = self.world().await;
        let now = plan(&world, operation).map_err(|why| unplanned(&why))?;
        if let Some(asked) = asked
            && !id::still_holds(&asked, &now.id)
        {
            return Err(crate::server::refusal::plan_changed(&asked, &now.id));
        }
        let as_far_as_it_goes = matches!(now.operation, Operation::Handover(_) | Operation::Decommission(_) | Operation::Failover(_));
        if !now.blocked_because.is_empty() && (now.steps.is_empty() || !as_far_as_it_goes) {
            return Err(blocked(&now));
        }
        if let Operation::Decommission(of) = &now.operation {
            let name: NodeName = of.node.parse().map_err(|_| no_node(&of.node))?;
            self.cluster.set_leaving(&name, true).await.map_err(|error| super::carry::refused(&error))?;
        }
        let accept_loss = matches!(&now.operation, Operation::Failover(lost) if lost.accept_loss);
        let mut done = self.carry(&world, &now, accept_loss).await;
        if let Operation::Decommission(of) = &now.operation {
            done.leaves_by_itself(&of.node);
        }
        if done.begun.is_empty() && !done.refused.is_empty() {
            return Err(refused(&done.refused[0].why));
        }
        let mut message = match done.begun.len() {
            0 => "nothing is to be done".to_owned(),
            1 => format!("{} of one fragment was begun", now.operation.word()),
            count => format!("{} of {count} fragments was begun", now.operation.word()),
        };
        for why in &now.blocked_because {
            message += &format!("; {why}");
        }
        Ok(Operated { plan: now.id, begun: done.begun, refused: done.refused, made: Vec::new(), message })
    }

    /// Every move: those of this node as it knows them, the others as their sources tell, or as the manifest shows them.
    pub(in crate::server) async fn moves(&self, local: bool) -> Vec<Move> {
        let mut moves = self.log.moves(&self.cluster);
        if local {
            return moves;
        }
        let me = self.cluster.me().as_str();
        let nodes = self.cluster.nodes();
        // Those that wait for their turn are known to their sources only: every other node is asked.
        for facts in nodes.values().filter(|facts| facts.alive && facts.entry.name.as_str() != me) {
            let source = facts.entry.name.to_string();
            let Ok(told) = self.ask.get::<Vec<Move>>(&facts.entry.http, "/v1/moves?local=true").await else { continue };
            for theirs in told.into_iter().filter(|theirs| theirs.from == source) {
                match moves.iter_mut().find(|known| known.id == theirs.id) {
                    // It may see the end of its move a moment before this node does, and what it cost nobody else knows.
                    Some(known) if known.state == MoveState::Running || theirs.state != MoveState::Running => *known = theirs,
                    Some(_) => {}
                    None if theirs.phase == MovePhase::Queued => moves.push(theirs),
                    None => {}
                }
            }
        }
        moves
    }

    pub(in crate::server) async fn cancel(&self, id: &str) -> Answer<Cancelled> {
        let moves = self.moves(false).await;
        let meant: Vec<&Move> = moves.iter().filter(|one| one.state == MoveState::Running && (id == "all" || one.id == id)).collect();
        if meant.is_empty() && id != "all" {
            return Err(no_move(id));
        }
        let mut cancelled = Vec::new();
        for source in meant.iter().map(|one| one.from.clone()).collect::<std::collections::BTreeSet<_>>() {
            let theirs: Vec<&&Move> = meant.iter().filter(|one| one.from == source).collect();
            let fragments = theirs.iter().map(|one| one.fragment).collect();
            let order = NodeOrder { order: OrderWord::Cancel, fragments, node: None, accept_loss: false };
            let done = self.give(&source, &order).await?;
            cancelled.extend(theirs.iter().filter(|one| done.taken.contains(&one.fragment)).map(|one| one.id.clone()));
        }
        Ok(Cancelled { moves: cancelled })
    }

    pub(in crate::server) fn safe_to_stop(&self, node: Option<String>) -> Answer<SafeToStop> {
        let node = node.unwrap_or_else(|| self.cluster.me().to_string());
        let world = gather::known(&self.cluster);
        world.node(&node).ok_or_else(|| no_node(&node))?;
        Ok(safe::to_stop(&world, &node))
    }
}

pub(super) fn unplanned(why: &Unplanned) -> ControlError {
    let refused = |turn, code, message, action: &str| ControlError { turn, code, message, action: action.to_owned(), retry: Retry::Never };
    match why {
        Unplanned::NoFragment(id) => {
            let message = format!("the cluster has no fragment {id}: it was split or merged, or never was one");
            refused(Turn::Absent, "cluster.no_fragment", message, "list them with `limosa cluster cells`")
        }
        Unplanned::NoNode(name) => no_node(name),
        Unplanned::Cut(id) => {
            let message = format!("f{id} lies only partly in the slots");
            refused(Turn::Refused, "cluster.slots_cut", message, "name whole fragments, or part it with `limosa split` first")
        }
        Unplanned::Nothing => {
            refused(Turn::Refused, "cluster.nothing_named", "no fragment is named".to_owned(), "name fragments, or slots that hold some")
        }
    }
}

pub(in crate::server) fn blocked(plan: &OperationPlan) -> ControlError {
    ControlError {
        turn: Turn::Refused,
        code: "cluster.blocked",
        message: format!("{} is blocked because {}", plan.operation.word(), plan.blocked_because.join("; ")),
        action: "do what the message says, then try again".to_owned(),
        retry: Retry::Later,
    }
}

fn refused(why: &str) -> ControlError {
    ControlError {
        turn: Turn::Refused,
        code: "cluster.refused",
        message: why.to_owned(),
        action: "look at `limosa moves` and `limosa cluster cells`, then try again".to_owned(),
        retry: Retry::Later,
    }
}

fn no_move(id: &str) -> ControlError {
    ControlError {
        turn: Turn::Absent,
        code: "cluster.no_move",
        message: format!("no move {id} is under way"),
        action: "list them with `limosa moves`".to_owned(),
        retry: Retry::Never,
    }
}

fn no_cells() -> ControlError {
    ControlError {
        turn: Turn::Later,
        code: "cluster.no_cells",
        message: "the manifest has no fragments, or did not answer yet".to_owned(),
        action: "run `limosa cluster init` on the node whose state the cluster begins with".to_owned(),
        retry: Retry::Later,
    }
}

fn not_in(world: &World) -> ControlError {
    let why = match &world.outage {
        Some(why) => format!("the manifest does not answer: {why}"),
        None if world.cells.is_empty() => "the manifest has no fragments: `limosa cluster init` was not run".to_owned(),
        None => "the manifest does not show it yet".to_owned(),
    };
    ControlError {
        turn: Turn::Later,
        code: "cluster.not_in",
        message: format!("this node is not in its cluster yet: {why}"),
        action: "see that --manifest names the cluster's manifest and that it can be reached, then try again".to_owned(),
        retry: Retry::Later,
    }
}

fn still_holds(node: &str, fragments: usize) -> ControlError {
    ControlError {
        turn: Turn::Refused,
        code: "cluster.still_holds",
        message: format!("{node} still owns or copies {fragments} fragments"),
        action: format!("run `limosa decommission {node}` and wait until `limosa node list` shows that it holds nothing"),
        retry: Retry::Later,
    }
}

fn still_runs(node: &str) -> ControlError {
    ControlError {
        turn: Turn::Refused,
        code: "cluster.still_runs",
        message: format!("{node} is running: it would register again"),
        action: "stop it first".to_owned(),
        retry: Retry::Later,
    }
}
