//! Loads the cold blocks that a frame is about to change, on several threads: a target that has just started has none in memory, and
//! verifying a block costs more than applying the few entries that go into it.

use std::thread;

use limosa_core::Frame;
use limosa_store::{FragmentView, StoreError};

/// Threads that load.
const THREADS: usize = 2;
/// Below so many entries the threads cost more than they save.
const ENTRIES_MIN: usize = 16;

/// Brings the blocks of the frame's keys into memory. What is there already costs a look-up.
pub(super) fn blocks(fork: &FragmentView, frame: &Frame) -> Result<(), StoreError> {
    let entries = frame.entries.len();
    if entries < ENTRIES_MIN {
        return Ok(());
    }
    let load = |from: usize, to: usize| (from..to).try_for_each(|i| fork.warm(frame.entries.entry(i).key));
    thread::scope(|scope| {
        let share = entries.div_ceil(THREADS);
        let workers: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || load(n * share, ((n + 1) * share).min(entries)))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a panic while loading is a broken invariant"))
    })
}
