//! Carries out a source's jobs on a store, one after the other. Decides nothing.

use limosa_core::{FragmentId, KeyRange, Version};
use limosa_engine::plan::Estimate;
use limosa_engine::source::{BlockRef, EntryId, Event, Job, TailRead, TailStart};
use limosa_store::{Cut, Extract, FragmentView, Position, Store, StoreError, Tail};
use limosa_wire::Live;

/// What a source's jobs keep between them.
#[derive(Default)]
pub(crate) struct SourceCarrier {
    cut: Option<Cut>,
    tail: Option<Tail>,
}

impl SourceCarrier {
    /// The answer, if the job has one.
    pub(crate) fn carry_out(&mut self, store: &Store, job: Job) -> Result<Option<Event>, StoreError> {
        Ok(Some(match job {
            Job::Cut => {
                let cut = store.cut();
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
                store.open_epoch(above)?;
                Event::EpochOpened
            }
            Job::Estimate(ranges) => Event::Estimated(ranges.iter().map(|asked| self.estimate(asked)).collect()),
            Job::Blocks { ranges, salt } => Event::Blocks(blocks(self.cut().fragments(), &ranges, salt)?),
            Job::Entries { ranges, salt } => Event::Entries(entries(self.cut().fragments(), &ranges, salt)?),
            Job::Extract(extract) => {
                let what = extract.replace_keys.as_ref().map_or(Extract::Changes, |keys| Extract::ReplaceKeys(keys));
                let view = self.cut().fragment(extract.fragment).expect("the machine asks for fragments of the cut");
                let (frame, next) = view.delta(&extract.range, extract.since, what, extract.max_bytes)?;
                Event::Extracted { frame, next }
            }
            Job::OpenTail(start) => {
                self.tail = match start {
                    TailStart::At(position) => Some(store.tail_from(Position(position))),
                    TailStart::Behind(versions) => store.tail(&versions),
                };
                Event::TailOpened(self.tail.as_ref().map(Tail::bytes_behind))
            }
            Job::ReadTail { max_bytes } => Event::Tail(self.read_tail(store, max_bytes)?),
        }))
    }

    fn cut(&self) -> &Cut {
        self.cut.as_ref().expect("the machine asks for a cut before it asks for anything of it")
    }

    fn estimate(&self, (id, range, since): &(FragmentId, KeyRange, Version)) -> Estimate {
        let view = self.cut().fragment(*id).expect("the machine asks for fragments of the cut");
        let (changes, all) = (view.changed(range, *since), view.changed(range, Version::ZERO));
        Estimate { entries: changes.entries, bytes: changes.bytes, all_bytes: all.bytes }
    }

    fn read_tail(&mut self, store: &Store, max_bytes: usize) -> Result<TailRead, StoreError> {
        let horizon = store.horizon().0;
        let tail = self.tail.as_mut().expect("the machine opens a tail before it reads from it");
        Ok(match tail.next(max_bytes)? {
            limosa_store::TailRead::Batch(batch) => {
                let checks = batch.checks.iter().map(|check| (check.fragment, check.version, check.state)).collect();
                let floors = store.floors(); // each time: a standby takes over only what is new to it
                let (records, epochs, reframe) = (batch.records, batch.epochs, batch.reframe);
                let live = Live { upto: batch.upto.0, records, epochs, checks, floors, reframe };
                TailRead::Batch { live, heads: batch.heads }
            }
            limosa_store::TailRead::CaughtUp => TailRead::CaughtUp(horizon),
            limosa_store::TailRead::Lost => TailRead::Lost,
        })
    }
}

/// The comparison blocks of `ranges`, in order.
pub(crate) fn blocks(views: &[FragmentView], ranges: &[(FragmentId, KeyRange)], salt: u64) -> Result<Vec<BlockRef>, StoreError> {
    let mut out = Vec::new();
    for (fragment, range) in ranges {
        let Some(view) = views.iter().find(|view| view.id() == *fragment) else { continue };
        let ids = view.block_ids(range, salt)?;
        out.extend(ids.into_iter().map(|block| BlockRef { id: block.id, fragment: *fragment, range: block.range }));
    }
    Ok(out)
}

/// The live entries of `ranges`, in order.
pub(crate) fn entries(views: &[FragmentView], ranges: &[(FragmentId, KeyRange)], salt: u64) -> Result<Vec<EntryId>, StoreError> {
    let mut out = Vec::new();
    for (fragment, range) in ranges {
        let Some(view) = views.iter().find(|view| view.id() == *fragment) else { continue };
        let ids = view.entry_ids(std::slice::from_ref(range), salt)?;
        out.extend(ids.into_iter().map(|(id, key)| EntryId { id, fragment: *fragment, key }));
    }
    Ok(out)
}
