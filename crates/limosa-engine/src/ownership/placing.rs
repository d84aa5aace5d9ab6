//! Where a new copy of a fragment goes. A policy: it returns a choice, others carry it out.

use std::collections::{BTreeMap, BTreeSet};

use limosa_core::NodeName;

use super::event::NodeState;

/// The best node for one more copy beside `owner` and those `taken` already.
///
/// Never the owner's zone where another zone has a node to give; then a zone that no copy is in, then the node with the fewest fragments.
pub(super) fn choose(nodes: &BTreeMap<NodeName, NodeState>, owner: &NodeName, taken: &BTreeSet<&NodeName>) -> Option<NodeName> {
    let zone = |node: &NodeName| nodes.get(node).map_or("", |state| state.zone.as_str());
    let is_beside = |state: &NodeState| !state.zone.is_empty() && state.zone == zone(owner);
    let free = |state: &&NodeState| !state.is_leaving && state.name != *owner && !taken.contains(&state.name);
    let has_elsewhere = nodes.values().filter(free).any(|state| !is_beside(state));
    let candidates = nodes.values().filter(free).filter(|state| state.is_alive && !(has_elsewhere && is_beside(state)));
    let is_shared = |state: &NodeState| !state.zone.is_empty() && taken.iter().any(|node| zone(node) == state.zone);
    candidates.min_by_key(|state| (is_shared(state), state.fragments, &state.name)).map(|state| state.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(all: &[(&str, &str, usize)]) -> BTreeMap<NodeName, NodeState> {
        let state = |&(name, zone, fragments): &(&str, &str, usize)| {
            let name: NodeName = name.parse().expect("a good name");
            let (is_leaving, is_alive) = (name.as_str().starts_with('l'), !name.as_str().starts_with('d'));
            (name.clone(), NodeState { name, zone: zone.to_owned(), is_leaving, is_alive, fragments })
        };
        all.iter().map(state).collect()
    }

    /// Nodes with zone and fragments, those taken, the choice.
    type Case<'a> = (&'a [(&'a str, &'a str, usize)], &'a BTreeSet<&'a NodeName>, Option<&'a str>);

    #[test]
    fn a_copy_goes_to_another_zone_then_to_the_emptiest_node() {
        let a: NodeName = "a".parse().expect("a good name");
        let b: NodeName = "b".parse().expect("a good name");
        let none = BTreeSet::new();
        let cases: [Case; 6] = [
            (&[("a", "x", 1), ("b", "x", 0), ("c", "y", 9)], &none, Some("c")),
            (&[("a", "x", 1), ("b", "x", 2), ("c", "x", 1)], &none, Some("c")),
            (&[("a", "x", 1), ("b", "x", 0), ("dead", "y", 0)], &none, None), // its zone's only other node is away: better wait
            (&[("a", "", 1), ("b", "", 0), ("leaving", "", 0)], &none, Some("b")),
            (&[("a", "x", 1), ("b", "y", 0), ("c", "y", 0), ("e", "z", 5)], &BTreeSet::from([&b]), Some("e")),
            (&[("a", "x", 1), ("b", "y", 0)], &BTreeSet::from([&b]), None),
        ];
        for (all, taken, expected) in cases {
            assert_eq!(choose(&nodes(all), &a, taken).as_ref().map(NodeName::as_str), expected, "{all:?}");
        }
    }
}
