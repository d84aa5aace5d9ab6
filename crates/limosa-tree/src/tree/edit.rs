//! Adds, replaces and removes many leaves at once: the only way in which the tree changes its shape.

use std::sync::Arc;

use super::{Child, FAN_OUT, FAN_OUT_MIN, Key, Labelled, Leaf, Node, Tree, sum};

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
        while self.root.node.len() > FAN_OUT {
            let node = std::mem::replace(&mut self.root.node, Arc::new(Node::Inner(Vec::new())));
            self.root.node = Arc::new(Node::Inner(split(Arc::unwrap_or_clone(node))));
        }
        self.lower();
        self.root.relabel();
    }

    /// Drops levels that hold a single child.
    fn lower(&mut self) {
        while let Node::Inner(children) = &*self.root.node {
            match &children[..] {
                [] => self.root.node = Arc::new(Node::Leaves(Vec::new())),
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
    fn relabel(&mut self) {
        let (first, summary) = match &*self.node {
            Node::Inner(children) => (children.first().map(Labelled::first_key), sum(children)),
            Node::Leaves(leaves) => (leaves.first().map(Labelled::first_key), sum(leaves)),
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
        Node::Inner(children) => *children = edit_children(std::mem::take(children), edits),
    }
}

fn edit_leaves(leaves: &mut Vec<Leaf>, edits: &mut [Edit]) {
    if let [edit] = edits {
        return edit_leaf(leaves, edit);
    }
    let mut out = Vec::with_capacity(leaves.len() + edits.len());
    let mut old = std::mem::take(leaves).into_iter().peekable();
    for edit in edits {
        while let Some(leaf) = old.next_if(|leaf| leaf.first_key < edit.key) {
            out.push(leaf);
        }
        old.next_if(|leaf| leaf.first_key == edit.key);
        out.extend(edit.leaf.take());
    }
    out.extend(old);
    out.shrink_to_fit();
    *leaves = out;
}

fn edit_leaf(leaves: &mut Vec<Leaf>, edit: &mut Edit) {
    let at = leaves.binary_search_by(|leaf| leaf.first_key.cmp(&edit.key));
    match (at, edit.leaf.take()) {
        (Ok(i), Some(leaf)) => leaves[i] = leaf,
        (Ok(i), None) => drop(leaves.remove(i)),
        (Err(i), Some(leaf)) => {
            if leaves.len() == leaves.capacity() {
                leaves.reserve_exact(4);
            }
            leaves.insert(i, leaf);
        }
        (Err(_), None) => {}
    }
}

fn edit_children(children: Vec<Child>, mut edits: &mut [Edit]) -> Vec<Child> {
    let starts: Vec<Key> = children.iter().skip(1).map(|child| child.first_key.clone()).collect();
    let mut out = Balanced { children: Vec::with_capacity(children.len() + 1), last_is_small: false };
    for (i, mut child) in children.into_iter().enumerate() {
        let count = starts.get(i).map_or(edits.len(), |next| edits.partition_point(|edit| edit.key < *next));
        let (here, rest) = std::mem::take(&mut edits).split_at_mut(count);
        edits = rest;
        if here.is_empty() {
            out.push(child);
            continue;
        }
        edit_node(Arc::make_mut(&mut child.node), here);
        match child.node.len() {
            0 => {}
            1..=FAN_OUT => {
                child.relabel();
                out.push_edited(child);
            }
            _ => split(Arc::unwrap_or_clone(child.node)).into_iter().for_each(|child| out.push(child)),
        }
    }
    out.children
}

/// Children of one node, in order; one with too few items is joined with its neighbour.
struct Balanced {
    children: Vec<Child>,
    last_is_small: bool,
}

impl Balanced {
    fn push(&mut self, child: Child) {
        if std::mem::take(&mut self.last_is_small) {
            self.join(child);
        } else {
            self.children.push(child);
        }
    }

    fn push_edited(&mut self, child: Child) {
        if child.node.len() >= FAN_OUT_MIN {
            self.push(child);
        } else if self.children.is_empty() {
            self.children.push(child);
            self.last_is_small = true;
        } else {
            self.join(child);
        }
    }

    fn join(&mut self, child: Child) {
        let last = self.children.pop().expect("there is a child to join with");
        let node = match (Arc::unwrap_or_clone(last.node), Arc::unwrap_or_clone(child.node)) {
            (Node::Inner(mut left), Node::Inner(right)) => {
                left.extend(right);
                Node::Inner(left)
            }
            (Node::Leaves(mut left), Node::Leaves(right)) => {
                left.extend(right);
                Node::Leaves(left)
            }
            _ => unreachable!("all leaves lie at one depth"),
        };
        self.children.extend(split(node));
        self.last_is_small = self.children.len() == 1 && self.children[0].node.len() < FAN_OUT_MIN;
    }
}

/// As few children as the node's items need, evenly filled.
fn split(node: Node) -> Vec<Child> {
    match node {
        Node::Inner(children) => chunks(children).map(|chunk| Child::new(Node::Inner(chunk))).collect(),
        Node::Leaves(leaves) => chunks(leaves).map(|chunk| Child::new(Node::Leaves(chunk))).collect(),
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
