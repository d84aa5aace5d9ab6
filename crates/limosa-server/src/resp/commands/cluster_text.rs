//! The answers of CLUSTER that are text: NODES, INFO and HELP.

use std::fmt::Write as _;

use limosa_core::slot::SLOTS;

use super::super::cluster::{Picture, Standing};
use super::cluster::{is_whole, role, runs};

/// One line a node: id, address, flags, owner, ping, pong, epoch, link, slots.
pub(super) fn nodes(picture: &Picture) -> String {
    let (runs, mut text) = (runs(picture), String::new());
    for (index, node) in picture.nodes().iter().enumerate() {
        let is_me = index == picture.my_index();
        let is_replica = role(picture, index) == "replica";
        let is_lost = node.linked_since_ms.is_none() && !is_me;
        let flags =
            [if is_me { "myself," } else { "" }, if is_replica { "slave" } else { "master" }, if is_lost { ",fail?" } else { "" }].concat();
        let owner = if is_replica { mostly_followed(picture, index).map(|owner| &*picture.nodes()[owner].id) } else { None };
        let epoch = picture.ranges().iter().filter(|range| range.owner == Some(index)).map(|range| range.epoch).max().unwrap_or(0);
        let link = if !is_lost { "connected" } else { "disconnected" };
        let owner = owner.unwrap_or("-");
        let _ = write!(text, "{} {}:{}@{} {flags} {owner} 0 0 {epoch} {link}", node.id, node.host, node.port, node.peer_port);
        let mut first = None;
        // neighbours with other standbys are one run here
        for run in runs.iter().filter(|run| run.owner == index) {
            match first {
                Some((_, last)) if last + 1 == run.first => {}
                Some(own) => push_slots(&mut text, own),
                None => {}
            }
            first = match first {
                Some((start, last)) if last + 1 == run.first => Some((start, run.last)),
                _ => Some((run.first, run.last)),
            };
        }
        first.into_iter().for_each(|own| push_slots(&mut text, own));
        text.push('\n');
    }
    text
}

fn push_slots(text: &mut String, (first, last): (u16, u16)) {
    let _ = if first == last { write!(text, " {first}") } else { write!(text, " {first}-{last}") };
}

/// The owner of most fragments that a node follows: Redis knows one for each replica.
fn mostly_followed(picture: &Picture, node: usize) -> Option<usize> {
    let followed = picture.ranges().iter().filter(|range| range.replicas.contains(&node));
    let mut counts = vec![0usize; picture.nodes().len()];
    followed.filter_map(|range| range.owner).for_each(|owner| counts[owner] += 1);
    (0..counts.len()).filter(|owner| counts[*owner] > 0).max_by_key(|owner| counts[*owner])
}

/// Figures under the names of Redis.
pub(super) fn info(picture: &Picture) -> String {
    let slots = |is: fn(&Standing) -> bool| -> u32 {
        let owned = picture.ranges().iter().filter(|range| range.owner.is_some() && is(&range.standing));
        owned.map(|range| u32::from(range.last - range.first) + 1).sum()
    };
    let (assigned, down) = (slots(|_| true), slots(|standing| matches!(standing, Standing::Down(_))));
    let epoch = |owner: Option<usize>| {
        let own = picture.ranges().iter().filter(|range| owner.is_none() || range.owner == owner);
        own.map(|range| range.epoch).max().unwrap_or(0)
    };
    let mut owners: Vec<_> = picture.ranges().iter().filter_map(|range| range.owner).collect();
    owners.sort_unstable();
    owners.dedup();
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = write!(text, "{name}:{value}\r\n");
    };
    line("cluster_enabled", &1);
    line("cluster_state", &if is_whole(picture) { "ok" } else { "fail" });
    line("cluster_slots_assigned", &assigned);
    line("cluster_slots_ok", &(assigned - down));
    line("cluster_slots_pfail", &0);
    line("cluster_slots_fail", &(u32::from(SLOTS) - assigned + down));
    line("cluster_known_nodes", &picture.nodes().len());
    line("cluster_size", &owners.len());
    line("cluster_current_epoch", &epoch(None));
    line("cluster_my_epoch", &epoch(Some(picture.my_index())));
    line("cluster_stats_messages_sent", &0);
    line("cluster_stats_messages_received", &0);
    text
}

/// CLUSTER HELP.
pub(super) const HELP: &[&str] = &[
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "COUNTKEYSINSLOT <slot>",
    "    Return the number of keys in <slot>.",
    "GETKEYSINSLOT <slot> <count>",
    "    Return key names stored by current node in a slot.",
    "INFO",
    "    Return information about the cluster.",
    "KEYSLOT <key>",
    "    Return the hash slot for <key>.",
    "LINKS",
    "    Return information about all network links between this node and its peers.",
    "MYID",
    "    Return the node id.",
    "NODES",
    "    Return cluster configuration seen by node.",
    "SHARDS",
    "    Return information about slot range mappings and the nodes associated with them.",
    "SLOTS",
    "    Return information about slots range mappings.",
    "HELP",
    "    Prints this help.",
    "Nodes join, slots move and owners are replaced with the `limosa` program: see `limosa help`.",
];
