//! Carries out a source's jobs: snapshots, extraction, comparison lists, and the tail of commits.

use std::collections::BTreeMap;

use limosa_core::varint::Reader;
use limosa_core::{Commit, EntryRef, FragmentId, KeyRange, Scope, Version};
use limosa_engine::plan::Estimate;
use limosa_engine::source::{Event, Extract, Job, TailRead, TailStart};
use limosa_store::{Cut, FragmentView, Position, Store, StoreError, Tail};
use limosa_wire::Live;

use crate::compare::{blocks, entries};

/// What a driver of a source wants to see.
pub trait SourceHooks {
    /// Entries that are about to be sent; an error fails the job.
    fn sending(&mut self, entries: &mut dyn Iterator<Item = EntryRef<'_>>) -> Result<(), StoreError> {
        let _ = entries;
        Ok(())
    }

    /// Whether [`SourceHooks::sending`] wants entries at all: commits are decoded for it only then.
    fn wants_entries(&self) -> bool {
        false
    }
}

impl SourceHooks for () {}

/// What a source's jobs keep between them.
#[derive(Default)]
pub struct SourceCarrier {
    cut: Option<Cut>,
    tail: Option<Tail>,
    /// What the tail is of.
    scope: Scope,
    told_floors: BTreeMap<FragmentId, Version>,
}

impl SourceCarrier {
    /// The answer, if the job has one. A job that fails has changed nothing.
    pub fn carry_out(&mut self, store: &Store, job: &Job, hooks: &mut impl SourceHooks) -> Result<Option<Event>, StoreError> {
        Ok(Some(match job {
            Job::Cut => self.take_cut(store),
            Job::ReleaseCut => {
                self.cut = None;
                return Ok(None);
            }
            Job::OpenEpoch { above } => {
                store.open_epoch(*above)?;
                Event::EpochOpened
            }
            Job::Estimate(ranges) => Event::Estimated(ranges.iter().map(|asked| self.estimate(asked)).collect()),
            Job::Blocks { ranges, salt } => Event::Blocks(blocks(self.cut().fragments(), ranges, *salt)?),
            Job::Entries { ranges, salt } => Event::Entries(entries(self.cut().fragments(), ranges, *salt)?),
            Job::Extract(extract) => self.extract(extract, hooks)?,
            Job::OpenTail { start, scope } => {
                let tail = match start {
                    TailStart::At(position) => Some(store.tail_from(Position(*position))),
                    TailStart::Behind(versions) => store.tail(versions),
                };
                self.scope = scope.clone();
                self.tail = tail.map(|tail| tail.within(scope.clone()));
                Event::TailOpened(self.tail.as_ref().map(Tail::bytes_behind))
            }
            Job::NarrowTail(left) => {
                self.narrow(store, left);
                return Ok(None);
            }
            Job::ReadTail { max_bytes } => Event::Tail(self.read_tail(store, *max_bytes, hooks)?),
        }))
    }

    fn take_cut(&mut self, store: &Store) -> Event {
        self.cut = None; // before the new one: two snapshots would hold twice as much
        let cut = store.cut();
        let facts = cut.fragments().iter().map(FragmentView::facts).collect();
        let position = cut.position().0;
        self.cut = Some(cut);
        Event::Cut { position, facts }
    }

    fn cut(&self) -> &Cut {
        self.cut.as_ref().expect("the machine asks for a cut before it asks for anything of it")
    }

    fn view(&self, id: FragmentId) -> &FragmentView {
        self.cut().fragment(id).expect("the machine asks only for fragments of the cut")
    }

    fn estimate(&self, (id, range, since): &(FragmentId, KeyRange, Version)) -> Estimate {
        let view = self.view(*id);
        let (changes, all) = (view.changed(range, *since), view.changed(range, Version::ZERO));
        Estimate { entries: changes.entries, bytes: changes.bytes, all_bytes: all.bytes }
    }

    fn extract(&mut self, extract: &Extract, hooks: &mut impl SourceHooks) -> Result<Event, StoreError> {
        let what = extract.replace_keys.as_ref().map_or(limosa_store::Extract::Changes, |keys| limosa_store::Extract::ReplaceKeys(keys));
        let (frame, next) = self.view(extract.fragment).delta(&extract.range, extract.since, what, extract.max_bytes)?;
        hooks.sending(&mut frame.entries.iter())?;
        Ok(Event::Extracted { frame, next })
    }

    fn narrow(&mut self, store: &Store, left: &[FragmentId]) {
        let Some(tail) = self.tail.take() else { return };
        if self.scope.is_all() {
            self.scope = Scope::only(store.facts().iter().map(|facts| facts.id));
        }
        self.scope.remove(left);
        self.tail = Some(tail.within(self.scope.clone()));
    }

    fn read_tail(&mut self, store: &Store, max_bytes: usize, hooks: &mut impl SourceHooks) -> Result<TailRead, StoreError> {
        let horizon = store.horizon().0; // before the read: all of it has been handed out when the tail has caught up
        let tail = self.tail.as_mut().expect("the machine opens a tail before it reads from it");
        let batch = match tail.next(max_bytes)? {
            limosa_store::TailRead::Batch(batch) => batch,
            limosa_store::TailRead::CaughtUp => return Ok(TailRead::CaughtUp(horizon)),
            limosa_store::TailRead::Lost => return Ok(TailRead::Lost),
        };
        show(&batch.records, hooks)?;
        if !batch.reframe.is_empty() {
            self.scope.add(&batch.heads.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        }
        let checks = batch.checks.iter().map(|check| (check.fragment, check.version, check.state)).collect();
        let floors = if batch.reframe.is_empty() { self.new_floors(store) } else { Vec::new() };
        let live = Live { upto: batch.upto.0, records: batch.records, epochs: batch.epochs, checks, floors, reframe: batch.reframe };
        Ok(TailRead::Batch { live, heads: batch.heads })
    }

    /// The floors that rose since they were told last.
    fn new_floors(&mut self, store: &Store) -> Vec<(FragmentId, Version)> {
        let mut floors = store.floors();
        floors.retain(|(id, floor)| self.scope.has(*id) && !floor.is_zero() && self.told_floors.insert(*id, *floor) != Some(*floor));
        floors
    }
}

/// Shows a batch's entries to whoever wants them.
fn show(records: &[u8], hooks: &mut impl SourceHooks) -> Result<(), StoreError> {
    if !hooks.wants_entries() {
        return Ok(());
    }
    let mut reader = Reader::new(records);
    while !reader.is_empty() {
        let record = reader.bytes_max("live.record", limosa_core::limits::COMMIT_BYTES_MAX)?;
        let commit = Commit::decode(&mut Reader::new(record))?;
        hooks.sending(&mut commit.parts.iter().flat_map(|part| part.entries.iter().copied()))?;
    }
    Ok(())
}
