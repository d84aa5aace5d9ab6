//! What commands see above the published trees: writes that the journal does not have yet.
//!
//! Two layers: `open` takes new writes, `in_flight` holds those of the group that is being flushed. When that group is published,
//! its layer is dropped whole: what it said, the trees say from then on.

mod deletes;
mod layer;

use std::collections::BTreeSet;
use std::sync::Arc;

use limosa_core::{KeyRange, LiveRef};

use crate::journal::Position;
use layer::Layer;
pub(crate) use layer::{Pending, PendingLive};

/// What the overlay says of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    /// The pending position that says so.
    pub(crate) position: Position,
    /// The value, or `None` when it was deleted.
    pub(crate) live: Option<&'a PendingLive>,
}

/// The two layers.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    open: Layer,
    in_flight: Layer,
}

impl Overlay {
    /// Whether nothing is pending.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.in_flight.is_empty()
    }

    /// The newest pending word on `key`; `None` when the trees have it.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Option<Found<'_>> {
        if self.is_empty() {
            return None;
        }
        self.open.find(key).or_else(|| self.in_flight.find(key))
    }

    /// The open layer's entry for `key`, not looking at range deletes: for the batch that may have written it.
    pub(crate) fn open_entry(&mut self, key: &[u8]) -> Option<&mut Pending> {
        self.open.entries.get_mut(key)
    }

    /// Puts an entry into the open layer and answers what was there.
    pub(crate) fn put(&mut self, key: Arc<[u8]>, pending: Pending) -> Option<Pending> {
        self.open.entries.insert(key, pending)
    }

    /// Puts back what [`Overlay::put`] answered.
    pub(crate) fn restore(&mut self, key: &[u8], previous: Option<Pending>) {
        match previous {
            Some(previous) => *self.open.entries.get_mut(key).expect("the batch put an entry here") = previous,
            None => drop(self.open.entries.remove(key)),
        }
    }

    /// Notes a range delete, newer than everything in the overlay.
    pub(crate) fn put_range_delete(&mut self, range: &KeyRange, position: Position) {
        self.open.deletes.set(range, position);
    }

    /// Whether any pending range delete exists.
    pub(crate) fn has_deletes(&self) -> bool {
        !self.open.deletes.is_empty() || !self.in_flight.deletes.is_empty()
    }

    /// Every key of `range` that has an entry of its own in the overlay.
    pub(crate) fn keys(&self, range: &KeyRange) -> BTreeSet<Arc<[u8]>> {
        self.in_flight.keys(range).chain(self.open.keys(range)).cloned().collect()
    }

    /// Whether `is_so` of any key of `range` that has an entry of its own in the overlay.
    pub(crate) fn any_key(&self, range: &KeyRange, is_so: impl Fn(&[u8]) -> bool) -> bool {
        self.open.keys(range).chain(self.in_flight.keys(range)).any(|key| is_so(key))
    }

    /// Whether one pending range delete covers all of `range`: nothing published in it is visible.
    pub(crate) fn deletes_all(&self, range: &KeyRange) -> bool {
        self.open.deletes.covers(range) || self.in_flight.deletes.covers(range)
    }

    /// The newest range delete that touches `range`.
    pub(crate) fn newest_delete(&self, range: &KeyRange) -> Option<Position> {
        self.open.deletes.newest(range).max(self.in_flight.deletes.newest(range))
    }

    /// The parts of `range` that a pending delete covers: nothing published shows through there.
    pub(crate) fn deleted(&self, range: &KeyRange) -> Vec<KeyRange> {
        self.in_flight.deletes.within(range).chain(self.open.deletes.within(range)).collect()
    }

    /// The open layer goes into flight.
    ///
    /// # Panics
    /// If a layer is in flight: flushes are serialised.
    pub(crate) fn depart(&mut self) {
        assert!(self.in_flight.is_empty(), "one group is in flight at a time");
        self.in_flight = std::mem::take(&mut self.open);
    }

    /// The layer in flight is published. Answered so that the caller drops it outside the lock.
    pub(crate) fn arrive(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.in_flight)
    }
}

impl PendingLive {
    /// As a borrowed value.
    pub(crate) fn as_ref(&self) -> LiveRef<'_> {
        LiveRef { kind: self.kind, expiry: self.expiry, value: &self.value }
    }
}
