//! A model of one node's store: for each fragment the writes that it has, its epoch row, its fence. What is written is durable.

use std::collections::BTreeMap;

use limosa_core::{Digest, FragmentId, Version};

use crate::ownership::HeldFragment;

/// One write: its version, and a number that no other write has.
pub(super) type Written = (Version, u64);

#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) writes: Vec<Written>,
    pub(super) row: u32,
    pub(super) fence: u32,
}

impl Held {
    pub(super) fn head(&self) -> Version {
        self.writes.last().map_or(Version::ZERO, |(version, _)| *version)
    }

    pub(super) fn has(&self, write: Written) -> bool {
        self.writes.binary_search_by_key(&write.0, |(version, _)| *version).is_ok_and(|at| self.writes[at] == write)
    }

    pub(super) fn digest(&self) -> Digest {
        let mix = |sum: u128, (version, id): &Written| {
            sum.wrapping_add(
                (u128::from(*id) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 + u128::from(version.seq) * 31 + u128::from(version.epoch)),
            )
        };
        Digest(self.writes.iter().fold(0, mix))
    }

    /// Becomes what `source` has; what it has beyond their common point is set aside.
    pub(super) fn copy(&mut self, source: &Self) {
        let common = self.writes.iter().zip(&source.writes).take_while(|(mine, theirs)| mine == theirs).count();
        self.writes.truncate(common);
        self.writes.extend_from_slice(&source.writes[common..]);
        self.row = self.row.max(source.row);
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) fragments: BTreeMap<FragmentId, Held>,
    /// Splits and merges that it has followed.
    pub(super) followed: usize,
}

impl Disk {
    pub(super) fn of(&mut self, fragment: FragmentId) -> &mut Held {
        self.fragments.entry(fragment).or_default()
    }

    pub(super) fn held(&self) -> Vec<HeldFragment> {
        let held = |(fragment, held): (&FragmentId, &Held)| HeldFragment {
            fragment: *fragment,
            version: held.head(),
            epoch: held.row,
            fence: held.fence,
        };
        self.fragments.iter().map(held).collect()
    }
}
