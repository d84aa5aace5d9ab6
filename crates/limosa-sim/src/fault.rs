//! What breaks: the kinds of fault, and how often chaos brings each.

use std::collections::BTreeMap;
use std::fmt;

use crate::random::Random;

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// The process dies; what the system had of its files stays.
    Kill,
    /// The power goes; of what was not flushed any part stays.
    PowerCut,
    /// The power goes in the middle of some effect on the disk that is still to come.
    PowerCutAtEffect,
    /// A node dies at a named step.
    CrashPoint,
    /// The process stands still for a while.
    Pause,
    /// A restart that nobody forced.
    CleanRestart,
    /// One effect on the disk fails with an I/O error.
    WriteError,
    /// One read of the disk fails with an I/O error.
    ReadError,
    /// The disk is full for a while.
    DiskFull,
    /// Everything on the disk takes long for a while.
    SlowDisk,
    /// Bits of a block on the disk are other ones.
    BitRot,
    /// A write went to another place of its file.
    MisdirectedWrite,
    /// The node's disk is exchanged for an empty one.
    EmptyDisk,
    /// The node's disk is exchanged for an older copy of it.
    OlderDisk,
    /// The connection is reset; what was on its way is lost.
    Reset,
    /// Nothing goes through between two nodes for a while, then all of it.
    Partition,
    /// Nothing goes one way between two nodes.
    OneWayPartition,
    /// A link is slow and narrow for a while.
    SlowLink,
    /// One bit of a message is another one.
    FlippedBit,
    /// The end of a message is missing.
    Truncation,
    /// A frame of an earlier session arrives late.
    LateFrame,
    /// A machine's clock jumps, ahead or back: believed at the node's next start.
    ClockJump,
    /// A clock stands still for a while.
    ClockFreeze,
    /// A standby is promoted while the owner still lives; the old owner then follows it.
    Promotion,
    /// Promotions, one behind the other, of nodes that did not catch up.
    Toggle,
    /// A fragment is split.
    Split,
    /// Two fragments are merged.
    Merge,
    /// Every fragment is deleted at once.
    DeleteAll,
}

/// All of them, with their weights.
const WEIGHTS: &[(Fault, u64)] = &[
    (Fault::Kill, 30),
    (Fault::PowerCut, 30),
    (Fault::PowerCutAtEffect, 40),
    (Fault::CrashPoint, 120),
    (Fault::Pause, 15),
    (Fault::CleanRestart, 25),
    (Fault::WriteError, 20),
    (Fault::ReadError, 15),
    (Fault::DiskFull, 20),
    (Fault::SlowDisk, 15),
    (Fault::BitRot, 15),
    (Fault::MisdirectedWrite, 10),
    (Fault::EmptyDisk, 8),
    (Fault::OlderDisk, 8),
    (Fault::Reset, 70),
    (Fault::Partition, 25),
    (Fault::OneWayPartition, 20),
    (Fault::SlowLink, 25),
    (Fault::FlippedBit, 30),
    (Fault::Truncation, 15),
    (Fault::LateFrame, 15),
    (Fault::ClockJump, 12),
    (Fault::ClockFreeze, 10),
    (Fault::Promotion, 20),
    (Fault::Toggle, 8),
    (Fault::Split, 14),
    (Fault::Merge, 12),
    (Fault::DeleteAll, 12),
];

/// How often each fault was brought about.
pub type Counts = BTreeMap<Fault, u64>;

impl Fault {
    /// What breaks next.
    pub fn draw(random: &mut Random) -> Self {
        let mut at = random.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (fault, weight) in WEIGHTS {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *fault,
            }
        }
        unreachable!("a number below the sum of weights lies within one of them")
    }

    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        WEIGHTS.iter().map(|(fault, _)| *fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::PowerCut => "power cut",
            Self::PowerCutAtEffect => "power cut inside an effect",
            Self::CrashPoint => "crash point",
            Self::Pause => "pause",
            Self::CleanRestart => "clean restart",
            Self::WriteError => "write error",
            Self::ReadError => "read error",
            Self::DiskFull => "disk full",
            Self::SlowDisk => "slow disk",
            Self::BitRot => "bit rot",
            Self::MisdirectedWrite => "misdirected write",
            Self::EmptyDisk => "empty disk",
            Self::OlderDisk => "older disk",
            Self::Reset => "connection reset",
            Self::Partition => "partition",
            Self::OneWayPartition => "one-way partition",
            Self::SlowLink => "slow link",
            Self::FlippedBit => "flipped bit",
            Self::Truncation => "truncation",
            Self::LateFrame => "late frame",
            Self::ClockJump => "clock jump",
            Self::ClockFreeze => "frozen clock",
            Self::Promotion => "promotion",
            Self::Toggle => "toggled promotion",
            Self::Split => "split",
            Self::Merge => "merge",
            Self::DeleteAll => "delete all",
        })
    }
}
