//! Strings by user key: small ones in one entry, large ones in parts, both behind the same calls.

use std::ops::{ControlFlow, Deref, Range};

use limosa_core::key;
use limosa_core::limits::{USER_KEY_BYTES_MAX, USER_VALUE_BYTES_MAX, WHOLE_VALUE_BYTES_MAX};
use limosa_core::{Expiry, Kind, LiveRef};

use super::cold::Cold;
use super::{Txn, find, limit};
use crate::error::StoreError;
use crate::journal::Position;
use crate::parts::{BROKEN, Joint, OldPart, PartedHead, PartsView, Reading, Rewrite, cut, generation_range, part_key, rewrite};
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
/// A string, or a stretch of one, and its deadline.
#[derive(Debug)]
pub enum Look<'a> {
    /// Its bytes.
    Whole(StringValue<'a>),
    /// What reads its bytes, from the version that it has now.
    Parts {
        /// The bytes to come.
        reading: Reading,
        /// When it ends.
        expiry: Expiry,
    },
}

/// A value that is set whole is matched against what was there up to this length: it is read, under the lock.
const MATCHED_BYTES_MAX: u64 = 4 << 20;

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
        let look = self.look(user_key, 0..u64::MAX, now_ms, usize::MAX)?;
        Ok(look.map(|look| match look {
            Look::Whole(string) => string,
            Look::Parts { .. } => unreachable!("no value is longer than may be joined"),
        }))
    }

    /// Bytes `range` of the string at `user_key`, as far as it reaches; as [`Txn::get`] otherwise. More than `whole_max` bytes that lie in
    /// parts are not read: the answer reads them, piece by piece and off the lock.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn look(&mut self, user_key: &[u8], range: Range<u64>, now_ms: u64, whole_max: usize) -> Result<Option<Look<'_>>, StoreError> {
        self.state.check_poisoned()?;
        let stored = key::stored(user_key);
        self.admit(&stored)?;
        let Self { state, seen, cold, waits, counters, .. } = self;
        let (position, found) = find(state, &stored, *waits, cold)?;
        *seen = (*seen).max(position);
        let Some(live) = found.live().filter(|live| !live.expiry.is_past(now_ms)) else { return Ok(None) };
        let expiry = live.expiry;
        let whole = |value| Ok(Some(Look::Whole(StringValue { value, expiry })));
        if live.kind != Kind::PARTED {
            let value = plain(&live)?.value;
            let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(value.len());
            let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(end);
            let is_all = end - start == value.len();
            return whole(if is_all { ValueBytes::Held(found) } else { ValueBytes::Joined(value[start..end].to_vec()) });
        }
        let head = PartedHead::decode(live.value)?;
        drop(found);
        let end = range.end.min(head.bytes);
        let bytes = end.saturating_sub(range.start);
        if bytes == head.bytes && bytes <= whole_max as u64 {
            return whole(ValueBytes::Joined(state.joined(&stored, head, seen, &mut Cold { waits: *waits, blocks: cold })?.0));
        }
        let start = if bytes == 0 { 0 } else { range.start };
        let view = state.view(&stored, head.generation, seen);
        let mut reading = Reading::new(view, start, bytes, (*counters).clone())?;
        if bytes > whole_max as u64 {
            return Ok(Some(Look::Parts { reading, expiry }));
        }
        let mut value = Vec::new();
        reading.read(&mut value, usize::MAX)?;
        whole(ValueBytes::Joined(value))
    }

    /// Length and deadline of the string at `user_key`, without reading parts; as [`Txn::get`] otherwise.
    ///
    /// # Errors
    /// As [`Txn::get`].
    pub fn facts(&mut self, user_key: &[u8], now_ms: u64) -> Result<Option<StringFacts>, StoreError> {
        let stored = key::stored(user_key);
        let found = self.read(&stored)?;
        let Some(live) = found.live().filter(|live| !live.expiry.is_past(now_ms)) else { return Ok(None) };
        let bytes = if live.kind == Kind::PARTED { PartedHead::decode(live.value)?.bytes } else { plain(&live)?.value.len() as u64 };
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
            self.delete_parts(&stored)?;
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
        self.delete_parts(stored)?;
        self.remove(stored)?;
        Ok(())
    }

    /// Deletes the parts that the head names, if it names any. Those of a value that is arriving stay.
    fn delete_parts(&mut self, stored: &[u8]) -> Result<(), StoreError> {
        if let Some(head) = self.parted_head(stored)? {
            self.remove_range(&generation_range(stored, head.generation))?;
        }
        Ok(())
    }

    fn set_parted(&mut self, stored: &[u8], value: &[u8], expiry: Expiry) -> Result<(), StoreError> {
        let pieces = cut(value);
        let old_head = self.parted_head(stored)?;
        let Self { state, seen, cold, waits, .. } = self;
        let mut cold = Cold { waits: *waits, blocks: cold };
        let old = old_head.filter(|head| head.bytes <= MATCHED_BYTES_MAX);
        let old = old.map(|head| state.joined(stored, head, seen, &mut cold)).transpose()?;
        let (old_bytes, old_places) = old.unwrap_or_default();
        let old: Vec<OldPart<'_>> =
            old_places.iter().map(|(label, place)| OldPart { label: *label, bytes: &old_bytes[place.clone()] }).collect();
        let mut generation = old_head.map_or(0, |head| head.generation);
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
                generation = self.fresh_generation(stored)?;
                self.delete_parts(stored)?;
                for (label, piece) in labels.into_iter().zip(&pieces) {
                    self.write(&part_key(stored, generation, label), part(piece))?;
                }
            }
        }
        let head = PartedHead { generation, bytes: value.len() as u64, parts: pieces.len() as u64 };
        self.write(stored, LiveRef { kind: Kind::PARTED, expiry, value: &head.encode() })?;
        Ok(())
    }

    pub(super) fn parted_head(&mut self, stored: &[u8]) -> Result<Option<PartedHead>, StoreError> {
        let found = self.read(stored)?;
        let head = found.live().filter(|live| live.kind == Kind::PARTED);
        Ok(head.map(|live| PartedHead::decode(live.value)).transpose()?)
    }
}

impl State {
    /// One generation as it is at the head; raises `seen` to the newest pending position that had a say.
    pub(super) fn view(&self, stored: &[u8], generation: u64, seen: &mut Position) -> PartsView {
        let range = generation_range(stored, generation);
        *seen = (*seen).max(self.overlay.newest_delete(&range).unwrap_or_default());
        let mut pending = Vec::new();
        for key in self.overlay.keys(&range) {
            let (position, live) = self.pending(&key).expect("it has an entry in the overlay");
            *seen = (*seen).max(position);
            let shared = self.overlay.find(&key).and_then(|found| found.live).map(|live| live.value.clone());
            pending.push(Joint { value: shared.filter(|_| live.is_some()), key });
        }
        let deleted: Vec<_> = self.overlay.deleted(&range).into_iter().chain(self.batch.deleted(&range)).collect();
        let published = self.routes.touched(&range).map(|index| self.fragments[index].clone()).collect();
        PartsView::new(stored, range, published, &deleted, pending)
    }

    /// The joined parts of the large value at `stored`, and where each lies in them, by label.
    fn joined(&self, stored: &[u8], head: PartedHead, seen: &mut Position, cold: &mut Cold<'_>) -> Result<Joined, StoreError> {
        let mut bytes = Vec::with_capacity(usize::try_from(head.bytes).map_err(|_| BROKEN)?);
        let mut places = Vec::new();
        self.scan(&generation_range(stored, head.generation), seen, cold, &mut |key, live| {
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

pub(super) fn part(piece: &[u8]) -> LiveRef<'_> {
    LiveRef { kind: Kind::PART, expiry: Expiry::NEVER, value: piece }
}

/// Refuses a value of a kind that is no string: written by a newer Limosa.
fn plain<'a, 'b>(live: &'b LiveRef<'a>) -> Result<&'b LiveRef<'a>, StoreError> {
    if live.kind == Kind::STRING {
        return Ok(live);
    }
    Err(StoreError::Invalid { what: "the value's type", why: format!("kind {} is not a string", live.kind.code()) })
}
