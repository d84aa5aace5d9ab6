//! What the HTTP door asks of a cluster: who owns what, and the operations that change it.

use std::future::Future;

use super::api::{
    Cancelled, Cell, ClusterNode, Init, Initialised, Joined, Located, Move, NodeOrder, NodeOrdered, Operated, Operation, OperationPlan,
    Removed, SafeToStop,
};
use super::control::Answer;

/// A cluster, as operators see it through one of its nodes. A node that is in none plans and does splits and merges, and refuses the rest
/// (`cluster.none`). Implementations answer within seconds: what takes longer goes on behind the answer.
pub trait Operate: Send + Sync + 'static {
    /// Every fragment's entry of the manifest, in key order.
    fn cells(&self) -> impl Future<Output = Answer<Vec<Cell>>> + Send;
    /// Where a user's key lives.
    fn locate(&self, key: Vec<u8>) -> impl Future<Output = Answer<Located>> + Send;
    /// Every node, by name.
    fn nodes(&self) -> impl Future<Output = Answer<Vec<ClusterNode>>> + Send;
    /// This node's fragments become those of a cluster with one node.
    fn init(&self, init: Init) -> impl Future<Output = Answer<Initialised>> + Send;
    /// This node takes part in its cluster from now on.
    fn join(&self) -> impl Future<Output = Answer<Joined>> + Send;
    /// The cluster forgets a node that holds nothing any more.
    fn remove(&self, node: String) -> impl Future<Output = Answer<Removed>> + Send;
    /// What an operation would do and cost. Changes nothing.
    fn plan_operation(&self, operation: Operation) -> impl Future<Output = Answer<OperationPlan>> + Send;
    /// Begins an operation. With `plan`, only if planning it now gives materially the same.
    fn operate(&self, operation: Operation, plan: Option<String>) -> impl Future<Output = Answer<Operated>> + Send;
    /// Takes up what another node of the cluster says about fragments of this one.
    fn order(&self, order: NodeOrder) -> impl Future<Output = Answer<NodeOrdered>> + Send;
    /// Moves that run or wait, then those that ended lately, newest first. With `local`, other nodes are not asked.
    fn moves(&self, local: bool) -> impl Future<Output = Answer<Vec<Move>>> + Send;
    /// Gives up a move, or with `all` every one, before its commit.
    fn cancel(&self, id: String) -> impl Future<Output = Answer<Cancelled>> + Send;
    /// Whether a node (none: this one) can be stopped now.
    fn safe_to_stop(&self, node: Option<String>) -> impl Future<Output = Answer<SafeToStop>> + Send;
}
