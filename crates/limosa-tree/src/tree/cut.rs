//! Takes whole leaves out of a range without looking into them: what a range delete does to a tree of any size.
//!
//! A subtree that lies in the range whole goes by its reference; only the nodes along the range's two edges are written. What was taken
//! goes to a [`Grave`], because freeing millions of entries takes longer than anybody may wait.

use std::sync::Arc;

use limosa_core::{Digest, KeyRange, Version};

use super::edit::{join, split, take};
use super::run::Run;
use super::visit::{covers, touched};
use super::{Child, FAN_OUT_MIN, Grave, Key, Labelled, Leaf, Node, Tree};
use crate::summary::Summary;

/// Leaves of a run that are still named one by one.
const NAMES_MAX: usize = 16;

/// What was taken out.
#[derive(Default)]
pub(crate) struct Taken {
    /// Entries, tombstones included.
    pub(crate) entries: u64,
    /// Their state digest.
    pub(crate) state: Digest,
    /// Neighbouring leaves, in key order.
    pub(crate) runs: Vec<Stretch>,
    /// The nodes themselves.
    pub(crate) grave: Grave,
}

/// Neighbouring leaves that were taken out.
pub(crate) struct Stretch {
    /// What the first was filed under.
    pub(crate) start: Key,
    /// Where the leaf behind the last starts; `None` at the fragment's end.
    pub(crate) end: Option<Key>,
    /// What each was filed under, as long as they are few.
    pub(crate) names: Option<Vec<Key>>,
}

/// What is taken out.
struct Order<'a> {
    range: &'a KeyRange,
    /// Only what has no entry of this version or a newer one.
    below: Option<Version>,
    fragment_end: Option<&'a [u8]>,
}

impl Order<'_> {
    fn takes(&self, start: &[u8], end: Option<&Key>, summary: &Summary) -> bool {
        let end = end.map(|end| &**end).or(self.fragment_end);
        self.below.is_none_or(|below| summary.max_version() < below) && covers(self.range, start, end)
    }
}

impl Tree {
    /// Takes out the leaves all of whose keys lie in `range` and none of whose entries is at or above `below`. No block is looked at.
    pub(crate) fn cut(&mut self, range: &KeyRange, below: Option<Version>, fragment_end: Option<&[u8]>, taken: &mut Taken) {
        let order = Order { range, below, fragment_end };
        if self.root.node.len() == 0 || range.is_empty() {
            return;
        }
        if order.takes(&self.root.first_key, None, &self.root.summary) {
            let root = std::mem::replace(&mut self.root, Tree::new().root);
            taken.subtree(root, None);
            return;
        }
        if order.reaches(&self.root.node, None) {
            cut_node(&mut self.root.node, None, &order, taken);
            self.lower();
            self.root.relabel();
        }
    }
}

impl Order<'_> {
    /// Whether anything below `node` is taken: asked first, because a node that a snapshot shares is copied when it is changed.
    fn reaches(&self, node: &Node, end: Option<&Key>) -> bool {
        match node {
            Node::Inner(children) => touched(children, self.range).any(|i| {
                let child = &children[i];
                let end = children.get(i + 1).map(Labelled::first_key).or(end);
                self.takes(&child.first_key, end, &child.summary) || self.reaches(&child.node, end)
            }),
            Node::Leaves(leaves) => touched(leaves, self.range).any(|i| {
                let end = leaves.get(i + 1).map(Labelled::first_key).or(end);
                self.takes(&leaves[i].first_key, end, &leaves[i].summary)
            }),
        }
    }
}

fn cut_node(node: &mut Arc<Node>, end: Option<&Key>, order: &Order<'_>, taken: &mut Taken) {
    match Arc::make_mut(node) {
        Node::Inner(children) => {
            let span = touched(children, order.range);
            let behind = children.get(span.end).map(Labelled::first_key).or(end).cloned();
            let mut kept = take(children);
            let tail = kept.split_off(span.end);
            let mut inside = kept.split_off(span.start).into_iter().peekable();
            while let Some(mut child) = inside.next() {
                let end = inside.peek().map(|next| next.first_key.clone()).or_else(|| behind.clone());
                if order.takes(&child.first_key, end.as_ref(), &child.summary) {
                    taken.subtree(child, end);
                    continue;
                }
                if order.reaches(&child.node, end.as_ref()) {
                    cut_node(&mut child.node, end.as_ref(), order, taken);
                    child.relabel();
                }
                if child.node.len() > 0 {
                    kept.push(child);
                }
            }
            kept.extend(tail);
            mend(&mut kept);
            *children = Run::new(kept);
        }
        Node::Leaves(leaves) => cut_leaves(leaves, end, order, taken),
    }
}

fn cut_leaves(leaves: &mut Run<Leaf>, end: Option<&Key>, order: &Order<'_>, taken: &mut Taken) {
    let span = touched(leaves, order.range);
    let behind = leaves.get(span.end).map(Labelled::first_key).or(end).cloned();
    let mut kept = take(leaves);
    let tail = kept.split_off(span.end);
    let mut inside = kept.split_off(span.start).into_iter().peekable();
    while let Some(leaf) = inside.next() {
        let end = inside.peek().map(|next| next.first_key.clone()).or_else(|| behind.clone());
        if order.takes(&leaf.first_key, end.as_ref(), &leaf.summary) {
            taken.leaf(leaf, end);
        } else {
            kept.push(leaf);
        }
    }
    kept.extend(tail);
    *leaves = Run::new(kept);
}

/// Joins children with too few items with a neighbour, also where that brings small grandchildren together. One alone stays: it is its
/// parent that is too small then.
pub(super) fn mend(children: &mut Vec<Child>) {
    while children.len() > 1 {
        let Some(small) = children.iter().position(|child| child.node.len() < FAN_OUT_MIN) else { return };
        let first = small.min(children.len() - 2);
        let right = children.remove(first + 1);
        let left = children.remove(first);
        children.splice(first..first, split(join_nodes(left, right)));
    }
}

/// Neighbours as one node, of any size.
pub(super) fn join_nodes(left: Child, right: Child) -> Node {
    match (Arc::unwrap_or_clone(left.node), Arc::unwrap_or_clone(right.node)) {
        (Node::Inner(left), Node::Inner(right)) => {
            let mut items = left.into_items();
            items.extend(right.into_items());
            mend(&mut items);
            Node::Inner(Run::new(items))
        }
        (Node::Leaves(left), Node::Leaves(right)) => Node::Leaves(join(left, right)),
        _ => unreachable!("all leaves lie at one depth"),
    }
}

impl Taken {
    fn subtree(&mut self, child: Child, end: Option<Key>) {
        self.count(&child.summary);
        self.run(child.first_key, end, false);
        self.grave.bury(child.node);
    }

    fn leaf(&mut self, leaf: Leaf, end: Option<Key>) {
        self.count(&leaf.summary);
        self.run(leaf.first_key.clone(), end, true);
        self.grave.bury_leaf(leaf);
    }

    fn count(&mut self, summary: &Summary) {
        self.entries += summary.entries();
        self.state += summary.state;
    }

    fn run(&mut self, start: Key, end: Option<Key>, is_leaf: bool) {
        match self.runs.last_mut().filter(|last| last.end.as_ref() == Some(&start)) {
            Some(last) => {
                last.names = last.names.take().filter(|names| is_leaf && names.len() < NAMES_MAX).map(|mut names| {
                    names.push(start);
                    names
                });
                last.end = end;
            }
            None => self.runs.push(Stretch { names: is_leaf.then(|| vec![start.clone()]), start, end }),
        }
    }
}
