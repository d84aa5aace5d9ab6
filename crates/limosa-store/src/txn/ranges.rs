//! Stretches of values: of a large one only the parts concerned are read and written.

use std::ops::ControlFlow;

use bytes::Bytes;
use limosa_core::limits::{USER_KEY_BYTES_MAX, USER_VALUE_BYTES_MAX};
use limosa_core::{Expiry, Kind, LiveRef, key};

use super::strings::part;
use super::{Txn, limit};
use crate::error::StoreError;
use crate::parts::{BROKEN, PartedHead, between, cut, part_key, part_place};

/// A large value that is being changed in place.
struct Parted {
    stored: Vec<u8>,
    head: PartedHead,
    expiry: Expiry,
}

/// A part as it was found: key, bytes of the value before it, and its own.
struct Found {
    key: Bytes,
    before: u64,
    value: Vec<u8>,
}

impl Txn<'_> {
    /// Appends to the string at `user_key`, or makes it; answers its length. Of a large value the last part is written, and what is new.
    ///
    /// # Errors
    /// As [`Txn::write`]; the value would be too long.
    pub fn append(&mut self, user_key: &[u8], bytes: &[u8], now_ms: u64) -> Result<u64, StoreError> {
        limit("bytes of a key", user_key.len(), USER_KEY_BYTES_MAX)?;
        let old = self.facts(user_key, now_ms)?.map_or(0, |facts| facts.bytes);
        limit("bytes of a value", usize::try_from(old).unwrap_or(usize::MAX).saturating_add(bytes.len()), USER_VALUE_BYTES_MAX)?;
        if let Some(parted) = self.parted(user_key, now_ms)? {
            return self.append_parts(user_key, &parted, bytes);
        }
        let (mut value, expiry) = self.small(user_key, now_ms)?;
        value.extend_from_slice(bytes);
        self.set(user_key, &value, expiry)?;
        Ok(value.len() as u64)
    }

    /// Overwrites the string at `user_key` from byte `offset` on, with zeros before that where it is shorter; answers its length. Of a
    /// large value the parts are written that `bytes` lie in, and what is new behind its end: the zeros are all written in one commit.
    ///
    /// # Errors
    /// As [`Txn::write`]; the value would be too long.
    pub fn set_range(&mut self, user_key: &[u8], offset: u64, bytes: &[u8], now_ms: u64) -> Result<u64, StoreError> {
        limit("bytes of a key", user_key.len(), USER_KEY_BYTES_MAX)?;
        let end = offset.saturating_add(bytes.len() as u64);
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        limit("bytes of a value", end, USER_VALUE_BYTES_MAX)?;
        let Some(parted) = self.parted(user_key, now_ms)? else {
            let (mut value, expiry) = self.small(user_key, now_ms)?;
            value.resize(value.len().max(end), 0);
            value[end - bytes.len()..end].copy_from_slice(bytes);
            self.set(user_key, &value, expiry)?;
            return Ok(value.len() as u64);
        };
        let old = parted.head.bytes;
        let inside = usize::try_from(old.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len());
        if inside > 0 {
            self.overwrite(&parted, offset, &bytes[..inside])?;
        }
        if inside == bytes.len() {
            return Ok(old);
        }
        let zeros = usize::try_from(offset.saturating_sub(old)).expect("limited above");
        let mut behind = vec![0; zeros];
        behind.extend_from_slice(&bytes[inside..]);
        self.append_parts(user_key, &parted, &behind)
    }

    /// The large value at `user_key`, if that is what is there.
    fn parted(&mut self, user_key: &[u8], now_ms: u64) -> Result<Option<Parted>, StoreError> {
        let stored = key::stored(user_key);
        let found = self.read(&stored)?;
        let live = found.live().filter(|live| live.kind == Kind::PARTED && !live.expiry.is_past(now_ms));
        let Some((value, expiry)) = live.map(|live| (live.value, live.expiry)) else { return Ok(None) };
        let head = PartedHead::decode(value)?;
        drop(found);
        Ok((head.bytes > 0).then_some(Parted { stored, head, expiry }))
    }

    /// A copy of a value that is not large, empty where there is none, and its deadline.
    fn small(&mut self, user_key: &[u8], now_ms: u64) -> Result<(Vec<u8>, Expiry), StoreError> {
        let string = self.get(user_key, now_ms)?;
        Ok(string.map_or((Vec::new(), Expiry::NEVER), |string| (string.value.into_owned(), string.expiry)))
    }

    /// The parts that hold bytes `at` to `end`, exclusive.
    fn found(&mut self, parted: &Parted, at: u64, end: u64) -> Result<Vec<Found>, StoreError> {
        let view = self.state.view(&parted.stored, parted.head.generation, &mut self.seen);
        let place = view.place(at)?.ok_or(BROKEN)?;
        let (mut before, mut found) = (place.before, Vec::new());
        view.scan(&place.key, |key, value| {
            found.push(Found { key: Bytes::copy_from_slice(key), before, value: value.to_vec() });
            before += value.len() as u64;
            if before < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.counters.read_entries(found.len() as u64);
        if before < end { Err(BROKEN.into()) } else { Ok(found) }
    }

    /// Boundaries stay where they are: the same parts with other bytes.
    fn overwrite(&mut self, parted: &Parted, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let end = offset + bytes.len() as u64;
        for mut found in self.found(parted, offset, end)? {
            let part_end = found.before + found.value.len() as u64;
            let (from, to) = (offset.max(found.before), end.min(part_end));
            let index = |at: u64, base: u64| usize::try_from(at - base).expect("inside a part or the new bytes");
            let target = &mut found.value[index(from, found.before)..index(to, found.before)];
            target.copy_from_slice(&bytes[index(from, offset)..index(to, offset)]);
            self.write(&found.key, part(&found.value))?;
        }
        Ok(())
    }

    /// The last part is cut again together with what is new, as a value that was set whole would be.
    fn append_parts(&mut self, user_key: &[u8], parted: &Parted, bytes: &[u8]) -> Result<u64, StoreError> {
        let Parted { stored, head, expiry } = parted;
        let mut last = self.found(parted, head.bytes - 1, head.bytes)?.pop().ok_or(BROKEN)?;
        let (_, label) = part_place(&last.key).ok_or(BROKEN)?;
        last.value.extend_from_slice(bytes);
        let pieces = cut(&last.value);
        let Some(labels) = between(Some(label), None, pieces.len() - 1) else {
            // no label is left behind this one: the value is written anew
            let (mut value, expiry) = self.small(user_key, 0)?;
            value.extend_from_slice(bytes);
            self.set(user_key, &value, expiry)?;
            return Ok(value.len() as u64);
        };
        for (label, piece) in std::iter::once(label).chain(labels).zip(&pieces) {
            self.write(&part_key(stored, head.generation, label), part(piece))?;
        }
        let bytes = head.bytes + bytes.len() as u64;
        let head = PartedHead { bytes, parts: head.parts + pieces.len() as u64 - 1, ..*head };
        self.write(stored, LiveRef { kind: Kind::PARTED, expiry: *expiry, value: &head.encode() })?;
        Ok(bytes)
    }
}
