//! Small durable notes of whoever drives the store: fences, what it has seen of the manifest. The store keeps them and does not read them.
//!
//! ```text
//! record, and fact of the checkpoint:  notes | { key (bytes) | value (bytes) }        an empty value forgets the note
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use limosa_core::DecodeError;
use limosa_core::varint::{self, Reader};

use crate::error::StoreError;
use crate::journal::{Position, RecordKind};
use crate::store::Store;

/// Longest key, bytes.
const KEY_BYTES_MAX: usize = 64;
/// Longest value, bytes.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Most bytes of all keys and values together: every fragment of a large space may have a note or two.
const BYTES_MAX: usize = 4 << 20;
/// Most notes that a record may declare.
const COUNT_MAX: u64 = BYTES_MAX as u64;

/// Every note by its key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Notes {
    all: BTreeMap<String, Bytes>,
    bytes: usize,
}

impl Store {
    /// Remembers `value` under `key` (64 bytes at most), durably when this returns; an empty value forgets the note.
    ///
    /// # Errors
    /// A value above 64 KiB, or more than 4 MiB in all; as [`Store::flush`].
    pub fn set_note(&self, key: &str, value: &[u8]) -> Result<Position, StoreError> {
        self.set_notes(&[(key, value)])
    }

    /// [`Store::set_note`] for several, all of them or none.
    ///
    /// # Errors
    /// As [`Store::set_note`].
    pub fn set_notes(&self, notes: &[(&str, &[u8])]) -> Result<Position, StoreError> {
        let position = {
            let mut state = self.inner.state();
            state.check()?;
            let mut after = state.pending_notes.clone();
            for (key, value) in notes {
                limit("bytes of a note's key", key.len(), KEY_BYTES_MAX)?;
                limit("bytes of a note", value.len(), VALUE_BYTES_MAX)?;
                after.set(key, Bytes::copy_from_slice(value));
            }
            limit("bytes of all notes", after.bytes, BYTES_MAX)?;
            state.pending_notes = after;
            let notes: Vec<(&[u8], &[u8])> = notes.iter().map(|(key, value)| (key.as_bytes(), *value)).collect();
            state.push(RecordKind::Notes, &encode(&notes))
        };
        self.settle(position)?;
        Ok(position)
    }

    /// The durable note under `key`.
    pub fn note(&self, key: &str) -> Option<Bytes> {
        self.inner.state().notes.all.get(key).cloned()
    }

    /// Every durable note whose key starts with `prefix`, in the order of the keys.
    pub fn notes(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let state = self.inner.state();
        let from = state.notes.all.range(prefix.to_owned()..);
        from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Notes {
    fn set(&mut self, key: &str, value: Bytes) {
        if let Some(old) = self.all.remove(key) {
            self.bytes -= key.len() + old.len();
        }
        if !value.is_empty() {
            self.bytes += key.len() + value.len();
            self.all.insert(key.to_owned(), value);
        }
    }

    /// What a record says, on top of what there is.
    pub(crate) fn apply(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(body);
        for _ in 0..reader.varint_max("notes", COUNT_MAX)? {
            let key = std::str::from_utf8(reader.bytes_max("note.key", KEY_BYTES_MAX)?);
            let key = key.map_err(|_| DecodeError::Invalid { field: "note.key", why: "not UTF-8" })?;
            self.set(key, Bytes::copy_from_slice(reader.bytes_max("note.value", VALUE_BYTES_MAX)?));
        }
        if reader.is_empty() { Ok(()) } else { Err(DecodeError::Invalid { field: "notes", why: "bytes behind their end" }) }
    }

    /// For the checkpoint; read by [`Notes::apply`] on no notes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(&self.all.iter().map(|(key, value)| (key.as_bytes(), &value[..])).collect::<Vec<_>>())
    }
}

fn encode(notes: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, notes.len() as u64);
    for (key, value) in notes {
        varint::put_bytes(&mut out, key);
        varint::put_bytes(&mut out, value);
    }
    out
}

fn limit(what: &'static str, value: usize, max: usize) -> Result<(), StoreError> {
    if value > max { Err(StoreError::Limit { what, value: value as u64, max: max as u64 }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn notes_round_trip_and_are_refused_when_cut() {
        let mut notes = Notes::default();
        notes.set("fence/3", Bytes::from_static(b"9"));
        notes.set("ratchet", Bytes::from_static(b"\0\xFF"));
        notes.set("fence/3", Bytes::from_static(b"10"));
        notes.set("gone", Bytes::from_static(b"x"));
        notes.set("gone", Bytes::new());
        assert_eq!(notes.bytes, 7 + 2 + 7 + 2);
        let bytes = notes.encode();
        let mut again = Notes::default();
        assert_eq!(again.apply(&bytes), Ok(()));
        assert_eq!(again, notes);
        assert!((0..bytes.len()).all(|end| Notes::default().apply(&bytes[..end]).is_err()));
        assert!(Notes::default().apply(&[&bytes[..], &[0]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Notes::default().apply(&bytes);
        }
    }
}
