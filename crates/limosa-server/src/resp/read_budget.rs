//! Bounds the memory that all connections' read buffers take together.
//!
//! A buffer's first bytes are free: what every connection has. What it grows by is taken from one budget and given back when it shrinks.
//! Without budget a connection reads in small pieces, and one that can't go on without more is refused: waiting for others to give
//! memory back could last for ever, because they may wait for the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use limosa_core::limits::READ_BUFFERS_BYTES_MAX;

/// What may still be taken, bytes.
#[derive(Debug)]
pub(crate) struct ReadBudget(AtomicUsize);

impl Default for ReadBudget {
    fn default() -> Self {
        Self(AtomicUsize::new(READ_BUFFERS_BYTES_MAX))
    }
}

/// What one connection has taken; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    budget: Arc<ReadBudget>,
    bytes: usize,
}

impl Taken {
    pub(crate) fn nothing(budget: Arc<ReadBudget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Takes `bytes` more; false, and nothing taken, when there are not so many left.
    pub(crate) fn more(&mut self, bytes: usize) -> bool {
        let left = self.budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if left.is_ok() {
            self.bytes += bytes;
        }
        left.is_ok()
    }

    /// Gives everything back.
    pub(crate) fn give_back(&mut self) {
        self.budget.0.fetch_add(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_take_together_never_passes_the_budget() {
        let budget = Arc::new(ReadBudget(AtomicUsize::new(10)));
        let (mut one, mut two) = (Taken::nothing(budget.clone()), Taken::nothing(budget.clone()));
        assert!(one.more(6) && !two.more(5) && two.more(4) && !one.more(1));
        one.give_back();
        assert!(two.more(6));
        drop(two);
        assert_eq!(budget.0.load(Ordering::Relaxed), 10);
    }
}
