//! Keeps house: frees what range deletes cut out of the trees, raises floors, and sweeps the deletions below them; at half of one core
//! at most, so that commands get theirs.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use limosa_core::Scope;
use limosa_store::{FragmentGate, StoreError};

use super::node::Shared;

/// How often the thread looks whether there is something to do.
const BEAT: Duration = Duration::from_millis(100);
/// Blocks freed in one step, about 64 entries each: well below a millisecond, so that the allocator's locks are never held for long.
const FREED_BLOCKS: usize = 32;
/// Blocks swept in one step, under the store's lock: about half a millisecond.
const SWEPT_BLOCKS: usize = 16;
/// How often an owner looks for deletions that nobody needs.
const FLOORS_EVERY: Duration = Duration::from_secs(10);
/// After its start it waits longer: standbys whose lease the journal does not have yet dial again first.
const FLOORS_FIRST: Duration = Duration::from_secs(30);

/// Runs until `stop` is set or the node is gone.
pub(super) fn run(shared: &Weak<Shared>, stop: &AtomicBool) {
    let mut floors_due = Instant::now() + FLOORS_FIRST;
    while !stop.load(Ordering::Relaxed) {
        let Some(shared) = shared.upgrade() else { return };
        let raises = shared.role.borrow().is_owner() && Instant::now() >= floors_due;
        if raises {
            floors_due = Instant::now() + FLOORS_EVERY;
        }
        if let Err(error) = once(&shared, raises, stop) {
            tracing::error!(code = error.code(), "deletions are not collected: {error}");
        }
        drop(shared);
        thread::park_timeout(BEAT);
    }
}

fn once(shared: &Shared, raises: bool, stop: &AtomicBool) -> Result<(), StoreError> {
    let store = &shared.store;
    let goes_on = || !stop.load(Ordering::Relaxed);
    while goes_on() && store.has_graves() {
        paced(|| store.free_some(FREED_BLOCKS));
    }
    if raises {
        for peer in store.raise_floors(&owned(shared))?.ended {
            tracing::warn!(peer, "its lease ended: deletions are not remembered for it any longer, it will compare by content");
        }
    }
    while goes_on() && paced(|| store.sweep_some(SWEPT_BLOCKS))?.is_some() {}
    Ok(())
}

/// Fragments whose floors this node raises: all of an owner without a manifest, those that it serves of a member.
fn owned(shared: &Shared) -> Scope {
    if shared.board.is_none() {
        return Scope::All;
    }
    let serving = shared.store.gates().into_iter().filter(|(_, gate)| *gate == FragmentGate::Serving);
    Scope::only(serving.map(|(id, _)| id))
}

/// Does a step, then rests for as long as it took: the machine may have no core to spare.
fn paced<T>(step: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = step();
    thread::sleep(began.elapsed());
    result
}
