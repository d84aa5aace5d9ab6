//! I1: no acknowledged write is lost.

use super::Broken;
use crate::oracle::{Model, Oracle};

/// After a start of the owner: what it shows is what was acknowledged and some first part of what was not. Answers how many of those.
/// `unreadable` keys lie in damaged blocks: they are read again once those are mended.
pub(crate) fn nothing_acknowledged_is_lost(oracle: &mut Oracle, found: &Model, unreadable: &[Vec<u8>], now_ms: u64) -> Result<u64, Broken> {
    oracle.recovered(found, unreadable, now_ms).map_err(Broken::of("I1 no acknowledged write is lost"))
}
