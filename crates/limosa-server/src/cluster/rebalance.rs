//! Which moves make the nodes own about equal bytes: from the fullest to the emptiest, to whoever holds a copy already where that helps.

use std::collections::BTreeMap;

use super::World;
use super::plan::{Draft, hindrance, step};
use crate::http::api::Cell;

/// What a fragment weighs beside its bytes, so that empty ones are shared out too.
const FRAGMENT_WEIGHT: u64 = 64 << 10;
/// Nodes that differ by less than this share of their mean are left alone, in hundredths.
const CALM_PERCENT: u64 = 5;

/// See the module. Each fragment moves once at most; every move makes the two nodes that it concerns more alike.
pub(super) fn rebalance(world: &World) -> Draft {
    let mut draft = Draft::default();
    let mut loads: BTreeMap<&str, u64> = world.open().map(|node| (node.name.as_str(), 0)).collect();
    if loads.len() < 2 {
        draft.blocked.push("fewer than two nodes are there to share out the fragments: start one and run `limosa node join`".to_owned());
        return draft;
    }
    for cell in &world.cells {
        if let Some(load) = cell.owner.as_deref().and_then(|owner| loads.get_mut(owner)) {
            *load += weight(cell);
        }
    }
    let mean = loads.values().sum::<u64>() / loads.len() as u64;
    let mut free: Vec<&Cell> = world.cells.iter().filter(|cell| hindrance(cell).is_none()).collect();
    while let Some((at, to)) = best(&free, &loads, mean) {
        let cell = free.remove(at);
        let from = cell.owner.as_deref().expect("a fragment without an owner is hindered");
        *loads.get_mut(from).expect("it was weighed") -= weight(cell);
        *loads.get_mut(to).expect("it is open") += weight(cell);
        draft.steps.push(step(cell, "move", to));
    }
    draft
}

fn weight(cell: &Cell) -> u64 {
    World::bytes(cell) + FRAGMENT_WEIGHT
}

/// A move that could be next.
struct Candidate<'w> {
    gain: u64,
    empty: u64,
    holds: bool,
    at: usize,
    to: &'w str,
}

/// The next move: from the fullest node that has one to give, what brings it and the target closest together. A target with a complete
/// copy is taken as long as it gains at least half of what the best one would, and owns less than the mean.
fn best<'w>(free: &[&Cell], loads: &BTreeMap<&'w str, u64>, mean: u64) -> Option<(usize, &'w str)> {
    let calm = mean * CALM_PERCENT / 100;
    let mut fullest: Vec<(&str, u64)> = loads.iter().map(|(name, load)| (*name, *load)).collect();
    fullest.sort_by_key(|(name, load)| (std::cmp::Reverse(*load), *name));
    for (from, full) in fullest {
        let mut found: Vec<Candidate<'w>> = Vec::new();
        for (at, cell) in free.iter().enumerate().filter(|(_, cell)| cell.owner.as_deref() == Some(from)) {
            for (to, &empty) in loads {
                let gap = full.saturating_sub(empty);
                // moving w changes the gap by 2 w: better as long as w < gap, best at half of it
                let gain = weight(cell).min(gap.saturating_sub(weight(cell)));
                if *to != from && gap > calm && gain > 0 {
                    found.push(Candidate { gain, empty, holds: cell.sync_set.iter().any(|member| member == to), at, to });
                }
            }
        }
        let most = found.iter().map(|one| one.gain).max().unwrap_or(0);
        // of equal gains the emptiest target's, then the first fragment's
        let order = |one: &&Candidate<'_>| (one.gain, std::cmp::Reverse(one.empty), std::cmp::Reverse(one.at));
        // not beyond its share, or those without copies would never get theirs
        let fits = |one: &&Candidate<'_>| one.holds && one.gain * 2 >= most && one.empty + one.gain / 2 <= mean;
        let by_copy = found.iter().filter(fits).max_by_key(order);
        let chosen = by_copy.or_else(|| found.iter().max_by_key(order));
        if let Some(one) = chosen {
            return Some((one.at, one.to));
        }
    }
    None
}
