//! Strings by user key: small ones in one entry, large ones in parts, both behind the same calls.

use std::ops::{ControlFlow, Deref, Range};

use limosa_core::key;
use limosa_core::limits::{USER_KEY_BYTES_MAX, USER_VALUE_BYTES_MAX, WHOLE_VALUE_BYTES_MAX};
use limosa_core::{DecodeError, Expiry, Kind, LiveRef};

use super::cold::Cold;
use super::{Txn, find, limit};
use crate::error::StoreError;
use crate::journal::Position;
use crate::parts::{OldPart, PartedHead, Rewrite, cut, part_key, parts_range, rewrite};
use crate::state::{Found, State};

/// A string and its deadline.
#[derive(Debug)]
pub struct StringValue<'a> {
    /// The bytes.
    pub value: ValueBytes<'a>,
    /// When it ends.
    pub expiry: Expiry,
}

/// A string's bytes, as a slice.
#[derive(Debug)]
pub enum ValueBytes<'a> {
    /// In one entry, whose block stays in memory meanwhile.
    Held(Found<'a>),
    /// Joined out of parts.
    Joined(Vec<u8>),
    /// Somebody else's.
    Borrowed(&'a [u8]),
}

impl Deref for ValueBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Held(found) => found.live().expect("only live entries have bytes").value,
            Self::Joined(bytes) => bytes,
            Self::Borrowed(bytes) => bytes,
        }
    }
}

impl ValueBytes<'_> {
    /// The bytes alone.
    pub fn into_owned(self) -> Vec<u8> {
        match self {
            Self::Held(_) | Self::Borrowed(_) => self.to_vec(),
            Self::Joined(bytes) => bytes,
        }
    }
}

/// What is known of a string without reading its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StringFacts {
    /// Length of the value.
    pub bytes: u64,
    /// When it ends.
    pub expiry: Expiry,
}

impl Txn<'_> {
    /// The string at `user_key`; `None` when there is none or its deadline has passed at `now_ms`.
    ///
    /// # Errors
    /// The store is poisoned, a block can't be had, or the value's parts do not add up.
    pub fn get(&mut self, user_key: &[u8], now_ms: u64) -> Result<Option<StringValue<'_>>, StoreError> {
        self.state.check_poisoned()?;
        let stored = key::stored(user_key);
        let Self { state, seen, cold, waits, .. } = self;
        let (position, found) = find(state, &stored, *waits, cold)?;
        *seen = (*seen).max(position);
        let Some(live) = found.live().filter(|live| !live.expiry.is_past(now_ms)) else { return Ok(None) };
        let expiry = live.expiry;
        let value = if live.kind == Kind::PARTED {
            let head = PartedHead::decode(live.value)?;
            drop(found);
            ValueBytes::Joined(state.joined(&stored, head, seen, &mut Cold { waits: *waits, blocks: cold })?.0)
        } else {
            whole(&live)?;
            ValueBytes::Held(found)
        };
        Ok(Some(StringValue { value, expiry }))
    }

    /// Length and deadline of the string at `user_key`, without reading parts; as [`Txn::get`] otherwise.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn facts(&mut self, user_key: &[u8], now_ms: u64) -> Result<Option<StringFacts>, StoreError> {
        let stored = key::stored(user_key);
        let found = self.read(&stored)?;
        let Some(live) = found.live().filter(|live| !live.expiry.is_past(now_ms)) else { return Ok(None) };
        let bytes = if live.kind == Kind::PARTED { PartedHead::decode(live.value)?.bytes } else { whole(&live)?.value.len() as u64 };
        Ok(Some(StringFacts { bytes, expiry: live.expiry }))
    }

    /// Sets the string at `user_key`, whatever was there. Of a large value only the parts that differ are written.
    ///
    /// # Errors
    /// As [`Txn::write`].
    pub fn set(&mut self, user_key: &[u8], value: &[u8], expiry: Expiry) -> Result<(), StoreError> {
        limit("bytes of a key", user_key.len(), USER_KEY_BYTES_MAX)?;
        limit("bytes of a value", value.len(), USER_VALUE_BYTES_MAX)?;
        let stored = key::stored(user_key);
        if value.len() > WHOLE_VALUE_BYTES_MAX {
            return self.set_parted(&stored, value, expiry);
        }
        // One look-up answers all three: equal, parted before, or plain.
        let fragment = self.writable(&stored)?;
        let live = LiveRef { kind: Kind::STRING, expiry, value };
        let (position, current) = find(&self.state, &stored, self.waits, &mut self.cold)?;
        let is_same = current.live() == Some(live);
        let is_parted = current.live().is_some_and(|current| current.kind == Kind::PARTED);
        drop(current);
        if is_same {
            self.seen = self.seen.max(position);
            return Ok(());
        }
        if is_parted {
            self.remove_range(&parts_range(&stored))?;
        }
        self.state.put(fragment, &stored, Some(live))
    }

    /// Gives the string at `user_key` another deadline; false when there is no string.
    ///
    /// # Errors
    /// As [`Txn::write`].
    pub fn set_expiry(&mut self, user_key: &[u8], expiry: Expiry, now_ms: u64) -> Result<bool, StoreError> {
        let stored = key::stored(user_key);
        let found = self.read(&stored)?;
        let Some(live) = found.live().filter(|live| !live.expiry.is_past(now_ms)) else { return Ok(false) };
        let (kind, value) = (live.kind, live.value.to_vec());
        drop(found);
        self.write(&stored, LiveRef { kind, expiry, value: &value })?;
        Ok(true)
    }

    /// Deletes the string at `user_key`; false when there was none or its deadline had passed.
    ///
    /// # Errors
    /// As [`Txn::write`].
    pub fn delete(&mut self, user_key: &[u8], now_ms: u64) -> Result<bool, StoreError> {
        let stored = key::stored(user_key);
        let Some(was_past) = self.read(&stored)?.live().map(|live| live.expiry.is_past(now_ms)) else { return Ok(false) };
        self.delete_stored(&stored)?;
        Ok(!was_past)
    }

    /// Deletes the key whose stored form is `stored`, parts and all.
    pub(crate) fn delete_stored(&mut self, stored: &[u8]) -> Result<(), StoreError> {
        let parted = self.read(stored)?.live().is_some_and(|live| live.kind == Kind::PARTED);
        if parted {
            self.remove_range(&parts_range(stored))?;
        }
        self.remove(stored)?;
        Ok(())
    }

    fn set_parted(&mut self, stored: &[u8], value: &[u8], expiry: Expiry) -> Result<(), StoreError> {
        let pieces = cut(value);
        let old_head = self.parted_head(stored)?;
        let Self { state, seen, cold, waits, .. } = self;
        let mut cold = Cold { waits: *waits, blocks: cold };
        let old = old_head.map(|head| state.joined(stored, head, seen, &mut cold)).transpose()?;
        let (old_bytes, old_places) = old.unwrap_or_default();
        let old: Vec<OldPart<'_>> =
            old_places.iter().map(|(label, place)| OldPart { label: *label, bytes: &old_bytes[place.clone()] }).collect();
        let mut generation = old_head.map_or(1, |head| head.generation);
        match rewrite(&old, &pieces) {
            Rewrite::Edit { puts, removes } => {
                for label in removes {
                    self.remove(&part_key(stored, generation, label))?;
                }
                for (label, piece) in puts {
                    self.write(&part_key(stored, generation, label), part(pieces[piece]))?;
                }
            }
            Rewrite::Fresh { labels } => {
                if old_head.is_some() {
                    self.remove_range(&parts_range(stored))?;
                    generation += 1;
                }
                for (label, piece) in labels.into_iter().zip(&pieces) {
                    self.write(&part_key(stored, generation, label), part(piece))?;
                }
            }
        }
        let head = PartedHead { generation, bytes: value.len() as u64, parts: pieces.len() as u64 };
        self.write(stored, LiveRef { kind: Kind::PARTED, expiry, value: &head.encode() })?;
        Ok(())
    }

    fn parted_head(&mut self, stored: &[u8]) -> Result<Option<PartedHead>, StoreError> {
        let found = self.read(stored)?;
        let head = found.live().filter(|live| live.kind == Kind::PARTED);
        Ok(head.map(|live| PartedHead::decode(live.value)).transpose()?)
    }
}

impl State {
    /// The joined parts of the large value at `stored`, and where each lies in them, by label.
    fn joined(&self, stored: &[u8], head: PartedHead, seen: &mut Position, cold: &mut Cold<'_>) -> Result<Joined, StoreError> {
        let mut bytes = Vec::with_capacity(usize::try_from(head.bytes).map_err(|_| BROKEN)?);
        let mut places = Vec::new();
        self.scan(&parts_range(stored), seen, cold, &mut |key, live| {
            let label = key.last_chunk().map_or(0, |label| u64::from_be_bytes(*label));
            places.push((label, bytes.len()..bytes.len() + live.value.len()));
            bytes.extend_from_slice(live.value);
            ControlFlow::Continue(())
        })?;
        if bytes.len() as u64 != head.bytes || places.len() as u64 != head.parts {
            return Err(BROKEN.into());
        }
        Ok((bytes, places))
    }
}

/// A value's bytes, and the place in them of each part, by label.
type Joined = (Vec<u8>, Vec<(u64, Range<usize>)>);

const BROKEN: DecodeError = DecodeError::Invalid { field: "parted", why: "the parts of a large value do not add up" };

fn part(piece: &[u8]) -> LiveRef<'_> {
    LiveRef { kind: Kind::PART, expiry: Expiry::NEVER, value: piece }
}

/// Refuses a value of a kind that is no string: written by a newer Limosa.
fn whole<'a, 'b>(live: &'b LiveRef<'a>) -> Result<&'b LiveRef<'a>, StoreError> {
    if live.kind == Kind::STRING {
        return Ok(live);
    }
    Err(StoreError::Invalid { what: "the value's type", why: format!("kind {} is not a string", live.kind.code()) })
}
