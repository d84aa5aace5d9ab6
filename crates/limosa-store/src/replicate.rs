//! Epoch rows and the standby's side of the live stream.

use std::collections::BTreeSet;

use limosa_core::limits::COMMIT_BYTES_MAX;
use limosa_core::planted::{self, Bug};
use limosa_core::varint::Reader;
use limosa_core::{Commit, DecodeError, EpochRow, EpochTable, FragmentId, Part, Scope, Version};

use crate::codec::encode_rows;
use crate::error::StoreError;
use crate::gates::unknown;
use crate::journal::{Position, RecordKind};
use crate::refusal::ReplicateError;
use crate::state::{Check, State};
use crate::store::Store;

/// How a part of the stream stands to what this node has.
enum Standing {
    Held,
    Next,
}

impl Store {
    /// Opens an epoch above `above` and above every epoch held, on every fragment; durable when it returns. An owner does so at each
    /// start, before its first commit: what it had streamed and lost is in an older epoch, so its versions are never given again.
    ///
    /// # Errors
    /// As [`Store::flush`]; no randomness can be had.
    pub fn open_epoch(&self, above: u32) -> Result<u32, StoreError> {
        // A stage left by a transfer is of no use to an owner: it can't be installed over what is written from now on, and a start could not
        // replay its frames onto it.
        if !planted::has(Bug::KeepStageOverEpoch) {
            self.stage_abort_of(&Scope::All)?;
        }
        let drawn = (self.inner.options.entropy)();
        let opener = drawn.map_err(|error| StoreError::Invalid { what: "randomness", why: error.to_string() })?;
        loop {
            self.flush()?;
            let mut state = self.inner.state();
            if state.is_replicating(0..state.heads.len()) {
                continue; // commits came in from a stream meanwhile: rows open behind them
            }
            state.check()?;
            let newest = state.heads.iter().map(|head| head.newest_epoch()).max().unwrap_or(0).max(above);
            let max = u64::from(u32::MAX);
            if planted::has(Bug::ReuseSeq) && newest > 0 {
                return Ok(newest);
            }
            let epoch = newest.checked_add(1).ok_or(StoreError::Limit { what: "epoch", value: max + 1, max })?;
            let all: Vec<_> = (0..state.heads.len()).map(|index| (index, epoch)).collect();
            let position = state.push_own_epochs(&all, opener);
            drop(state);
            self.settle(position)?;
            match self.remove_orphans() {
                // What lies behind a damaged block can't be looked for: nobody sees it, and a later start removes it. An owner serves the rest.
                Ok(()) | Err(StoreError::CorruptBlock { .. }) => return Ok(epoch),
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens exactly these epochs, each on its fragment: those that the manifest's cells have. Durable when it returns; what another owner's
    /// stream brought before is published by then. A stage of one of the fragments is dropped. Commands on other fragments go on.
    ///
    /// # Errors
    /// An epoch is not above every one that its fragment has: nothing was opened. An unknown fragment; as [`Store::open_epoch`].
    pub fn open_epochs(&self, epochs: &[(FragmentId, u32)]) -> Result<Position, StoreError> {
        self.stage_abort_of(&Scope::only(epochs.iter().map(|(id, _)| *id)))?;
        let drawn = (self.inner.options.entropy)();
        let opener = drawn.map_err(|error| StoreError::Invalid { what: "randomness", why: error.to_string() })?;
        loop {
            self.flush()?;
            let mut state = self.inner.state();
            let place = |&(id, epoch): &(FragmentId, u32)| Ok((state.head_routes.of_id(id).ok_or_else(|| unknown(id))?, epoch));
            let places = epochs.iter().map(place).collect::<Result<Vec<_>, StoreError>>()?;
            if state.is_replicating(places.iter().map(|(index, _)| *index)) {
                continue;
            }
            state.check()?;
            for &(index, epoch) in &places {
                let (fragment, held) = (state.head_routes.id(index), state.heads[index].newest_epoch());
                if epoch <= held {
                    return Err(StoreError::EpochHeld { fragment, held, epoch });
                }
            }
            let position = state.push_own_epochs(&places, opener);
            drop(state);
            self.settle(position)?;
            return Ok(position);
        }
    }

    /// Position of `fragment`'s newest published commit: who has seen what is published there has seen nothing behind it. `None` for an
    /// unknown fragment.
    pub fn last_commit(&self, fragment: FragmentId) -> Option<Position> {
        self.inner.state().last_commit(fragment)
    }

    /// Takes commits of an owner's live stream: `records` as [`crate::Batch`] carries them, behind `epochs`. What is held already is
    /// skipped. They are published by the next [`Store::flush`]; `checks` are compared then ([`Store::drift`]).
    /// Answers the position to wait for before acknowledging.
    ///
    /// # Errors
    /// Bytes that are no commits, a gap, another history. Commits before the refused one pend.
    pub fn replicate(&self, records: &[u8], epochs: &[(FragmentId, EpochTable)], checks: &[Check]) -> Result<Position, ReplicateError> {
        let mut state = self.inner.state();
        state.check()?;
        state.adopt_rows(epochs)?;
        for check in checks {
            state.replicated_index(check.fragment)?;
            state.checks.add(check.fragment, check.version, check.state);
        }
        let mut reader = Reader::new(records);
        let mut rewritten = Vec::new();
        while !reader.is_empty() {
            let body = reader.bytes_max("live.record", COMMIT_BYTES_MAX)?;
            state.replicate_commit(body, &mut rewritten)?;
        }
        Ok(Position(state.next_position().0 - 1))
    }
}

impl State {
    /// Rows behind the heads of these fragments, by their index.
    fn push_own_epochs(&mut self, epochs: &[(usize, u32)], opener: u64) -> Position {
        let row = |&(index, epoch): &(usize, u32)| {
            let row = EpochRow { epoch, first_seq: self.heads[index].version.seq + 1, opener };
            (self.head_routes.id(index), EpochTable::from_rows(vec![row]).expect("one row is in order"))
        };
        let rows: Vec<_> = epochs.iter().map(row).collect();
        self.push_rows(&rows)
    }

    pub(crate) fn last_commit(&self, fragment: FragmentId) -> Option<Position> {
        self.routes.of_id(fragment).map(|index| self.pasts[index].last_commit)
    }

    /// Records of another owner pend in these fragments, up to `position`.
    pub(crate) fn replicated_until(&mut self, fragments: impl IntoIterator<Item = FragmentId>, position: Position) {
        for id in fragments {
            let index = self.head_routes.of_id(id).expect("checked by the caller");
            self.heads[index].replicated = position;
            if !self.uploads.is_empty() {
                let range = self.head_routes.range(index);
                self.uploads.close_in(&range); // another node's commits change the state: what arrives here can't be completed
            }
        }
    }

    /// Rows that were checked against the heads: pending from here on.
    fn push_rows(&mut self, rows: &[(FragmentId, EpochTable)]) -> Position {
        for (id, table) in rows {
            let index = self.head_routes.of_id(*id).expect("checked by the caller");
            assert!(
                self.epochs[index].append(table),
                "checked by the caller: {table:?} behind {:?}, {:?}",
                self.epochs[index],
                self.heads[index]
            );
            self.heads[index].epoch = self.epochs[index].epoch();
        }
        self.push(RecordKind::OpenEpoch, &encode_rows(rows))
    }

    /// Takes those of the owner's rows that this node lacks; all of them or none.
    fn adopt_rows(&mut self, epochs: &[(FragmentId, EpochTable)]) -> Result<(), ReplicateError> {
        let mut new = Vec::new();
        for (id, table) in epochs {
            let index = self.replicated_index(*id)?;
            let rows = table.rows().iter().filter(|row| !self.epochs[index].rows().contains(row));
            let rows: Vec<EpochRow> = rows.copied().collect();
            for row in &rows {
                self.check_row(index, row)?;
            }
            if !rows.is_empty() {
                new.push((*id, EpochTable::from_rows(rows).expect("a part of a table in order")));
            }
        }
        if !new.is_empty() {
            let position = self.push_rows(&new);
            self.replicated_until(new.iter().map(|(id, _)| *id), position);
        }
        Ok(())
    }

    /// A row continues this node's history only exactly behind its head. A row that begins below says that the owner lost what this
    /// node holds there: taking the owner's next commits would give the same seqs a second value.
    fn check_row(&self, index: usize, row: &EpochRow) -> Result<(), ReplicateError> {
        let (head, fragment) = (self.heads[index], self.head_routes.id(index));
        let got = Version::new(row.epoch, row.first_seq);
        if row.epoch <= head.epoch || row.first_seq <= head.version.seq {
            return Err(ReplicateError::Diverged { fragment, head: head.version, got });
        }
        if row.first_seq > head.version.seq + 1 {
            return Err(ReplicateError::Gap { fragment, head: head.version, got });
        }
        Ok(())
    }

    fn replicate_commit(&mut self, body: &[u8], rewritten: &mut Vec<u8>) -> Result<(), ReplicateError> {
        let mut reader = Reader::new(body);
        let mut commit = Commit::decode(&mut reader)?;
        let count = commit.parts.len();
        let distinct: BTreeSet<FragmentId> = commit.parts.iter().map(|part| part.fragment).collect();
        if distinct.len() != count {
            return Err(DecodeError::Invalid { field: "commit.parts", why: "a fragment is named twice" }.into());
        }
        let held = commit.parts.iter().map(|part| Ok(matches!(self.standing(part)?, Standing::Held)));
        let held: Vec<bool> = held.collect::<Result<_, ReplicateError>>()?;
        let mut held = held.into_iter();
        commit.parts.retain(|_| !held.next().expect("one for each part"));
        for part in &commit.parts {
            let index = self.replicated_index(part.fragment)?;
            self.heads[index].version = part.version;
        }
        if commit.parts.is_empty() {
            return Ok(());
        }
        let position = if commit.parts.len() == count && reader.is_empty() {
            self.push(RecordKind::Commit, body) // as it came: its bytes are the owner's
        } else {
            rewritten.clear();
            commit.encode(rewritten);
            self.push(RecordKind::Commit, rewritten)
        };
        self.replicated_until(commit.parts.iter().map(|part| part.fragment), position);
        Ok(())
    }

    fn standing(&self, part: &Part<'_>) -> Result<Standing, ReplicateError> {
        let index = self.replicated_index(part.fragment)?;
        let (head, got) = (self.heads[index], part.version);
        let (fragment, at) = (part.fragment, head.version);
        if planted::has(Bug::SkipLiveCommit) && got.seq.is_multiple_of(61) {
            return Ok(Standing::Held);
        }
        if got == head.next() {
            return self.check_keys(index, part).map(|()| Standing::Next);
        }
        if got.seq <= at.seq && self.epochs[index].contains(got) {
            return Ok(Standing::Held);
        }
        if got.seq > at.seq + 1 || got.epoch > head.epoch {
            return Err(ReplicateError::Gap { fragment, head: at, got });
        }
        Err(ReplicateError::Diverged { fragment, head: at, got })
    }

    /// A peer's commit must not get into the journal when the tree would refuse it: recovery could not follow.
    fn check_keys(&self, index: usize, part: &Part<'_>) -> Result<(), ReplicateError> {
        let range = self.head_routes.range(index);
        let inside =
            part.entries.iter().all(|entry| range.contains(entry.key)) && part.range_deletes.iter().all(|d| range.covers(&d.range));
        if inside {
            return Ok(());
        }
        Err(DecodeError::Invalid { field: "part", why: "a key lies outside its fragment" }.into())
    }

    fn replicated_index(&self, fragment: FragmentId) -> Result<usize, ReplicateError> {
        self.head_routes.of_id(fragment).ok_or(ReplicateError::UnknownFragment { fragment })
    }
}
