//! What a tail's reader has already, so that it is not sent again.

use bytes::Bytes;
use limosa_core::varint;
use limosa_core::{Commit, EpochTable, FragmentId, Version};

use super::COMMIT_BYTES_LIVE_MAX;
use crate::journal::Position;

/// What the reader has already: a tail may have to start a little before what is new.
#[derive(Debug)]
pub(super) struct Skip {
    pub(super) since: Vec<(FragmentId, Version)>,
    /// Behind this position everything is new.
    pub(super) until: Position,
}

impl Skip {
    pub(super) fn has(&self, fragment: FragmentId, version: Version) -> bool {
        self.since.binary_search_by_key(&fragment, |(id, _)| *id).is_ok_and(|i| version <= self.since[i].1)
    }

    pub(super) fn has_commit(&self, body: &[u8]) -> bool {
        Commit::decode(&mut varint::Reader::new(body)).is_ok_and(|c| c.parts.iter().all(|part| self.has(part.fragment, part.version)))
    }

    /// The rows that the reader lacks.
    pub(super) fn new_rows(&self, rows: Vec<(FragmentId, EpochTable)>) -> Vec<(FragmentId, EpochTable)> {
        rows.into_iter().filter(|(id, table)| !self.has(*id, Version::new(table.epoch(), 0))).collect()
    }

    /// The commits of a piece that the reader lacks.
    pub(super) fn new_commits(&self, commits: &Bytes) -> Bytes {
        let mut out = Vec::new();
        let mut reader = varint::Reader::new(commits);
        while let Ok(body) = reader.bytes_max("record", COMMIT_BYTES_LIVE_MAX) {
            if !self.has_commit(body) {
                varint::put_bytes(&mut out, body);
            }
        }
        out.into()
    }
}
