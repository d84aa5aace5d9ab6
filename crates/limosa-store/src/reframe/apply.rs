//! What a split or merge does to the heads when it is written, and to the published trees when the journal has it.

use bytes::Bytes;
use limosa_core::{DecodeError, EpochRow, EpochTable, FragmentId, History, KeyRange, Version};
use limosa_tree::Fragment;

use super::Reframe;
use super::align::IN_PASSING;
use crate::apply::Slice;
use crate::error::StoreError;
use crate::past::Past;
use crate::state::{Head, State};

impl State {
    /// From here on commands and the stream name the new fragments; the published trees follow with the record.
    pub(crate) fn reframe_heads(&mut self, reframe: &Reframe) {
        let index = self.head_routes.of_id(reframe.takes()[0].0).expect("checked by the caller");
        match reframe {
            Reframe::Split { at, left, right, .. } => {
                self.head_routes.split(index, at, *left, *right);
                self.heads.insert(index, self.heads[index]);
                let (before, behind) = self.epochs[index].split(at);
                self.epochs.splice(index..=index, [before, behind]);
            }
            Reframe::Merge { merged, epoch, .. } => {
                let at = self.head_routes.range(index + 1).start;
                self.head_routes.merge(index, *merged);
                let version = reframe.heads()[0].1;
                let (left, right) = (self.heads[index], self.heads[index + 1]);
                // What one half refuses, the whole does.
                let (gate, replicated) = (left.gate.max(right.gate), left.replicated.max(right.replicated));
                self.heads.splice(index..=index + 1, [Head { version, epoch: epoch.epoch, gate, replicated }]);
                // Floors do not matter here: they are the published fragments' business.
                let [before, behind] = [&self.epochs[index], &self.epochs[index + 1]];
                let mut epochs = History::join((before, Version::ZERO), &at, (behind, Version::ZERO));
                let row = EpochRow { epoch: epoch.epoch, first_seq: version.seq, opener: epoch.opener };
                assert!(epochs.append(&EpochTable::from_rows(vec![row]).expect("one row is in order")), "the epoch is above both");
                self.epochs.splice(index..=index + 1, [epochs]);
            }
            Reframe::Join { joined, .. } => {
                self.head_routes.merge(index, *joined);
                let (left, right) = (self.heads[index], self.heads[index + 1]);
                let (gate, replicated) = (left.gate.max(right.gate), left.replicated.max(right.replicated));
                self.heads.splice(index..=index + 1, [Head { version: Version::ZERO, epoch: 0, gate, replicated }]);
                self.epochs.splice(index..=index + 1, [History::default()]);
            }
            Reframe::Name { name, .. } => self.head_routes.rename(index, *name),
        }
        self.count_ids(&reframe.makes());
        self.gates_changed();
    }

    /// Ids are not used again, but for those that are given in passing.
    pub(crate) fn count_ids(&mut self, made: &[FragmentId]) {
        let newest = made.iter().map(|id| id.0).filter(|id| *id < IN_PASSING).max().unwrap_or(0);
        self.next_fragment = self.next_fragment.max(newest.saturating_add(1));
    }

    /// Parts or joins published trees. O(log n) and the block at the seam; checkpoints know blocks by their keys, not by the fragment, so
    /// what they cover stays covered.
    pub(crate) fn apply_reframe(&mut self, body: &[u8], slice: &mut Slice) -> Result<(), StoreError> {
        let reframe = Reframe::decode(body)?;
        let index = self.expect_parents(&reframe)?;
        let (taken, made) = match &reframe {
            Reframe::Split { at, left, right, .. } => {
                let fragment = &self.fragments[index];
                if !fragment.range().contains(at) || fragment.range().start == *at {
                    return Err(UNFIT.into());
                }
                let (left, right) = fragment.split(at, *left, *right)?;
                (1, vec![left, right])
            }
            Reframe::Merge { merged, epoch, .. } => {
                (2, vec![Fragment::merge(&self.fragments[index], &self.fragments[index + 1], *merged, *epoch)?])
            }
            Reframe::Join { joined, .. } => (2, vec![Fragment::join_absent(&self.fragments[index], &self.fragments[index + 1], *joined)?]),
            Reframe::Name { name, .. } => (1, vec![self.fragments[index].renamed(*name)]),
        };
        let pasts = self.pasts[index..index + taken].to_vec();
        let past = |made: &Fragment| Past::reframed(&pasts, slice.last, made.head());
        self.pasts.splice(index..index + taken, made.iter().map(past));
        self.marks.reframe(index..index + taken, made.len());
        self.fragments.splice(index..index + taken, made);
        self.published_anew();
        self.count_ids(&reframe.makes());
        for (id, _) in reframe.takes() {
            self.checks.forget(id);
        }
        for (id, _) in reframe.takes() {
            self.to_sweep.remove(&id);
        }
        let unswept = self.fragments.iter().filter(|fragment| reframe.makes().contains(&fragment.id()) && fragment.total().tombstones > 0);
        self.to_sweep.extend(unswept.map(|fragment| (fragment.id(), Bytes::new())));
        self.recovered_leases.reframe(&reframe.parents(), &reframe.makes()); // in recovery; afterwards the leases are elsewhere
        slice.reframe = true;
        Ok(())
    }

    /// The routes of the published fragments, after they were changed.
    pub(crate) fn published_anew(&mut self) {
        let ranges: Vec<(FragmentId, KeyRange)> = self.fragments.iter().map(|fragment| (fragment.id(), fragment.range().clone())).collect();
        self.routes = std::sync::Arc::new(crate::fragments::Routes::new(&ranges));
    }

    fn expect_parents(&self, reframe: &Reframe) -> Result<usize, StoreError> {
        let mut places = Vec::new();
        for (id, head) in reframe.takes() {
            let index = self.index_of(id)?;
            if self.fragments[index].head() != head {
                return Err(UNFIT.into());
            }
            places.push(index);
        }
        if places.len() == 2 && places[1] != places[0] + 1 {
            return Err(UNFIT.into());
        }
        let epoch_of = |index: &usize| self.fragments[*index].epochs().epoch().max(self.fragments[*index].head().epoch);
        let newest = places.iter().map(epoch_of).max().unwrap_or(0);
        match reframe {
            Reframe::Merge { epoch, .. } if epoch.epoch <= newest => Err(UNFIT.into()),
            _ if reframe.makes().iter().any(|id| self.routes.of_id(*id).is_some()) => Err(UNFIT.into()),
            _ => Ok(places[0]),
        }
    }
}

/// A record of this node's own journal that its fragments refuse: one of them is damaged.
const UNFIT: DecodeError = DecodeError::Invalid { field: "reframe", why: "it does not fit the fragments that are there" };
