//! Loads the cold blocks that a slice of records will change, before the lock is taken under which they are applied.

use std::iter::Peekable;

use limosa_core::Commit;
use limosa_core::varint::Reader;
use limosa_tree::Unloaded;

use crate::apply::Slice;
use crate::journal::{Position, Record, RecordKind};
use crate::store::Inner;

impl Inner {
    /// Loads for the slice that begins where `ahead` stands, and moves it behind; `slice` is empty and says how long it may be. A block that can't be had is met again, and
    /// reported, by whoever applies the record; so is one that is dropped in between, which is rare: it has just come.
    pub(crate) fn preload<'a>(&self, mut slice: Slice, ahead: &mut Peekable<impl Iterator<Item = (Position, Record<'a>)>>) {
        let mut commits = Vec::new();
        let has_cold = self.relief.ledger.has_cold();
        while let Some((position, record)) = ahead.next_if(|(_, record)| slice.takes(record)) {
            slice.count(position, &record);
            if has_cold && record.kind == RecordKind::Commit {
                commits.extend(Commit::decode(&mut Reader::new(record.body)));
            }
        }
        if !commits.is_empty() {
            let cold = self.cold_of(&commits);
            let _ = cold.iter().try_for_each(Unloaded::load);
        }
    }

    fn cold_of(&self, commits: &[Commit<'_>]) -> Vec<Unloaded> {
        let state = self.state();
        let parts = commits.iter().flat_map(|commit| &commit.parts);
        let known = parts.filter_map(|part| state.routes.of_id(part.fragment).map(|index| (index, part)));
        known.flat_map(|(index, part)| state.fragments[index].cold_of(part)).collect()
    }
}
