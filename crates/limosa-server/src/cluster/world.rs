//! A cluster at one moment, as its planner sees it.

use crate::http::api::{Cell, ClusterNode};

/// Cells, nodes, and what was measured lately.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// Every fragment, in key order.
    pub(crate) cells: Vec<Cell>,
    /// Every node, by name.
    pub(crate) nodes: Vec<ClusterNode>,
    /// Complete copies that each fragment is to have beside its owner's.
    pub(crate) standbys: usize,
    /// Bytes a second of the last transfer; none before the first.
    pub(crate) rate_bytes_per_s: Option<f64>,
    /// For how long requests waited in the last cutover, milliseconds; none before the first.
    pub(crate) pause_ms: Option<f64>,
    /// Why the manifest does not answer, if it does not.
    pub(crate) outage: Option<String>,
}

impl World {
    /// A node by its name.
    pub(crate) fn node(&self, name: &str) -> Option<&ClusterNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// A fragment by its number.
    pub(crate) fn cell(&self, fragment: u32) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.fragment == fragment)
    }

    /// Whether a node was heard of lately.
    pub(crate) fn is_alive(&self, name: &str) -> bool {
        self.node(name).is_some_and(|node| node.alive)
    }

    /// Nodes on which something may be placed.
    pub(crate) fn open(&self) -> impl Iterator<Item = &ClusterNode> {
        self.nodes.iter().filter(|node| node.alive && !node.leaving)
    }

    /// Bytes of a fragment; 0 where they are not known.
    pub(crate) fn bytes(cell: &Cell) -> u64 {
        cell.bytes.unwrap_or(0)
    }

    /// Live bytes that a node owns.
    pub(crate) fn owned_bytes(&self, node: &str) -> u64 {
        self.cells.iter().filter(|cell| cell.owner.as_deref() == Some(node)).map(Self::bytes).sum()
    }

    /// Complete copies of a fragment at nodes that were heard of lately, `but` one.
    pub(crate) fn copies_but<'a>(&'a self, cell: &'a Cell, but: &'a str) -> impl Iterator<Item = &'a str> {
        cell.sync_set.iter().map(String::as_str).filter(move |member| *member != but && self.is_alive(member))
    }
}
