//! Bugs that the simulator plants, to see whether it would find them. Without the feature `planted` there are none, and asking costs nothing.
//!
//! One build has them all; `plant` chooses one at run time. Each is asked for at the very place where the code would be wrong.

use std::fmt;

/// A bug.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Bug {
    /// The journal says durable before the disk does.
    AcknowledgeBeforeFlush = 1,
    /// A stage becomes what readers see without its digests being compared.
    PublishUnverified,
    /// Deletions above the floor are collected: under a lease.
    CollectUnderLease,
    /// A version counts as known by its seq alone.
    CompareSeqOnly,
    /// An owner that starts goes on in its old epoch: a seq that was lost is given again.
    ReuseSeq,
    /// A delta leaves range deletes out.
    ForgetRangeDeletes,
    /// The last frame of a range is not sent.
    DropLastFrame,
    /// A standby's state is not believed: everything is copied.
    CopyAnyway,
    /// Credits are given back when frames are applied, not when they are durable.
    CreditBeforeDurable,
    /// A standby ends keys by its own clock.
    ExpireAtStandby,
    /// A stage outlives the opening of an epoch.
    KeepStageOverEpoch,
    /// A stage that an earlier session left is thrown away.
    ForgetStage,
    /// A checkpoint claims more of the journal than it has.
    CheckpointTooFar,
    /// A commit of the live stream is taken for one that is held.
    SkipLiveCommit,
    /// A damaged block is served.
    ServeDamage,
    /// A damaged message is taken.
    TakeDamagedMessage,
    /// The source of a move serves on after a while though COMMIT was sent.
    UnsealAfterCommit,
    /// An owner serves before its epoch row is durable.
    ServeBeforeRow,
    /// A node that lost its data is believed.
    TrustEmptyNode,
    /// A member answers a fence while the lease that it lent still holds.
    FenceUnderLease,
    /// An owner serves without a lease.
    IgnoreLease,
    /// Whoever raised a fence is promoted with what it has.
    PromoteAlone,
    /// An owner serves on though its split or merge may have been made.
    ServeInDoubt,
    /// A restarted owner goes on at the epoch that it had.
    SkipReopen,
    /// A delta leaves deleted keys out.
    ForgetTombstones,
    /// A sync says that it is done, and does nothing.
    SkipSync,
    /// What is installed keeps the version that was served before.
    KeepOldHead,
    /// Keys end a minute before their deadline.
    ExpireEarly,
}

impl Bug {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::AcknowledgeBeforeFlush,
        Self::PublishUnverified,
        Self::CollectUnderLease,
        Self::CompareSeqOnly,
        Self::ReuseSeq,
        Self::ForgetRangeDeletes,
        Self::DropLastFrame,
        Self::CopyAnyway,
        Self::CreditBeforeDurable,
        Self::ExpireAtStandby,
        Self::KeepStageOverEpoch,
        Self::ForgetStage,
        Self::CheckpointTooFar,
        Self::SkipLiveCommit,
        Self::ServeDamage,
        Self::TakeDamagedMessage,
        Self::UnsealAfterCommit,
        Self::ServeBeforeRow,
        Self::TrustEmptyNode,
        Self::FenceUnderLease,
        Self::IgnoreLease,
        Self::PromoteAlone,
        Self::ServeInDoubt,
        Self::SkipReopen,
        Self::ForgetTombstones,
        Self::SkipSync,
        Self::KeepOldHead,
        Self::ExpireEarly,
    ];
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(feature = "planted")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants `bug`, and no other one; `None`: none.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), std::sync::atomic::Ordering::Relaxed);
}

/// Whether `bug` is planted.
#[cfg(feature = "planted")]
pub fn has(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether `bug` is planted: never, in this build.
#[cfg(not(feature = "planted"))]
#[inline]
pub const fn has(_bug: Bug) -> bool {
    false
}
