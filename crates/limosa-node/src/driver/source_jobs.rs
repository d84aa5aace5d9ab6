//! Carries out a source's jobs: snapshots, extraction, comparison lists, and the tail of commits.

use std::collections::BTreeMap;

use limosa_core::varint::Reader;
use limosa_core::{Commit, FragmentId, KeyRange, Version};
use limosa_engine::plan::Estimate;
use limosa_engine::source::{BlockRef, EntryId, Event, Extract, Job, TailRead, TailStart};
use limosa_store::{Cut, FragmentView, Position, Store, StoreError, Tail};
use limosa_wire::Live;

use super::transfer_log::TransferLog;

/// What a source's jobs keep between them.
pub(super) struct SourceJobs {
    store: Store,
    cut: Option<Cut>,
    tail: Option<Tail>,
    log: Option<TransferLog>,
    told_floors: BTreeMap<FragmentId, Version>,
}

impl SourceJobs {
    pub(super) fn new(store: Store, log: Option<TransferLog>) -> Self {
        Self { store, cut: None, tail: None, log, told_floors: BTreeMap::new() }
    }

    /// The answer, if the job has one. A job that fails has changed nothing.
    pub(super) fn carry_out(&mut self, job: &Job) -> Result<Option<Event>, StoreError> {
        Ok(Some(match job {
            Job::Cut => {
                self.cut = None; // before the new one: two snapshots would hold twice as much
                let cut = self.store.cut();
                let facts = cut.fragments().iter().map(FragmentView::facts).collect();
                let position = cut.position().0;
                self.cut = Some(cut);
                Event::Cut { position, facts }
            }
            Job::ReleaseCut => {
                self.cut = None;
                return Ok(None);
            }
            Job::OpenEpoch { above } => {
                self.store.open_epoch(*above)?;
                Event::EpochOpened
            }
            Job::Estimate(ranges) => Event::Estimated(
                ranges
                    .iter()
                    .map(|(id, range, since)| {
                        let (view, zero) = (self.view(*id), Version::ZERO);
                        let (changes, all) = (view.changed(range, *since), view.changed(range, zero));
                        Estimate { entries: changes.entries, bytes: changes.bytes, all_bytes: all.bytes }
                    })
                    .collect(),
            ),
            Job::Blocks { ranges, salt } => Event::Blocks(blocks(self.cut().fragments(), ranges, *salt)?),
            Job::Entries { ranges, salt } => Event::Entries(entries(self.cut().fragments(), ranges, *salt)?),
            Job::Extract(extract) => self.extract(extract)?,
            Job::OpenTail(start) => {
                self.tail = match start {
                    TailStart::At(position) => Some(self.store.tail_from(Position(*position))),
                    TailStart::Behind(versions) => self.store.tail(versions),
                };
                Event::TailOpened(self.tail.as_ref().map(Tail::bytes_behind))
            }
            Job::ReadTail { max_bytes } => Event::Tail(self.read_tail(*max_bytes)?),
        }))
    }

    fn cut(&self) -> &Cut {
        self.cut.as_ref().expect("the machine asks for a cut before it asks for anything of it")
    }

    fn view(&self, id: FragmentId) -> &FragmentView {
        self.cut().fragment(id).expect("the machine asks only for fragments of the cut")
    }

    fn extract(&mut self, extract: &Extract) -> Result<Event, StoreError> {
        let what = extract.replace_keys.as_ref().map_or(limosa_store::Extract::Changes, |keys| limosa_store::Extract::ReplaceKeys(keys));
        let (frame, next) = self.view(extract.fragment).delta(&extract.range, extract.since, what, extract.max_bytes)?;
        if let Some(log) = &mut self.log {
            log.entries(frame.entries.iter())?;
        }
        Ok(Event::Extracted { frame, next })
    }

    fn read_tail(&mut self, max_bytes: usize) -> Result<TailRead, StoreError> {
        let horizon = self.store.horizon().0; // before the read: all of it has been handed out when the tail has caught up
        let tail = self.tail.as_mut().expect("the machine opens a tail before it reads from it");
        let batch = match tail.next(max_bytes)? {
            limosa_store::TailRead::Batch(batch) => batch,
            limosa_store::TailRead::CaughtUp => return Ok(TailRead::CaughtUp(horizon)),
            limosa_store::TailRead::Lost => return Ok(TailRead::Lost),
        };
        if let Some(log) = &mut self.log {
            let mut reader = Reader::new(&batch.records);
            while !reader.is_empty() {
                let record = reader.bytes_max("live.record", limosa_core::limits::MESSAGE_BYTES_MAX)?;
                let commit = Commit::decode(&mut Reader::new(record))?;
                log.entries(commit.parts.iter().flat_map(|part| part.entries.iter().copied()))?;
            }
        }
        let checks = batch.checks.iter().map(|check| (check.fragment, check.version, check.state)).collect();
        let floors = if batch.reframe.is_empty() { self.new_floors() } else { Vec::new() };
        let live = Live { upto: batch.upto.0, records: batch.records, epochs: batch.epochs, checks, floors, reframe: batch.reframe };
        Ok(TailRead::Batch { live, heads: batch.heads })
    }

    /// The floors that rose since they were told last.
    fn new_floors(&mut self) -> Vec<(FragmentId, Version)> {
        let mut floors = self.store.floors();
        floors.retain(|(id, floor)| !floor.is_zero() && self.told_floors.insert(*id, *floor) != Some(*floor));
        floors
    }
}

/// The comparison blocks of `ranges`, in order.
pub(super) fn blocks(views: &[FragmentView], ranges: &[(FragmentId, KeyRange)], salt: u64) -> Result<Vec<BlockRef>, StoreError> {
    let mut out = Vec::new();
    for (fragment, range) in ranges {
        let Some(view) = views.iter().find(|view| view.id() == *fragment) else { continue };
        let ids = view.block_ids(range, salt)?;
        out.extend(ids.into_iter().map(|block| BlockRef { id: block.id, fragment: *fragment, range: block.range }));
    }
    Ok(out)
}

/// The live entries of `ranges`, in order.
pub(super) fn entries(views: &[FragmentView], ranges: &[(FragmentId, KeyRange)], salt: u64) -> Result<Vec<EntryId>, StoreError> {
    let mut out = Vec::new();
    for run in ranges.chunk_by(|a, b| a.0 == b.0) {
        let Some(view) = views.iter().find(|view| view.id() == run[0].0) else { continue };
        let own: Vec<KeyRange> = run.iter().map(|(_, range)| range.clone()).collect();
        let ids = view.entry_ids(&own, salt)?;
        out.extend(ids.into_iter().map(|(id, key)| EntryId { id, fragment: run[0].0, key }));
    }
    Ok(out)
}
