//! Drops blocks that a checkpoint holds.

use std::sync::Arc;

use super::{Node, Tree};

impl Tree {
    /// Makes leaves cold that did not change after generation `checkpointed`; returns how many were in memory.
    pub(crate) fn make_cold(&mut self, checkpointed: u64) -> u64 {
        make_cold(Arc::make_mut(&mut self.root.node), checkpointed)
    }
}

fn make_cold(node: &mut Node, checkpointed: u64) -> u64 {
    match node {
        Node::Inner(children) => children.iter_mut().map(|child| make_cold(Arc::make_mut(&mut child.node), checkpointed)).sum(),
        Node::Leaves(leaves) => {
            let clean = leaves.iter_mut().filter(|leaf| leaf.summary.modified <= checkpointed);
            clean.map(|leaf| u64::from(leaf.make_cold())).sum()
        }
    }
}
