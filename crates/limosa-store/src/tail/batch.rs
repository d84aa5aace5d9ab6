//! What a tail hands out at once: rows, then commits.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use limosa_core::varint;
use limosa_core::{Digest, EpochTable, FragmentId, Version};

use super::TailRead;
use crate::journal::Position;
use crate::reframe::Reframe;
use crate::state::Check;

/// Commits in order, as a live message carries them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Rows that were opened before the commits of this batch, and behind those of the batches before.
    pub epochs: Vec<(FragmentId, EpochTable)>,
    /// Concatenated [`limosa_core::Commit`] bytes, each behind its varint length.
    pub records: Bytes,
    /// Position behind the last record.
    pub upto: Position,
    /// The fragments that the records touch, each at its version behind the last record.
    pub heads: Vec<(FragmentId, Version)>,
    /// State digests at versions that the batch reaches, where they are known. None of fragments without a live entry: after FLUSHALL they
    /// would be most of the message, and say of many fragments that they are empty.
    pub checks: Vec<Check>,
    /// A split or merge, for [`crate::Store::replicate_reframe`]; then nothing else is in the batch. Empty: none.
    pub reframe: Bytes,
}

impl Batch {
    /// Tells `rows` first, and those of them that the batch has itself only once.
    pub(super) fn lead_with(&mut self, rows: Vec<(FragmentId, EpochTable)>) {
        if rows.is_empty() {
            return;
        }
        let told = |id: &FragmentId, row| rows.iter().any(|(other, table)| other == id && table.rows().contains(row));
        let untold = self.epochs.iter().filter_map(|(id, table)| {
            let rest: Vec<_> = table.rows().iter().filter(|row| !told(id, row)).copied().collect();
            (!rest.is_empty()).then(|| (*id, EpochTable::from_rows(rest).expect("a part of a table in order")))
        });
        let untold: Vec<_> = untold.collect();
        self.epochs = rows.into_iter().chain(untold).collect();
    }
}

/// A batch that grows.
pub(super) struct Builder {
    pub(super) epochs: Vec<(FragmentId, EpochTable)>,
    commits: BytesMut,
    single: Option<Bytes>,
    pub(super) upto: Position,
    pub(super) checks: Vec<Check>,
    reframe: Bytes,
    heads: BTreeMap<FragmentId, Version>,
}

impl Builder {
    pub(super) fn new(upto: Position) -> Self {
        Self {
            epochs: Vec::new(),
            commits: BytesMut::new(),
            single: None,
            upto,
            checks: Vec::new(),
            reframe: Bytes::new(),
            heads: BTreeMap::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.commits.len() + self.single.as_ref().map_or(0, Bytes::len)
    }

    /// A split or merge: alone, for what follows names other fragments.
    pub(super) fn put_reframe(&mut self, body: Bytes, position: Position) {
        self.heads.extend(Reframe::decode(&body).map(|reframe| reframe.heads()).unwrap_or_default());
        (self.reframe, self.upto) = (body, position);
    }

    /// Whether nothing was put in.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_commits() && self.epochs.is_empty() && self.reframe.is_empty()
    }

    pub(super) fn has_commits(&self) -> bool {
        self.bytes() > 0
    }

    pub(super) fn is_full(&self, max_bytes: usize, next: usize) -> bool {
        self.has_commits() && self.bytes() + next > max_bytes
    }

    /// The first piece is shared, not copied; most batches have one.
    pub(super) fn put_commits(&mut self, commits: &Bytes) {
        if commits.is_empty() {
            return;
        }
        if !self.has_commits() {
            self.single = Some(commits.clone());
            return;
        }
        if let Some(single) = self.single.take() {
            self.commits.extend_from_slice(&single);
        }
        self.commits.extend_from_slice(commits);
    }

    /// What a commit brings a fragment to.
    pub(super) fn reaches(&mut self, fragment: FragmentId, version: Version) {
        self.heads.insert(fragment, version);
    }

    pub(super) fn put_commit(&mut self, body: &[u8]) {
        let mut length = Vec::with_capacity(5);
        varint::put(&mut length, body.len() as u64);
        self.commits.extend_from_slice(&length);
        self.commits.extend_from_slice(body);
    }

    pub(super) fn finish(self) -> TailRead {
        let records = self.single.unwrap_or_else(|| self.commits.freeze());
        let heads = self.heads.into_iter().collect();
        let checks = self.checks.into_iter().filter(|check| check.state != Digest::ZERO).collect();
        TailRead::Batch(Batch { epochs: self.epochs, records, upto: self.upto, heads, checks, reframe: self.reframe })
    }
}
