//! The bodies of `/v1`, as the server writes them and the command line reads them.
//!
//! Additions are compatible, so unknown fields are ignored when reading. 64-bit random numbers (incarnations, sessions, openers) and digests are
//! hexadecimal strings: JSON numbers of other languages end at 2^53.

mod cluster;
mod error;
mod fragment;
mod operate;
mod operation;
mod peer;
mod plan;
mod quarantine;
mod status;
mod transfer;
mod verify;

pub use cluster::{Cancelled, Cell, ClusterNode, Init, Initialised, Joined, Located, Move, MovePhase, MoveState, Removed, SafeToStop};
pub use error::{ErrorBody, RetryWord};
pub use fragment::{Acknowledged, EpochRow, Fragment, Slots, Version};
pub use operate::{Checkpointed, Flushed, Follow, Followed, PeersReset, Promoted, Scrubbed};
pub use operation::{
    Begun, Chosen, Failover, MergeWith, MoveTo, NodeOrder, NodeOrdered, OfNode, Operated, Operation, OperationPlan, OrderWord,
    RefusedFragment, SplitAt, Step,
};
pub use peer::{Peer, PeerState, Progress};
pub use plan::{Alternative, Method, Plan, PlanItem};
pub use quarantine::{Dropped, QuarantineFile, QuarantinePage, Reapplied, Reapply, Refused};
pub use status::{Damage, DamagedBlock, DurabilityWord, FragmentTotals, Lease, Listening, Memory, Readiness, Role, Status};
pub use transfer::{CpuSeconds, Direction, Kind, Outcome, Transfer};
pub use verify::{Difference, Verification};

/// A random 64-bit number as it stands in bodies.
pub fn hex64(number: u64) -> String {
    format!("{number:016x}")
}
