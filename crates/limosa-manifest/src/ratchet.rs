//! What a node has seen of the manifest: so that a store restored from an older backup, or exchanged, is noticed.
//!
//! The node keeps the bytes with its own data and writes them after the check, before it acts on what it read.

use std::collections::BTreeMap;

use limosa_core::varint::{self, Reader};
use limosa_core::{DecodeError, FragmentId};

use crate::error::ManifestError;
use crate::handover::Origin;

const FORMAT: u8 = 1;

/// The highest marks seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ratchet {
    /// The store; 0: none seen yet.
    store: u64,
    revision: u64,
    epochs: BTreeMap<u32, u32>,
}

impl Ratchet {
    /// The newest revision seen: what a read that starts now must reach.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether `store` is the one that was seen, or none was.
    pub fn is_of(&self, store: u64) -> bool {
        self.store == 0 || self.store == store
    }

    /// Takes note of an answer to a call that started when [`Ratchet::revision`] was `reached`. Answers may overtake each other, so what
    /// counts is what was known at the call.
    pub fn see_revision(&mut self, store: u64, revision: u64, reached: u64) -> Result<(), ManifestError> {
        if self.store != 0 && self.store != store {
            return Err(ManifestError::RolledBack { what: "store".to_owned(), found: store, seen: self.store });
        }
        if revision < reached {
            return Err(ManifestError::RolledBack { what: "revision".to_owned(), found: revision, seen: reached });
        }
        self.store = store;
        self.revision = self.revision.max(revision);
        Ok(())
    }

    /// Whether answers of `store` may be believed now: it was taken from the one that was seen, at a revision that hides nothing of it.
    pub fn follows(&mut self, origin: &Origin, store: u64) -> bool {
        let is_later = origin.is_complete && origin.store == self.store && origin.revision >= self.revision;
        if is_later {
            // Revisions of another store are other numbers. Epochs go on.
            (self.store, self.revision) = (store, 0);
        }
        is_later
    }

    /// Takes note of a fragment's epoch in such an answer. A revision that was raised by hand after a restore does not hide an epoch
    /// that fell.
    pub fn see_epoch(&mut self, fragment: FragmentId, epoch: u32, reached: u32) -> Result<(), ManifestError> {
        if epoch < reached {
            let what = format!("epoch of {fragment}");
            return Err(ManifestError::RolledBack { what, found: u64::from(epoch), seen: u64::from(reached) });
        }
        let seen = self.epochs.entry(fragment.0).or_default();
        *seen = epoch.max(*seen);
        Ok(())
    }

    /// The highest epoch seen of a fragment; 0: none.
    pub fn epoch(&self, fragment: FragmentId) -> u32 {
        self.epochs.get(&fragment.0).copied().unwrap_or_default()
    }

    /// Forgets a fragment that was split or merged away: its id is never used again.
    pub fn forget(&mut self, fragment: FragmentId) {
        self.epochs.remove(&fragment.0);
    }

    /// `format (1) | store | revision | count, { fragment, epoch }`, all varints.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        for number in [self.store, self.revision, self.epochs.len() as u64] {
            varint::put(&mut out, number);
        }
        for (&fragment, &epoch) in &self.epochs {
            varint::put(&mut out, u64::from(fragment));
            varint::put(&mut out, u64::from(epoch));
        }
        out
    }

    /// The inverse of [`Ratchet::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8("ratchet.format")? != FORMAT {
            return Err(DecodeError::Invalid { field: "ratchet.format", why: "written by a newer version" });
        }
        let (store, revision) = (reader.varint("ratchet.store")?, reader.varint("ratchet.revision")?);
        let count = reader.varint_max("ratchet.count", bytes.len() as u64)?;
        let mut number = |field| {
            let value = reader.varint_max(field, u64::from(u32::MAX))?;
            Ok(u32::try_from(value).expect("checked above"))
        };
        let epochs = (0..count).map(|_| Ok((number("ratchet.fragment")?, number("ratchet.epoch")?))).collect::<Result<_, DecodeError>>()?;
        if !reader.is_empty() {
            return Err(DecodeError::Invalid { field: "ratchet", why: "bytes behind the last fragment" });
        }
        Ok(Self { store, revision, epochs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_revision_another_store_and_a_fallen_epoch_are_refused() {
        let mut ratchet = Ratchet::default();
        ratchet.see_revision(1, 10, 0).expect("the first one");
        ratchet.see_epoch(FragmentId(7), 3, 0).expect("the first one");
        for refused in [
            ratchet.clone().see_revision(1, 9, 10),
            ratchet.clone().see_revision(2, 11, 10),
            ratchet.clone().see_epoch(FragmentId(7), 2, 3),
        ] {
            assert_eq!(refused.expect_err("a roll-back").code(), "manifest.rolled_back");
        }
    }

    #[test]
    fn a_store_that_was_taken_from_what_was_seen_is_believed_and_one_from_a_backup_of_it_is_not() {
        let mut ratchet = Ratchet::default();
        ratchet.see_revision(1, 10, 0).expect("the first one");
        ratchet.see_epoch(FragmentId(7), 3, 0).expect("the first one");
        let taken = Origin { store: 1, revision: 10, is_complete: true };
        for other in [Origin { revision: 9, ..taken }, Origin { store: 3, ..taken }, Origin { is_complete: false, ..taken }] {
            assert!(!ratchet.clone().follows(&other, 2), "{other:?}");
        }
        assert!(ratchet.follows(&taken, 2));
        ratchet.see_revision(2, 4, ratchet.revision()).expect("its revisions are other numbers");
        assert_eq!(ratchet.epoch(FragmentId(7)), 3, "epochs go on");
        ratchet.clone().see_revision(1, 11, 4).expect_err("there is no way back");
    }

    #[test]
    fn an_answer_that_was_overtaken_is_no_roll_back() {
        let mut ratchet = Ratchet::default();
        ratchet.see_revision(1, 12, 0).expect("the faster answer");
        ratchet.see_revision(1, 10, 0).expect("the slower one of a call that started before");
        assert_eq!(ratchet.revision(), 12);
    }

    #[test]
    fn a_ratchet_survives_its_bytes_and_every_cut_is_refused() {
        let mut ratchet = Ratchet::default();
        ratchet.see_revision(u64::MAX, 1 << 40, 0).expect("fine");
        for id in 0..300 {
            ratchet.see_epoch(FragmentId(id), id + 1, 0).expect("fine");
        }
        let bytes = ratchet.to_bytes();
        assert_eq!(Ratchet::from_bytes(&bytes).expect("whole"), ratchet);
        for end in 0..bytes.len() {
            Ratchet::from_bytes(&bytes[..end]).expect_err("cut off");
        }
    }
}
