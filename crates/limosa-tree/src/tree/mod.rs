//! The summary tree: an ordered, copy-on-write map from what a block is filed under to the block and its summary.
//!
//! Fan-out 64, all leaves at one depth, at least 16 children in every node but the root. Nodes are shared between clones and changed in
//! place where nobody shares them.
//!
//! # Invariants
//! - The summary of a node is the sum of its children's; its first key is its first child's.
//! - A leaf is never empty of entries. Which keys start a leaf is the fragment's business (`fragment::rewrite`).

mod cell;
mod cold;
mod cut;
mod edit;
mod grave;
mod leaf;
mod run;
mod shelves;
mod split;
mod starts;
mod update;
mod visit;

use std::sync::Arc;

pub(crate) use cell::BlockRef;
pub(crate) use cold::Pass;
pub(crate) use cut::Taken;
pub(crate) use edit::Edit;
pub use grave::Grave;
pub(crate) use leaf::{Key, Leaf, PLACE_BYTES, Source};
pub(crate) use shelves::Shelves;
pub(crate) use visit::{Next, Step, Visit};

use crate::summary::Summary;
use run::Run;

/// Most children of a node.
pub(crate) const FAN_OUT: usize = 64;
/// Fewest children of a node that has siblings.
const FAN_OUT_MIN: usize = 16;

/// What has a first key and a summary: a leaf, or a child of an inner node.
pub(crate) trait Labelled {
    fn first_key(&self) -> &Key;
    fn summary(&self) -> &Summary;
}

#[derive(Clone)]
enum Node {
    Inner(Run<Child>),
    Leaves(Run<Leaf>),
}

#[derive(Clone)]
struct Child {
    first_key: Key,
    summary: Summary,
    node: Arc<Node>,
}

impl Labelled for Child {
    fn first_key(&self) -> &Key {
        &self.first_key
    }
    fn summary(&self) -> &Summary {
        &self.summary
    }
}

/// The tree. Cloning is O(1).
#[derive(Clone)]
pub(crate) struct Tree {
    root: Child,
}

impl Tree {
    /// A tree without leaves.
    pub(crate) fn new() -> Self {
        Self { root: Child { first_key: Arc::from(&[][..]), summary: Summary::EMPTY, node: Arc::new(Node::Leaves(Run::new(Vec::new()))) } }
    }

    /// A tree of `leaves`, which are in key order.
    pub(crate) fn from_leaves(leaves: Vec<Leaf>) -> Self {
        let mut tree = Self::new();
        tree.edit(leaves.into_iter().map(|leaf| Edit { key: leaf.first_key.clone(), leaf: Some(leaf) }).collect());
        tree
    }

    /// Sums over everything.
    pub(crate) fn summary(&self) -> &Summary {
        &self.root.summary
    }

    /// The leaf that `key` belongs into: the last one that starts at or before it.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&Leaf> {
        let mut node = &self.root.node;
        loop {
            match &**node {
                Node::Inner(children) => node = &children[children.position(key)?].node,
                Node::Leaves(leaves) => return Some(&leaves[leaves.position(key)?]),
            }
        }
    }

    /// [`Tree::find`], and where the next leaf starts.
    pub(crate) fn find_with_end(&self, key: &[u8]) -> (Option<&Leaf>, Option<&Key>) {
        let mut node = &self.root.node;
        let mut end = None;
        loop {
            match &**node {
                Node::Inner(children) => {
                    let i = children.position(key);
                    end = children.get(i.map_or(0, |i| i + 1)).map(|next| &next.first_key).or(end);
                    match i {
                        Some(i) => node = &children[i].node,
                        None => return (None, end),
                    }
                }
                Node::Leaves(leaves) => {
                    let i = leaves.position(key);
                    end = leaves.get(i.map_or(0, |i| i + 1)).map(|next| &next.first_key).or(end);
                    return (i.map(|i| &leaves[i]), end);
                }
            }
        }
    }

    /// The last leaf that starts before `key`.
    pub(crate) fn find_before(&self, key: &[u8]) -> Option<&Leaf> {
        fn last_before<'a>(node: &'a Node, key: &[u8]) -> Option<&'a Leaf> {
            match node {
                Node::Inner(children) => children[..children.count_before(key)].last().and_then(|child| last_before(&child.node, key)),
                Node::Leaves(leaves) => leaves[..leaves.count_before(key)].last(),
            }
        }
        last_before(&self.root.node, key)
    }
}

impl Node {
    fn len(&self) -> usize {
        match self {
            Self::Inner(children) => children.len(),
            Self::Leaves(leaves) => leaves.len(),
        }
    }
}

#[cfg(test)]
mod tests;
