//! What this node and the others know of the cluster, as one [`World`].

use std::collections::BTreeMap;

use limosa_core::FragmentId;
use limosa_manifest::FragmentCell;
use limosa_manifest::cell::Holder;
use limosa_node::driver::cluster::Cluster;
use limosa_node::driver::{Node, TransferRecord};

use super::ask::Ask;
use super::movelog::MoveLog;
use crate::cluster::World;
use crate::http::api::{Cell, ClusterNode, Fragment, Slots, hex64};

/// Fewest bytes of a transfer whose rate says something.
const RATE_BYTES_MIN: u64 = 1 << 20;

/// The cluster now. Other nodes are asked for the bytes of their fragments; those that do not answer in time leave theirs unknown.
pub(super) async fn world(node: &Node, cluster: &Cluster, ask: &Ask, log: &MoveLog) -> World {
    let bytes = bytes_by_owner(node, cluster, ask).await;
    let cells: Vec<Cell> = in_key_order(cluster).iter().map(|cell| view(cell, &bytes)).collect();
    let nodes = nodes(cluster, &cells);
    World {
        cells,
        nodes,
        standbys: usize::from(cluster.options().standbys),
        rate_bytes_per_s: node.registry().transfers().iter().find_map(rate),
        pause_ms: log.last_pause_ms(),
        outage: cluster.outage(),
    }
}

/// Cells and nodes as the manifest says, no one asked.
pub(super) fn known(cluster: &Cluster) -> World {
    let cells: Vec<Cell> = in_key_order(cluster).iter().map(|cell| view(cell, &BTreeMap::new())).collect();
    let nodes = nodes(cluster, &cells);
    World { cells, nodes, standbys: usize::from(cluster.options().standbys), outage: cluster.outage(), ..World::default() }
}

fn in_key_order(cluster: &Cluster) -> Vec<FragmentCell> {
    let mut cells: Vec<FragmentCell> = cluster.cells().into_values().collect();
    cells.sort_by(|one, other| one.range.start.cmp(&other.range.start));
    cells
}

fn rate(transfer: &TransferRecord) -> Option<f64> {
    let counts = transfer.failure.is_none() && transfer.moved_bytes >= RATE_BYTES_MIN && transfer.seconds > 0.0;
    counts.then(|| transfer.moved_bytes as f64 / transfer.seconds)
}

/// Live bytes by fragment and by who says so: only the owner's word counts.
async fn bytes_by_owner(node: &Node, cluster: &Cluster, ask: &Ask) -> BTreeMap<(FragmentId, String), u64> {
    let me = cluster.me().to_string();
    let own = node.store().facts().into_iter().map(|facts| ((facts.id, me.clone()), facts.live_bytes)).collect();
    let others = cluster.nodes().into_iter().filter(|(name, facts)| facts.alive && *name != *cluster.me());
    let mut asked = tokio::task::JoinSet::new();
    for (name, facts) in others {
        let ask = ask.clone();
        asked.spawn(async move { (name.to_string(), ask.get::<Vec<Fragment>>(&facts.entry.http, "/v1/fragments").await) });
    }
    let mut bytes: BTreeMap<_, _> = own;
    while let Some(answered) = asked.join_next().await {
        if let Ok((name, Ok(fragments))) = answered {
            bytes.extend(fragments.iter().map(|fragment| ((FragmentId(fragment.id), name.clone()), fragment.bytes)));
        }
    }
    bytes
}

fn view(cell: &FragmentCell, bytes: &BTreeMap<(FragmentId, String), u64>) -> Cell {
    let names = |names: &std::collections::BTreeSet<_>| names.iter().map(ToString::to_string).collect();
    let owner = cell.owner().map(ToString::to_string);
    Cell {
        fragment: cell.fragment,
        slots: Slots::of(&cell.range),
        epoch: cell.epoch,
        fenced_by: match &cell.holder {
            Holder::Fenced { by, .. } => Some(by.to_string()),
            Holder::Serving(_) => None,
        },
        sync_set: names(&cell.sync_set),
        replicas: names(&cell.replicas),
        flushed_min: cell.flushed_min,
        committed: cell.committed.into(),
        moving_to: cell.running.as_ref().map(|running| running.to.to_string()),
        loss_accepted: cell.marks.accepted_loss_epoch > 0,
        bytes: owner.as_ref().and_then(|owner| bytes.get(&(cell.id(), owner.clone())).copied()),
        owner,
    }
}

fn nodes(cluster: &Cluster, cells: &[Cell]) -> Vec<ClusterNode> {
    let one = |(name, facts): (limosa_core::NodeName, limosa_node::driver::cluster::NodeFacts)| {
        let name = name.to_string();
        let owned = || cells.iter().filter(|cell| cell.owner.as_ref() == Some(&name));
        let entry = facts.entry;
        ClusterNode {
            incarnation: hex64(entry.incarnation),
            resp: entry.resp,
            peer: entry.peer,
            http: entry.http,
            zone: entry.zone,
            labels: entry.labels,
            leaving: entry.leaving,
            alive: facts.alive,
            owns: owned().count() as u64,
            copies: cells.iter().filter(|cell| cell.sync_set.contains(&name)).count() as u64,
            bytes: owned().map(World::bytes).sum(),
            name,
        }
    };
    cluster.nodes().into_iter().map(one).collect()
}
