//! What can be wrong with a message, sorted by whose turn it is to act.

use limosa_core::{DecodeError, Retry};
use thiserror::Error;

/// A message that can't be read, sent or agreed upon.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum WireError {
    // The line: a new connection may help.
    /// The checksum of a message does not match, or the connection ended inside one.
    #[error("a message was damaged or cut on the way: {why}")]
    Damaged {
        /// What was found.
        why: &'static str,
    },

    // The peer's program: somebody must look at it.
    /// The peer does not speak this protocol.
    #[error("the peer does not speak the Limosa protocol: {why}")]
    NotLimosa {
        /// What was found.
        why: &'static str,
    },
    /// The two ends share no wire version.
    #[error("no common wire version: we speak {} to {}, the peer speaks {} to {}", ours.0, ours.1, theirs.0, theirs.1)]
    NoCommonVersion {
        /// Lowest and highest of ours.
        ours: (u32, u32),
        /// Lowest and highest of the peer's.
        theirs: (u32, u32),
    },
    /// The peer lacks features without which a transfer can't be finished in every case.
    #[error("the peer lacks required features, bits {missing:#x}")]
    MissingFeature {
        /// Bits of [`crate::features`].
        missing: u64,
    },
    /// A layout of messages that this program does not know: the peer is newer and ignored the negotiation.
    #[error("message format {format} is unknown; this program reads format {}", crate::header::FORMAT)]
    UnknownFormat {
        /// What the header says.
        format: u8,
    },
    /// An envelope without a message of a kind that this program knows: the peer is newer and ignored the negotiation.
    #[error("a message of an unknown kind")]
    UnknownMessage,
    /// A message that its own checksum confirms and the contract forbids.
    #[error("a message breaks the contract: {0}")]
    Malformed(#[from] DecodeError),

    // Limits.
    /// A message above a limit, theirs (refused before anything is allocated for it) or ours (not sent).
    #[error("{what} has {bytes}, above the limit of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Bytes, or items.
        bytes: u64,
        /// The limit.
        max: u64,
    },
}

impl WireError {
    /// The stable code, as in `docs/errors.md` and in [`crate::Close`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::Damaged { .. } => "wire.damaged",
            Self::NotLimosa { .. } => "wire.not_limosa",
            Self::NoCommonVersion { .. } => "wire.no_common_version",
            Self::MissingFeature { .. } => "wire.missing_feature",
            Self::UnknownFormat { .. } => "wire.unknown_format",
            Self::UnknownMessage => "wire.unknown_message",
            Self::Malformed(_) => "wire.malformed",
            Self::TooLarge { .. } => "wire.too_large",
        }
    }

    /// What a driver does about it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Damaged { .. } => Retry::AfterResync,
            _ => Retry::Never,
        }
    }

    pub(crate) fn invalid(field: &'static str, why: &'static str) -> Self {
        Self::Malformed(DecodeError::Invalid { field, why })
    }
}

/// Refuses `bytes` above `max`.
pub(crate) fn limit(what: &'static str, bytes: usize, max: usize) -> Result<(), WireError> {
    if bytes > max {
        return Err(WireError::TooLarge { what, bytes: bytes as u64, max: max as u64 });
    }
    Ok(())
}
