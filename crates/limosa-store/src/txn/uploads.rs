//! Large values in pieces: parts go into a generation of their own as the bytes arrive, and one small commit makes it the value.

use std::ops::ControlFlow;

use bytes::Bytes;
use limosa_core::key::UPLOADS;
use limosa_core::limits::{USER_KEY_BYTES_MAX, USER_VALUE_BYTES_MAX};
use limosa_core::{Expiry, KeyRange, Kind, LiveRef, key};

use super::strings::part;
use super::{Txn, limit};
use crate::error::StoreError;
use crate::gates::FragmentGate;
use crate::parts::{PartedHead, generation_range, may_be_upload, part_key, part_place, parts_range, upload_key, upload_of, uploads_range};
use crate::store::Store;
use crate::uploads::Labelled;

/// The deadline of a place that registers an arriving value: before every other, so that such places are found without a scan.
pub(crate) const ARRIVING: Expiry = Expiry::at(1);

impl Txn<'_> {
    /// Begins to take a value for `user_key`; answers what the other calls name it by.
    ///
    /// # Errors
    /// As [`Txn::write`].
    pub fn upload_open(&mut self, user_key: &[u8]) -> Result<u64, StoreError> {
        limit("bytes of a key", user_key.len(), USER_KEY_BYTES_MAX)?;
        let stored = key::stored(user_key);
        self.writable(&stored)?;
        let generation = self.fresh_generation(&stored)?;
        Ok(self.state.uploads.open(stored.into(), generation))
    }

    /// Takes the next bytes of the value, a few hundred KiB at most: what is complete of them joins the batch, which should then be
    /// committed. `is_last` completes the value, which is not set by that.
    ///
    /// # Errors
    /// As [`Txn::write`]; [`StoreError::UploadEnded`].
    pub fn upload_push(&mut self, id: u64, bytes: &[u8], is_last: bool) -> Result<(), StoreError> {
        let arriving = self.state.uploads.get_mut(id).ok_or(StoreError::UploadEnded)?;
        assert!(!arriving.is_complete, "nothing comes behind the last bytes");
        let value_bytes = arriving.bytes + bytes.len() as u64;
        limit("bytes of a value", usize::try_from(value_bytes).unwrap_or(usize::MAX), USER_VALUE_BYTES_MAX)?;
        let pieces = arriving.take(bytes, is_last);
        let (stored, generation) = (arriving.stored.clone(), arriving.generation);
        // The deadline marks it for whoever looks for values that nobody completes: see `expiry`.
        self.write(&upload_key(&stored, generation), LiveRef { expiry: ARRIVING, ..part(&[]) })?;
        self.write_parts(&stored, generation, &pieces)
    }

    /// Writes pieces under their labels.
    pub(super) fn write_parts(&mut self, stored: &[u8], generation: u64, pieces: &[Labelled]) -> Result<(), StoreError> {
        for (label, piece) in pieces {
            self.write(&part_key(stored, generation, *label), part(piece))?;
        }
        Ok(())
    }

    /// Makes the complete value `id` that of `user_key`, whatever was there.
    ///
    /// # Errors
    /// As [`Txn::write`]; [`StoreError::UploadEnded`].
    pub fn set_uploaded(&mut self, user_key: &[u8], id: u64, expiry: Expiry) -> Result<(), StoreError> {
        let arriving = self.state.uploads.get_mut(id).ok_or(StoreError::UploadEnded)?;
        let (bytes, parts) = arriving.joining.as_ref().map_or((arriving.bytes, arriving.parts), |joining| (joining.bytes, joining.parts));
        let (stored, generation, is_complete) = (arriving.stored.clone(), arriving.generation, arriving.is_complete);
        assert!(is_complete && *stored == *key::stored(user_key), "a complete value is set under the key that it was taken for");
        if let Some(old) = self.parted_head(&stored)? {
            self.remove_range(&generation_range(&stored, old.generation))?;
        }
        let head = PartedHead { generation, bytes, parts };
        self.write(&stored, LiveRef { kind: Kind::PARTED, expiry, value: &head.encode() })?;
        self.remove(&upload_key(&stored, generation))?;
        Ok(())
    }

    /// Forgets the value `id`: unless it was set, its parts are deleted. To be committed like any write.
    ///
    /// # Errors
    /// As [`Txn::write`]: the parts then stay until a node becomes owner.
    pub fn upload_close(&mut self, id: u64) -> Result<(), StoreError> {
        match self.state.uploads.close(id) {
            Some(arriving) => self.remove_upload(&arriving.stored, arriving.generation),
            None => Ok(()),
        }
    }

    /// Removes a value that nobody fills, unless it was set.
    pub(super) fn remove_upload(&mut self, stored: &[u8], generation: u64) -> Result<(), StoreError> {
        // its register entry went in the commit that set it; should it be there still, what a head names stays
        let is_set = self.parted_head(stored)?.is_some_and(|head| head.generation == generation);
        let old = [&UPLOADS[..], stored, &generation.to_be_bytes()].concat();
        let is_old = self.state.admit(&old).is_ok() && self.remove(&old)?;
        if (self.remove(&upload_key(stored, generation))? || is_old) && !is_set {
            self.remove_range(&generation_range(stored, generation))?;
        }
        Ok(())
    }

    /// Deletes the parts of the value that `registered` names, if nobody here fills it; whether it named one.
    pub(crate) fn remove_orphan(&mut self, registered: &[u8]) -> Result<bool, StoreError> {
        let Some((stored, generation)) = may_be_upload(registered).then(|| upload_of(registered)).flatten() else { return Ok(false) };
        if !self.state.uploads.has(&stored, generation) {
            self.remove_upload(&stored, generation)?;
        }
        Ok(true)
    }

    /// Deletes every key that this node serves. What is arriving goes on arriving: its command has not been executed yet.
    ///
    /// # Errors
    /// As [`Txn::write`]; a fragment is parked.
    pub fn clear(&mut self) -> Result<(), StoreError> {
        let mut kept = self.state.uploads.ranges();
        let closed = (0..self.state.heads.len()).filter(|index| self.state.heads[*index].gate == FragmentGate::Closed);
        kept.extend(closed.map(|index| self.state.head_routes.range(index)));
        kept.sort_by(|a, b| a.start.cmp(&b.start));
        let mut start = Bytes::new();
        for own in kept {
            if start < own.start {
                self.remove_range(&KeyRange { start: start.clone(), end: Some(own.start) })?;
            }
            match own.end {
                Some(end) => start = start.max(end),
                None => return Ok(()),
            }
        }
        self.remove_range(&KeyRange { start, end: None }).map(drop)
    }

    /// A generation under `stored` that nothing is in, and that nobody fills.
    pub(super) fn fresh_generation(&mut self, stored: &[u8]) -> Result<u64, StoreError> {
        let mut newest = self.state.uploads.newest(stored);
        let mut rest = parts_range(stored);
        loop {
            let mut found = None;
            self.scan(&rest, |key, _| {
                found = part_place(key).map(|(generation, _)| generation);
                ControlFlow::Break(())
            })?;
            let Some(generation) = found else { return Ok(newest + 1) };
            newest = newest.max(generation);
            rest.start = generation_range(stored, generation).end.expect("a generation ends");
        }
    }
}

impl Store {
    /// Deletes generations that were arriving when an owner ended: nobody will complete them.
    pub(crate) fn remove_orphans(&self) -> Result<(), StoreError> {
        let mut orphans = Vec::new();
        let cut = self.cut();
        for view in cut.fragments().iter().filter(|view| view.tree().earliest_expiry() == Some(ARRIVING.millis())) {
            orphans.extend(view.tree().expired(ARRIVING.millis(), usize::MAX)?);
        }
        drop(cut);
        let mut txn = self.begin();
        txn.scan(&uploads_range(), |registered, _| {
            orphans.push(Bytes::copy_from_slice(registered));
            ControlFlow::Continue(())
        })?;
        for (stored, generation) in orphans.iter().filter_map(|registered| upload_of(registered)) {
            if !txn.state.uploads.has(&stored, generation) {
                txn.remove_upload(&stored, generation)?;
            }
        }
        txn.commit();
        Ok(())
    }
}
