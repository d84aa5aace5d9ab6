//! Reads all state again and checks it against its digests: a sum cannot see rot in bytes that nobody reads.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use limosa_core::{Digest, FragmentId, KeyRange, Retry};
use limosa_store::{DamagedBlock, FragmentView, StoreError};
use thiserror::Error;

use super::node::Node;

/// What a scrub read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScrubReport {
    /// Fragments.
    pub fragments: u64,
    /// Live entries.
    pub entries: u64,
    /// How long it took.
    pub took: Duration,
}

/// State that can't be trusted.
#[derive(Debug, Error)]
pub enum ScrubError {
    /// The entries do not add up to the digests that the fragment's summaries carry.
    #[error(
        "{fragment}: its entries add up to {found}, its summaries say {expected}; stop this node, empty its folder and let it copy from its owner"
    )]
    Rot {
        /// Which fragment.
        fragment: FragmentId,
        /// State digest of the entries as they are.
        found: Digest,
        /// State digest of the summaries.
        expected: Digest,
    },
    /// A block can't be read, or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ScrubError {
    /// The stable code, explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rot { .. } => "scrub.rot",
            Self::Store(error) => error.code(),
        }
    }

    /// What a driver may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Rot { .. } => Retry::Never,
            Self::Store(error) => error.retry(),
        }
    }
}

impl Node {
    /// Reads every entry of one snapshot, from disk where it is not in memory, and recomputes every digest. Blocks for as long as that takes;
    /// reads and writes go on.
    ///
    /// # Errors
    /// Rot, or a block that can't be read. Damaged blocks are listed, all of them, and fetched from a peer; the first is the error.
    pub fn scrub(&self) -> Result<ScrubReport, ScrubError> {
        let started = Instant::now();
        let cut = self.shared.store.cut();
        let (mut report, mut damaged) = (ScrubReport::default(), None);
        for view in cut.fragments() {
            report.entries += self.scrub_fragment(view, &mut damaged)?;
            report.fragments += 1;
        }
        if let Some(error) = damaged {
            return Err(error.into());
        }
        report.took = started.elapsed();
        *self.shared.scrubbed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
        Ok(report)
    }

    /// How long ago the last complete scrub since the start was.
    pub fn scrub_age(&self) -> Option<Duration> {
        let scrubbed = self.shared.scrubbed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        scrubbed.map(|at| at.elapsed())
    }

    fn scrub_fragment(&self, view: &FragmentView, damaged: &mut Option<StoreError>) -> Result<u64, ScrubError> {
        let (facts, keys) = (view.facts(), &self.shared.options.space_keys);
        let (mut found, mut entries) = (Digest::ZERO, 0);
        let mut rest = Some(facts.range.clone());
        while let Some(range) = rest.take() {
            let scanned = view.scan(&range, |entry| {
                if let Some(live) = entry.live {
                    found += keys.state(keys.content(entry.key, live), entry.version);
                    entries += 1;
                }
                ControlFlow::Continue(())
            });
            let Err(error) = scanned else { break };
            // A damaged block has been listed, and is fetched again. The scrub goes on behind it: there may be more.
            let block = self.listed(facts.id, &error).ok_or(error)?;
            found += block.state;
            rest = block.range.end.filter(|end| facts.range.contains(end)).map(|start| KeyRange { start, end: facts.range.end.clone() });
            damaged.get_or_insert(StoreError::CorruptBlock {
                fragment: block.fragment,
                first_key: block.range.start.to_vec(),
                why: block.why,
            });
        }
        if found == facts.state {
            return Ok(entries);
        }
        Err(ScrubError::Rot { fragment: facts.id, found, expected: facts.state })
    }

    /// The damaged block that an error is about.
    fn listed(&self, fragment: FragmentId, error: &StoreError) -> Option<DamagedBlock> {
        let StoreError::CorruptBlock { first_key, .. } = error else { return None };
        self.shared.store.damage().into_iter().find(|block| block.fragment == fragment && block.range.start[..] == first_key[..])
    }
}
