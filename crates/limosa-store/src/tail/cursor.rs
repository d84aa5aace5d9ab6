//! A reader of commits in this node's order: it moves from the journal to the ring by itself, and says when neither reaches back.

use std::collections::VecDeque;

use bytes::Bytes;
use limosa_core::{EpochTable, FragmentId, Scope, Version};
use limosa_tree::Fragment;

use super::COMMIT_BYTES_LIVE_MAX;
use super::batch::{Batch, Builder};
use super::narrow::{self, Narrowed};
use super::skip::Skip;
use crate::codec::decode_rows;
use crate::error::StoreError;
use crate::journal::{Position, Reader, Record, RecordKind};
use crate::reframe::Reframe;
use crate::stage::StageRecord;
use crate::state::State;
use crate::store::Store;

/// What a tail has next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TailRead {
    /// Commits.
    Batch(Batch),
    /// Nothing until the horizon moves on.
    CaughtUp,
    /// What follows is in neither ring nor journal, can't travel as commits, or another history was installed: take a delta.
    Lost,
}

/// Something read from the journal and not handed out yet.
#[derive(Debug)]
enum Carried {
    Commit(Position, Bytes, Vec<(FragmentId, Version)>),
    Epochs(Position, Vec<(FragmentId, EpochTable)>),
    Reframe(Position, Bytes),
    Lost,
}

/// A place in the node's commit order. It holds no lock and no memory of the ring, so a slow one costs nobody anything.
#[derive(Debug)]
pub struct Tail {
    store: Store,
    upto: Position,
    /// What is not in it is not handed out.
    scope: Scope,
    /// Fragments that had another history here up to a position: what is before that is not handed out.
    begins: Vec<(FragmentId, Position)>,
    /// Installs up to here are of histories that the tail's reader has.
    sound_to: Position,
    reader: Option<Reader>,
    carried: VecDeque<Carried>,
    skip: Option<Skip>,
    /// Rows that directly follow what the reader has: told with the first batch.
    rows: Vec<(FragmentId, EpochTable)>,
}

impl Store {
    /// A tail of every commit newer than `since`.
    /// `None` when the commits behind `since` are in neither ring nor journal.
    pub fn tail(&self, since: &[(FragmentId, Version)]) -> Option<Tail> {
        let state = self.inner.state();
        let known: Option<Vec<(usize, Version)>> = since.iter().map(|&(id, version)| Some((state.routes.of_id(id)?, version))).collect();
        let is_here =
            |&(index, version): &(usize, Version)| version <= state.fragments[index].head() && version >= state.pasts[index].began_at;
        let known = known.filter(|known| known.iter().all(is_here))?;
        let upto = state.ring.find(&known, &state.routes).or_else(|| {
            let mark = state.marks.find(&known)?;
            (mark.next() >= self.inner.handle.first()).then_some(mark)
        })?;
        let until = state.horizon;
        let begins = known.iter().map(|&(index, _)| (state.routes.id(index), state.pasts[index].installed));
        let begins = begins.filter(|(_, installed)| *installed > upto).collect();
        let rows = known.iter().filter_map(|&(index, version)| rows_behind(&state.fragments[index], version)).collect();
        drop(state);
        let mut since = since.to_vec();
        since.sort_unstable_by_key(|(id, _)| *id);
        Some(Tail { skip: Some(Skip { since, until }), rows, begins, sound_to: until, ..self.tail_from(upto) })
    }

    /// Bytes of commits behind `position`, about: 0 when none is.
    pub fn bytes_behind(&self, position: Position) -> u64 {
        let state = self.inner.state();
        if position >= state.ring.start() {
            return state.ring.behind(position).map(|piece| piece.commits.len() as u64).sum();
        }
        state.marks.bytes_behind(position).max(1)
    }

    /// A tail behind `position`, as a cut or a seal names it.
    pub fn tail_from(&self, position: Position) -> Tail {
        let (store, scope, carried) = (self.clone(), Scope::All, VecDeque::new());
        Tail { store, upto: position, scope, begins: Vec::new(), sound_to: position, reader: None, carried, skip: None, rows: Vec::new() }
    }
}

/// The fragments that have another history behind `record`.
fn replaced(record: &Record<'_>) -> Result<Vec<FragmentId>, StoreError> {
    if record.kind == RecordKind::Drop {
        return Ok(crate::drop::decode(record.body)?);
    }
    Ok(match StageRecord::decode(record)? {
        StageRecord::Install { sealed } => sealed.into_iter().map(|facts| facts.id).collect(),
        _ => Vec::new(),
    })
}

/// Rows that were opened directly behind `since`: where nothing was written in between, no commit is near to lead a tail to them.
fn rows_behind(fragment: &Fragment, since: Version) -> Option<(FragmentId, EpochTable)> {
    let behind = fragment.epochs().rows().iter().filter(|row| row.epoch > since.epoch && row.first_seq == since.seq + 1);
    let table = EpochTable::from_rows(behind.copied().collect()).expect("a part of a table in order");
    (!table.rows().is_empty()).then(|| (fragment.id(), table))
}

impl State {
    /// Whether a fragment in `scope` was installed or dropped behind `position`.
    fn has_another_history(&self, scope: &Scope, position: Position) -> bool {
        if self.installed <= position {
            return false;
        }
        (0..self.routes.len()).any(|index| self.pasts[index].installed > position && scope.has(self.routes.id(index)))
    }
}

impl Tail {
    /// The same tail, of the fragments in `scope` alone: of other fragments' commits it hands out nothing, and of commits on several the
    /// parts in scope.
    #[must_use]
    pub fn within(mut self, scope: Scope) -> Self {
        self.rows.retain(|(id, _)| scope.has(*id));
        Self { scope, ..self }
    }

    /// Position behind what was handed out.
    pub fn upto(&self) -> Position {
        self.upto
    }

    /// Bytes of commits that are ahead, about: 0 when none is.
    pub fn bytes_behind(&self) -> u64 {
        self.store.bytes_behind(self.upto)
    }

    /// The next commits, about `max_bytes` of them, at least one.
    ///
    /// # Errors
    /// The store is poisoned, or the journal can't be read.
    pub fn next(&mut self, max_bytes: usize) -> Result<TailRead, StoreError> {
        let mut read = self.read(max_bytes)?;
        if let TailRead::Batch(batch) = &mut read
            && batch.reframe.is_empty()
        {
            batch.lead_with(std::mem::take(&mut self.rows));
        }
        Ok(read)
    }

    fn read(&mut self, max_bytes: usize) -> Result<TailRead, StoreError> {
        if self.carried.is_empty() {
            if let Some(read) = self.read_ring(max_bytes)? {
                self.reader = None;
                return Ok(read);
            }
            if let Some(read) = self.read_journal(max_bytes)? {
                return Ok(read);
            }
        }
        Ok(self.hand_out(max_bytes))
    }

    /// `None` when the ring does not reach back to where this tail stands.
    fn read_ring(&mut self, max_bytes: usize) -> Result<Option<TailRead>, StoreError> {
        let state = self.store.inner.state();
        state.check_poisoned()?;
        if self.upto >= state.horizon {
            return Ok(Some(TailRead::CaughtUp));
        }
        if state.has_another_history(&self.scope, self.upto.max(self.sound_to)) {
            return Ok(Some(TailRead::Lost));
        }
        if self.upto < state.ring.start() {
            return Ok(None);
        }
        let mut batch = Builder::new(self.upto);
        for piece in state.ring.behind(self.upto) {
            let skip = self.skip.as_ref().filter(|skip| piece.last <= skip.until);
            let scope = self.scope_at(piece.last);
            let (commits, epochs) = (piece.commits_in(&scope), piece.epochs_in(&scope));
            if batch.is_full(max_bytes, commits.len()) || (!epochs.is_empty() && batch.has_commits()) {
                break;
            }
            batch.epochs.extend(skip.map_or_else(|| epochs.clone(), |skip| skip.new_rows(epochs.clone())));
            let checks = || piece.checks.iter().filter(|check| scope.has(check.fragment));
            checks().for_each(|check| batch.reaches(check.fragment, check.version));
            batch.checks.extend(checks().filter(|check| !skip.is_some_and(|skip| skip.has(check.fragment, check.version))));
            batch.put_commits(&skip.map_or_else(|| commits.clone(), |skip| skip.new_commits(&commits)));
            batch.upto = piece.last;
        }
        drop(state);
        self.upto = batch.upto;
        // Nobody wakes a peer to tell it that others have written.
        let is_nothing = !self.scope.is_all() && batch.is_empty();
        Ok(Some(if is_nothing { TailRead::CaughtUp } else { batch.finish() }))
    }

    /// Reads groups into `carried` until there is something to hand out; an answer when there can't be.
    fn read_journal(&mut self, max_bytes: usize) -> Result<Option<TailRead>, StoreError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => match self.store.inner.handle.reader(self.upto.next()) {
                Ok(reader) => reader,
                Err(StoreError::JournalReleased { .. }) => return Ok(Some(TailRead::Lost)),
                Err(error) => return Err(error),
            },
        };
        let mut bytes = 0;
        while bytes < max_bytes {
            match reader.next_group() {
                Ok(Some(group)) => {
                    let upto = self.upto;
                    for (position, record) in group.records().filter(|(position, _)| *position > upto) {
                        let (carried, record_bytes) = (self.carried.len(), record.body.len());
                        self.carry(position, record)?;
                        bytes += if self.carried.len() > carried { record_bytes } else { 0 };
                    }
                    if self.carried.is_empty() {
                        self.upto = self.upto.max(group.end().position); // nothing for tails in it
                    }
                }
                Ok(None) => break,
                Err(StoreError::JournalReleased { .. }) => {
                    self.carried.push_back(Carried::Lost);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.reader = Some(reader);
        Ok(self.carried.is_empty().then_some(TailRead::CaughtUp))
    }

    fn carry(&mut self, position: Position, record: Record<'_>) -> Result<(), StoreError> {
        match record.kind {
            RecordKind::Commit => self.carry_commit(position, record.body)?,
            RecordKind::StageInstall | RecordKind::Stage | RecordKind::Drop => self.carry_replaced(position, &record)?,
            RecordKind::Reframe => self.carry_reframe(position, record.body)?,
            RecordKind::OpenEpoch => {
                let skip = self.skip.as_ref().filter(|skip| position <= skip.until);
                let mut rows = decode_rows(record.body)?;
                let scope = self.scope_at(position);
                rows.retain(|(id, _)| scope.has(*id));
                let rows = skip.map_or_else(|| rows.clone(), |skip| skip.new_rows(rows.clone()));
                if !rows.is_empty() {
                    self.carried.push_back(Carried::Epochs(position, rows));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn carry_replaced(&mut self, position: Position, record: &Record<'_>) -> Result<(), StoreError> {
        if position > self.sound_to && replaced(record)?.iter().any(|id| self.scope.has(*id)) {
            self.carried.push_back(Carried::Lost);
        }
        Ok(())
    }

    fn carry_commit(&mut self, position: Position, body: &[u8]) -> Result<(), StoreError> {
        let (narrowed, heads) = narrow::commit(body, &self.scope_at(position))?;
        let body = match &narrowed {
            Narrowed::Nothing => return Ok(()),
            Narrowed::Whole => body,
            Narrowed::Parts(body) => body,
        };
        let skip = self.skip.as_ref().filter(|skip| position <= skip.until);
        if skip.is_some_and(|skip| skip.has_commit(body)) {
            return Ok(());
        }
        let is_short = body.len() <= COMMIT_BYTES_LIVE_MAX;
        self.carried.push_back(if is_short { Carried::Commit(position, Bytes::copy_from_slice(body), heads) } else { Carried::Lost });
        Ok(())
    }

    /// The scope at `position`: without those fragments whose history begins behind it.
    fn scope_at(&self, position: Position) -> Scope {
        let is_before = |id: &FragmentId| self.begins.iter().any(|(young, began)| young == id && position <= *began);
        if !self.begins.iter().any(|(_, began)| position <= *began) {
            return self.scope.clone();
        }
        let since = self.skip.iter().flat_map(|skip| skip.since.iter().map(|(id, _)| *id));
        Scope::only(since.filter(|id| self.scope.has(*id) && !is_before(id)))
    }

    /// What a fragment in scope becomes is in scope. One that is put together with a fragment out of scope can't be followed.
    fn carry_reframe(&mut self, position: Position, body: &[u8]) -> Result<(), StoreError> {
        let reframe = Reframe::decode(body)?;
        let parents = reframe.parents();
        let known = parents.iter().filter(|id| self.scope.has(**id)).count();
        if known == parents.len() {
            self.scope.add(&reframe.makes());
            self.carried.push_back(Carried::Reframe(position, Bytes::copy_from_slice(body)));
        } else if known > 0 {
            self.carried.push_back(Carried::Lost);
        }
        Ok(())
    }

    fn hand_out(&mut self, max_bytes: usize) -> TailRead {
        let mut batch = Builder::new(self.upto);
        while let Some(next) = self.carried.pop_front() {
            match next {
                Carried::Commit(position, body, heads) if !batch.is_full(max_bytes, body.len()) => {
                    batch.put_commit(&body);
                    for (fragment, version) in heads {
                        batch.reaches(fragment, version);
                    }
                    batch.upto = position;
                }
                Carried::Reframe(position, body) if batch.is_empty() => {
                    batch.put_reframe(body, position);
                    break;
                }
                Carried::Epochs(position, rows) if !batch.has_commits() => {
                    batch.epochs.extend(rows);
                    batch.upto = position;
                }
                Carried::Lost if batch.upto == self.upto => {
                    self.carried.push_front(Carried::Lost);
                    return TailRead::Lost;
                }
                later => {
                    self.carried.push_front(later);
                    break;
                }
            }
        }
        self.upto = batch.upto;
        batch.finish()
    }
}
