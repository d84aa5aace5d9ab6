//! Bodies of the calls that change something.

use serde::{Deserialize, Serialize};

/// `POST /v1/follow`: become a standby.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follow {
    /// Host and port of the owner's peer address.
    pub owner: String,
}

/// Answer to [`Follow`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Followed {
    /// Whom the node follows now.
    pub owner: String,
}

/// Answer to `POST /v1/promote`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Promoted {
    /// The epoch in which the node writes from now on.
    pub epoch: u32,
}

/// Answer to `POST /v1/peers/reset`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeersReset {
    /// Connections that were dropped; each reconnects.
    pub dropped: u64,
}

/// Answer to `POST /v1/flush`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Flushed {
    /// Commits of this node that are on disk.
    pub position: u64,
}

/// Answer to `POST /v1/checkpoint`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Checkpointed {
    /// Commits that the checkpoint covers.
    pub position: u64,
    /// Blocks written.
    pub blocks: u64,
    /// Bytes written.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Answer to `POST /v1/scrub`: every entry was read again and checked against the digests.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Scrubbed {
    /// Fragments read.
    pub fragments: u64,
    /// Live entries read.
    pub entries: u64,
    /// How long it took.
    pub seconds: f64,
}
