//! I9: once faults stop, everything heals: in the end every standby has what its owner has, and all of it is there.

use limosa_store::{Store, StoreError};

use super::Broken;
use crate::workload::visible;

/// Whether the standby stands where its owner does.
pub(crate) fn is_healed(owner: &Store, standby: &Store) -> bool {
    let core = |store: &Store| store.facts().into_iter().map(|facts| (facts.id, facts.head, facts.state)).collect::<Vec<_>>();
    core(owner) == core(standby)
}

/// Entry by entry, by a path that shares no code with transfers and digests.
pub(crate) fn all_are_equal(owner: &Store, standby: &Store, name: &str) -> Result<(), Broken> {
    let rule = "I9 in the end every standby has what its owner has";
    let read = |store: &Store| visible(store, 0).map_err(|error: StoreError| Broken { rule, what: error.to_string() });
    let (ours, theirs) = (read(owner)?, read(standby)?);
    if ours == theirs { Ok(()) } else { Err(Broken { rule, what: format!("{name}: {} keys, the owner {}", theirs.len(), ours.len()) }) }
}
