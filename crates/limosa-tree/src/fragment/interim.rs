//! Transfer and upkeep over a plain ordered map: correct and slow, until the block tree takes its place behind the same signatures.

use super::{Applied, BlockId, Changes, DirtyBlock, Extract, Fragment, Stored, entry_ref};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::columns::ColumnsBuilder;
use limosa_core::{EntryRef, Frame, KeyRange, LiveRef, Mode, Version};

use crate::error::{FrameError, TreeError};
use crate::summary::Summary;

impl Fragment {
    /// Applies a frame and verifies its digest before anything is kept. `drop_keys` lie in the frame's range and are taken away first.
    pub fn apply_frame(&mut self, frame: &Frame, drop_keys: &[Bytes]) -> Result<Applied, FrameError> {
        let mut fork = self.clone();
        let mut applied = Applied::default();
        let live = self.summary(&frame.range)?.live;
        if frame.mode == Mode::Advance && frame.from.is_zero() && live > 0 {
            return Err(FrameError::NotEmpty { live });
        }
        let entries = Arc::make_mut(&mut fork.entries);
        let before = entries.len();
        entries.retain(|key, stored| {
            let deleted = frame.range_deletes.iter().any(|d| d.range.contains(key) && stored.version < d.version);
            let cleared = frame.mode == Mode::ReplaceRange && frame.range.contains(key);
            !(deleted || cleared || drop_keys.contains(key))
        });
        applied.removed = (before - entries.len()) as u64;
        for entry in frame.entries.iter() {
            if !frame.range.contains(entry.key) {
                return Err(FrameError::Misplaced { key: Bytes::copy_from_slice(entry.key) });
            }
            let newer = entries.get(entry.key).is_none_or(|own| own.version < entry.version);
            let covered = frame.range_deletes.iter().any(|d| d.range.contains(entry.key) && entry.version < d.version);
            if frame.mode == Mode::Advance && (!newer || covered) {
                applied.ignored += 1;
            } else if entry.live.is_none() && entry.version.is_zero() {
                applied.removed += u64::from(entries.remove(entry.key).is_some());
            } else {
                let live = entry.live.map(|live| (live.kind, live.expiry, Bytes::copy_from_slice(live.value)));
                entries.insert(Bytes::copy_from_slice(entry.key), Stored { version: entry.version, live });
                applied.written += 1;
                applied.bytes += entry.payload_bytes() as u64;
            }
        }
        let got = fork.summary(&frame.range)?.state;
        if got != frame.digest {
            return Err(FrameError::Digest { expected: frame.digest, got });
        }
        if frame.mode != Mode::Advance || frame.from.is_zero() {
            fork.raise_floor(frame.to);
        }
        fork.generation += 1;
        *self = fork;
        Ok(applied)
    }

    /// How much of `range` changed since `since`.
    pub fn changed(&self, range: &KeyRange, since: Version) -> Changes {
        let mut changes = Changes { blocks: 1, ..Changes::default() };
        for (key, stored) in self.entries.iter().filter(|(key, stored)| range.contains(key) && stored.version > since) {
            changes.entries += 1;
            changes.bytes += entry_ref(key, stored).payload_bytes() as u64;
        }
        changes
    }

    /// A frame that brings a peer's `range`, or a first part of it, from `since` to this fragment's head; the second value is where the
    /// next frame starts. A frame ends at about `max_bytes` of keys and values.
    pub fn delta(
        &self,
        range: &KeyRange,
        since: Version,
        what: Extract<'_>,
        max_bytes: usize,
    ) -> Result<(Frame, Option<Bytes>), TreeError> {
        let mut columns = ColumnsBuilder::default();
        let mut next = None;
        let mut keys: Vec<&Bytes> = self.entries.keys().collect();
        if let Extract::ReplaceKeys(replaced) = what {
            keys.extend(replaced);
            keys.sort();
            keys.dedup();
        }
        for key in keys.into_iter().filter(|key| range.contains(key)) {
            let entry = self.entries.get(key).map(|stored| entry_ref(key, stored));
            let listed = matches!(what, Extract::ReplaceKeys(keys) if keys.contains(key));
            let entry = entry.unwrap_or(EntryRef { key, version: Version::ZERO, live: None });
            if what == Extract::WholeRange || listed || entry.version > since {
                if columns.payload_bytes() >= max_bytes {
                    next = Some(key.clone());
                    break;
                }
                columns.push(entry);
            }
        }
        let range = KeyRange { start: range.start.clone(), end: next.clone().or(range.end.clone()) };
        let mode = match what {
            Extract::Changes => Mode::Advance,
            Extract::ReplaceKeys(_) => Mode::ReplaceKeys,
            Extract::WholeRange => Mode::ReplaceRange,
        };
        let digest = self.summary(&range)?.state;
        let (fragment, to) = (self.meta.id, self.meta.head);
        Ok((Frame { fragment, mode, range, from: since, to, range_deletes: Vec::new(), entries: columns.finish(), digest }, next))
    }

    /// The comparison blocks of `range`.
    pub fn block_ids(&self, range: &KeyRange, salt: u64) -> Result<Vec<BlockId>, TreeError> {
        let sum = self.summary(range)?;
        let live = LiveRef {
            kind: limosa_core::Kind::from_code(0xFF),
            expiry: limosa_core::Expiry::from_millis(salt),
            value: &sum.state.to_bytes(),
        };
        let id = self.keys.content(&range.start, live).0 as u64;
        Ok(if sum.live == 0 { Vec::new() } else { vec![BlockId { id, range: range.clone() }] })
    }

    /// A salted id for each live entry of `ranges`, with its key, in key order within each range.
    pub fn entry_ids(&self, ranges: &[KeyRange], salt: u64) -> Result<Vec<(u64, Bytes)>, TreeError> {
        let mut out = Vec::new();
        for (key, stored) in self.entries.iter().filter(|(key, _)| ranges.iter().any(|range| range.contains(key))) {
            if let Some(live) = entry_ref(key, stored).live {
                let state = self.keys.state(self.keys.content(key, live), stored.version);
                out.push((self.keys.state(state, Version::new(u32::MAX, salt)).0 as u64, key.clone()));
            }
        }
        Ok(out)
    }

    /// The `k`-th live key that users see, counted from 0; `None` from [`Fragment::top_level`] on.
    pub fn kth_live(&self, k: u64) -> Result<Option<Bytes>, TreeError> {
        let top = |(_, stored): &(&Bytes, &Stored)| stored.live.as_ref().is_some_and(|(kind, ..)| kind.is_top_level());
        Ok(self.entries.iter().filter(top).nth(k as usize).map(|(key, _)| key.clone()))
    }

    /// Live keys that users see.
    pub fn top_level(&self) -> u64 {
        self.total().top_level
    }

    /// The earliest deadline of a live entry, milliseconds since the Unix epoch.
    pub fn earliest_expiry(&self) -> Option<u64> {
        self.total().min_expiry.deadline()
    }

    /// Up to `max` live keys whose deadline has passed at `now_ms`.
    pub fn expired(&self, now_ms: u64, max: usize) -> Result<Vec<Bytes>, TreeError> {
        let past = |(_, stored): &(&Bytes, &Stored)| stored.live.as_ref().is_some_and(|(_, expiry, _)| expiry.is_past(now_ms));
        Ok(self.entries.iter().filter(past).take(max).map(|(key, _)| key.clone()).collect())
    }

    /// Drops tombstones and range deletes of versions up to and including `up_to` and raises the floor to it; returns how many tombstones.
    pub fn collect_tombstones(&mut self, up_to: Version) -> Result<u64, TreeError> {
        let before = self.entries.len();
        Arc::make_mut(&mut self.entries).retain(|_, stored| stored.live.is_some() || stored.version > up_to);
        self.raise_floor(up_to);
        self.generation += 1;
        Ok((before - self.entries.len()) as u64)
    }

    /// Where about `bytes` of live keys and values lie before: a place to split. `None` when the fragment holds less.
    pub fn split_key(&self, bytes: u64) -> Option<Bytes> {
        let mut sum = 0;
        let entry = self.entries.iter().find(|(key, stored)| {
            sum += entry_ref(key, stored).payload_bytes() as u64;
            sum > bytes
        });
        entry.map(|(key, _)| key.clone())
    }

    /// Counts this fragment's changes on this node: a checkpoint remembers the generation that it covers.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Blocks that changed after `generation`, in key order.
    pub fn dirty_since(&self, generation: u64) -> impl Iterator<Item = DirtyBlock> {
        let _ = (generation, Bound::<u64>::Unbounded, Summary::EMPTY);
        std::iter::empty()
    }

    /// What blocks were filed under that are no more, since [`Fragment::forget_removed`].
    pub fn removed(&self) -> Vec<Bytes> {
        Vec::new()
    }

    /// Forgets removals up to `generation`: a checkpoint covers them.
    pub fn forget_removed(&mut self, generation: u64) {
        let _ = generation;
    }

    /// [`Fragment::removed`] and [`Fragment::forget_removed`] at once, for a caller that cannot fail in between.
    pub fn take_removed(&mut self) -> Vec<Bytes> {
        let removed = self.removed();
        self.forget_removed(self.generation);
        removed
    }
}
