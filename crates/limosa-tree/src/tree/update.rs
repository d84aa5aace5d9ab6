//! Changes one leaf in place, and the summaries above it by the difference.

use std::sync::Arc;

use super::{Child, Labelled, Leaf, Node, Tree, position};
use crate::summary::Summary;

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
            let i = position(children, key).expect("the first child starts where the node does");
            let old = children[i].summary;
            let result = update(&mut children[i], key, f);
            exchange(&mut child.summary, &old, i, children);
            result
        }
        Node::Leaves(leaves) => {
            let i = position(leaves, key).expect("the first leaf starts where the node does");
            let old = leaves[i].summary;
            let result = f(&mut leaves[i]);
            exchange(&mut child.summary, &old, i, leaves);
            result
        }
    }
}

/// Brings `sum` over `items` up to date after item `i` changed from `old`.
fn exchange<T: Labelled>(sum: &mut Summary, old: &Summary, i: usize, items: &[T]) {
    let new = items[i].summary();
    if sum.exchange(old, new) {
        sum.min_expiry = super::sum(items).min_expiry;
    }
    if i == 0 {
        sum.set_first_live(new.first_live());
    }
}
