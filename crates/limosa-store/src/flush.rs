//! Group commit: what is pending goes into the journal with one write and one flush, and is published.

use limosa_core::planted::{self, Bug};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use crate::apply::{SLICE_RECORDS, Slice};
use crate::error::StoreError;
use crate::journal::{Group, Journal, Position};
use crate::options::Durability;
use crate::ready::ReadyBatch;
use crate::state::Fault;
use crate::store::{Inner, Store};

/// Largest buffer that is kept for the next group: what a transfer has on its way fits.
const SPARE_BYTES_MAX: usize = 8 << 20;

/// The writing end of the journal, and the groups on their way into it.
pub(crate) struct Flusher {
    pub(crate) journal: Journal,
    /// Taken from the state and not published yet: more than none between calls only when the disk was full.
    in_flight: VecDeque<Group>,
    /// How many of them the journal has.
    written: usize,
    /// A buffer for the next group.
    spare: Option<Group>,
}

impl Flusher {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal, in_flight: VecDeque::new(), written: 0, spare: None }
    }
}

impl Store {
    /// One step of group commit: writes what is pending into the journal, flushes it where [`Durability::Commit`] asks for that, and
    /// publishes it. Steps are serialised; writers go on meanwhile, and what they add is the next step's group.
    ///
    /// # Errors
    /// A full disk: nothing is lost, the next call tries the same group again. Anything else poisons the store.
    pub fn flush(&self) -> Result<Position, StoreError> {
        let mut flusher = self.inner.flusher();
        self.inner.flush_step(&mut flusher, self.inner.options.durability == Durability::Commit)
    }

    /// Makes everything published survive a power cut: once a second with [`Durability::Interval`], and before a clean stop.
    /// Writers and flushes go on meanwhile.
    ///
    /// # Errors
    /// The disk fails: the store is poisoned.
    pub fn sync(&self) -> Result<(), StoreError> {
        if planted::has(Bug::SkipSync) {
            return Ok(());
        }
        let job = self.inner.flusher().journal.flush_job()?;
        // Outside the lock: a flush takes as long as the disk wants, and groups may be written meanwhile.
        let done = job.run();
        let mut flusher = self.inner.flusher();
        let result = flusher.journal.flushed_by(done);
        self.inner.flushed(result)?;
        // From here on, damage in the last group is told from a write that a crash tore.
        let marked = flusher.journal.mark();
        self.inner.or_poison(marked)
    }

    /// Flushes until `position` is published and on the disk, whatever the durability.
    pub(crate) fn settle(&self, position: Position) -> Result<(), StoreError> {
        let mut flusher = self.inner.flusher();
        loop {
            let reached = self.inner.flush_step(&mut flusher, true)?;
            if reached >= position {
                // An earlier step may have published it without a flush.
                let result = flusher.journal.flush();
                return self.inner.flushed(result);
            }
        }
    }
}

impl Inner {
    /// One step, under the flusher's lock.
    pub(crate) fn flush_step(&self, flusher: &mut Flusher, flush: bool) -> Result<Position, StoreError> {
        if flusher.in_flight.is_empty() {
            self.take(flusher)?;
        }
        if flusher.in_flight.is_empty() {
            return Ok(self.state().horizon);
        }
        // Outside the state lock: commands go on, and gather the next group.
        self.write(flusher)?;
        if flush && !planted::has(Bug::AcknowledgeBeforeFlush) {
            // Before anything is published: what a reader or a standby sees is never lost by a power cut.
            let result = flusher.journal.flush();
            self.flushed(result)?;
        }
        flusher.journal.publish();
        self.counters.flushes.fetch_add(1, Ordering::Relaxed);
        self.apply(flusher)
    }

    /// Takes the pending groups; the overlay's open layer goes into flight with them.
    fn take(&self, flusher: &mut Flusher) -> Result<(), StoreError> {
        let mut state = self.state();
        state.check_poisoned()?;
        if !state.has_pending() {
            return Ok(());
        }
        let next = state.group.next();
        let mut fresh = flusher.spare.take().unwrap_or_else(|| Group::new(next));
        fresh.restart(next);
        let last = std::mem::replace(&mut state.group, fresh);
        flusher.in_flight = std::mem::take(&mut state.groups);
        if !last.is_empty() {
            flusher.in_flight.push_back(last);
        }
        flusher.written = 0;
        state.overlay.depart();
        Ok(())
    }

    fn write(&self, flusher: &mut Flusher) -> Result<(), StoreError> {
        while let Some(group) = flusher.in_flight.get_mut(flusher.written) {
            match flusher.journal.write(group) {
                Ok(_) => flusher.written += 1,
                Err(StoreError::DiskFull { op, path }) => {
                    // Nothing of this group is in the journal. It stays in flight, and visible to commands, until there is room.
                    let mut state = self.state();
                    state.fault.get_or_insert(Fault::DiskFull { op, path });
                    return Err(state.fault.as_ref().expect("set above").error());
                }
                Err(error) => return self.or_poison(Err(error)),
            }
        }
        self.state().fault.take_if(|fault| matches!(fault, Fault::DiskFull { .. }));
        Ok(())
    }

    /// Applies what the journal has, by decoding the very bytes that it has, slice by slice so that commands get their turn.
    /// The overlay's layer in flight stays until the end: what it says of a key is what the trees will say.
    fn apply(&self, flusher: &mut Flusher) -> Result<Position, StoreError> {
        while let Some(group) = flusher.in_flight.pop_front() {
            let last_group = flusher.in_flight.is_empty();
            if let Err(error) = self.apply_group(&group, last_group) {
                // The journal has it. Where a damaged block is in the way, it is published once that is mended.
                flusher.in_flight.push_front(group);
                flusher.written = flusher.in_flight.len();
                return Err(error);
            }
            // A buffer of the size that transfers need is kept: a fresh one for each group has every page cleared by the kernel first.
            flusher.spare = Some(group).filter(|group| group.capacity() <= self.relief.spare_max(SPARE_BYTES_MAX));
        }
        Ok(self.state().horizon)
    }

    fn apply_group(&self, group: &Group, last_group: bool) -> Result<(), StoreError> {
        let published = self.state().horizon;
        let mut records = group.records().filter(|(position, _)| *position > published).peekable();
        while records.peek().is_some() {
            // Outside the lock: commands go on meanwhile.
            let batch = ReadyBatch::new(records.by_ref().take(SLICE_RECORDS), &self.options.keys);
            self.apply_batch(&batch, last_group && records.peek().is_none())?;
        }
        Ok(())
    }

    fn apply_batch(&self, batch: &ReadyBatch<'_>, is_last: bool) -> Result<(), StoreError> {
        let mut records = batch.records.iter().peekable();
        let mut ahead = batch.records.iter().map(|ready| (ready.position, ready.record)).peekable();
        while records.peek().is_some() {
            let is_dear = self.relief.ledger.has_cold() || self.is_copying.load(Ordering::Relaxed);
            let slice = |before, fragments| if is_dear { Slice::new(before, fragments).short() } else { Slice::new(before, fragments) };
            self.preload(slice(Position::ZERO, 0), &mut ahead);
            let mut state = self.state();
            let mut slice = slice(state.horizon, state.routes.len());
            slice.expect_bytes(records.clone().map(|ready| ready.record.body.len()).sum());
            while let Some(ready) = records.next_if(|ready| slice.takes(&ready.record)) {
                if let Err(error) = state.apply_ready(ready, batch, &mut slice) {
                    if !self.counters.damage.explains(&error) {
                        state.poison(error.to_string());
                    } else if slice.last > slice.before {
                        self.counters.stamp_ms.fetch_max(state.stamp_ms, Ordering::Relaxed);
                        state.publish(slice);
                    }
                    return Err(error);
                }
            }
            state.publish(slice);
            if !state.grave.is_empty() {
                self.grave().append(&mut state.grave);
            }
            if is_last && records.peek().is_none() {
                let published = state.overlay.arrive();
                drop(state);
                drop(published); // thousands of small allocations: not under the lock
            } else {
                drop(state);
            }
            // Before the next slice brings more: what this costs slows down those who wait for the flush, and nobody else.
            self.relieve();
        }
        Ok(())
    }

    /// Takes note of how far the journal is on the disk.
    fn flushed(&self, result: Result<Position, StoreError>) -> Result<(), StoreError> {
        let position = self.or_poison(result)?;
        self.counters.flushed.fetch_max(position.0, Ordering::Relaxed);
        Ok(())
    }

    /// A failure of the disk that is not just "full" poisons the store: what the disk holds is not known any more.
    pub(crate) fn or_poison<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result
            && !matches!(error, StoreError::DiskFull { .. })
        {
            self.state().poison(error.to_string());
        }
        result
    }
}
