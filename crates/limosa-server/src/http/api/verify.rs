//! Whether two nodes hold the same.

use serde::{Deserialize, Serialize};

use super::fragment::Version;

/// A fragment of which two nodes hold something else at the same version, or can't be at the same version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// Which.
    pub fragment: u32,
    /// This node's version.
    pub here: Version,
    /// The peer's version.
    pub there: Version,
    /// This node's state digest, hexadecimal.
    pub here_digest: String,
    /// The peer's state digest, hexadecimal.
    pub there_digest: String,
}

/// One peer of `GET /v1/verify`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Verification {
    /// The peer.
    pub peer: String,
    /// Every fragment has equal digests at equal versions.
    pub agree: bool,
    /// Fragments compared.
    pub compared: u64,
    /// The position of the owner's commit order at which they were compared.
    pub position: u64,
    /// Fragments that differ; empty when they agree.
    pub differing: Vec<Difference>,
    /// Seconds since all of this node's state was last read again and checked; none: not since it started.
    pub scrub_age_s: Option<f64>,
}
