//! Whether a node can be stopped now: nothing is lost, and no write waits for longer than a hand-over.

use super::World;
use crate::http::api::SafeToStop;

/// Most reasons that are told one by one.
const REASONS_MAX: usize = 8;

/// Yes or no, and why.
pub(crate) fn to_stop(world: &World, node: &str) -> SafeToStop {
    let (mut against, mut owned, mut copied) = (Vec::new(), 0_u64, 0_u64);
    if let Some(why) = &world.outage {
        against.push(format!("the manifest is away ({why}): nothing could be handed over"));
    }
    for cell in &world.cells {
        let id = cell.fragment;
        if let Some(to) = cell.moving_to.as_deref().filter(|to| *to == node || cell.owner.as_deref() == Some(node)) {
            against.push(format!("f{id} is on its way to {to}: wait, or run `limosa cancel`"));
            continue;
        }
        let left = world.copies_but(cell, node).count();
        if cell.owner.as_deref() == Some(node) {
            owned += 1;
            // The heir becomes owner; the others must still be enough for each write, or this node's copy stays one of them when it is back.
            if left == 0 {
                against.push(format!("f{id} has no complete copy elsewhere: its requests would fail until {node} is back"));
            } else if left - 1 < usize::from(cell.flushed_min) {
                against.push(format!("writes to f{id} need {} and would wait until {node} is back", several(cell.flushed_min)));
            }
        } else if cell.sync_set.iter().any(|member| member == node) {
            copied += 1;
            if left < usize::from(cell.flushed_min) {
                against.push(format!("writes to f{id} need {} and would wait until {node} is back", several(cell.flushed_min)));
            }
        } else if cell.owner.is_none() && cell.fenced_by.as_deref() == Some(node) {
            against.push(format!("{node} is about to take f{id} over: wait until it has"));
        }
    }
    if against.is_empty() {
        let why = format!("{owned} fragments of it can be handed over, and {copied} of which it is a copy have enough others");
        return SafeToStop { node: node.to_owned(), safe: true, because: vec![why] };
    }
    let waits = against.iter().any(|why| why.starts_with("writes to"));
    let more = against.len().saturating_sub(REASONS_MAX);
    against.truncate(REASONS_MAX);
    if more > 0 {
        against.push(format!("and {more} more such reasons"));
    }
    if waits && world.standbys < 2 && world.nodes.len() > 2 {
        against.push("with --standbys 2 any one node can stop without a write that waits for it".to_owned());
    }
    SafeToStop { node: node.to_owned(), safe: false, because: against }
}

fn several(copies: u8) -> String {
    if copies == 1 { "1 copy that is flushed".to_owned() } else { format!("{copies} copies that are flushed") }
}
