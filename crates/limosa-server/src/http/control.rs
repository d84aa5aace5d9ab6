//! What the HTTP door asks of a node: the one control path under command line and console.

use std::future::Future;

use limosa_core::Retry;
use thiserror::Error;

use super::api::{
    Checkpointed, Dropped, Flushed, Followed, Fragment, PeersReset, Plan, Promoted, QuarantineFile, QuarantinePage, Readiness, Reapplied,
    Reapply, Scrubbed, Status, Transfer, Verification,
};
use crate::config::HostPort;
use crate::metrics::Counts;

/// Whose turn it is to act, which is also how HTTP says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// The caller names something that is not there (404).
    Absent,
    /// The node's state does not allow it (409).
    Refused,
    /// It may work later (503).
    Later,
    /// The node can't go on by itself, for example after a failed flush (500).
    Broken,
}

/// A call that a node did not carry out.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{message}")]
pub struct ControlError {
    /// Whose turn it is.
    pub turn: Turn,
    /// Stable; explained in `docs/errors.md`.
    pub code: &'static str,
    /// What and where.
    pub message: String,
    /// What to do.
    pub action: String,
    /// Whether to try again.
    pub retry: Retry,
}

impl ControlError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whether to try again.
    pub fn retry(&self) -> Retry {
        self.retry
    }
}

/// What a call gives.
pub type Answer<T> = Result<T, ControlError>;

/// A node, as operators see it. Implementations answer within seconds, and hold no lock while they wait.
pub trait Control: Send + Sync + 'static {
    /// What the node is and how it does.
    fn status(&self) -> impl Future<Output = Answer<Status>> + Send;
    /// Whether it can do its work. Must not wait: health checks call it.
    fn readiness(&self) -> Readiness;
    /// What it and its client door counted since it started. Called on the runtime's threads: waits for a flush at most.
    fn counts(&self) -> Counts;
    /// Every fragment, by id.
    fn fragments(&self) -> impl Future<Output = Answer<Vec<Fragment>>> + Send;
    /// The newest plan for each connected standby; on a standby the one that its owner sent.
    fn plan(&self) -> impl Future<Output = Answer<Vec<Plan>>> + Send;
    /// The last transfers, newest first; a bounded number of them.
    fn transfers(&self) -> impl Future<Output = Answer<Vec<Transfer>>> + Send;
    /// Whether the node and `peer` (none: every connected peer) hold the same.
    fn verify(&self, peer: Option<String>) -> impl Future<Output = Answer<Vec<Verification>>> + Send;
    /// What was set aside.
    fn quarantine(&self) -> impl Future<Output = Answer<Vec<QuarantineFile>>> + Send;
    /// Up to `count` records of one file from record `first` on. `name` is a plain file name: no separators, no leading dot.
    fn quarantined(&self, name: String, first: u64, count: u64) -> impl Future<Output = Answer<QuarantinePage>> + Send;
    /// Writes records of a quarantine file again, here, key by key: only what nobody changed since the version that they were based on.
    fn reapply(&self, records: Reapply) -> impl Future<Output = Answer<Reapplied>> + Send;
    /// Deletes a quarantine file.
    fn drop_quarantined(&self, name: String) -> impl Future<Output = Answer<Dropped>> + Send;
    /// Turns a standby into an owner under a new epoch.
    fn promote(&self) -> impl Future<Output = Answer<Promoted>> + Send;
    /// Makes the node a standby of `owner`.
    fn follow(&self, owner: HostPort) -> impl Future<Output = Answer<Followed>> + Send;
    /// Drops every peer connection; they are made again.
    fn reset_peers(&self) -> impl Future<Output = Answer<PeersReset>> + Send;
    /// Flushes everything written to disk.
    fn flush(&self) -> impl Future<Output = Answer<Flushed>> + Send;
    /// Writes a checkpoint.
    fn checkpoint(&self) -> impl Future<Output = Answer<Checkpointed>> + Send;
    /// Reads every block again and checks it.
    fn scrub(&self) -> impl Future<Output = Answer<Scrubbed>> + Send;
}
