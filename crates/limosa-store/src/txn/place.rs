//! Where a key lies and how new that is: what a front door of a cluster keeps of what its clients saw.

use bytes::Bytes;
use limosa_core::key::{self, slot_start};
use limosa_core::{FragmentId, KeyRange, Version};

use super::Txn;
use crate::error::StoreError;
use crate::journal::Position;

/// Where a user's key lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// In which fragment.
    pub fragment: FragmentId,
    /// The version that a read sees: the fragment's newest, pending commits included. Another owner's commits count once they are published.
    pub version: Version,
    /// Position of the fragment's newest published commit, or a later one.
    pub position: Position,
}

impl Txn<'_> {
    /// Where `user_key` lies.
    pub fn place(&self, user_key: &[u8]) -> Place {
        let stored = key::stored(user_key);
        let index = self.state.head_routes.of_key(&stored);
        let fragment = self.state.head_routes.id(index);
        let version = self.state.visible(index).unwrap_or_else(|| self.state.fragments[self.state.routes.of_key(&stored)].head());
        // while a split or merge pends, the fragment may not be published yet: everything published is newer
        let position = self.state.last_commit(fragment).unwrap_or(self.state.horizon);
        Place { fragment, version, position }
    }

    /// From now on reads also see fragments whose gate is not [`crate::FragmentGate::Serving`]: what a standby holds of them.
    pub fn follow(&mut self, follows: bool) {
        self.follows = follows;
    }

    /// Refuses a read of `key` while its fragment's gate is shut, unless it is a standby's.
    #[inline]
    pub(super) fn admit(&self, key: &[u8]) -> Result<(), StoreError> {
        if self.follows { Ok(()) } else { self.state.admit(key) }
    }

    /// Version that a read of `fragment` sees, as [`Place::version`]; `None` when there is no such fragment.
    pub fn version_of(&self, fragment: FragmentId) -> Option<Version> {
        let index = self.state.head_routes.of_id(fragment)?;
        let published = || self.state.routes.of_id(fragment).map(|index| self.state.fragments[index].head());
        Some(self.state.visible(index).or_else(published).unwrap_or_default())
    }

    /// As [`Txn::seen`], since the last call of this: what one command among several saw. Both start anew.
    pub fn take_seen(&mut self) -> Position {
        std::mem::take(&mut self.seen)
    }

    /// Deletes every key of the slots from `first` to `last`. What is arriving goes on arriving.
    ///
    /// # Errors
    /// As [`Txn::write`].
    pub fn clear_slots(&mut self, first: u16, last: u16) -> Result<(), StoreError> {
        let bound = |slot| if slot == 0 { Bytes::new() } else { Bytes::copy_from_slice(&slot_start(slot)) };
        let (mut start, end) = (bound(first), bound(last + 1));
        let arriving = self.state.uploads.ranges();
        for own in arriving.into_iter().filter(|own| own.start < end) {
            if start < own.start {
                self.remove_range(&KeyRange { start: start.clone(), end: Some(own.start) })?;
            }
            start = start.max(own.end.expect("what arrives ends before the next key"));
        }
        if start < end {
            self.remove_range(&KeyRange { start, end: Some(end) })?;
        }
        Ok(())
    }
}
