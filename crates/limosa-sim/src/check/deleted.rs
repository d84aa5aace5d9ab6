//! I8: a deleted key never comes back, and what clients read is what clients wrote.

use super::Broken;
use crate::oracle::{Model, Oracle};

/// While the owner runs: `found` is what clients read of `keys`.
pub(crate) fn what_is_shown_is_what_was_written(oracle: &Oracle, keys: &[Vec<u8>], found: &Model, now_ms: u64) -> Result<(), Broken> {
    oracle.compare(keys, found, now_ms).map_err(Broken::of("I8 what is read is what was written, and nothing deleted"))
}
