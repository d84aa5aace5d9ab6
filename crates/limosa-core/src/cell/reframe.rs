//! New ranges for the same owner: one cell becomes two, or two become one, in one compare-and-set over all cells concerned.
//!
//! Both raise the epoch: for every node a split or merge is a restart of the owner for these fragments, and whatever was on its way for the
//! old ones loses (decision 0017).

use crate::{Digest, FragmentId, KeyRange, Version};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{FragmentCell, Refusal, text};

/// Where a merge put its two halves together: each node that has exactly these does the same by itself, and has the same history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    /// The first key of the right half.
    #[serde(with = "text::key")]
    pub seam: Bytes,
    /// What the left half was sealed at, on every member's disk.
    #[serde(with = "text::version")]
    pub left: Version,
    /// What the right half was sealed at.
    #[serde(with = "text::version")]
    pub right: Version,
    /// The epoch of the merge's own version. Its opener is the cell's lineage.
    pub epoch: u32,
}

impl Joined {
    /// The merge's own version: what the whole begins at.
    pub fn head(&self) -> Version {
        Version::new(self.epoch, self.left.seq.max(self.right.seq).saturating_add(1))
    }
}

impl FragmentCell {
    /// The cells of the two halves, each with an id and a lineage of its own; this one is to be deleted in the same change. `sealed`: what
    /// every member has on its disk, and nothing is behind it.
    pub fn split(&self, at: &[u8], left: (FragmentId, u64), right: (FragmentId, u64), sealed: Version) -> Result<(Self, Self), Refusal> {
        self.at_rest()?;
        self.holds(sealed)?;
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
        let part = |id, range| Self { epoch: self.epoch + 1, committed: sealed, ..self.part(id, range) };
        Ok((part(left, low), part(right, high)))
    }

    /// The cell of both together, at an epoch above both and above the one of the merge itself; the two are to be deleted in the same change.
    /// `sealed`: what every member has of each half on its disk, and nothing is behind it.
    pub fn merge(&self, right: &Self, id: (FragmentId, u64), sealed: (Version, Version)) -> Result<Self, Refusal> {
        self.at_rest()?;
        right.at_rest()?;
        self.holds(sealed.0)?;
        right.holds(sealed.1)?;
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
        let joined = Joined { seam: right.range.start.clone(), left: sealed.0, right: sealed.1, epoch: self.epoch.max(right.epoch) + 1 };
        next.epoch = joined.epoch + 1;
        next.committed = joined.head();
        next.joined = Some(joined);
        next.marks.accepted_loss_epoch = self.marks.accepted_loss_epoch.max(right.marks.accepted_loss_epoch);
        next.marks.shrunk = self.marks.shrunk || right.marks.shrunk;
        Ok(next)
    }

    fn part(&self, (id, lineage): (FragmentId, u64), range: KeyRange) -> Self {
        Self { fragment: id.0, lineage, range, state: Digest::ZERO, joined: None, intents: Vec::new(), ..self.clone() }
    }

    fn holds(&self, sealed: Version) -> Result<(), Refusal> {
        let (fragment, committed) = (self.id(), self.committed);
        if sealed < committed {
            let node = self.holder.last_served().clone();
            return Err(Refusal::Behind { fragment, node, holds: sealed, committed });
        }
        Ok(())
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
