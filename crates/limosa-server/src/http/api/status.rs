//! What a node is and how it does.

use serde::{Deserialize, Serialize};

use super::peer::Peer;

/// What a node is to its state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    /// It takes writes.
    Owner,
    /// It is one of several: its cluster's manifest says what it owns and copies, fragment by fragment.
    Member,
    /// It keeps a copy.
    Standby {
        /// The owner's peer address.
        of: String,
    },
}

/// When a write is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityWord {
    /// After its journal record was flushed.
    Commit,
    /// At once; the journal is flushed once a second.
    Interval,
}

/// Sums over all fragments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FragmentTotals {
    /// Fragments.
    pub count: u64,
    /// Live entries, elements included.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Deletions remembered.
    pub tombstones: u64,
}

/// What a node holds in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Most that it may take for state and caches, bytes.
    pub max: u64,
    /// What it takes, as the store counts it, bytes.
    pub used: u64,
    /// Of that, blocks of entries, bytes.
    pub blocks: u64,
    /// Of those, blocks that no checkpoint has, bytes.
    pub dirty: u64,
}

/// A block on this node's disk that is not what was written, and has not been fetched again yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DamagedBlock {
    /// Which fragment.
    pub fragment: u32,
    /// The first stored key that can lie in it, hexadecimal.
    pub first_key: String,
    /// Live entries that can't be read.
    pub entries: u64,
    /// What is wrong with it.
    pub why: String,
}

/// Damage of this node's disk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Damage {
    /// Blocks that answer `store.corrupt_block` until a peer that has them is connected.
    pub damaged: u64,
    /// The first of them.
    pub blocks: Vec<DamagedBlock>,
    /// Blocks that were fetched again since the node started.
    pub repaired: u64,
}

/// Where a node is reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listening {
    /// Redis clients.
    pub resp: String,
    /// Other nodes.
    pub peer: String,
    /// HTTP.
    pub http: String,
}

/// `GET /v1/status`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// Its cluster, hexadecimal.
    pub cluster: String,
    /// What it is.
    #[serde(flatten)]
    pub role: Role,
    /// Random, new for each data folder, hexadecimal.
    pub incarnation: String,
    /// Version of the program.
    pub version: String,
    /// When a write is answered.
    pub durability: DurabilityWord,
    /// Seconds since the node started.
    pub uptime_s: f64,
    /// What clients and peers are told to dial.
    pub listening: Listening,
    /// Commits of this node that readers see.
    pub head: u64,
    /// Commits of this node that are flushed to disk.
    pub durable: u64,
    /// Sums over all fragments.
    pub fragments: FragmentTotals,
    /// What it holds in memory.
    #[serde(default)]
    pub memory: Memory,
    /// Files in the quarantine folder.
    pub quarantined: u64,
    /// Damage of its disk.
    #[serde(default)]
    pub damage: Damage,
    /// Everybody it is connected with, or wants to be.
    pub peers: Vec<Peer>,
    /// For whom deletions are remembered.
    #[serde(default)]
    pub leases: Vec<Lease>,
    /// It takes part in a cluster: `GET /v1/cells`, `/v1/nodes` and `/v1/moves` answer.
    #[serde(default)]
    pub clustered: bool,
}

/// Deletions are remembered for a standby, so that it comes back by a delta.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// The standby's name.
    pub peer: String,
    /// Its data folder, hexadecimal.
    pub incarnation: String,
    /// When it was last heard of, milliseconds since 1970.
    pub renewed_ms: u64,
    /// When the lease ends if it is not heard of again.
    pub ends_ms: u64,
    /// Fragments of which it lacks commits: deletions in those are held back.
    pub fragments_behind: u64,
}

/// Whether a node can do its work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Readiness {
    /// It can.
    pub ready: bool,
    /// Why not, and what it waits for.
    pub reason: Option<String>,
}

impl Readiness {
    /// It can.
    pub fn ready() -> Self {
        Self { ready: true, reason: None }
    }

    /// It can't, because of `reason`.
    pub fn waiting(reason: impl Into<String>) -> Self {
        Self { ready: false, reason: Some(reason.into()) }
    }
}
