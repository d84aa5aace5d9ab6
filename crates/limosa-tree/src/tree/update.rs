//! Changes one leaf in place, and the summaries above it by the difference.

use std::sync::Arc;

use super::{Child, Leaf, Node, Tree};

impl Tree {
    /// Calls `f` with the leaf that `key` belongs into; `None` when there is none. Nodes that a snapshot shares are copied on the way.
    pub(crate) fn update<R>(&mut self, key: &[u8], f: impl FnOnce(&mut Leaf) -> R) -> Option<R> {
        self.find_slot(key)?;
        Some(update(&mut self.root, key, f))
    }

    /// Whether some leaf starts at or before `key`: only the first child of every node matters.
    fn find_slot(&self, key: &[u8]) -> Option<()> {
        (self.root.node.len() > 0 && &*self.root.first_key <= key).then_some(())
    }
}

fn update<R>(child: &mut Child, key: &[u8], f: impl FnOnce(&mut Leaf) -> R) -> R {
    match Arc::make_mut(&mut child.node) {
        Node::Inner(children) => {
            let i = children.position(key).expect("the first child starts where the node does");
            children.change(i, &mut child.summary, |child| update(child, key, f))
        }
        Node::Leaves(leaves) => {
            let i = leaves.position(key).expect("the first leaf starts where the node does");
            leaves.change(i, &mut child.summary, f)
        }
    }
}
