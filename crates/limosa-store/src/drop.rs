//! Dropping a fragment: from one record on it is empty, at version zero and without a history, as one that was never here.
//!
//! What it held is cut off whole and freed in the background; the next checkpoint forgets its blocks, and so the extent files give up their
//! room. It can then be followed again, by a copy into an empty range.
//!
//! ```text
//! record:  fragments | { fragment }
//! ```

use limosa_core::commit::read_u32;
use limosa_core::limits::COMMIT_PARTS_MAX;
use limosa_core::varint::{self, Reader};
use limosa_core::{DecodeError, FragmentId, History, Scope, Version};

use crate::apply::Slice;
use crate::error::StoreError;
use crate::gates::{FragmentGate, unknown};
use crate::journal::{Position, RecordKind};
use crate::state::{Head, State};
use crate::store::Store;

impl Store {
    /// Makes these fragments absent: empty, at version zero. Their gates must be [`FragmentGate::Closed`]. What is staged of them is dropped,
    /// too. Durable when it returns; commands on other fragments go on.
    ///
    /// # Errors
    /// A fragment is unknown, or its gate is not closed: nothing was dropped. As [`Store::flush`].
    pub fn drop_fragments(&self, fragments: &[FragmentId]) -> Result<Position, StoreError> {
        self.stage_abort_of(&Scope::only(fragments.iter().copied()))?;
        let position = {
            let mut state = self.inner.state();
            state.check()?;
            let mut places = Vec::new();
            for id in fragments {
                let index = state.head_routes.of_id(*id).ok_or_else(|| unknown(*id))?;
                if state.heads[index].gate != FragmentGate::Closed {
                    return Err(StoreError::Invalid {
                        what: "a drop",
                        why: format!("{id} is not closed: commands may be evaluated on it"),
                    });
                }
                places.push(index);
            }
            let position = state.push(RecordKind::Drop, &encode(fragments));
            for index in places {
                let gate = FragmentGate::Closed;
                state.heads[index] = Head { version: Version::ZERO, epoch: 0, gate, replicated: position };
                state.epochs[index] = History::default();
            }
            position
        };
        self.settle(position)?;
        Ok(position)
    }

    /// [`Store::drop_fragments`] of one.
    ///
    /// # Errors
    /// As [`Store::drop_fragments`].
    pub fn drop_fragment(&self, fragment: FragmentId) -> Result<Position, StoreError> {
        self.drop_fragments(&[fragment])
    }
}

impl State {
    /// Makes fragments absent, from a record.
    pub(crate) fn apply_drop(&mut self, position: Position, body: &[u8], slice: &mut Slice) -> Result<(), StoreError> {
        for id in decode(body)? {
            let index = self.index_of(id)?;
            let empty = self.fragments[index].emptied();
            let old = std::mem::replace(&mut self.fragments[index], empty);
            self.grave.append(&mut old.into_grave());
            self.pasts[index] = self.pasts[index].dropped(position);
            self.ring.rebase(index, Version::ZERO);
            self.marks.forget(index);
            self.to_sweep.remove(&id);
            self.checks.forget(id);
            self.drift.take_if(|drift| drift.fragment == id);
            self.stand(id, position);
        }
        slice.is_alone = true;
        self.installed = position;
        Ok(())
    }

    /// Sets the head of `id` to the published one, unless something newer than `position` pends.
    pub(crate) fn stand(&mut self, id: FragmentId, position: Position) {
        let (Some(index), Some(place)) = (self.routes.of_id(id), self.head_routes.of_id(id)) else { return };
        let Some(head) = self.heads.get_mut(place) else { return }; // in recovery heads come last
        if head.replicated <= position {
            *head = Head { replicated: head.replicated, ..Head::of(&self.fragments[index], head.gate) };
            self.epochs[place] = self.fragments[index].epochs().clone();
        }
    }
}

fn encode(fragments: &[FragmentId]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, fragments.len() as u64);
    for id in fragments {
        varint::put(&mut out, u64::from(id.0));
    }
    out
}

/// The fragments that a record drops.
pub(crate) fn decode(body: &[u8]) -> Result<Vec<FragmentId>, DecodeError> {
    let mut reader = Reader::new(body);
    let count = reader.varint_max("drop.fragments", COMMIT_PARTS_MAX)?;
    let ids = (0..count).map(|_| Ok(FragmentId(read_u32(&mut reader, "drop.fragment")?))).collect::<Result<_, DecodeError>>()?;
    if reader.is_empty() { Ok(ids) } else { Err(DecodeError::Invalid { field: "drop", why: "bytes behind its end" }) }
}
