//! Frees what range deletes cut out of the trees: at half of one core at most, so that commands get theirs.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::node::Shared;

/// How often the thread looks whether there is something to free.
const BEAT: Duration = Duration::from_millis(100);
/// Blocks in one step, about 64 entries each: well below a millisecond, so that the allocator's locks are never held for long.
const STEP_BLOCKS: usize = 32;

/// Runs until `stop` is set or the node is gone.
pub(super) fn run(shared: &Weak<Shared>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Some(shared) = shared.upgrade() else { return };
        while shared.store.has_graves() && !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            shared.store.free_some(STEP_BLOCKS);
            thread::sleep(began.elapsed()); // as long as the work took: the machine may have no core to spare
        }
        drop(shared);
        thread::park_timeout(BEAT);
    }
}
