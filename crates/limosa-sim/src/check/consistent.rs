//! I6: a standby shows a version that its owner showed, and no other, at every instant.

use limosa_store::Store;

use super::Broken;
use crate::oracle::Oracle;

/// What the standby shows, its owner once showed. Answers how many fragments could be judged: a standby may stand between two versions
/// that the owner published in one step.
pub(crate) fn every_standby_shows_a_version_of_its_owner(oracle: &Oracle, standby: &Store) -> Result<u64, Broken> {
    oracle.standby_shows(&standby.facts()).map_err(Broken::of("I6 a standby shows a version that its owner showed"))
}
