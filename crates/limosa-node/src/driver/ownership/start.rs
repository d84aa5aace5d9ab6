//! What the machine is told when the node starts: who it is, what the store holds, what was fenced.

use std::collections::BTreeMap;

use limosa_core::FragmentId;
use limosa_engine::ownership::{Config, Failover, HeldFragment};
use limosa_store::{Durability, Store};

use super::jobs::FENCES;
use crate::driver::cluster::{self, MemberOptions};
use crate::driver::node::Shared;

pub(super) fn config(shared: &Shared, options: &MemberOptions, me: limosa_core::NodeName, seed: u64, reborn: bool) -> Config {
    let mut config = Config::new(me, seed, usize::from(options.standbys), options.flushed_min);
    config.lease = options.lease;
    config.failover = match options.failover {
        cluster::Failover::Auto => Failover::Auto,
        cluster::Failover::Manual => Failover::Manual,
    };
    config.move_max = options.move_deadline;
    config.durable = shared.options.durability == Durability::Commit;
    config.reborn = reborn;
    config
}

/// Each fragment as the store has it. Everything that was recovered is durable.
pub(super) fn held(store: &Store) -> Vec<HeldFragment> {
    let fences = fences(store);
    let fragment = |facts: limosa_core::FragmentFacts| HeldFragment {
        fragment: facts.id,
        version: facts.head,
        epoch: facts.epochs.epoch(),
        fence: fences.get(&facts.id).copied().unwrap_or(0),
    };
    store.facts().into_iter().map(fragment).collect()
}

/// A note that can't be read fences for good: nothing is taken over that might have been promised away.
fn fences(store: &Store) -> BTreeMap<FragmentId, u32> {
    let fence = |(key, value): (String, bytes::Bytes)| {
        let id = u32::from_str_radix(key.strip_prefix(FENCES)?, 16).ok()?;
        Some((FragmentId(id), <[u8; 4]>::try_from(&value[..]).map_or(u32::MAX, u32::from_be_bytes)))
    };
    store.notes(FENCES).into_iter().filter_map(fence).collect()
}

/// Fragments whose fence is at `epoch` or above: nothing of an older owner is taken any more.
pub(in crate::driver) fn fenced_at(store: &Store, epoch: u32) -> Vec<FragmentId> {
    fences(store).into_iter().filter(|(_, fence)| *fence >= epoch).map(|(id, _)| id).collect()
}
