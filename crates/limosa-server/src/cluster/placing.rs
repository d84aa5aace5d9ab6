//! Who is the cheapest and safest to give a fragment, or a copy of it, to.

use std::collections::BTreeMap;

use super::World;
use crate::http::api::{Cell, Method};

/// What bringing a fragment to a node takes, as far as the manifest tells: method, bytes at most, and why.
pub(super) fn copy_of(cell: &Cell, to: &str) -> (Method, u64, String) {
    if cell.sync_set.iter().any(|member| member == to) {
        (Method::Tail, 0, format!("{to} has a complete copy that follows: only the last commits go over"))
    } else if cell.replicas.iter().any(|member| member == to) {
        (Method::Delta, World::bytes(cell), format!("{to} is becoming complete already: at most these bytes"))
    } else {
        (Method::Copy, World::bytes(cell), format!("{to} is no copy of it: at most these bytes, less if it held it before"))
    }
}

/// The complete copy that takes a fragment over when `but` gives it up: the one that owns least, `given` counted in.
pub(super) fn heir<'w>(world: &'w World, cell: &'w Cell, but: &'w str, given: &BTreeMap<String, u64>) -> Option<&'w str> {
    let load = |name: &str| world.owned_bytes(name) + given.get(name).copied().unwrap_or(0);
    world.copies_but(cell, but).filter(|name| world.node(name).is_some_and(|node| !node.leaving)).min_by_key(|name| (load(name), *name))
}

/// Where a new copy goes: neither the owner's place nor a copy's; another zone than the owner's where there is one; then who owns least.
pub(super) fn refuge<'w>(world: &'w World, cell: &Cell, but: &str, given: &BTreeMap<String, u64>) -> Option<&'w str> {
    let holds = |name: &str| cell.owner.as_deref() == Some(name) || cell.sync_set.iter().chain(&cell.replicas).any(|other| other == name);
    let zone = cell.owner.as_deref().and_then(|owner| world.node(owner)).map_or("", |owner| owner.zone.as_str());
    let shares = |node_zone: &str| !zone.is_empty() && node_zone == zone;
    let load = |name: &str| world.owned_bytes(name) + given.get(name).copied().unwrap_or(0);
    let free = world.open().filter(|node| node.name != but && !holds(&node.name));
    free.min_by_key(|node| (shares(&node.zone), load(&node.name), node.name.clone())).map(|node| node.name.as_str())
}
