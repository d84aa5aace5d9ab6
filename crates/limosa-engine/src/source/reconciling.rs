//! Finding differences by content: blocks first, then the entries of the blocks that differ.
//!
//! The target describes what it has by symbols of a rateless IBLT, this end decodes. An entry that both ends have lies in a differing
//! block at one end exactly if it does at the other (equal blocks hold equal entries), so the second comparison finds the true difference.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use limosa_core::{FragmentId, KeyRange};
use limosa_wire::{Differ, Level, Message, Symbols};

use super::{BlockRef, EntryId, Job, Phase, Source};
use crate::compare::{Heard, Listener};
use crate::error::SessionError;

/// The state of a comparison, and afterwards what it found.
#[derive(Debug)]
pub(super) struct Reconciling {
    blocks: Vec<BlockRef>,
    entries: Vec<EntryId>,
    listener: Option<Listener>,
    /// Symbols that came before this end had listed its own side.
    early: Vec<Symbols>,
    /// Ascending keys of the entries that only this end has.
    found: BTreeMap<FragmentId, Vec<Bytes>>,
}

impl Reconciling {
    pub(super) fn keys_within(&self, fragment: FragmentId, range: &KeyRange) -> Vec<Bytes> {
        let keys = self.found.get(&fragment).map_or(&[][..], Vec::as_slice);
        keys.iter().filter(|key| range.contains(key)).cloned().collect()
    }

    /// What is found in these fragments is of no interest; both ends go on comparing what they have told.
    pub(super) fn forget(&mut self, fragments: &[FragmentId]) {
        self.found.retain(|id, _| !fragments.contains(id));
        self.entries.retain(|entry| !fragments.contains(&entry.fragment));
    }
}

impl Source {
    pub(super) fn start_reconciling(&mut self, ranges: Vec<(FragmentId, KeyRange)>) {
        self.phase = Phase::Reconciling;
        self.reconciling =
            Some(Reconciling { blocks: Vec::new(), entries: Vec::new(), listener: None, early: Vec::new(), found: BTreeMap::new() });
        let salt = self.salt();
        self.job(Job::Blocks { ranges, salt });
    }

    pub(super) fn on_blocks(&mut self, blocks: Vec<BlockRef>) -> Result<(), SessionError> {
        let ids = blocks.iter().map(|block| block.id).collect();
        self.compare_state().blocks = blocks;
        self.listen(Level::Blocks, ids)
    }

    pub(super) fn on_entries(&mut self, _now: Duration, entries: Vec<EntryId>) -> Result<(), SessionError> {
        let ids = entries.iter().map(|entry| entry.id).collect();
        self.compare_state().entries = entries;
        self.listen(Level::Entries, ids)
    }

    fn listen(&mut self, level: Level, ids: Vec<u64>) -> Result<(), SessionError> {
        let salt = self.salt();
        let state = self.compare_state();
        state.listener = Some(Listener::new(level, ids, salt));
        let early = std::mem::take(&mut state.early);
        early.iter().try_for_each(|symbols| self.hear(symbols))
    }

    pub(super) fn on_symbols(&mut self, _now: Duration, symbols: &Symbols) -> Result<(), SessionError> {
        let state = self.compare_state();
        if state.listener.is_none() {
            if !state.early.is_empty() {
                return Err(SessionError::Malformed { message: "Symbols", why: "more than were asked for" });
            }
            state.early.push(symbols.clone());
            return Ok(());
        }
        self.hear(symbols)
    }

    fn hear(&mut self, symbols: &Symbols) -> Result<(), SessionError> {
        let Some(listener) = self.compare_state().listener.as_mut() else {
            return Err(SessionError::Malformed { message: "Symbols", why: "more than were asked for" });
        };
        let level = listener.level();
        match listener.hear(symbols)? {
            Heard::Wait => Ok(()),
            Heard::Ask(differ) => {
                self.send(Message::Differ(differ));
                Ok(())
            }
            Heard::Found { local_only, remote_only } => {
                self.compare_state().listener = None;
                self.send(Message::Differ(Differ::Found { level, target_only: remote_only }));
                match level {
                    Level::Blocks => self.compare_entries(&local_only),
                    Level::Entries => self.take_difference(&local_only),
                }
                Ok(())
            }
        }
    }

    fn compare_entries(&mut self, block_ids: &[u64]) {
        let state = self.compare_state();
        let ranges = BlockRef::ranges_of(&std::mem::take(&mut state.blocks), block_ids);
        let salt = self.salt();
        self.job(Job::Entries { ranges, salt });
    }

    fn take_difference(&mut self, entry_ids: &[u64]) {
        let state = self.compare_state();
        let wanted: std::collections::HashSet<u64> = entry_ids.iter().copied().collect();
        for entry in std::mem::take(&mut state.entries) {
            if wanted.contains(&entry.id) {
                state.found.entry(entry.fragment).or_default().push(entry.key);
            }
        }
        state.found.values_mut().for_each(|keys| keys.sort_unstable());
        self.start_sending();
    }

    fn compare_state(&mut self) -> &mut Reconciling {
        self.reconciling.as_mut().expect("held through the Reconciling phase")
    }
}
