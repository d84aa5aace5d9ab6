//! New ranges for the same owner: one cell becomes two, or two become one, in one compare-and-set over all cells concerned.

use crate::{Digest, FragmentId, KeyRange, Version};
use bytes::Bytes;

use super::{FragmentCell, Refusal};

impl FragmentCell {
    /// The cells of the two halves, each with an id and a lineage of its own; this one is to be deleted in the same change.
    pub fn split(&self, at: &[u8], left: (FragmentId, u64), right: (FragmentId, u64)) -> Result<(Self, Self), Refusal> {
        self.at_rest()?;
        let fragment = self.id();
        if !self.range.contains(at) || at == &self.range.start[..] {
            return Err(Refusal::Ranges { fragment, why: "the place of the split lies outside, or at the very start" });
        }
        if left.0 == right.0 || left.0 == fragment || right.0 == fragment {
            return Err(Refusal::Ranges { fragment, why: "both halves need an id that was never used" });
        }
        let at = Bytes::copy_from_slice(at);
        let low = KeyRange { start: self.range.start.clone(), end: Some(at.clone()) };
        let high = KeyRange { start: at, end: self.range.end.clone() };
        Ok((self.part(left, low), self.part(right, high)))
    }

    /// The cell of both together, at an epoch above both; the two are to be deleted in the same change.
    pub fn merge(&self, right: &Self, id: (FragmentId, u64)) -> Result<Self, Refusal> {
        self.at_rest()?;
        right.at_rest()?;
        let fragment = self.id();
        let ranges = |why| Err(Refusal::Ranges { fragment, why });
        if self.range.end.as_ref() != Some(&right.range.start) || self.space != right.space {
            return ranges("only neighbours of one space can be merged");
        }
        if self.holder != right.holder
            || self.sync_set != right.sync_set
            || self.replicas != right.replicas
            || self.flushed_min != right.flushed_min
        {
            return ranges("both need the same owner and sync set: move one of them first");
        }
        if id.0 == fragment || id.0 == right.id() {
            return ranges("the whole needs an id that was never used");
        }
        let range = KeyRange { start: self.range.start.clone(), end: right.range.end.clone() };
        let mut next = self.part(id, range);
        next.epoch = self.epoch.max(right.epoch) + 1;
        // Each range's own history says what was committed in it: the whole has none yet.
        next.committed = Version::ZERO;
        next.marks.accepted_loss_epoch = self.marks.accepted_loss_epoch.max(right.marks.accepted_loss_epoch);
        next.marks.shrunk = self.marks.shrunk || right.marks.shrunk;
        Ok(next)
    }

    fn part(&self, (id, lineage): (FragmentId, u64), range: KeyRange) -> Self {
        Self { fragment: id.0, lineage, range, state: Digest::ZERO, intents: Vec::new(), ..self.clone() }
    }

    fn at_rest(&self) -> Result<(), Refusal> {
        let fragment = self.id();
        if let Some(running) = &self.running {
            return Err(Refusal::Moving { fragment, to: running.to.clone() });
        }
        if self.owner().is_none() {
            return Err(Refusal::Fenced { fragment, epoch: self.epoch });
        }
        Ok(())
    }
}
