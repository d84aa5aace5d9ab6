//! Why a session ends, sorted by whose turn it is to act.

use limosa_core::{FragmentId, Retry};
use limosa_wire::Close;
use thiserror::Error;

/// The end of a session.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SessionError {
    /// The peer sent a message that does not belong here.
    #[error("peer sent {message} while this end was {phase}; end the session and compare versions of both programs")]
    OutOfOrder {
        /// The message's name.
        message: &'static str,
        /// What this end was doing.
        phase: &'static str,
    },
    /// The peer's message is impossible in itself.
    #[error("peer sent {message} with {why}")]
    Malformed {
        /// The message's name.
        message: &'static str,
        /// What is impossible.
        why: &'static str,
    },
    /// The peer belongs to another cluster, or says it is another node than its certificate does.
    #[error("peer {peer}: {why}")]
    Identity {
        /// The name in the peer's certificate.
        peer: String,
        /// What does not fit.
        why: &'static str,
    },
    /// No wire version in common.
    #[error("peer speaks wire versions {theirs:?}, this end {ours:?}: upgrade the older program")]
    WireVersion {
        /// Lowest and highest of this end.
        ours: (u32, u32),
        /// Lowest and highest of the peer.
        theirs: (u32, u32),
    },
    /// The ends could not be made equal: the state changes under the comparison, or one end is damaged.
    #[error(
        "fragment {fragment}: still unequal after {tries} comparisons ({detail}); run `limosa verify` and check the store of both ends"
    )]
    Unequal {
        /// Which fragment.
        fragment: FragmentId,
        /// Comparisons made.
        tries: u32,
        /// What the target said last.
        detail: String,
    },
    /// The target has no room for the stage.
    #[error("the target has no room for the stage: {detail}")]
    NoRoom {
        /// Need and have.
        detail: String,
    },
    /// Nothing of what the session was to be about is part of it, or the peer can't speak of some fragments only.
    #[error("nothing to do in this session: {why}")]
    Scope {
        /// What is in the way.
        why: &'static str,
    },
    /// Something at the target must be replaced, and the source may not open the epoch that this needs.
    #[error("fragment {fragment}: the target holds epoch {theirs}, this end {ours}: its owner must open a higher one first")]
    Epoch {
        /// Which fragment.
        fragment: FragmentId,
        /// The newest epoch of this end.
        ours: u32,
        /// The newest that the target holds.
        theirs: u32,
    },
    /// The peer closed with this code.
    #[error("peer closed: {code}: {detail}")]
    ClosedByPeer {
        /// A stable code.
        code: String,
        /// The peer's words.
        detail: String,
        /// Whether the peer thinks that a new session may help.
        retry: bool,
    },
}

impl SessionError {
    /// The stable code, explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfOrder { .. } => "session.out_of_order",
            Self::Malformed { .. } => "session.malformed",
            Self::Identity { .. } => "session.identity",
            Self::WireVersion { .. } => "session.wire_version",
            Self::Unequal { .. } => "session.unequal",
            Self::NoRoom { .. } => "session.no_room",
            Self::Scope { .. } => "session.scope",
            Self::Epoch { .. } => "session.epoch",
            Self::ClosedByPeer { .. } => "session.closed_by_peer",
        }
    }

    /// What a driver does next.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Identity { .. } | Self::WireVersion { .. } => Retry::Never,
            Self::OutOfOrder { .. } | Self::Malformed { .. } | Self::Unequal { .. } => Retry::AfterResync,
            Self::NoRoom { .. } | Self::Scope { .. } | Self::Epoch { .. } => Retry::Later,
            Self::ClosedByPeer { retry, .. } => {
                if *retry {
                    Retry::Later
                } else {
                    Retry::Never
                }
            }
        }
    }

    /// What the peer is told.
    pub fn to_close(&self) -> Close {
        Close { code: self.code().to_owned(), detail: self.to_string(), retry: self.retry() != Retry::Never }
    }
}
