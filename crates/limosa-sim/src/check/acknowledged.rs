//! I1: no acknowledged write is lost. I8: a deleted key never comes back, since the model has no such key.

use super::Broken;
use crate::oracle::{Model, Oracle};

/// After a start of the owner: what it shows is what was acknowledged and some first part of what was not. Answers how many of those.
pub(crate) fn nothing_acknowledged_is_lost(oracle: &mut Oracle, found: &Model, now_ms: u64) -> Result<u64, Broken> {
    oracle.recovered(found, now_ms).map_err(Broken::of("I1 no acknowledged write is lost"))
}

/// While the owner runs: what a client reads is what clients wrote.
pub(crate) fn what_is_shown_is_what_was_written(oracle: &Oracle, found: &Model, now_ms: u64) -> Result<(), Broken> {
    oracle.compare(found, now_ms).map_err(Broken::of("I8 what is read is what was written, and nothing deleted"))
}
