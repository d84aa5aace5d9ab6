//! The target's side of a comparison: describes its blocks, then the entries of those that differ, and learns what it has too much.

use std::collections::HashSet;

use bytes::Bytes;
use limosa_core::{FragmentId, KeyRange};
use limosa_wire::{Differ, Level, Message};

use super::{Job, Target};
use crate::compare::{FIRST_SYMBOLS, Teller};
use crate::error::SessionError;
use crate::source::{BlockRef, EntryId};

/// The state of a comparison.
#[derive(Debug, Default)]
pub(super) struct Comparing {
    blocks: Vec<BlockRef>,
    entries: Vec<EntryId>,
    teller: Option<Teller>,
}

impl Target {
    pub(super) fn start_comparing(&mut self, ranges: Vec<(FragmentId, KeyRange)>) {
        self.comparing = Some(Comparing::default());
        let salt = self.salt();
        self.job(Job::Blocks { ranges, salt });
    }

    fn salt(&self) -> u64 {
        self.offer.as_ref().expect("comparing belongs to an offer").session
    }

    pub(super) fn on_blocks(&mut self, blocks: Vec<BlockRef>) -> Result<(), SessionError> {
        let ids = blocks.iter().map(|block| block.id).collect();
        self.compare_state()?.blocks = blocks;
        self.tell(Level::Blocks, ids)
    }

    pub(super) fn on_entries(&mut self, entries: Vec<EntryId>) -> Result<(), SessionError> {
        let ids = entries.iter().map(|entry| entry.id).collect();
        self.compare_state()?.entries = entries;
        self.tell(Level::Entries, ids)
    }

    fn tell(&mut self, level: Level, ids: Vec<u64>) -> Result<(), SessionError> {
        let mut teller = Teller::new(level, ids, self.salt());
        let symbols = teller.more(0, FIRST_SYMBOLS)?;
        self.compare_state()?.teller = Some(teller);
        self.send(Message::Symbols(symbols));
        Ok(())
    }

    pub(super) fn on_differ(&mut self, differ: Differ) -> Result<(), SessionError> {
        let malformed = |why| SessionError::Malformed { message: "Differ", why };
        let teller = self.compare_state()?.teller.as_mut().ok_or_else(|| malformed("nothing that was told"))?;
        let level = match differ {
            Differ::More { level, .. } | Differ::Found { level, .. } | Differ::List { level } => level,
        };
        if level != teller.level() {
            return Err(malformed("another level than was told"));
        }
        match differ {
            Differ::More { first, count, .. } => {
                let symbols = teller.more(first, count)?;
                self.send(Message::Symbols(symbols));
            }
            Differ::List { .. } => {
                let messages = teller.plain();
                messages.into_iter().for_each(|symbols| self.send(Message::Symbols(symbols)));
            }
            Differ::Found { level: Level::Blocks, target_only } => self.compare_entries(&target_only)?,
            Differ::Found { level: Level::Entries, target_only } => self.take_surplus(&target_only)?,
        }
        Ok(())
    }

    fn compare_entries(&mut self, block_ids: &[u64]) -> Result<(), SessionError> {
        let state = self.compare_state()?;
        state.teller = None;
        let ranges = BlockRef::ranges_of(&std::mem::take(&mut state.blocks), block_ids);
        let salt = self.salt();
        self.job(Job::Entries { ranges, salt });
        Ok(())
    }

    /// Entries that only this end has: set aside, then removed with the frames of their range.
    fn take_surplus(&mut self, entry_ids: &[u64]) -> Result<(), SessionError> {
        let wanted: HashSet<u64> = entry_ids.iter().copied().collect();
        let entries = std::mem::take(&mut self.compare_state()?.entries);
        self.comparing = None;
        let surplus: Vec<(FragmentId, Bytes)> = entries
            .into_iter()
            .filter(|entry| wanted.contains(&entry.id) && self.reach.has(entry.fragment))
            .map(|entry| (entry.fragment, entry.key))
            .collect();
        for (fragment, key) in &surplus {
            self.drop_keys.entry(*fragment).or_default().push(key.clone());
        }
        self.drop_keys.values_mut().for_each(|keys| keys.sort_unstable());
        if !surplus.is_empty() {
            // Jobs run in order: the file is durable before the first frame that removes any of these is applied.
            self.job(Job::SetAsideKeys(surplus));
        }
        Ok(())
    }

    fn compare_state(&mut self) -> Result<&mut Comparing, SessionError> {
        self.comparing.as_mut().ok_or(SessionError::Malformed { message: "Differ", why: "no comparison under way" })
    }
}
