//! Codes a set of ids into symbols, one after the other.
//!
//! Symbols are computed in windows whose ends double. A window of that shape holds each id 1.4 times on average, so walking all ids
//! once for a window costs no more than the window's content: O(log symbols) for an id in all, with no heap.

use super::mapping::Member;
use super::symbol::{self, Symbol};

/// First window: enough for the difference of ends that hardly differ.
const WINDOW_MIN: usize = 64;

/// A set of ids, and its symbols as far as they were computed.
#[derive(Clone, Debug)]
pub struct Encoder {
    members: Vec<Member>,
    cells: Vec<Symbol>,
    handed: usize,
}

impl Encoder {
    /// Codes the set of `ids`. Both ends must use the same `salt`; a new one for each session makes a failure not repeat.
    pub fn new(ids: impl IntoIterator<Item = u64>, salt: u64) -> Self {
        let mut members: Vec<Member> = ids.into_iter().map(|id| Member::new(id, salt)).collect();
        members.sort_unstable_by_key(|member| member.id);
        members.dedup_by_key(|member| member.id);
        Self { members, cells: Vec::new(), handed: 0 }
    }

    /// How many ids the set has.
    pub fn total(&self) -> u64 {
        self.members.len() as u64
    }

    /// Index of the symbol that [`Encoder::symbols`] hands out next.
    pub fn next_index(&self) -> u64 {
        self.handed as u64
    }

    /// The next `count` symbols.
    ///
    /// # Panics
    /// If memory does not hold them: a count that a peer asks for is limited by the caller.
    pub fn symbols(&mut self, count: usize) -> &[Symbol] {
        let first = self.handed;
        self.handed += count;
        if self.handed > self.cells.len() {
            self.cells.resize(window_end(self.handed), Symbol::ZERO);
            self.members.iter_mut().for_each(|member| member.cover(&mut self.cells, 1));
        }
        &self.cells[first..self.handed]
    }

    /// The next `count` symbols as they are sent ([`super::encode`]).
    pub fn encoded(&mut self, count: usize) -> Vec<u8> {
        let (first, total) = (self.next_index(), self.total());
        let mut out = Vec::new();
        symbol::encode(self.symbols(count), first, total, &mut out);
        out
    }

    pub(super) fn set_len(&self) -> usize {
        self.members.len()
    }

    /// Where `id` stands among the ids in ascending order.
    pub(super) fn rank(&self, id: u64) -> Option<usize> {
        self.members.binary_search_by_key(&id, |member| member.id).ok()
    }
}

/// End of the window that holds the first `count` symbols.
pub(super) fn window_end(count: usize) -> usize {
    count.next_power_of_two().max(WINDOW_MIN)
}
