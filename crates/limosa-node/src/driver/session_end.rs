//! Why a session ended, and what follows from it.

use limosa_core::{FragmentId, Retry};
use limosa_engine::SessionError;
use limosa_store::StoreError;
use limosa_wire::Close;
use thiserror::Error;

use crate::error::PeerError;

/// The end of a session, sorted by whose turn it is.
#[derive(Debug, Error)]
pub enum SessionEnd {
    /// The connection broke, or the peer's bytes were no messages.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The machine ended the session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// This node's store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An operator asked for new connections.
    #[error("an operator reset the peer connections; they are made again")]
    Reset,
    /// Fragments of the session were split or merged.
    #[error("fragments were split or merged; the session is made again about what they became")]
    Reframed,
    /// A standby asked this node for state, and it is no owner.
    #[error("this node is not an owner: point the standby at the owner")]
    NotOwner,
    /// This node follows another owner now, or none.
    #[error("this node's role changed")]
    RoleChanged,
    /// The peer offers an epoch that the manifest has not told this node of.
    #[error("the peer offers {fragment} at epoch {epoch}, which the manifest has not told this node of yet")]
    Epoch {
        /// Which fragment.
        fragment: FragmentId,
        /// Its epoch there.
        epoch: u32,
    },
    /// The transfer log can't be written.
    #[error("the transfer log can't be opened: {0}")]
    TransferLog(std::io::Error),
    /// The operating system gives no randomness.
    #[error("no randomness for a session id: {0}")]
    Randomness(String),
}

impl SessionEnd {
    /// The stable code, explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Peer(error) => error.code(),
            Self::Session(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Reset => "session.reset",
            Self::Reframed => "session.reframed",
            Self::NotOwner => "session.not_owner",
            Self::RoleChanged => "session.role_changed",
            Self::Epoch { .. } => "session.epoch_unknown",
            Self::TransferLog(_) => "session.transfer_log",
            Self::Randomness(_) => "session.randomness",
        }
    }

    /// What the driver does next.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Peer(error) => error.retry(),
            Self::Session(error) => error.retry(),
            Self::Store(error) => error.retry(),
            Self::RoleChanged => Retry::Never,
            Self::Reset | Self::Reframed | Self::NotOwner | Self::Epoch { .. } | Self::TransferLog(_) | Self::Randomness(_) => Retry::Later,
        }
    }

    /// Whether somebody must act before a new session can do better.
    pub fn blocks(&self) -> bool {
        self.retry() == Retry::Never && !matches!(self, Self::RoleChanged)
    }

    /// What the peer is told; nothing when the connection is gone.
    pub(super) fn to_close(&self) -> Option<Close> {
        match self {
            Self::Peer(_) | Self::Session(SessionError::ClosedByPeer { .. }) => None,
            Self::Session(error) => Some(error.to_close()),
            _ => Some(Close { code: self.code().to_owned(), detail: self.to_string(), retry: self.retry() != Retry::Never }),
        }
    }
}
