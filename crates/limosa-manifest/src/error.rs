//! The one error of the manifest, sorted by whose turn it is to act.

use limosa_core::Retry;
use thiserror::Error;

use crate::cell::Refusal;

/// What keeps the manifest from answering.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    // ---- Nobody's turn: it passes.
    /// The store does not answer, and nothing was changed by this call.
    #[error("the manifest's store does not answer ({why}): owners go on serving; moves and failovers wait until it is back")]
    Unavailable {
        /// What it said, or did not.
        why: String,
    },
    /// The store did not say whether it made the change. Whoever asked reads the cell: it lists the intents that were carried out.
    #[error("whether the change to {key} was made is unknown ({why}): read the entry before acting on it")]
    Unknown {
        /// The entry.
        key: String,
        /// What happened instead of an answer.
        why: String,
    },

    // ---- The caller's turn.
    /// The entry is not what the caller held: somebody else was faster.
    #[error("{key} has changed since it was read: read it again and decide anew")]
    Conflict {
        /// The entry.
        key: String,
    },
    /// The rules of the cell forbid it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A watch asked for events that the store no longer has: list again, and watch from there.
    #[error("the store has forgotten the changes up to revision {oldest}: list again and watch from there")]
    Compacted {
        /// The oldest revision from which events are to be had.
        oldest: u64,
    },

    // ---- The operator's turn.
    /// The store refuses this client.
    #[error("the manifest's store refuses this node ({why}): check its user, password and certificate")]
    Denied {
        /// What it said.
        why: String,
    },
    /// The store is behind what this node has seen: it was restored from an older backup, or replaced by another.
    #[error(
        "the manifest at hand ({what} {found}) is older than, or not, the one that this node has seen ({seen}): put the right store back; \
         if the loss is meant, start a new lineage with `limosa promote`"
    )]
    RolledBack {
        /// What gave it away: "revision", "epoch of …", "store".
        what: String,
        /// What the store has.
        found: u64,
        /// What this node has seen of it.
        seen: u64,
    },
    /// An entry is not what was written.
    #[error("the entry {key} is damaged: {why}; put it back from a backup of the store")]
    Damaged {
        /// The entry.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// An entry was written by a newer Limosa.
    #[error("the entry {key} has {what} {found}; this program knows up to {known}: use the newer program")]
    Newer {
        /// The entry.
        key: String,
        /// "format version" or "feature bits".
        what: &'static str,
        /// What it has.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// An entry or a change is above its limit.
    #[error("{what} is {value}, above its limit of {max}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// How large.
        value: u64,
        /// The limit.
        max: u64,
    },
    /// An address, a name or a file of the configuration can't be used.
    #[error("{what}: {why}")]
    Config {
        /// Which setting.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The embedded store's file failed: it takes no more changes until it is opened again.
    #[error("the embedded manifest stopped ({why}): restart the node")]
    Poisoned {
        /// What failed first.
        why: String,
    },
}

impl ManifestError {
    /// The stable code; `docs/errors.md` has one entry for each.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "manifest.unavailable",
            Self::Unknown { .. } => "manifest.unknown_outcome",
            Self::Conflict { .. } => "manifest.conflict",
            Self::Refused(_) => "manifest.refused",
            Self::Compacted { .. } => "manifest.compacted",
            Self::Denied { .. } => "manifest.denied",
            Self::RolledBack { .. } => "manifest.rolled_back",
            Self::Damaged { .. } => "manifest.damaged",
            Self::Newer { .. } => "manifest.format_newer",
            Self::Limit { .. } => "manifest.limit",
            Self::Config { .. } => "manifest.config",
            Self::Poisoned { .. } => "manifest.poisoned",
        }
    }

    /// What a driver may do about it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } => Retry::Later,
            Self::Unknown { .. } | Self::Conflict { .. } | Self::Compacted { .. } => Retry::AfterResync,
            _ => Retry::Never,
        }
    }
}
