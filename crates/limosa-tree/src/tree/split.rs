//! Cuts a tree at a key, and joins two that lie side by side: what lies off the cut is shared with the tree that it came from.
//!
//! Both cost O(fan-out × depth), however many leaves there are. Which entries a leaf at the cut keeps is the fragment's business
//! (`fragment::split`).

use std::sync::Arc;

use super::run::Run;
use super::{Child, FAN_OUT, Labelled, Node, Tree, edit};

impl Tree {
    /// The leaves filed below `at`, and the others.
    pub(crate) fn split(&self, at: &[u8]) -> (Self, Self) {
        split(&self.root.node, at)
    }

    /// All leaves of `left`, then all of `right`, which are filed behind them.
    pub(crate) fn join(left: &Self, right: &Self) -> Self {
        if left.root.node.len() == 0 || right.root.node.len() == 0 {
            return if left.root.node.len() == 0 { right.clone() } else { left.clone() };
        }
        debug_assert!(left.last_key() < Some(&right.root.first_key), "the trees lie side by side");
        let (left_height, right_height) = (height(&left.root.node), height(&right.root.node));
        let (mut left, mut right) = (Node::clone(&left.root.node), Node::clone(&right.root.node));
        let node = if left_height >= right_height {
            graft(&mut left, left_height - right_height, &right, Side::Behind);
            left
        } else {
            graft(&mut right, right_height - left_height, &left, Side::Before);
            right
        };
        Self::of(node)
    }

    fn of(node: Node) -> Self {
        let mut tree = Self::new();
        tree.root.node = Arc::new(node);
        tree.settle();
        tree
    }

    fn last_key(&self) -> Option<&super::Key> {
        let mut node = &self.root.node;
        loop {
            match &**node {
                Node::Inner(children) => node = &children.last()?.node,
                Node::Leaves(leaves) => return leaves.last().map(|leaf| &leaf.first_key),
            }
        }
    }
}

/// Where a subtree is added.
#[derive(Clone, Copy)]
enum Side {
    Before,
    Behind,
}

fn split(node: &Node, at: &[u8]) -> (Tree, Tree) {
    match node {
        Node::Leaves(leaves) => {
            let (below, rest) = leaves.split_at(leaves.count_before(at));
            let part = |leaves: &[super::Leaf]| Tree::of(Node::Leaves(Run::new(leaves.to_vec())));
            (part(below), part(rest))
        }
        Node::Inner(children) => {
            let (below, rest) = children.split_at(children.count_before(at));
            let part = |children: &[Child]| Tree::of(Node::Inner(Run::new(children.to_vec())));
            let Some((cut, below)) = below.split_last() else { return (Tree::new(), part(rest)) };
            let (left, right) = split(&cut.node, at);
            (Tree::join(&part(below), &left), Tree::join(&right, &part(rest)))
        }
    }
}

/// Levels of nodes.
fn height(mut node: &Node) -> usize {
    let mut height = 1;
    while let Node::Inner(children) = node {
        node = &children.first().expect("an inner node has children").node;
        height += 1;
    }
    height
}

/// Adds the items of `other` to the outermost node that lies `depth` levels below `node`; nodes that this overfills are parted.
fn graft(node: &mut Node, depth: usize, other: &Node, side: Side) {
    match (node, other) {
        (Node::Inner(children), other) if depth > 0 => {
            let mut items = edit::take(children);
            let at = match side {
                Side::Before => 0,
                Side::Behind => items.len() - 1,
            };
            let child = &mut items[at];
            graft(Arc::make_mut(&mut child.node), depth - 1, other, side);
            if child.node.len() <= FAN_OUT {
                child.relabel();
            } else {
                let child = items.remove(at);
                items.splice(at..at, edit::split(Arc::unwrap_or_clone(child.node)));
            }
            *children = Run::new(items);
        }
        (Node::Inner(items), Node::Inner(others)) => add(items, others, side),
        (Node::Leaves(items), Node::Leaves(others)) => add(items, others, side),
        _ => unreachable!("all leaves lie at one depth"),
    }
}

fn add<T: Labelled + Clone>(items: &mut Run<T>, others: &[T], side: Side) {
    let mut all = edit::take(items);
    let at = match side {
        Side::Before => 0,
        Side::Behind => all.len(),
    };
    all.splice(at..at, others.iter().cloned());
    *items = Run::new(all);
}
