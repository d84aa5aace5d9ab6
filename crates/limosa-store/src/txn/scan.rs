//! Scans at the head: published entries and pending ones, merged in key order.

use std::ops::ControlFlow;

use limosa_core::{EntryRef, KeyRange, LiveRef};

use super::cold::Cold;

use crate::error::StoreError;
use crate::journal::Position;
use crate::state::State;

/// What a scan calls for each live entry.
pub(super) type Show<'f> = &'f mut dyn FnMut(&[u8], LiveRef<'_>) -> ControlFlow<()>;

impl State {
    /// Calls `show` for each live entry of `range` at the head, in key order, until it breaks; raises `seen` to the newest pending
    /// position that had a say.
    pub(super) fn scan(&self, range: &KeyRange, seen: &mut Position, cold: &mut Cold<'_>, show: Show<'_>) -> Result<(), StoreError> {
        *seen = (*seen).max(self.overlay.newest_delete(range).unwrap_or_default());
        let pending = self.overlay.keys(range);
        let mut pending = pending.iter().peekable();
        for index in self.routes.touched(range) {
            let fragment = &self.fragments[index];
            let show = |entry: EntryRef<'_>| {
                while let Some(key) = pending.next_if(|key| &key[..] < entry.key) {
                    self.show_pending(key, seen, show)?;
                }
                if let Some(key) = pending.next_if(|key| &key[..] == entry.key) {
                    return self.show_pending(key, seen, show);
                }
                // no entry of its own above it: only a range delete can hide it
                let hidden = self.overlay.has_deletes() && self.pending(entry.key).is_some() || self.batch.deletes(entry.key);
                entry.live.filter(|_| !hidden).map_or(ControlFlow::Continue(()), |live| show(entry.key, live))
            };
            let flow =
                if cold.waits { fragment.scan(range, show)? } else { fragment.scan_resident(range, show).map_err(|b| cold.note(b))? };
            if flow.is_break() {
                return Ok(());
            }
        }
        let _ = pending.try_for_each(|key| self.show_pending(key, seen, show));
        Ok(())
    }

    fn show_pending(&self, key: &[u8], seen: &mut Position, show: Show<'_>) -> ControlFlow<()> {
        let (position, live) = self.pending(key).expect("it has an entry in the overlay");
        *seen = (*seen).max(position);
        live.map_or(ControlFlow::Continue(()), |live| show(key, live))
    }
}
