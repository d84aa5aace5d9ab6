//! What the front door asks of the node around it: its role, its standbys, its addresses.

use std::sync::Arc;

use tokio::sync::watch;

use super::cluster::Cluster;

/// One standby, as WAIT and INFO see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replica {
    /// Host of the standby.
    pub host: String,
    /// Its RESP port.
    pub port: u16,
    /// Commits of this node that are durable there.
    pub durable: u64,
    /// Whether it follows the live stream (not in a transfer).
    pub is_live: bool,
}

/// Fixed facts for INFO and CONFIG GET.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeFacts {
    /// Folder of the node's data.
    pub data_dir: String,
    /// Whether every answer waits for a flush to disk (`commit`) or a flush runs once a second (`interval`).
    pub flushes_each_commit: bool,
    /// Address that the front door listens on.
    pub bind: String,
    /// Its port.
    pub port: u16,
}

/// The node around the front door. Called on the front door's thread: every method returns at once.
pub trait Node: Send + Sync + 'static {
    /// Whether this node owns the state and takes writes. Asked under the store's lock, so that a hand-over which takes the lock is seen.
    fn is_owner(&self) -> bool;
    /// RESP address of the owner, when this node is a standby and knows it.
    fn owner_address(&self) -> Option<String>;
    /// Whether a standby has a session with its owner.
    fn is_linked(&self) -> bool;
    /// The standbys of this node.
    fn replicas(&self) -> Vec<Replica>;
    /// Changes whenever a standby's durable position does.
    fn replica_progress(&self) -> watch::Receiver<u64>;
    /// Commits up to `position` were published by a flush of the front door: the live stream may send them.
    fn published(&self, position: u64);
    /// Fixed facts.
    fn facts(&self) -> &NodeFacts;

    /// The cluster that this node is, or may become, a part of; asked once, when the front door opens.
    fn cluster(&self) -> Option<Arc<dyn Cluster>> {
        None
    }

    /// How many standbys have everything up to `position` on disk.
    fn durable_elsewhere(&self, position: u64) -> usize {
        self.replicas().iter().filter(|replica| replica.durable >= position).count()
    }
}
