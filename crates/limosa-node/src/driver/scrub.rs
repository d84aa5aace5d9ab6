//! Reads all state again and checks it against its digests: a sum cannot see rot in bytes that nobody reads.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use limosa_core::{Digest, FragmentId, Retry};
use limosa_store::{FragmentView, StoreError};
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
    /// Rot, or a block that can't be read.
    pub fn scrub(&self) -> Result<ScrubReport, ScrubError> {
        let started = Instant::now();
        let cut = self.shared.store.cut();
        let mut report = ScrubReport::default();
        for view in cut.fragments() {
            report.entries += self.scrub_fragment(view)?;
            report.fragments += 1;
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

    fn scrub_fragment(&self, view: &FragmentView) -> Result<u64, ScrubError> {
        let (facts, keys) = (view.facts(), &self.shared.options.space_keys);
        let (mut found, mut entries) = (Digest::ZERO, 0);
        let _ = view.scan(&facts.range, |entry| {
            if let Some(live) = entry.live {
                found += keys.state(keys.content(entry.key, live), entry.version);
                entries += 1;
            }
            ControlFlow::Continue(())
        })?;
        if found == facts.state {
            return Ok(entries);
        }
        Err(ScrubError::Rot { fragment: facts.id, found, expected: facts.state })
    }
}
