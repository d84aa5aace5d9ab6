//! One layer of the overlay: entries and range deletes, each with the position that wrote it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use limosa_core::{Expiry, KeyRange, Kind};

use super::Found;
use super::deletes::DeleteMap;
use crate::journal::Position;

/// A live value that is pending. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub(crate) struct PendingLive {
    pub(crate) kind: Kind,
    pub(crate) expiry: Expiry,
    pub(crate) value: Arc<[u8]>,
}

/// An entry that is pending.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Which record writes it.
    pub(crate) position: Position,
    /// Which operation of its batch: meaningful while the batch is open.
    pub(crate) op: u32,
    /// The value, or `None` for a tombstone.
    pub(crate) live: Option<PendingLive>,
}

#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) entries: BTreeMap<Arc<[u8]>, Pending>,
    pub(super) deletes: DeleteMap,
}

impl Layer {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.deletes.is_empty()
    }

    /// An entry of the same position as a range delete was written behind it, so it stands.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<Found<'_>> {
        let entry = self.entries.get(key);
        let deleted = if self.deletes.is_empty() { None } else { self.deletes.at(key) };
        match (entry, deleted) {
            (Some(entry), deleted) if deleted.is_none_or(|position| position <= entry.position) => {
                Some(Found { position: entry.position, live: entry.live.as_ref() })
            }
            (_, Some(position)) => Some(Found { position, live: None }),
            (_, None) => None,
        }
    }

    pub(super) fn keys<'a>(&'a self, range: &'a KeyRange) -> impl Iterator<Item = &'a Arc<[u8]>> {
        let from = Bound::Included(&range.start[..]);
        let to = range.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        let inside = (!range.is_empty()).then(|| self.entries.range::<[u8], _>((from, to)));
        inside.into_iter().flatten().map(|(key, _)| key)
    }
}
