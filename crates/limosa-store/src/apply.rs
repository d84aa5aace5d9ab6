//! The one way in which a record changes the published trees: the owner's publish, a standby's stream and recovery share it.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use limosa_core::varint::{self, Reader};
use limosa_core::{Commit, DecodeError, Digest, EpochTable, FragmentId, Version};

use crate::codec::decode_rows;
use crate::error::StoreError;
use crate::gates::FragmentGate;
use crate::journal::{Position, Record, RecordKind};
use crate::leases::read_floors;
use crate::ready::{Ready, ReadyBatch};
use crate::refusal::part_refused;
use crate::stage::StageRecord;
use crate::state::{Check, Drift, Head, State};

/// Most records that are applied before the lock is given to others for a moment.
pub(crate) const SLICE_RECORDS: usize = 256;
/// The same while blocks are dropped and read again, or each write copies a block and the nodes above it.
const SLICE_RECORDS_SHORT: usize = 16;
/// Most record bytes of a slice; a larger record is a slice of its own.
const SLICE_BYTES: usize = 128 << 10;

/// A run of records that is applied under one lock, and what tails want to know of it.
pub(crate) struct Slice {
    /// Last position before the slice.
    pub(crate) before: Position,
    pub(crate) last: Position,
    /// Commits, each behind its varint length: as the live stream carries them.
    pub(crate) commits: Vec<u8>,
    pub(crate) epochs: Vec<(FragmentId, EpochTable)>,
    /// Indices of fragments with commits, each once.
    pub(crate) touched: Vec<usize>,
    /// It holds one record, behind which fragments are others or have another history.
    pub(crate) is_alone: bool,
    /// Fragments were split or merged: what lies before speaks of others.
    pub(crate) reframe: bool,
    /// Bytes of all records, for the journal's marks.
    pub(crate) bytes: usize,
    is_touched: Vec<bool>,
    records: usize,
    records_max: usize,
}

impl Slice {
    pub(crate) fn new(before: Position, fragments: usize) -> Self {
        Self {
            before,
            last: before,
            commits: Vec::new(),
            epochs: Vec::new(),
            touched: Vec::new(),
            is_alone: false,
            reframe: false,
            bytes: 0,
            is_touched: vec![false; fragments],
            records: 0,
            records_max: SLICE_RECORDS,
        }
    }

    /// A slice of few records: each may need a block of its own in memory, and only in between is there room made for more; or each copies
    /// what a snapshot shares, some tens of microseconds a record.
    pub(crate) fn short(mut self) -> Self {
        self.records_max = SLICE_RECORDS_SHORT;
        self
    }

    /// Makes room for the commits of a slice, at most `bytes` long: grown piece by piece it would be copied over and over.
    pub(crate) fn expect_bytes(&mut self, bytes: usize) {
        self.commits.reserve_exact((bytes + bytes / 16).min(SLICE_BYTES));
    }

    /// Whether `record` may join. Epoch rows, splits, merges and installs stand alone: a tail tells them before what follows.
    pub(crate) fn takes(&self, record: &Record<'_>) -> bool {
        use RecordKind::{Drop, OpenEpoch, Reframe, Stage, StageInstall};
        let alone = |kind| matches!(kind, OpenEpoch | StageInstall | Stage | Reframe | Drop);
        let full = self.records >= self.records_max || self.bytes + record.body.len() > SLICE_BYTES;
        self.records == 0 || !(full || alone(record.kind) || self.is_alone || self.reframe || !self.epochs.is_empty())
    }

    /// Counts a record in, whether or not it is applied.
    pub(crate) fn count(&mut self, position: Position, record: &Record<'_>) {
        self.records += 1;
        self.bytes += record.body.len();
        self.last = position;
    }

    fn touch(&mut self, index: usize) {
        if !std::mem::replace(&mut self.is_touched[index], true) {
            self.touched.push(index);
        }
    }
}

/// Digests to compare at versions to come: by fragment, ascending versions.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    waiting: HashMap<FragmentId, VecDeque<(Version, Digest)>>,
}

impl Checks {
    pub(crate) fn add(&mut self, fragment: FragmentId, version: Version, state: Digest) {
        let waiting = self.waiting.entry(fragment).or_default();
        if waiting.back().is_none_or(|(last, _)| *last < version) {
            waiting.push_back((version, state));
        }
    }

    /// The digest that was named for exactly `version`; older ones are forgotten.
    fn due(&mut self, fragment: FragmentId, version: Version) -> Option<Digest> {
        let waiting = self.waiting.get_mut(&fragment)?;
        while let Some(&(at, state)) = waiting.front() {
            if at > version {
                return None;
            }
            waiting.pop_front();
            if at == version {
                return Some(state);
            }
        }
        None
    }

    /// The fragment is no more.
    pub(crate) fn forget(&mut self, fragment: FragmentId) {
        self.waiting.remove(&fragment);
    }
}

impl State {
    /// Applies one record to the published trees. The record is durable as promised, so an error here is this node's damage.
    pub(crate) fn apply(&mut self, position: Position, record: Record<'_>, slice: &mut Slice) -> Result<(), StoreError> {
        let commit = (record.kind == RecordKind::Commit).then(|| Commit::decode(&mut Reader::new(record.body))).transpose()?;
        self.apply_decoded(position, record, commit.as_ref(), None, slice)
    }

    /// [`State::apply`] of one record of a batch.
    pub(crate) fn apply_ready(&mut self, ready: &Ready<'_>, batch: &ReadyBatch<'_>, slice: &mut Slice) -> Result<(), StoreError> {
        let commit = ready.commit.as_ref().map(|commit| commit.as_ref().map_err(Clone::clone)).transpose()?;
        self.apply_decoded(ready.position, ready.record, commit, Some(batch.contents(ready)), slice)
    }

    /// `contents` are the digests of the commit's entries, where somebody has hashed them.
    fn apply_decoded(
        &mut self,
        position: Position,
        record: Record<'_>,
        commit: Option<&Commit<'_>>,
        contents: Option<&[Digest]>,
        slice: &mut Slice,
    ) -> Result<(), StoreError> {
        assert_eq!(position, self.horizon.next(), "records are applied in order, none twice");
        if let Some(commit) = commit {
            // Counted when it is applied: a damaged block leaves slice and trees as they were.
            self.apply_commit(position, commit, contents, slice)?;
            varint::put_bytes(&mut slice.commits, record.body);
        }
        slice.count(position, &record);
        match record.kind {
            RecordKind::OpenEpoch => self.apply_epochs(record.body, slice)?,
            RecordKind::Floors => self.apply_floors(&read_floors(&mut Reader::new(record.body))?)?,
            // a commit was applied above; a frame changed the fork, a lease the leases: when they were taken, or by replay
            RecordKind::Commit | RecordKind::StageFrame | RecordKind::Witness | RecordKind::Leases => {}
            RecordKind::StageOpen | RecordKind::StageInstall | RecordKind::StageAbort | RecordKind::Stage => {
                self.apply_stage(position, &StageRecord::decode(&record)?, slice);
            }
            RecordKind::Reframe => self.apply_reframe(record.body, slice)?,
            RecordKind::Role => self.role = Bytes::copy_from_slice(record.body),
            RecordKind::Drop => self.apply_drop(position, record.body, slice)?,
            RecordKind::Notes => self.notes.apply(record.body)?,
        }
        self.horizon = position;
        Ok(())
    }

    fn apply_commit(
        &mut self,
        position: Position,
        commit: &Commit<'_>,
        mut contents: Option<&[Digest]>,
        slice: &mut Slice,
    ) -> Result<(), StoreError> {
        self.prepare(commit)?;
        for part in &commit.parts {
            let index = self.index_of(part.fragment)?;
            let here = contents.as_mut().map(|contents| contents.split_off(..part.entries.len()).expect("a digest for each entry"));
            let fragment = &mut self.fragments[index];
            let applied = match here {
                Some(here) => fragment.apply_part_hashed(part, here),
                None => fragment.apply_part(part),
            };
            applied.map_err(part_refused)?;
            self.grave.append(&mut self.fragments[index].take_grave());
            self.pasts[index].commit(position);
            slice.touch(index);
            self.verify(index, part.version);
        }
        self.stamp_ms = self.stamp_ms.max(commit.stamp_ms);
        Ok(())
    }

    /// Loads what a commit on several fragments is about to change: a damaged block must not leave it half applied. One part alone is
    /// applied whole or not at all.
    fn prepare(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        if commit.parts.len() > 1 {
            for part in &commit.parts {
                self.fragments[self.index_of(part.fragment)?].prepare(part)?;
            }
        }
        Ok(())
    }

    /// Compares with the owner's digest, where it named one at this version.
    fn verify(&mut self, index: usize, version: Version) {
        let Some(owners) = self.checks.due(self.routes.id(index), version) else { return };
        let ours = self.fragments[index].total().state;
        if ours != owners && self.drift.is_none() {
            self.drift = Some(Drift { fragment: self.routes.id(index), version, ours, owners });
        }
    }

    fn apply_epochs(&mut self, body: &[u8], slice: &mut Slice) -> Result<(), StoreError> {
        for (id, new) in decode_rows(body)? {
            let index = self.index_of(id)?;
            if !self.fragments[index].append_epochs(&new) {
                return Err(DISORDER.into());
            }
            // No entry is another one: what was staged before can be installed, if its history goes on from this row, which is looked at there.
            slice.epochs.push((id, new));
        }
        Ok(())
    }

    /// Sets the heads to the published ones: nothing is pending, and no gate was set.
    pub(crate) fn meet(&mut self) {
        self.epochs = self.fragments.iter().map(|fragment| fragment.epochs().clone()).collect();
        self.heads = self.fragments.iter().map(|fragment| Head::of(fragment, FragmentGate::Serving)).collect();
        self.head_routes = (*self.routes).clone();
    }

    /// Ends a slice: tails can see it.
    pub(crate) fn publish(&mut self, slice: Slice) {
        let check = |&index: &usize| {
            let fragment = &self.fragments[index];
            Check { fragment: self.routes.id(index), version: fragment.head(), state: fragment.total().state }
        };
        let checks: Vec<Check> = slice.touched.iter().map(check).collect();
        self.marks.advance(slice.last, slice.bytes as u64, &self.fragments);
        if slice.reframe {
            // Who reads on from before a split or merge is told of it by the journal.
            self.ring.reset(slice.last, self.fragments.iter().map(limosa_tree::Fragment::head).collect());
        } else {
            let pasts = &self.pasts;
            self.ring.push(slice, checks, &self.routes, |index| pasts[index].began);
        }
    }

    pub(crate) fn index_of(&self, id: FragmentId) -> Result<usize, StoreError> {
        let unknown = DecodeError::Invalid { field: "fragment", why: "this store has no such fragment" };
        self.routes.of_id(id).ok_or(StoreError::Record(unknown))
    }
}

const DISORDER: DecodeError = DecodeError::Invalid { field: "epoch_rows", why: "they do not continue the fragment's history" };
