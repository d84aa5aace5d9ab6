//! Adds, replaces and removes many leaves at once: the only way in which the tree changes its shape.

use std::sync::Arc;

use super::cut::join_nodes;
use super::run::Run;
use super::{Child, FAN_OUT, FAN_OUT_MIN, Key, Labelled, Leaf, Node, Tree};

/// What becomes of the leaf filed under `key`.
pub(crate) struct Edit {
    pub(crate) key: Key,
    /// The leaf from now on; `None` removes it.
    pub(crate) leaf: Option<Leaf>,
}

impl Tree {
    /// Applies `edits`, which are in key order, each key at most once.
    pub(crate) fn edit(&mut self, mut edits: Vec<Edit>) {
        debug_assert!(edits.windows(2).all(|pair| pair[0].key < pair[1].key));
        if edits.is_empty() {
            return;
        }
        edit_node(Arc::make_mut(&mut self.root.node), &mut edits);
        self.settle();
    }

    /// Brings the root, which may have any number of items, into shape.
    pub(super) fn settle(&mut self) {
        while self.root.node.len() > FAN_OUT {
            let node = std::mem::replace(&mut self.root.node, Arc::new(Node::Inner(Run::new(Vec::new()))));
            self.root.node = Arc::new(Node::Inner(Run::new(split(Arc::unwrap_or_clone(node)))));
        }
        self.lower();
        self.root.relabel();
    }

    /// Drops levels that hold a single child.
    pub(super) fn lower(&mut self) {
        while let Node::Inner(children) = &*self.root.node {
            match &children[..] {
                [] => self.root.node = Arc::new(Node::Leaves(Run::new(Vec::new()))),
                [only] => self.root.node = only.node.clone(),
                _ => return,
            }
        }
    }
}

impl Child {
    fn new(node: Node) -> Self {
        let mut child = Self { first_key: Arc::from(&[][..]), summary: crate::Summary::EMPTY, node: Arc::new(node) };
        child.relabel();
        child
    }

    /// Takes summary and first key from the node's items.
    pub(super) fn relabel(&mut self) {
        let (first, summary) = match &*self.node {
            Node::Inner(children) => (children.first().map(Labelled::first_key), children.sum()),
            Node::Leaves(leaves) => (leaves.first().map(Labelled::first_key), leaves.sum()),
        };
        if let Some(first) = first {
            self.first_key = first.clone();
        }
        self.summary = summary;
    }
}

/// Applies `edits` below `node`, which may have any number of items afterwards.
fn edit_node(node: &mut Node, edits: &mut [Edit]) {
    match node {
        Node::Leaves(leaves) => edit_leaves(leaves, edits),
        Node::Inner(children) => edit_children(children, edits),
    }
}

fn edit_leaves(leaves: &mut Run<Leaf>, edits: &mut [Edit]) {
    if let [edit] = edits {
        return edit_leaf(leaves, edit);
    }
    let mut out = Vec::with_capacity(leaves.len() + edits.len());
    let mut old = take(leaves).into_iter().peekable();
    for edit in edits {
        while let Some(leaf) = old.next_if(|leaf| leaf.first_key < edit.key) {
            out.push(leaf);
        }
        old.next_if(|leaf| leaf.first_key == edit.key);
        out.extend(edit.leaf.take());
    }
    out.extend(old);
    out.shrink_to_fit();
    *leaves = Run::new(out);
}

fn edit_leaf(leaves: &mut Run<Leaf>, edit: &mut Edit) {
    let i = leaves.count_before(&edit.key);
    let is_there = leaves.get(i).is_some_and(|leaf| leaf.first_key == edit.key);
    match (is_there, edit.leaf.take()) {
        (true, Some(leaf)) => leaves.replace(i, leaf),
        (true, None) => leaves.remove(i),
        (false, Some(leaf)) => leaves.insert(i, leaf),
        (false, None) => {}
    }
}

/// Children without edits are left alone, unless one with edits becomes too large or too small.
fn edit_children(children: &mut Run<Child>, mut edits: &mut [Edit]) {
    let mut is_uneven = false;
    let mut i = edits.first().and_then(|edit| children.position(&edit.key)).unwrap_or(0);
    while !edits.is_empty() {
        let count = children.get(i + 1).map_or(edits.len(), |next| edits.partition_point(|edit| edit.key < next.first_key));
        let (here, rest) = std::mem::take(&mut edits).split_at_mut(count);
        edits = rest;
        if !here.is_empty() {
            children.relabel(i, |child| {
                edit_node(Arc::make_mut(&mut child.node), here);
                child.relabel();
            });
            is_uneven |= !(FAN_OUT_MIN..=FAN_OUT).contains(&children[i].node.len());
        }
        i += 1;
    }
    if is_uneven {
        let mut out = Balanced { children: Vec::with_capacity(children.len() + 1), last_is_small: false };
        for child in take(children) {
            out.push(child);
        }
        *children = Run::new(out.children);
    }
}

pub(super) fn take<T: Labelled>(run: &mut Run<T>) -> Vec<T> {
    std::mem::replace(run, Run::new(Vec::new())).into_items()
}

/// Children of one node, in order: too large ones are split, too small ones joined with a neighbour.
struct Balanced {
    children: Vec<Child>,
    last_is_small: bool,
}

impl Balanced {
    fn push(&mut self, child: Child) {
        match child.node.len() {
            0 => {}
            FAN_OUT_MIN..=FAN_OUT => self.push_even(child),
            1..FAN_OUT_MIN if self.children.is_empty() => {
                self.children.push(child);
                self.last_is_small = true;
            }
            1..FAN_OUT_MIN => self.join(child),
            _ => split(Arc::unwrap_or_clone(child.node)).into_iter().for_each(|child| self.push_even(child)),
        }
    }

    fn push_even(&mut self, child: Child) {
        if std::mem::take(&mut self.last_is_small) {
            self.join(child);
        } else {
            self.children.push(child);
        }
    }

    fn join(&mut self, child: Child) {
        let last = self.children.pop().expect("there is a child to join with");
        self.children.extend(split(join_nodes(last, child)));
        self.last_is_small = self.children.len() == 1 && self.children[0].node.len() < FAN_OUT_MIN;
    }
}

pub(super) fn join<T: Labelled>(left: Run<T>, right: Run<T>) -> Run<T> {
    let mut items = left.into_items();
    items.extend(right.into_items());
    Run::new(items)
}

/// As few children as the node's items need, evenly filled.
pub(super) fn split(node: Node) -> Vec<Child> {
    match node {
        Node::Inner(children) => chunks(children.into_items()).map(|chunk| Child::new(Node::Inner(Run::new(chunk)))).collect(),
        Node::Leaves(leaves) => chunks(leaves.into_items()).map(|chunk| Child::new(Node::Leaves(Run::new(chunk)))).collect(),
    }
}

fn chunks<T: Labelled>(items: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let count = items.len().div_ceil(FAN_OUT);
    let (size, larger) = (items.len() / count, items.len() % count);
    let mut items = items.into_iter();
    (0..count).map(move |i| {
        let size = size + usize::from(i < larger);
        let mut chunk = Vec::with_capacity(size);
        chunk.extend(items.by_ref().take(size));
        chunk
    })
}
