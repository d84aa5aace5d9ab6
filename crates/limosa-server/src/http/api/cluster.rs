//! A cluster as operators see it: who owns what, who is there, what moves, and whether a node can be stopped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fragment::{Slots, Version};

/// One fragment's entry of the manifest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The fragment.
    pub fragment: u32,
    /// Its slots.
    pub slots: Slots,
    /// Count of ownership changes.
    pub epoch: u32,
    /// Who owns it; none while it is fenced.
    pub owner: Option<String>,
    /// Who raised the fence, while nobody owns it.
    pub fenced_by: Option<String>,
    /// Complete copies beside the owner's.
    pub sync_set: Vec<String>,
    /// Nodes that are becoming complete.
    pub replicas: Vec<String>,
    /// How many of the sync set must have flushed a write before it is acknowledged; 0: the ack level is local.
    pub flushed_min: u8,
    /// Version known to be committed: an owner below it is not believed.
    pub committed: Version,
    /// Where a running move takes it.
    pub moving_to: Option<String>,
    /// An operator accepted that acknowledged writes may be lost.
    pub loss_accepted: bool,
    /// Live bytes, as the owner counts them; none when it can't be asked.
    pub bytes: Option<u64>,
}

/// `GET /v1/locate`: where a key lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Located {
    /// The slot of the key.
    pub slot: u16,
    /// The fragment that holds the slot.
    pub fragment: u32,
    /// Who owns it; none while it is fenced.
    pub owner: Option<String>,
    /// Where its clients connect.
    pub resp: Option<String>,
    /// Complete copies beside the owner's.
    pub sync_set: Vec<String>,
    /// Where a running move takes it.
    pub moving_to: Option<String>,
}

/// One node of the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClusterNode {
    /// Its name.
    pub name: String,
    /// Random, made with its data folder, hexadecimal.
    pub incarnation: String,
    /// What clients dial.
    pub resp: String,
    /// What nodes dial.
    pub peer: String,
    /// What operators dial.
    pub http: String,
    /// Where it stands; empty: not said.
    pub zone: String,
    /// Whatever operators tell nodes apart by.
    pub labels: BTreeMap<String, String>,
    /// It is being emptied: nothing is placed on it any more.
    pub leaving: bool,
    /// It was heard of lately: a hint.
    pub alive: bool,
    /// Fragments that it owns.
    pub owns: u64,
    /// Fragments of which it is a complete copy, beside those.
    pub copies: u64,
    /// Live bytes of the fragments that it owns.
    pub bytes: u64,
}

/// `POST /v1/cluster`: this node's fragments become those of a cluster with one node; with `from`, the cluster's manifest comes here.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// A folder of the node's machine with the embedded manifest that is to be moved into the etcd that the node was told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// Answer to [`Init`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Initialised {
    /// The cluster's name.
    pub cluster: String,
    /// Cells that were written.
    pub fragments: u64,
}

/// Answer to `POST /v1/nodes`: this node takes part in its cluster from now on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Joined {
    /// The node.
    pub node: String,
    /// Nodes of the cluster, it included.
    pub nodes: u64,
}

/// Answer to `DELETE /v1/nodes/{name}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Removed {
    /// The node that the cluster does not know any more.
    pub node: String,
}

/// What a move does right now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovePhase {
    /// It waits for others to end.
    Queued,
    /// It is written in the manifest; the target was asked to follow.
    Prepared,
    /// Bytes go to the target.
    Copying,
    /// The target follows the stream of commits and comes close.
    CatchingUp,
    /// Requests wait while the last commits go over and are compared.
    Sealing,
    /// The target was asked to serve.
    Committing,
    /// The target holds everything and is kept fresh; no cutover was asked for.
    Staged,
}

impl MovePhase {
    /// The word that bodies and tables use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Prepared => "prepared",
            Self::Copying => "copying",
            Self::CatchingUp => "catching_up",
            Self::Sealing => "sealing",
            Self::Committing => "committing",
            Self::Staged => "staged",
        }
    }
}

/// How a move ended, or that it goes on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum MoveState {
    /// It goes on, or waits.
    Running,
    /// The target serves.
    Committed,
    /// The source serves on.
    Aborted {
        /// Why, in one sentence.
        why: String,
    },
}

/// One line of `GET /v1/moves`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Move {
    /// Names it: random, hexadecimal.
    pub id: String,
    /// The fragment.
    pub fragment: u32,
    /// Its slots.
    pub slots: Slots,
    /// Who owns it.
    pub from: String,
    /// Who gets it.
    pub to: String,
    /// What is being done.
    pub phase: MovePhase,
    /// How it ended, or that it goes on.
    #[serde(flatten)]
    pub state: MoveState,
    /// Bytes that the target has durably; never above `bytes_total`.
    pub bytes_done: u64,
    /// Bytes in all, estimated.
    pub bytes_total: u64,
    /// Over the last seconds.
    pub rate_bytes_per_s: f64,
    /// Seconds left at that rate; none while there is no rate.
    pub eta_s: Option<f64>,
    /// Why it can't go on, and who must act.
    pub blocked_because: Option<String>,
    /// For how long requests waited in its cutover, milliseconds; none before it.
    pub pause_ms: Option<f64>,
}

/// Answer to `DELETE /v1/moves/{id}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cancelled {
    /// Moves that were given up.
    pub moves: Vec<String>,
}

/// Answer to `GET /v1/nodes/{name}/safe-to-stop`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SafeToStop {
    /// The node.
    pub node: String,
    /// Stopping it now blocks no write for longer than a hand-over, and loses nothing.
    pub safe: bool,
    /// Why not, or why so: one sentence each.
    pub because: Vec<String>,
}
