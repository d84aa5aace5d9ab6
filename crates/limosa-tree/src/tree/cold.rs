//! The hand that passes over leaves and drops blocks from memory, and the choice of blocks to spill.

use std::sync::Arc;

use bytes::Bytes;
use limosa_core::KeyRange;

use super::{Leaf, Next, Node, Step, Tree};
use crate::block::Block;
use crate::memory::Verdict;

/// What one pass may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    /// Blocks that did not change after this generation can be read again by everybody who can see them.
    pub(crate) clean_to: u64,
    /// Stop when so many bytes were dropped.
    pub(crate) bytes: usize,
    /// Stop when so many leaves were looked at.
    pub(crate) leaves: usize,
}

/// What a pass did.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) blocks: Vec<Block>,
    pub(crate) bytes: usize,
    pub(crate) leaves: usize,
    /// Where the next pass starts; `None`: the end was reached.
    pub(crate) next: Option<Bytes>,
}

impl Tree {
    /// Takes blocks out of memory, from the leaf that `from` lies in onwards.
    pub(crate) fn drop_blocks(&self, from: &Bytes, pass: Pass) -> Passed {
        let mut passed = Passed::default();
        self.each_leaf(from, |leaf| {
            if passed.leaves >= pass.leaves || passed.bytes >= pass.bytes {
                passed.next = Some(Bytes::copy_from_slice(&leaf.first_key));
                return Next::Stop;
            }
            passed.leaves += 1;
            let can_go = leaf.summary.modified <= pass.clean_to || leaf.cell().spilled().is_some();
            let bytes = leaf.cell().bytes();
            if bytes > 0
                && can_go
                && leaf.cell().judge() == Verdict::Drop
                && let Some(block) = leaf.cell().take()
            {
                passed.bytes += bytes;
                passed.blocks.push(block);
            }
            Next::Enter
        });
        passed
    }

    /// Up to `bytes` of blocks that no checkpoint has and that nobody wanted lately, from the leaf that `from` lies in onwards; then
    /// where the next choice starts.
    pub(crate) fn spillable(&self, from: &Bytes, pass: Pass) -> (Vec<Leaf>, Option<Bytes>) {
        let (mut out, mut bytes, mut leaves, mut next) = (Vec::new(), 0, 0, None);
        self.each_leaf(from, |leaf| {
            if leaves >= pass.leaves || bytes >= pass.bytes {
                next = Some(Bytes::copy_from_slice(&leaf.first_key));
                return Next::Stop;
            }
            leaves += 1;
            let only_here = leaf.summary.modified > pass.clean_to && leaf.cell().spilled().is_none();
            let own = leaf.cell().bytes();
            if own > 0 && only_here && leaf.cell().judge() == Verdict::Drop {
                bytes += own;
                out.push(leaf.clone());
            }
            Next::Enter
        });
        (out, next)
    }

    /// Makes leaves cold that did not change after generation `checkpointed`; clones keep what they share. Returns how many were in memory.
    pub(crate) fn make_cold(&mut self, checkpointed: u64) -> u64 {
        make_cold(Arc::make_mut(&mut self.root.node), checkpointed)
    }

    fn each_leaf(&self, from: &Bytes, mut f: impl FnMut(&Leaf) -> Next) {
        let range = KeyRange { start: from.clone(), end: None };
        let walked = self.walk(&range, None, None, |step| match step {
            Step::Subtree { .. } => Ok::<_, std::convert::Infallible>(Next::Enter),
            Step::Leaf(visit) => Ok(f(visit.leaf)),
        });
        let Ok(_) = walked;
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
