//! One peer: what its connection does and how far it is.

use serde::{Deserialize, Serialize};

use super::plan::Method;
use super::transfer::Transfer;

/// What happens between this node and a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// No connection: dialling, or waiting to be dialled.
    Connecting,
    /// Finding out what the target lacks.
    Comparing,
    /// Frames are on their way.
    Transferring,
    /// The target checks digests and installs.
    Sealing,
    /// Every commit is passed on as it happens.
    Live,
    /// It can't go on until somebody acts: see `blocked_because`.
    Blocked,
}

impl PeerState {
    /// The word that bodies and tables use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Comparing => "comparing",
            Self::Transferring => "transferring",
            Self::Sealing => "sealing",
            Self::Live => "live",
            Self::Blocked => "blocked",
        }
    }
}

/// How far a running transfer is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// The dearest method that it uses.
    pub method: Method,
    /// What is being done, in a word or two.
    pub phase: String,
    /// Bytes that the target has durably; never above `bytes_total`.
    pub bytes_done: u64,
    /// Bytes in all, estimated; grows when the source goes on writing.
    pub bytes_total: u64,
    /// Over the last seconds.
    pub rate_bytes_per_s: f64,
    /// Seconds left at that rate; none while there is no rate.
    pub eta_s: Option<f64>,
}

/// Another node that this one is connected with, or wants to be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Its name; none before it first introduced itself.
    pub name: Option<String>,
    /// Its address, as dialled or as seen.
    pub address: String,
    /// What it is: `owner` or `standby`.
    pub role: String,
    /// What happens between the two.
    pub state: PeerState,
    /// Why it can't go on, and who must act; only when blocked.
    pub blocked_because: Option<String>,
    /// Names the session in logs of both ends: random, hexadecimal.
    pub session: Option<String>,
    /// Newest commit of this node that a standby has durably, while it follows the stream of commits.
    pub acknowledged: Option<u64>,
    /// Commits that it lacks; 0 for an owner, whose commits only it can count.
    pub lag_commits: u64,
    /// Bytes of those commits.
    pub lag_bytes: u64,
    /// The transfer that is running.
    pub progress: Option<Progress>,
    /// Bytes received from it over its socket since the node started, TLS included.
    pub moved_bytes_in: u64,
    /// Bytes sent to it over its socket since the node started, TLS included.
    pub moved_bytes_out: u64,
    /// Of those, what TLS handshakes and introductions took, both directions.
    pub handshake_bytes: u64,
    /// The last transfer that ended.
    pub last_transfer: Option<Transfer>,
}
