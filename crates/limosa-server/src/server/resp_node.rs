//! The node as the RESP door sees it.

use std::net::SocketAddr;
use std::sync::Arc;

use limosa_node::driver::{Node, PeerRole, PeerStatus};
use tokio::sync::watch;

use super::cluster::RespCluster;
use crate::resp::{self, NodeFacts, Replica};

/// Answers from memory: every call comes from the RESP door's thread.
pub(super) struct RespNode {
    node: Node,
    facts: NodeFacts,
    cluster: Option<Arc<RespCluster>>,
}

impl RespNode {
    pub(super) fn new(node: Node, facts: NodeFacts, cluster: Option<Arc<RespCluster>>) -> Self {
        Self { node, facts, cluster }
    }

    fn peers(&self, role: PeerRole) -> impl Iterator<Item = PeerStatus> {
        self.node.registry().peers().into_iter().filter(move |peer| peer.role == role && peer.connected)
    }
}

impl resp::Node for RespNode {
    fn is_owner(&self) -> bool {
        self.node.role().is_owner()
    }

    /// Unknown: a standby knows its owner's peer address only.
    fn owner_address(&self) -> Option<String> {
        None
    }

    fn is_linked(&self) -> bool {
        self.peers(PeerRole::Owner).any(|peer| peer.live)
    }

    fn replicas(&self) -> Vec<Replica> {
        self.peers(PeerRole::Standby).map(|peer| replica(&peer)).collect()
    }

    fn replica_progress(&self) -> watch::Receiver<u64> {
        self.node.registry().progress()
    }

    fn published(&self, position: u64) {
        self.node.published(position);
    }

    fn facts(&self) -> &NodeFacts {
        &self.facts
    }

    fn cluster(&self) -> Option<Arc<dyn resp::cluster::Cluster>> {
        self.cluster.clone().map(|cluster| cluster as Arc<dyn resp::cluster::Cluster>)
    }
}

fn replica(peer: &PeerStatus) -> Replica {
    let address: Option<SocketAddr> = peer.address.parse().ok();
    Replica {
        host: address.map_or_else(|| peer.address.clone(), |address| address.ip().to_string()),
        port: address.map_or(0, |address| address.port()),
        durable: peer.acknowledged,
        is_live: peer.live,
    }
}
