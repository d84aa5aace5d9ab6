//! CLUSTER: who serves what, in the forms that cluster clients ask for; and where to turn with what is done otherwise here.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use limosa_core::slot::{SLOTS, slot_of};

use super::super::call::{Call, Done, View};
use super::super::cluster::{NodeRef, Picture, Standing};
use super::super::error::CommandError;
use super::super::number::parse_i64;
use super::super::reply::Reply;
use super::cluster_text;

fn picture(call: &Call<'_>) -> Result<Arc<Picture>, CommandError> {
    call.session.cluster.picture.clone().ok_or(CommandError::NoCluster)
}

/// A run of slots with one owner and one set of standbys.
pub(super) struct Run {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) owner: usize,
    pub(super) replicas: Vec<usize>,
}

/// The owned slots, neighbours joined, in order.
pub(super) fn runs(picture: &Picture) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for range in picture.ranges() {
        let Some(owner) = range.owner else { continue };
        match runs.last_mut() {
            Some(run) if run.last + 1 == range.first && run.owner == owner && run.replicas == range.replicas => run.last = range.last,
            _ => runs.push(Run { first: range.first, last: range.last, owner, replicas: range.replicas.clone() }),
        }
    }
    runs
}

pub(super) fn slots(call: &mut Call<'_>) -> Done {
    let picture = picture(call)?;
    let runs = owners_first(runs(&picture));
    call.reply.array(runs.len());
    for run in &runs {
        call.reply.array(3 + run.replicas.len());
        call.reply.count(u64::from(run.first));
        call.reply.count(u64::from(run.last));
        for index in std::iter::once(run.owner).chain(run.replicas.iter().copied()) {
            let node = &picture.nodes()[index];
            call.reply.array(4);
            call.reply.bulk(node.host.as_bytes());
            call.reply.count(u64::from(node.port));
            call.reply.bulk(node.id.as_bytes());
            call.reply.array(0);
        }
    }
    Ok(())
}

/// Here a node owns some slots and is a standby for others. redis-py takes a node's role from where it is named first, so each owner that
/// is also a standby is named first as the owner of one slot, without that slot's standbys.
fn owners_first(mut runs: Vec<Run>) -> Vec<Run> {
    let mut first = Vec::new();
    let mut owners: Vec<usize> = runs.iter().map(|run| run.owner).collect();
    owners.sort_unstable();
    owners.dedup();
    for owner in owners {
        if !runs.iter().any(|run| run.replicas.contains(&owner)) {
            continue;
        }
        let at = runs.iter().position(|run| run.owner == owner).expect("it owns something");
        let slot = runs[at].first;
        first.push(Run { first: slot, last: slot, owner, replicas: vec![] });
        if runs[at].last == slot {
            runs.remove(at);
        } else {
            runs[at].first += 1;
        }
    }
    first.append(&mut runs);
    first
}

pub(super) fn shards(call: &mut Call<'_>) -> Done {
    let picture = picture(call)?;
    let mut shards = BTreeMap::<_, Vec<(u16, u16)>>::new();
    for run in runs(&picture) {
        shards.entry((run.owner, run.replicas)).or_default().push((run.first, run.last));
    }
    call.reply.array(shards.len());
    for ((owner, replicas), slots) in shards {
        call.reply.map(2);
        call.reply.bulk(b"slots");
        call.reply.array(2 * slots.len());
        slots.iter().flat_map(|(first, last)| [first, last]).for_each(|slot| call.reply.count(u64::from(*slot)));
        call.reply.bulk(b"nodes");
        call.reply.array(1 + replicas.len());
        for (index, role) in std::iter::once((owner, "master")).chain(replicas.into_iter().map(|index| (index, "replica"))) {
            shard_node(&mut call.reply, &picture.nodes()[index], role, index == picture.my_index());
        }
    }
    Ok(())
}

fn shard_node(reply: &mut Reply<'_>, node: &NodeRef, role: &str, is_me: bool) {
    reply.map(7);
    for (field, value) in [("id", &node.id), ("ip", &node.host), ("endpoint", &node.host)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    for (field, value) in [("port", u64::from(node.port)), ("replication-offset", 0)] {
        reply.bulk(field.as_bytes());
        reply.count(value);
    }
    let health = if is_me || node.linked_since_ms.is_some() { "online" } else { "failed" };
    for (field, value) in [("role", role), ("health", health)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

pub(super) fn nodes(call: &mut Call<'_>) -> Done {
    let text = cluster_text::nodes(&*picture(call)?);
    call.reply.verbatim(&text);
    Ok(())
}

pub(super) fn info(call: &mut Call<'_>) -> Done {
    let text = cluster_text::info(&*picture(call)?);
    call.reply.verbatim(&text);
    Ok(())
}

pub(super) fn myid(call: &mut Call<'_>) -> Done {
    let picture = picture(call)?;
    call.reply.bulk(picture.myself().id.as_bytes());
    Ok(())
}

pub(super) fn keyslot(call: &mut Call<'_>) -> Done {
    picture(call)?;
    call.reply.count(u64::from(slot_of(call.args[2])));
    Ok(())
}

fn slot(call: &Call<'_>) -> Result<u16, CommandError> {
    let slot = parse_i64(call.args[2]).and_then(|slot| u16::try_from(slot).ok());
    slot.filter(|slot| *slot < SLOTS).ok_or_else(|| CommandError::text("ERR Invalid slot"))
}

pub(super) fn countkeysinslot(call: &mut Call<'_>, view: &View<'_>) -> Done {
    picture(call)?;
    let slot = slot(call)?;
    call.reply.count(view.keys.key_count_in(slot..=slot)?);
    Ok(())
}

pub(super) fn getkeysinslot(call: &mut Call<'_>, view: &View<'_>) -> Done {
    picture(call)?;
    let slot = slot(call)?;
    let count = call.int(3)?;
    let count = usize::try_from(count).map_err(|_| CommandError::text("ERR Invalid number of keys"))?;
    let mut found: Vec<Vec<u8>> = Vec::new();
    view.keys.each_key(slot..=slot, &mut |scanned| {
        if found.len() == count {
            return ControlFlow::Break(());
        }
        found.push(scanned.key.to_vec());
        ControlFlow::Continue(())
    })?;
    call.reply.array(found.len());
    for key in &found {
        call.reply.bulk(key);
        call.check_reply_len()?;
    }
    Ok(())
}

/// One link to each node that this one has a connection to; the buffers are not the front door's to know.
pub(super) fn links(call: &mut Call<'_>) -> Done {
    let picture = picture(call)?;
    let others = picture.nodes().iter().enumerate().filter(|(index, _)| *index != picture.my_index());
    let linked: Vec<_> = others.filter_map(|(_, node)| Some((node, node.linked_since_ms?))).collect();
    call.reply.array(linked.len());
    for (node, since_ms) in linked {
        call.reply.map(6);
        for (field, value) in [("direction", "to"), ("node", &*node.id), ("events", "rw")] {
            call.reply.bulk(field.as_bytes());
            call.reply.bulk(value.as_bytes());
        }
        for (field, value) in [("create-time", since_ms), ("send-buffer-allocated", 0), ("send-buffer-used", 0)] {
            call.reply.bulk(field.as_bytes());
            call.reply.count(value);
        }
    }
    Ok(())
}

pub(super) fn help(call: &mut Call<'_>) -> Done {
    call.reply.array(cluster_text::HELP.len());
    cluster_text::HELP.iter().for_each(|line| call.reply.simple(line));
    Ok(())
}

/// What Redis Cluster does by commands between nodes is done by `limosa` here.
pub(super) fn elsewhere(call: &mut Call<'_>) -> Done {
    let command = String::from_utf8_lossy(call.args[1]).to_ascii_uppercase();
    let instead = match &*command {
        "MEET" => "a node joins with `limosa node join`",
        "FORGET" => "a node leaves with `limosa decommission NODE`, then `limosa node remove NODE`",
        "FAILOVER" => "use `limosa failover FRAGMENT|NODE`, or `limosa handover NODE` while the owner lives",
        "SETSLOT" | "ADDSLOTS" | "ADDSLOTSRANGE" | "DELSLOTS" | "DELSLOTSRANGE" | "FLUSHSLOTS" => {
            "slots move with `limosa move FRAGMENT --to NODE` or `limosa rebalance`"
        }
        "REPLICATE" => "standbys are chosen by the cluster; `limosa stage FRAGMENT --to NODE` brings one ahead",
        "RESET" => "a node leaves with `limosa node remove NODE`",
        _ => "the manifest keeps this; `limosa status` shows it",
    };
    Err(CommandError::Elsewhere { command, instead })
}

/// The role in the words of Redis: a node that owns nothing and holds copies is a replica.
pub(super) fn role(picture: &Picture, node: usize) -> &'static str {
    let owns = picture.ranges().iter().any(|range| range.owner == Some(node));
    let follows = picture.ranges().iter().any(|range| range.replicas.contains(&node));
    if follows && !owns { "replica" } else { "master" }
}

/// Whether every slot has an owner that can serve it.
pub(super) fn is_whole(picture: &Picture) -> bool {
    let served = picture.ranges().iter().filter(|range| range.owner.is_some() && !matches!(range.standing, Standing::Down(_)));
    served.map(|range| u32::from(range.last - range.first) + 1).sum::<u32>() == u32::from(SLOTS)
}
