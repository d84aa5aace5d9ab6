//! The store's calls: an owner's split and merge, and a standby's following of them.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use limosa_core::key::{slot, slot_start};
use limosa_core::limits::{COMMIT_PARTS_MAX, STRANDS_MAX};
use limosa_core::slot::SLOTS;
use limosa_core::{DecodeError, FragmentId, KeyRange};
use limosa_tree::MergeEpoch;

use super::{Reframe, ReframeError};
use crate::error::StoreError;
use crate::journal::{Position, RecordKind};
use crate::refusal::ReplicateError;
use crate::state::State;
use crate::store::Store;

impl Store {
    /// Parts `fragment` at `at`, the first key of a slot: no entry moves. Durable when it returns; answers the ids of the parts.
    /// Commands go on meanwhile.
    ///
    /// # Errors
    /// See [`ReframeError`]; as [`Store::flush`].
    pub fn split(&self, fragment: FragmentId, at: &[u8]) -> Result<(FragmentId, FragmentId), ReframeError> {
        let at = Bytes::copy_from_slice(at);
        if !is_boundary(&at) {
            return Err(ReframeError::NotABoundary { at });
        }
        let made = self.reframe(&[(fragment, &at)], |state| state.plan_split(fragment, &at))?;
        Ok((made[0], made[1]))
    }

    /// Puts two neighbours together under a new epoch: no entry moves. Durable when it returns; answers the id of the whole.
    /// Commands go on meanwhile.
    ///
    /// # Errors
    /// See [`ReframeError`]; as [`Store::flush`]; no randomness can be had.
    pub fn merge(&self, left: FragmentId, right: FragmentId) -> Result<FragmentId, ReframeError> {
        let drawn = (self.inner.options.entropy)();
        let opener = drawn.map_err(|error| StoreError::Invalid { what: "randomness", why: error.to_string() })?;
        let seam = self.cut().fragment(right).map_or_else(Bytes::new, |view| view.tree().range().start.clone());
        let made = self.reframe(&[(left, &seam), (right, &seam)], |state| state.plan_merge(left, right, opener))?;
        Ok(made[0])
    }

    /// The start of the slot that parts `fragment`'s live bytes most evenly: where to split it when nobody says where.
    ///
    /// # Errors
    /// The fragment is unknown or one slot, or a block can't be had.
    pub fn split_point(&self, fragment: FragmentId) -> Result<Bytes, ReframeError> {
        let cut = self.cut();
        let view = cut.fragment(fragment).ok_or(ReframeError::Unknown { fragment })?;
        let tree = view.tree();
        let (first, behind) = inner_slots(tree.range());
        if first >= behind {
            return Err(ReframeError::OneSlot { fragment });
        }
        let half = tree.total().live_bytes / 2;
        let middle = tree.split_key(half).map_err(StoreError::from)?.and_then(|key| slot(&key));
        let Some(middle) = middle else { return Ok(start(first + (behind - 1 - first) / 2)) };
        let bytes_before = |slot: u16| -> Result<u64, ReframeError> {
            let below = KeyRange { start: tree.range().start.clone(), end: Some(start(slot)) };
            Ok(view.summary(&below)?.live_bytes)
        };
        // the middle key's slot starts before it, the next one behind it: whichever leaves the halves closer
        let (low, high) = (middle.clamp(first, behind - 1), (middle + 1).clamp(first, behind - 1));
        let (off_low, off_high) = (bytes_before(low)?.abs_diff(half), bytes_before(high)?.abs_diff(half));
        Ok(start(if off_high < off_low { high } else { low }))
    }

    /// Follows a split or merge of the owner, out of its live stream: at the same place among its commits. One that this node has is
    /// skipped. Published by the next [`Store::flush`]; answers the position to wait for before acknowledging.
    ///
    /// # Errors
    /// Bytes that are none, parents that stand elsewhere, another history.
    pub fn replicate_reframe(&self, body: &[u8]) -> Result<Position, ReplicateError> {
        let reframe = Reframe::decode(body)?;
        let mut state = self.inner.state();
        state.check()?;
        let held = |id: &FragmentId| state.head_routes.of_id(*id).is_some();
        if reframe.makes().iter().all(held) && !reframe.takes().iter().any(|(id, _)| held(id)) {
            return Ok(Position(state.next_position().0 - 1)); // followed before
        }
        state.check_followed(&reframe)?;
        let position = state.push(RecordKind::Reframe, body);
        state.reframe_heads(&reframe);
        self.inner.leases().reframe(&reframe.parents(), &reframe.makes());
        self.count_reframe(&reframe);
        state.replicated_until(reframe.makes(), position);
        Ok(position)
    }

    fn count_reframe(&self, reframe: &Reframe) {
        let counters = &self.inner.counters;
        match reframe {
            Reframe::Split { .. } => _ = counters.splits.fetch_add(1, Ordering::Relaxed),
            Reframe::Merge { .. } | Reframe::Join { .. } => _ = counters.merges.fetch_add(1, Ordering::Relaxed),
            Reframe::Name { .. } => {}
        }
        counters.reframed_ms.fetch_max((self.inner.options.clock)(), Ordering::Relaxed);
    }

    pub(super) fn reframe(
        &self,
        edges: &[(FragmentId, &Bytes)],
        plan: impl Fn(&State) -> Result<Reframe, ReframeError>,
    ) -> Result<Vec<FragmentId>, ReframeError> {
        let _stages = self.inner.stages(); // held, so that none opens meanwhile
        // Blocks at the edges, read without the state lock: the clones share what is loaded.
        for (id, at) in edges {
            if let Some(view) = self.cut().fragment(*id) {
                view.tree().warm_edge(at).map_err(StoreError::from)?;
            }
        }
        loop {
            self.flush()?;
            let mut state = self.inner.state();
            state.check()?;
            let mut places = edges.iter().filter_map(|(id, _)| state.head_routes.of_id(*id));
            if places.any(|index| state.is_staged(&state.head_routes.range(index))) {
                return Err(ReframeError::StageOpen);
            }
            let reframe = plan(&state)?;
            if state.is_replicating(reframe.takes().iter().filter_map(|(id, _)| state.head_routes.of_id(*id))) {
                continue; // commits came in from a stream meanwhile: this goes behind them
            }
            let position = state.push(RecordKind::Reframe, &reframe.encode());
            state.reframe_heads(&reframe);
            self.inner.leases().reframe(&reframe.parents(), &reframe.makes());
            self.count_reframe(&reframe);
            drop(state);
            self.settle(position)?;
            return Ok(reframe.makes());
        }
    }
}

impl State {
    pub(super) fn plan_split(&self, fragment: FragmentId, at: &Bytes) -> Result<Reframe, ReframeError> {
        let index = self.owned(fragment)?;
        let range = self.head_routes.range(index);
        if !range.contains(at) || *at == range.start {
            return Err(ReframeError::Outside { fragment, at: at.clone() });
        }
        limit("the number of fragments", self.head_routes.len() as u64 + 1, COMMIT_PARTS_MAX)?;
        let (left, right) = (self.new_id(0)?, self.new_id(1)?);
        Ok(Reframe::Split { fragment, at: at.clone(), head: self.heads[index].version, left, right })
    }

    pub(super) fn plan_merge(&self, left: FragmentId, right: FragmentId, opener: u64) -> Result<Reframe, ReframeError> {
        let (at, next) = (self.owned(left)?, self.owned(right)?);
        if next != at + 1 {
            return Err(ReframeError::NotNeighbours { left, right });
        }
        let strands = self.epochs[at].strands().len() + self.epochs[next].strands().len();
        limit("the strands of the merged fragment", strands as u64, STRANDS_MAX)?;
        let newest = [at, next].map(|index| self.heads[index].epoch.max(self.heads[index].version.epoch)).into_iter().max().unwrap_or(0);
        let epoch =
            newest.checked_add(1).ok_or(ReframeError::Limit { what: "epoch", value: u64::from(newest) + 1, max: u64::from(u32::MAX) })?;
        let [left, right] = [(left, self.heads[at].version), (right, self.heads[next].version)];
        Ok(Reframe::Merge { left, right, merged: self.new_id(0)?, epoch: MergeEpoch { epoch, opener } })
    }

    fn owned(&self, fragment: FragmentId) -> Result<usize, ReframeError> {
        let index = self.head_routes.of_id(fragment).ok_or(ReframeError::Unknown { fragment })?;
        if self.heads[index].epoch == 0 { Err(ReframeError::NotOwner) } else { Ok(index) }
    }

    fn new_id(&self, after: u32) -> Result<FragmentId, ReframeError> {
        let (what, max) = ("a fragment's id", u64::from(u32::MAX));
        let id = u64::from(self.next_fragment) + u64::from(after);
        u32::try_from(id).ok().filter(|id| *id < u32::MAX).map(FragmentId).ok_or(ReframeError::Limit { what, value: id, max })
    }

    /// A peer's split or merge must not get into the journal when the trees would refuse it: recovery could not follow.
    fn check_followed(&self, reframe: &Reframe) -> Result<(), ReplicateError> {
        let invalid = |why| Err(DecodeError::Invalid { field: "reframe", why }.into());
        let mut places = Vec::new();
        for (fragment, got) in reframe.takes() {
            let index = self.head_routes.of_id(fragment).ok_or(ReplicateError::UnknownFragment { fragment })?;
            let head = self.heads[index].version;
            if head != got {
                return Err(ReplicateError::Gap { fragment, head, got });
            }
            places.push(index);
        }
        let made = reframe.makes();
        if made.iter().any(|id| self.head_routes.of_id(*id).is_some()) || (made.len() == 2 && made[0] == made[1]) {
            return invalid("it names what it makes like something else");
        }
        match reframe {
            Reframe::Split { at, .. } => {
                let range = self.head_routes.range(places[0]);
                if !is_boundary(at) || !range.contains(at) || *at == range.start {
                    return invalid("it does not part its fragment between slots");
                }
            }
            Reframe::Merge { epoch, .. } => {
                let newest = places.iter().map(|&index| self.heads[index].epoch.max(self.heads[index].version.epoch)).max();
                if places[1] != places[0] + 1 || newest.is_none_or(|newest| newest >= epoch.epoch) {
                    return invalid("its fragments do not lie side by side, or its epoch is not above theirs");
                }
            }
            Reframe::Join { .. } if places[1] != places[0] + 1 => return invalid("its fragments do not lie side by side"),
            Reframe::Join { .. } | Reframe::Name { .. } => {}
        }
        Ok(())
    }
}

fn limit(what: &'static str, value: u64, max: u64) -> Result<(), ReframeError> {
    if value > max { Err(ReframeError::Limit { what, value, max }) } else { Ok(()) }
}

pub(super) fn is_boundary(at: &[u8]) -> bool {
    at.len() == 2 && slot(at).is_some_and(|slot| slot > 0 && slot < SLOTS)
}

fn start(slot: u16) -> Bytes {
    Bytes::copy_from_slice(&slot_start(slot))
}

/// The slots that start inside `range`, not with it: from the first up to before the second.
fn inner_slots(range: &KeyRange) -> (u16, u16) {
    let first = slot(&range.start).map_or(1, |slot| slot + 1);
    (first, range.end.as_deref().and_then(slot).unwrap_or(SLOTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_slot_starts() {
        assert!(is_boundary(&slot_start(1)) && is_boundary(&slot_start(SLOTS - 1)));
        for other in [&b""[..], b"\0\0", b"\x40\0", b"\x10", b"\x10\0\0"] {
            assert!(!is_boundary(other), "{other:?}");
        }
        assert_eq!(inner_slots(&KeyRange::ALL), (1, SLOTS));
        assert_eq!(inner_slots(&KeyRange::new(start(5), Some(start(7)))), (6, 7));
        assert_eq!(inner_slots(&KeyRange::new(start(5), Some(start(6)))), (6, 6), "one slot");
    }
}
