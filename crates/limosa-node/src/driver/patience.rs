//! Waits where a damaged block is in a job's way: it is being fetched from a peer, and the job goes on behind it.

use std::thread;
use std::time::{Duration, Instant};

use limosa_store::{Store, StoreError};

/// Longest wait for one job: by then nobody who is connected has the block.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the waiting job looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Carries `job` out, again each time that a damaged block which was in its way has been mended. Gives up when `is_over`, when nobody sends
/// the block in time, or when the block is sound and the job fails all the same. A job that fails has changed nothing.
pub(super) fn patiently<T>(
    store: &Store,
    is_over: impl Fn() -> bool,
    mut job: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let began = Instant::now();
    let mut last = None;
    loop {
        let error = match job() {
            Err(error @ StoreError::CorruptBlock { .. }) => error,
            other => return other,
        };
        let StoreError::CorruptBlock { fragment, first_key, .. } = &error else { unreachable!("matched above") };
        let block = (*fragment, first_key.clone());
        let is_damaged = || store.damage().iter().any(|damaged| damaged.fragment == block.0 && damaged.range.start[..] == block.1[..]);
        if last.as_ref() == Some(&block) && !is_damaged() {
            return Err(error);
        }
        while is_damaged() {
            if is_over() || began.elapsed() > PATIENCE {
                return Err(error);
            }
            thread::sleep(LOOK_EVERY);
        }
        last = Some(block);
    }
}
