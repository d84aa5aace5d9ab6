//! Who serves which slot, for the RESP door: a picture that is made anew whenever the manifest or a gate changes.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use limosa_core::{FragmentId, NodeName};
use limosa_manifest::FragmentCell;
use limosa_manifest::cell::Holder;
use limosa_node::driver::Node;
use limosa_node::driver::cluster::{self, Cluster};
use tokio::sync::watch;

use crate::config::{Ack, HostPort};
use crate::http::api::Slots;
use crate::resp::cluster::{self as door, Acked, NodeRef, Picture, SlotRange, Standing, node_id};

/// How often gates are looked at beside the changes of the manifest: while something moves or waits, and else.
const LOOK: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

/// The cluster as the RESP door sees it.
pub(in crate::server) struct RespCluster {
    cluster: Cluster,
    level: cluster::AckLevel,
    pictures: watch::Receiver<Option<Arc<Picture>>>,
}

impl RespCluster {
    /// Draws pictures in a task of its own for as long as the node is there.
    pub(in crate::server) fn new(node: &Node, cluster: Cluster, ack: Ack) -> Self {
        let (sender, pictures) = watch::channel(None);
        tokio::spawn(draw(node.clone(), cluster.clone(), sender));
        let level = match ack {
            Ack::Local => cluster::AckLevel::Local,
            Ack::Standby => cluster::AckLevel::Standby,
            Ack::All => cluster::AckLevel::All,
        };
        Self { cluster, level, pictures }
    }
}

impl door::Cluster for RespCluster {
    fn pictures(&self) -> watch::Receiver<Option<Arc<Picture>>> {
        self.pictures.clone()
    }

    fn staleness(&self, fragment: FragmentId) -> Option<Duration> {
        match self.cluster.standing(fragment) {
            cluster::Standing::Serve => Some(Duration::ZERO),
            _ => self.cluster.staleness(fragment),
        }
    }

    fn stint(&self, fragment: FragmentId) -> u64 {
        self.cluster.stint(fragment)
    }

    fn acked(&self, fragment: FragmentId, stint: u64) -> Acked {
        match self.cluster.acked(fragment, stint, self.level) {
            cluster::Acked::UpTo(position) => Acked::UpTo(position),
            cluster::Acked::Unknown => Acked::Unknown,
        }
    }

    fn may_read(&self, fragment: FragmentId, stint: u64) -> bool {
        self.cluster.may_read(fragment, stint)
    }

    fn slowed_per_mille(&self, fragment: FragmentId) -> u16 {
        self.cluster.slowed_per_mille(fragment)
    }

    fn copies(&self, fragment: FragmentId, stint: u64, position: u64) -> usize {
        self.cluster.copies(fragment, stint, position)
    }

    fn ack_progress(&self) -> watch::Receiver<u64> {
        self.cluster.progress()
    }
}

async fn draw(node: Node, cluster: Cluster, sender: watch::Sender<Option<Arc<Picture>>>) {
    let mut changed = cluster.changed(); // not its progress: that comes with every acknowledgement, and shows in no picture
    while !sender.is_closed() {
        let picture = picture(&node, &cluster);
        let is_busy = picture.as_ref().is_some_and(|picture| picture.ranges().iter().any(|range| range.standing == Standing::Park));
        let is_busy = is_busy || cluster.cells().values().any(|cell| cell.running.is_some());
        sender.send_if_modified(|known| {
            let is_new = known.as_deref() != picture.as_ref();
            if is_new {
                *known = picture.map(Arc::new);
            }
            is_new
        });
        tokio::select! {
            gone = changed.changed() => if gone.is_err() { return },
            () = tokio::time::sleep(LOOK[usize::from(!is_busy)]) => {}
        }
    }
}

/// `None` until the manifest has cells.
fn picture(node: &Node, cluster: &Cluster) -> Option<Picture> {
    let (cells, known) = (cluster.cells(), cluster.nodes());
    if cells.is_empty() {
        return None;
    }
    let mut nodes: Vec<NodeRef> = known.values().filter_map(|facts| reference(node, cluster, facts)).collect();
    let index = |nodes: &[NodeRef], name: &NodeName| nodes.iter().position(|node| node.name == name.as_str());
    let myself = index(&nodes, cluster.me()).unwrap_or_else(|| {
        nodes.push(own(node, cluster)); // it has cells, and is not registered yet
        nodes.len() - 1
    });
    let mut cells: Vec<_> = cells.into_values().collect();
    cells.sort_by(|one, other| one.range.start.cmp(&other.range.start));
    let mut ranges: Vec<SlotRange> = Vec::with_capacity(cells.len());
    for cell in cells {
        let slots = Slots::of(&cell.range);
        if ranges.last().is_some_and(|last| last.last >= slots.first) {
            continue; // another fragment of the same slot: the first one stands for it
        }
        ranges.push(SlotRange {
            first: slots.first,
            last: slots.last,
            fragment: cell.id(),
            epoch: cell.epoch,
            owner: cell.owner().and_then(|owner| index(&nodes, owner)),
            replicas: cell.sync_set.iter().filter_map(|member| index(&nodes, member)).collect(),
            standing: standing(&cell, cluster),
        });
    }
    Some(Picture::new(nodes, myself, ranges))
}

fn standing(cell: &FragmentCell, cluster: &Cluster) -> Standing {
    match cluster.standing(cell.id()) {
        // Somebody is about to be promoted: requests wait for that, as long as they wait for a cutover.
        cluster::Standing::Down(_) if matches!(cell.holder, Holder::Fenced { .. }) && cluster.outage().is_none() => Standing::Park,
        cluster::Standing::Serve => Standing::Serve,
        cluster::Standing::Park => Standing::Park,
        cluster::Standing::Moved(_) => Standing::Moved,
        cluster::Standing::Replica { .. } => Standing::Replica,
        cluster::Standing::Down(why) => Standing::Down(why.into()),
    }
}

/// A node as clients address it; `None` when its addresses can't be used.
fn reference(node: &Node, cluster: &Cluster, facts: &cluster::NodeFacts) -> Option<NodeRef> {
    let entry = &facts.entry;
    let resp = HostPort::parse(&entry.resp).ok()?;
    Some(NodeRef {
        id: node_id(entry.name.as_str(), entry.incarnation),
        name: entry.name.to_string(),
        host: resp.host,
        port: resp.port,
        peer_port: HostPort::parse(&entry.peer).map_or(0, |peer| peer.port),
        linked_since_ms: (entry.name == *cluster.me() || facts.alive).then(|| started_ms(node)),
    })
}

fn own(node: &Node, cluster: &Cluster) -> NodeRef {
    let addresses = &cluster.options().addresses;
    let resp = HostPort::parse(&addresses.resp).unwrap_or(HostPort { host: String::new(), port: 0 });
    NodeRef {
        id: node_id(cluster.me().as_str(), node.store().incarnation()),
        name: cluster.me().to_string(),
        host: resp.host,
        port: resp.port,
        peer_port: HostPort::parse(&addresses.peer).map_or(0, |peer| peer.port),
        linked_since_ms: Some(started_ms(node)),
    }
}

/// Since when nodes that are there count as linked: lanes are not told apart here.
fn started_ms(_node: &Node) -> u64 {
    static STARTED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    *STARTED.get_or_init(now)
}
