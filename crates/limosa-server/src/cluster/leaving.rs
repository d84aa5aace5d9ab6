//! What becomes of a node's fragments when it hands over, is emptied, or is lost.

use std::collections::BTreeMap;

use super::World;
use super::placing::{heir, refuge};
use super::plan::{Draft, Unplanned, bare, chosen, hindrance, step};
use crate::http::api::{Cell, Chosen, Failover};

/// Roles go to complete copies; nothing is copied.
pub(super) fn hand_over(world: &World, node: &str) -> Draft {
    let (mut draft, mut given) = (Draft::default(), BTreeMap::new());
    for cell in owned(world, node) {
        match (hindrance(cell), heir(world, cell, node, &given)) {
            (Some(why), _) => draft.blocked.push(why),
            (None, Some(to)) => {
                *given.entry(to.to_owned()).or_insert(0) += World::bytes(cell);
                draft.steps.push(step(cell, "move", to));
            }
            (None, None) => draft.blocked.push(format!(
                "f{} has no complete copy elsewhere: wait until it has one (`limosa cluster cells`), or `limosa move` it",
                cell.fragment
            )),
        }
    }
    draft
}

/// Roles and copies go; where a copy goes, another one is made first.
pub(super) fn decommission(world: &World, node: &str) -> Draft {
    let (mut draft, mut given) = (Draft::default(), BTreeMap::new());
    if world.open().all(|other| other.name == node) {
        draft.blocked.push("there is no other node to take its fragments: start one and run `limosa node join`".to_owned());
        return draft;
    }
    for cell in owned(world, node) {
        if let Some(why) = hindrance(cell) {
            draft.blocked.push(why);
            continue;
        }
        let to = heir(world, cell, node, &given).or_else(|| refuge(world, cell, node, &given));
        let Some(to) = to else { continue };
        *given.entry(to.to_owned()).or_insert(0) += World::bytes(cell);
        draft.steps.push(step(cell, "move", to));
    }
    for cell in &world.cells {
        if cell.owner.as_deref() == Some(node) || !cell.sync_set.iter().chain(&cell.replicas).any(|member| member == node) {
            continue;
        }
        let others = cell.sync_set.iter().chain(&cell.replicas).filter(|member| *member != node).count();
        let successor = if others < world.standbys { refuge(world, cell, node, &given) } else { None };
        if let Some(to) = successor {
            draft.steps.push(step(cell, "stage", to));
        }
        let why = match successor {
            Some(to) => format!("{to} takes its place as a copy"),
            None if others >= world.standbys => "enough others are copies".to_owned(),
            None => format!("no node is left for another copy: {others} instead of {}", world.standbys),
        };
        draft.steps.push(bare(cell, "leave", node, None, why));
    }
    draft
}

/// Complete copies are promoted in place of an owner that is lost.
pub(super) fn fail_over(world: &World, lost: &Failover) -> Result<Draft, Unplanned> {
    let mut draft = Draft::default();
    let named = match &lost.node {
        Some(node) if world.node(node).is_none() => return Err(Unplanned::NoNode(node.clone())),
        Some(node) => owned(world, node).map(|cell| cell.fragment).collect(),
        None => Vec::new(),
    };
    let fragments: Vec<u32> = named.into_iter().chain(lost.fragments.iter().copied()).collect();
    if fragments.is_empty() && lost.node.is_some() {
        return Ok(draft);
    }
    let mut given = BTreeMap::new();
    for cell in chosen(world, &Chosen { fragments, slots: Vec::new() })? {
        let owner = cell.owner.clone().unwrap_or_default();
        let is_alive = world.is_alive(&owner);
        let to = heir(world, cell, &owner, &given).map(str::to_owned);
        let last = || cell.replicas.iter().find(|name| world.is_alive(name)).cloned();
        match to.or_else(|| if lost.accept_loss { last() } else { None }) {
            Some(to) => {
                *given.entry(to.clone()).or_insert(0) += World::bytes(cell);
                let why = if is_alive { "its owner is there: `limosa handover` costs less" } else { "it has a complete copy" };
                draft.steps.push(bare(cell, "promote", &owner, Some(&to), why));
            }
            None => draft.blocked.push(format!(
                "f{} has no complete copy that is there: bring a member of {:?} back, or accept the loss with --accept-loss",
                cell.fragment, cell.sync_set
            )),
        }
    }
    Ok(draft)
}

fn owned<'w>(world: &'w World, node: &'w str) -> impl Iterator<Item = &'w Cell> {
    world.cells.iter().filter(move |cell| cell.owner.as_deref() == Some(node))
}
