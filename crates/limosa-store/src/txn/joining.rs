//! Joins a large value that has arrived to the one that is there (APPEND, SETRANGE), a bounded piece at a time.
//!
//! The old value's bytes are copied around those that arrived, into the same unseen generation, from one version of the old value. A
//! write of the key meanwhile begins the copying anew, so that the joined value is never one that misses an acknowledged write.

use std::sync::Arc;

use limosa_core::limits::USER_VALUE_BYTES_MAX;
use limosa_core::{Expiry, KeyRange};

use super::strings::Look;
use super::{Txn, limit};
use crate::error::StoreError;
use crate::parts::{Ascending, Cutter, generation_range, part_key};
use crate::uploads::{Join, Joining, Labelled, Source, label};

/// Bytes that one step copies.
const STEP_BYTES: usize = 256 << 10;
/// So often the copying may begin.
const JOININGS_MAX: u32 = 8;

impl Txn<'_> {
    /// One step of joining the complete value `id` to that of `user_key`; true when nothing is left to be done and the next call may
    /// be [`Txn::set_joined`]. To be committed like any write.
    ///
    /// # Errors
    /// As [`Txn::write`]; the joined value would be too long; [`StoreError::Contended`], [`StoreError::UploadEnded`].
    pub fn upload_join(&mut self, user_key: &[u8], id: u64, join: Join, now_ms: u64) -> Result<bool, StoreError> {
        let arriving = self.state.uploads.get_mut(id).ok_or(StoreError::UploadEnded)?;
        assert!(arriving.is_complete, "what arrived whole is joined");
        let (stored, generation, is_touched) = (arriving.stored.clone(), arriving.generation, arriving.is_touched);
        let mut joining = match arriving.joining.take() {
            Some(joining) if !is_touched && !joining.expiry.is_past(now_ms) => joining,
            begun => {
                arriving.joinings += 1;
                if arriving.joinings > JOININGS_MAX {
                    return Err(StoreError::Contended);
                }
                arriving.is_touched = false;
                let (bytes, parts, behind) = (arriving.bytes, arriving.parts, arriving.labels.clone());
                if begun.is_some() {
                    self.remove_joined(&stored, generation, behind.clone().next())?;
                }
                self.begin_joining(user_key, (bytes, parts), behind, join, now_ms)?
            }
        };
        let pieces = joining.step()?;
        let is_done = joining.front.is_empty() && joining.behind.is_empty();
        self.write_parts(&stored, generation, &pieces)?;
        self.state.uploads.get_mut(id).expect("looked at above").joining = Some(joining);
        Ok(is_done)
    }

    /// Makes the joined value `id` that of `user_key`, with the old one's deadline, and answers its length; `None` when the old value
    /// has changed since: [`Txn::upload_join`] is needed again.
    ///
    /// # Errors
    /// As [`Txn::write`]; [`StoreError::UploadEnded`].
    pub fn set_joined(&mut self, user_key: &[u8], id: u64, now_ms: u64) -> Result<Option<u64>, StoreError> {
        let arriving = self.state.uploads.get_mut(id).ok_or(StoreError::UploadEnded)?;
        let ready = arriving.joining.as_ref().filter(|joining| joining.is_done() && !joining.expiry.is_past(now_ms));
        let Some(joining) = ready.filter(|_| !arriving.is_touched) else { return Ok(None) };
        let (bytes, expiry) = (joining.bytes, joining.expiry);
        self.set_uploaded(user_key, id, expiry)?;
        Ok(Some(bytes))
    }

    fn begin_joining(
        &mut self,
        user_key: &[u8],
        (bytes, parts): (u64, u64),
        behind_labels: Ascending,
        join: Join,
        now_ms: u64,
    ) -> Result<Joining, StoreError> {
        let facts = self.facts(user_key, now_ms)?;
        let old_bytes = facts.map_or(0, |facts| facts.bytes);
        let offset = match join {
            Join::Append => old_bytes,
            Join::At(offset) => offset,
        };
        let end = offset.saturating_add(bytes);
        limit("bytes of a value", usize::try_from(end.max(old_bytes)).unwrap_or(usize::MAX), USER_VALUE_BYTES_MAX)?;
        let (mut front, mut behind) = (Vec::new(), Vec::new());
        if offset > old_bytes {
            front.push(Source::Zeros(offset - old_bytes));
        }
        front.extend(self.stretch(user_key, 0..offset.min(old_bytes), now_ms)?);
        behind.extend(self.stretch(user_key, end.min(old_bytes)..old_bytes, now_ms)?);
        Ok(Joining {
            front,
            behind,
            front_labels: Ascending::front(),
            behind_labels,
            cutter: Cutter::default(),
            bytes,
            parts,
            expiry: facts.map_or(Expiry::NEVER, |facts| facts.expiry),
        })
    }

    /// What is to be copied of the old value.
    fn stretch(&mut self, user_key: &[u8], range: std::ops::Range<u64>, now_ms: u64) -> Result<Option<Source>, StoreError> {
        if range.is_empty() {
            return Ok(None);
        }
        Ok(self.look(user_key, range, now_ms, 0)?.map(|look| match look {
            Look::Whole(string) => Source::Bytes(string.value.into_owned()),
            Look::Parts { reading, .. } => Source::Parts(reading),
        }))
    }

    /// Deletes what was copied around the arrived parts, whose labels end before `behind`.
    fn remove_joined(&mut self, stored: &Arc<[u8]>, generation: u64, behind: u64) -> Result<(), StoreError> {
        let all = generation_range(stored, generation);
        let place = |label| bytes::Bytes::from(part_key(stored, generation, label));
        self.remove_range(&KeyRange { start: all.start, end: Some(place(Ascending::fresh().next())) })?;
        self.remove_range(&KeyRange { start: place(behind), end: all.end })?;
        Ok(())
    }
}

impl Joining {
    fn is_done(&self) -> bool {
        self.front.is_empty() && self.behind.is_empty()
    }

    /// The next parts, of one side.
    fn step(&mut self) -> Result<Vec<Labelled>, StoreError> {
        let Self { front, behind, front_labels, behind_labels, cutter, .. } = self;
        let (sources, labels) = if front.is_empty() { (behind, behind_labels) } else { (front, front_labels) };
        let mut bytes = Vec::with_capacity(STEP_BYTES);
        while bytes.len() < STEP_BYTES {
            let Some(source) = sources.last_mut() else { break };
            if source.read(&mut bytes)? {
                sources.pop();
            }
        }
        let pieces = label(cutter, labels, &bytes, sources.is_empty());
        self.bytes += bytes.len() as u64;
        self.parts += pieces.len() as u64;
        Ok(pieces)
    }
}

impl Source {
    /// Appends bytes until there are [`STEP_BYTES`]; whether these were the last.
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool, StoreError> {
        let room = STEP_BYTES.saturating_sub(out.len());
        match self {
            Self::Bytes(bytes) => {
                out.append(bytes);
                Ok(true)
            }
            Self::Parts(reading) => {
                reading.read(out, room)?;
                Ok(reading.left() == 0)
            }
            Self::Zeros(left) => {
                let taken = room.min(usize::try_from(*left).unwrap_or(usize::MAX));
                out.resize(out.len() + taken, 0);
                *left -= taken as u64;
                Ok(*left == 0)
            }
        }
    }
}
