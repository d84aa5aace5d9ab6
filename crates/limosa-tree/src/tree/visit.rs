//! Walks over the leaves of a key range, passing over subtrees that cannot matter.

use std::ops::ControlFlow;

use limosa_core::{KeyRange, Version};

use super::run::Run;
use super::{Labelled, Leaf, Node, Tree};
use crate::block::Block;
use crate::summary::Summary;

/// A leaf met on a walk.
#[derive(Clone, Copy)]
pub(crate) struct Visit<'a> {
    pub(crate) leaf: &'a Leaf,
    behind: Behind<'a>,
    /// Whether all keys that can lie in the leaf lie in the range.
    pub(crate) inside: bool,
}

/// What lies behind a leaf or subtree: its key is looked up only when it is asked for, since it is a place in memory of its own.
#[derive(Clone, Copy)]
enum Behind<'a> {
    Item(&'a dyn Labelled),
    /// The end of the fragment.
    Fragment(Option<&'a [u8]>),
}

impl<'a> Behind<'a> {
    fn start(self) -> Option<&'a [u8]> {
        match self {
            Self::Item(item) => Some(item.first_key()),
            Self::Fragment(end) => end,
        }
    }
}

impl<'a> Visit<'a> {
    /// Where the next leaf starts or the fragment ends.
    pub(crate) fn end(&self) -> Option<&'a [u8]> {
        self.behind.start()
    }

    /// The entries of the leaf's block that lie in `range`, which is the walk's.
    pub(crate) fn entries(&self, block: &Block, range: &KeyRange) -> (usize, usize) {
        if self.inside {
            return (0, block.len());
        }
        let from = block.lower_bound(&range.start);
        let to = range.end.as_ref().map_or(block.len(), |end| block.lower_bound(end));
        (from, to.max(from))
    }
}

/// A subtree or leaf that a walk over a range meets.
pub(crate) enum Step<'a> {
    /// A subtree, before descending into it; `inside` when all keys that can lie in it lie in the range.
    Subtree { summary: &'a Summary, inside: bool },
    /// A leaf.
    Leaf(Visit<'a>),
}

/// What a walk does next; behind a leaf, entering and skipping are the same.
pub(crate) enum Next {
    /// Into the subtree, or on.
    Enter,
    /// Past the subtree.
    Skip,
    /// No further.
    Stop,
}

impl Tree {
    /// Walks over what intersects `range` in key order; where `since` is given, only over what may hold something newer.
    /// `fragment_end` is where the fragment ends.
    pub(crate) fn walk<'a, E>(
        &'a self,
        range: &KeyRange,
        fragment_end: Option<&'a [u8]>,
        since: Option<Version>,
        mut f: impl FnMut(Step<'a>) -> Result<Next, E>,
    ) -> Result<ControlFlow<()>, E> {
        let inside = covers(range, &self.root.first_key, fragment_end);
        walk(&self.root.node, range, Behind::Fragment(fragment_end), inside, since, &mut f)
    }

    /// The leaf that holds the `k`-th unit when `weight` counts a summary's units, and how many lie in it before that one.
    pub(crate) fn kth(&self, mut k: u64, weight: impl Fn(&Summary) -> u64) -> Option<(&Leaf, u64)> {
        fn pick<'a, T: Labelled>(items: &'a [T], k: &mut u64, weight: &impl Fn(&Summary) -> u64) -> &'a T {
            for item in items {
                let here = weight(item.summary());
                if *k < here {
                    return item;
                }
                *k -= here;
            }
            unreachable!("a node weighs what its items weigh")
        }
        if k >= weight(&self.root.summary) {
            return None;
        }
        let mut node = &self.root.node;
        loop {
            match &**node {
                Node::Inner(children) => node = &pick(children, &mut k, &weight).node,
                Node::Leaves(leaves) => return Some((pick(leaves, &mut k, &weight), k)),
            }
        }
    }
}

/// Whether keys from `start` to before `end` all lie in `range`.
pub(super) fn covers(range: &KeyRange, start: &[u8], end: Option<&[u8]>) -> bool {
    let end_inside = match (&range.end, end) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(range_end), Some(end)) => end <= &range_end[..],
    };
    end_inside && start >= &range.start[..]
}

/// Whether an item of `span` has touched neighbours on both sides: it then lies in the range whole, and its keys need not be looked at.
/// Each key is a place in memory of its own.
fn is_inner(i: usize, span: &std::ops::Range<usize>) -> bool {
    i > span.start && i + 1 < span.end
}

/// The items that can hold keys of the range: from the one that its start belongs into to the last that starts before its end.
pub(super) fn touched<T: Labelled>(items: &Run<T>, range: &KeyRange) -> std::ops::Range<usize> {
    let first = items.position(&range.start).unwrap_or(0);
    let behind = range.end.as_ref().map_or(items.len(), |end| items.count_before(end));
    first..behind.max(first)
}

/// The items of `run` that a walk meets, each with what is behind it and whether it lies in the range whole.
fn met<'a, T: Labelled>(
    run: &'a Run<T>,
    range: &KeyRange,
    behind: Behind<'a>,
    inside: bool,
    since: Option<Version>,
) -> impl Iterator<Item = (&'a T, Behind<'a>, bool)> {
    let span = if inside { 0..run.len() } else { touched(run, range) };
    span.clone().filter(move |&i| since.is_none_or(|since| run.is_newer(i, since))).map(move |i| {
        let behind = run.get(i + 1).map_or(behind, |next| Behind::Item(next));
        let inside = inside || is_inner(i, &span) || covers(range, run[i].first_key(), behind.start());
        (&run[i], behind, inside)
    })
}

fn walk<'a, E>(
    node: &'a Node,
    range: &KeyRange,
    behind: Behind<'a>,
    inside: bool,
    since: Option<Version>,
    f: &mut impl FnMut(Step<'a>) -> Result<Next, E>,
) -> Result<ControlFlow<()>, E> {
    match node {
        Node::Inner(children) => {
            for (child, behind, inside) in met(children, range, behind, inside, since) {
                let stops = match f(Step::Subtree { summary: &child.summary, inside })? {
                    Next::Skip => false,
                    Next::Stop => true,
                    Next::Enter => walk(&child.node, range, behind, inside, since, f)?.is_break(),
                };
                if stops {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Node::Leaves(leaves) => {
            for (leaf, behind, inside) in met(leaves, range, behind, inside, since) {
                if matches!(f(Step::Leaf(Visit { leaf, behind, inside }))?, Next::Stop) {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}
