//! Nodes that nobody reaches any more and that are still to be freed.
//!
//! Freeing ten million entries takes seconds. Whoever cuts them out of a tree must not wait for that, least of all under a lock: the
//! nodes lie here until someone with time takes them away in small steps.

use std::sync::Arc;

use super::{Leaf, Node, Tree};

/// What is still to be freed. A clone is empty: a snapshot has no graves.
#[derive(Default)]
pub struct Grave {
    nodes: Vec<Arc<Node>>,
    leaves: Vec<Leaf>,
}

impl Clone for Grave {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Grave {
    /// Whether nothing is left to free.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.leaves.is_empty()
    }

    /// Takes over what `other` holds.
    pub fn append(&mut self, other: &mut Self) {
        self.nodes.append(&mut other.nodes);
        self.leaves.append(&mut other.leaves);
    }

    /// Frees about `blocks` blocks, at least one node; answers whether more is left. A node that a snapshot still holds is let go: the
    /// snapshot's owner frees it.
    pub fn free_some(&mut self, blocks: usize) -> bool {
        let keep = self.leaves.len().saturating_sub(blocks);
        let mut freed = self.leaves.len() - keep;
        self.leaves.truncate(keep);
        while freed < blocks
            && let Some(node) = self.nodes.pop()
        {
            freed += match Arc::into_inner(node) {
                Some(Node::Inner(children)) => {
                    self.nodes.extend(children.into_items().into_iter().map(|child| child.node));
                    1
                }
                Some(Node::Leaves(leaves)) => leaves.len(),
                None => 1,
            };
        }
        !self.is_empty()
    }

    pub(super) fn bury(&mut self, node: Arc<Node>) {
        self.nodes.push(node);
    }

    pub(super) fn bury_leaf(&mut self, leaf: Leaf) {
        self.leaves.push(leaf);
    }

    pub(crate) fn bury_tree(&mut self, tree: Tree) {
        self.nodes.push(tree.root.node);
    }
}
