//! What a node's ownership machine is told once: who it is, how patient it is, how many copies are wanted.

use std::time::Duration;

#[cfg(not(test))]
use limosa_core::planted::{self, Bug};
use limosa_core::{FragmentId, NodeName, Version};

/// Whether a member takes over by itself when the owner falls silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Failover {
    /// After a lease without a sign of life.
    #[default]
    Auto,
    /// Only by an order.
    Manual,
}

/// Settings of [`super::Ownership`]. Required ones are arguments of [`Config::new`]; the others have defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeName,
    /// Random, new for each start: names its moves and changes.
    pub seed: u64,
    /// Complete standbys wanted of each fragment (n).
    pub standbys: usize,
    /// Members that must have flushed a write (w), once there are so many. 0: the ack level is local.
    pub flushed_min: u8,
    /// How long an owner is believed after a sign of life. Default 3 s.
    pub lease: Duration,
    /// Two clocks differ by at most this over one lease. Default 100 ms.
    pub drift: Duration,
    /// Who decides about a failover. Default: the members.
    pub failover: Failover,
    /// Let members go that stay away, though fewer than w are left; the cell is marked. Default: no.
    pub shrink: bool,
    /// How long a member may be away before it is replaced, or let go under `shrink`. Default 60 s.
    pub absent_max: Duration,
    /// Each flushed commit outlives a loss of power: a restarted owner may believe its own disk. Default: yes.
    pub durable: bool,
    /// The data folder is not the one that the manifest knows of this name: nothing that its cells say of it is believed until it has
    /// been copied anew. Stays so until [`super::Ownership::is_believed`]. Default: no.
    pub reborn: bool,
    /// Moves that copy at once; more wait in a queue. Default 4.
    pub moves_max: usize,
    /// Fragments parked at once for their last step. Default 16.
    pub cutovers_max: usize,
    /// How long a move may take. Default 1 h.
    pub move_max: Duration,
    /// Bytes that a target may be behind when the last step begins. Default 256 KiB.
    pub cutover_bytes: u64,
    /// How long a fragment is parked before its source serves on and tries again, as long as COMMIT was not sent. Default 1 s.
    pub seal_max: Duration,
    /// Last steps tried before the move is aborted. Default 5.
    pub seals_max: u32,
    /// After how long without getting nearer the writers of a moving fragment are slowed, and slowed more. Default 2 s.
    pub converge_window: Duration,
    /// How long a copy is kept that no cell asks for: going back is cheap meanwhile. Default 1 h.
    pub retain: Duration,
    /// What the walk breaks on purpose.
    #[cfg(test)]
    pub(super) planted: Option<Plant>,
}

/// A bug that tests plant, to see that they would find it.
#[cfg_attr(not(test), allow(dead_code, reason = "named where it would be, planted by tests only"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plant {
    /// The source serves on after a while though COMMIT was sent.
    UnsealsAfterCommit,
    /// The owner serves before its epoch row is durable.
    ServesBeforeRow,
    /// A node that lost its data, or has an old copy, is believed.
    TrustsEmptyNode,
    /// A member answers a fence while the lease that it lent still holds.
    FencesUnderLease,
    /// An owner serves without a lease.
    IgnoresLease,
    /// Whoever raised a fence is promoted with what it has, without asking anybody.
    PromotesAlone,
    /// An owner serves on though its split or merge may have been made.
    ServesInDoubt,
    /// A restarted owner goes on at the epoch that it had.
    SkipsReopen,
}

impl Plant {
    #[cfg(not(test))]
    fn bug(self) -> Bug {
        match self {
            Self::UnsealsAfterCommit => Bug::UnsealAfterCommit,
            Self::ServesBeforeRow => Bug::ServeBeforeRow,
            Self::TrustsEmptyNode => Bug::TrustEmptyNode,
            Self::FencesUnderLease => Bug::FenceUnderLease,
            Self::IgnoresLease => Bug::IgnoreLease,
            Self::PromotesAlone => Bug::PromoteAlone,
            Self::ServesInDoubt => Bug::ServeInDoubt,
            Self::SkipsReopen => Bug::SkipReopen,
        }
    }
}

impl Config {
    /// The defaults for `node`.
    pub fn new(node: NodeName, seed: u64, standbys: usize, flushed_min: u8) -> Self {
        Self {
            node,
            seed,
            standbys,
            flushed_min,
            lease: Duration::from_secs(3),
            drift: Duration::from_millis(100),
            failover: Failover::Auto,
            shrink: false,
            absent_max: Duration::from_secs(60),
            durable: true,
            reborn: false,
            moves_max: 4,
            cutovers_max: 16,
            move_max: Duration::from_secs(3600),
            cutover_bytes: 256 << 10,
            seal_max: Duration::from_secs(1),
            seals_max: 5,
            converge_window: Duration::from_secs(2),
            retain: Duration::from_secs(3600),
            #[cfg(test)]
            planted: None,
        }
    }

    /// Between two signs of life of an owner.
    pub fn beat(&self) -> Duration {
        self.lease / 3
    }

    /// Whether this bug is planted; never outside of tests.
    #[cfg(test)]
    pub(super) fn has(&self, plant: Plant) -> bool {
        self.planted == Some(plant)
    }

    /// Whether the simulator has planted this bug; never in a build that serves anybody.
    #[cfg(not(test))]
    pub(super) fn has(&self, plant: Plant) -> bool {
        planted::has(plant.bug())
    }

    /// How long an answer to a beat counts, from the moment at which the beat was sent.
    pub fn lent(&self) -> Duration {
        self.lease.saturating_sub(self.drift)
    }
}

/// What the store has of a fragment when the machine starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldFragment {
    /// Which.
    pub fragment: FragmentId,
    /// The consistent version that it shows, durably; zero: nothing.
    pub version: Version,
    /// The newest epoch that it has a row of; 0: none.
    pub epoch: u32,
    /// The durable fence; 0: none.
    pub fence: u32,
}
