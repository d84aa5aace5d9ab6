//! Records taken apart before the state's lock is taken: decoding commits and hashing what they write is most of what publishing costs,
//! and many entries are hashed side by side for a fraction of the price of one by one.

use limosa_core::varint::Reader;
use limosa_core::{Commit, DecodeError, Digest, SpaceKeys};

use crate::journal::{Position, Record, RecordKind};

/// A record, and what it says if it is a commit.
pub(crate) struct Ready<'a> {
    pub(crate) position: Position,
    pub(crate) record: Record<'a>,
    pub(crate) commit: Option<Result<Commit<'a>, DecodeError>>,
    /// Where the digests of its entries start in the batch's.
    first: usize,
}

/// A run of records.
pub(crate) struct ReadyBatch<'a> {
    pub(crate) records: Vec<Ready<'a>>,
    /// Content digests of all entries of all commits, in order.
    contents: Vec<Digest>,
}

impl<'a> ReadyBatch<'a> {
    pub(crate) fn new(records: impl Iterator<Item = (Position, Record<'a>)>, keys: &SpaceKeys) -> Self {
        let mut first = 0;
        let take_apart = |(position, record): (Position, Record<'a>)| {
            let commit = (record.kind == RecordKind::Commit).then(|| Commit::decode(&mut Reader::new(record.body)));
            let ready = Ready { position, record, commit, first };
            first += ready.entries();
            ready
        };
        let records: Vec<Ready<'a>> = records.map(take_apart).collect();
        let commits = records.iter().filter_map(|ready| ready.commit.as_ref()?.as_ref().ok());
        let entries = commits.flat_map(|commit| &commit.parts).flat_map(|part| &part.entries);
        let contents = keys.contents(entries.copied());
        Self { records, contents }
    }

    /// The content digests of a record's entries.
    pub(crate) fn contents(&self, ready: &Ready<'_>) -> &[Digest] {
        &self.contents[ready.first..ready.first + ready.entries()]
    }
}

impl Ready<'_> {
    fn entries(&self) -> usize {
        let parts = self.commit.iter().flatten().flat_map(|commit| &commit.parts);
        parts.map(|part| part.entries.len()).sum()
    }
}
