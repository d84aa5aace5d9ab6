//! Writes a key as a history that lost had left it, if nobody has changed it here since the version that both histories shared.
//!
//! # Not here
//! - How such records lie in a file: `quarantine`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use limosa_core::key::{self, TAG_PART};
use limosa_core::{Expiry, KeyRange, Kind, Version};

use super::Txn;
use super::cold::Cold;
use crate::error::StoreError;
use crate::parts::{PartedHead, generation_range};

/// One entry of a key as the other history left it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LostEntry {
    /// Tag and rest of an element under the key; none: the key's own entry.
    pub element: Option<Vec<u8>>,
    /// Type, deadline and value; none: it was deleted.
    pub live: Option<(Kind, Expiry, Vec<u8>)>,
}

/// What became of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reapplied {
    /// It is as the other history left it, by a new write.
    Applied,
    /// It was so already.
    Unchanged,
    /// It was left alone.
    Refused(NotReapplied),
}

/// Why a key was left alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotReapplied {
    /// It was changed here after the version that both histories shared; none: just now.
    Changed(Option<Version>),
    /// It is not here, and deletions since that version are no longer remembered: it may have been deleted on purpose.
    Forgotten,
    /// It is here, or was deleted here, and nothing says what the other history's write was based on.
    NoBase,
    /// Its deadline has passed.
    Past,
    /// Entries are missing, or of a type that this program does not know.
    Incomplete,
}

/// Value and deadline that a key is to have, none where it was deleted; or why it is left alone.
type Wanted = Result<Option<(Vec<u8>, Expiry)>, NotReapplied>;

impl Txn<'_> {
    /// Writes `user_key` as `entries` (all that the other history changed of it) say, if nothing of it was changed here after `based_on`.
    ///
    /// # Errors
    /// As [`Txn::write`].
    pub fn reapply(
        &mut self,
        user_key: &[u8],
        entries: &[LostEntry],
        based_on: Option<Version>,
        now_ms: u64,
    ) -> Result<Reapplied, StoreError> {
        let wanted = match self.wanted(user_key, entries)? {
            Ok(Some((_, expiry))) if expiry.is_past(now_ms) => return Ok(Reapplied::Refused(NotReapplied::Past)),
            Ok(wanted) => wanted,
            Err(why) => return Ok(Reapplied::Refused(why)),
        };
        let held = self.get(user_key, now_ms)?.map(|held| (held.expiry, held.value.into_owned()));
        if held == wanted.as_ref().map(|(value, expiry)| (*expiry, value.clone())) {
            return Ok(Reapplied::Unchanged);
        }
        if let Some(why) = self.changed_since(user_key, based_on)? {
            return Ok(Reapplied::Refused(why));
        }
        match wanted {
            Some((value, expiry)) => self.set(user_key, &value, expiry)?,
            None => _ = self.delete(user_key, now_ms)?,
        }
        Ok(Reapplied::Applied)
    }

    /// Value and deadline that the entries amount to; `None`: deleted.
    fn wanted(&mut self, user_key: &[u8], entries: &[LostEntry]) -> Result<Wanted, StoreError> {
        match entries.iter().find(|entry| entry.element.is_none()).map(|own| own.live.clone()) {
            Some(None) => Ok(Ok(None)),
            Some(Some((Kind::STRING, expiry, value))) => Ok(Ok(Some((value, expiry)))),
            Some(Some((Kind::PARTED, expiry, head))) => self.joined_with(user_key, &head, expiry, entries),
            Some(Some(_)) => Ok(Err(NotReapplied::Incomplete)),
            // An edit that left length and parts as they were: the head is the one that both histories shared.
            None => {
                let stored = key::stored(user_key);
                let shared = self.read(&stored)?.live().map(|live| (live.kind, live.expiry, live.value.to_vec()));
                match shared {
                    Some((Kind::PARTED, expiry, head)) => self.joined_with(user_key, &head, expiry, entries),
                    _ => Ok(Err(NotReapplied::Incomplete)),
                }
            }
        }
    }

    /// A large value: the parts that are here, where the run of labels is the same, and above them those that the other history wrote.
    fn joined_with(&mut self, user_key: &[u8], head: &[u8], expiry: Expiry, entries: &[LostEntry]) -> Result<Wanted, StoreError> {
        let Ok(head) = PartedHead::decode(head) else { return Ok(Err(NotReapplied::Incomplete)) };
        let mut parts: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        self.scan(&generation_range(&key::stored(user_key), head.generation), |key, live| {
            let label = key.last_chunk().map_or(0, |label| u64::from_be_bytes(*label));
            parts.insert(label, live.value.to_vec());
            ControlFlow::Continue(())
        })?;
        for entry in entries {
            let Some(element) = &entry.element else { continue };
            let Some((generation, label)) = place(element) else { return Ok(Err(NotReapplied::Incomplete)) };
            match &entry.live {
                _ if generation != head.generation => {}
                Some((_, _, value)) => _ = parts.insert(label, value.clone()),
                None => _ = parts.remove(&label),
            }
        }
        let value: Vec<u8> = parts.values().flatten().copied().collect();
        let is_whole = (value.len() as u64, parts.len() as u64) == (head.bytes, head.parts);
        Ok(if is_whole { Ok(Some((value, expiry))) } else { Err(NotReapplied::Incomplete) })
    }

    /// What speaks against a key being now as it was at `base`.
    fn changed_since(&mut self, user_key: &[u8], base: Option<Version>) -> Result<Option<NotReapplied>, StoreError> {
        let range = whole(user_key);
        if self.state.overlay.any_key(&range, |_| true) || self.state.overlay.newest_delete(&range).is_some() {
            return Ok(Some(NotReapplied::Changed(None)));
        }
        let Self { state, cold, waits, .. } = self;
        let fragment = &state.fragments[state.routes.of_key(&range.start)];
        let mut newest = None;
        let mut show = |entry: limosa_core::EntryRef<'_>| {
            newest = newest.max(Some(entry.version));
            ControlFlow::Continue(())
        };
        if *waits {
            let _ = fragment.scan(&range, &mut show)?;
        } else {
            let _ = fragment.scan_resident(&range, &mut show).map_err(|blocks| Cold { waits: false, blocks: cold }.note(blocks))?;
        }
        let deletes = fragment.meta().range_deletes;
        let deleted = deletes.iter().filter(|delete| delete.range.intersect(&range).is_some()).map(|delete| delete.version).max();
        Ok(match (newest.max(deleted), base) {
            (Some(newest), Some(base)) if newest > base => Some(NotReapplied::Changed(Some(newest))),
            (Some(_), None) => Some(NotReapplied::NoBase),
            // Nothing of it is here: what a deletion would have left may have been collected.
            (None, Some(base)) if fragment.facts().floor_in(&range) > base => Some(NotReapplied::Forgotten),
            _ => None,
        })
    }
}

/// The key's own entry and every element under it.
fn whole(user_key: &[u8]) -> KeyRange {
    let start = key::stored(user_key);
    let mut end = start.clone();
    *end.last_mut().expect("a stored key ends with its terminator") = 2; // behind 00 00, the key itself, and 00 01, its elements
    KeyRange { start: Bytes::from(start), end: Some(Bytes::from(end)) }
}

/// Generation and label of a part, from its tag and rest.
fn place(element: &[u8]) -> Option<(u64, u64)> {
    let (tag, rest) = element.split_first()?;
    let (generation, label) = rest.split_first_chunk::<8>()?;
    let label: [u8; 8] = label.try_into().ok()?;
    (*tag == TAG_PART).then(|| (u64::from_be_bytes(*generation), u64::from_be_bytes(label)))
}
