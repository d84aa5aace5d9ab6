//! A transfer that ended: what it was estimated at, what it cost, and why it was done that way.

use serde::{Deserialize, Serialize};

use super::plan::Method;

/// Which end of a transfer this node was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The source.
    Sent,
    /// The target.
    Received,
}

/// What a transfer was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A standby was brought up to date.
    #[default]
    CatchUp,
    /// A damaged block of this node was fetched again.
    Repair,
}

impl Kind {
    /// The word that bodies and tables use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CatchUp => "catch_up",
            Self::Repair => "repair",
        }
    }
}

/// How a transfer ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Both ends agreed; the target shows the new state.
    Installed,
    /// It ended before: what the target has durably stays in its stage.
    Cut {
        /// A code of `docs/errors.md`.
        code: String,
        /// What happened.
        detail: String,
    },
}

/// CPU seconds of a transfer at one end. Warm-up threads and what else the node did meanwhile count as `other`.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct CpuSeconds {
    /// The system's calls on the socket.
    pub socket: f64,
    /// Encrypting and decrypting.
    pub tls: f64,
    /// Messages to bytes and back: layout, compression or the decision against it, checksum.
    pub codec: f64,
    /// At a source reading entries into frames; at a target hashing, verifying and applying them.
    pub state: f64,
    /// At a target, writing and flushing the journal.
    pub journal: f64,
    /// All else.
    pub other: f64,
}

/// One line of `GET /v1/transfers`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// What it was for.
    #[serde(default)]
    pub kind: Kind,
    /// The other end.
    pub peer: String,
    /// The session: random, hexadecimal.
    pub session: String,
    /// Which end this node was.
    pub direction: Direction,
    /// The dearest method that was used.
    pub method: Method,
    /// Why that method, in one sentence.
    pub why: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Entries moved, deletions included.
    pub entries: u64,
    /// Bytes that the plan had estimated.
    pub planned_bytes: u64,
    /// Bytes over the socket, both directions, handshakes apart.
    pub moved_bytes: u64,
    /// Bytes of TLS handshake and introduction, both directions.
    pub handshake_bytes: u64,
    /// Of `moved_bytes`, what an earlier session had sent before (same key and version).
    pub sent_again_bytes: u64,
    /// What copying everything would have moved, estimated.
    pub full_copy_bytes: u64,
    /// From the accepted connection until both ends agreed, or until it was cut.
    pub seconds: f64,
    /// CPU that the whole process used meanwhile, by what it was used for.
    pub cpu_seconds: CpuSeconds,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: u64,
}
