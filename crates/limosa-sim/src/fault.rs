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
    /// One effect on the disk fails with an I/O error.
    DiskError,
    /// The disk is full for a while.
    DiskFull,
    /// The connection is reset; what was on its way is lost.
    Reset,
    /// Nothing goes through for a while, then all of it.
    Freeze,
    /// One bit of a message is another one.
    FlippedBit,
    /// A standby is promoted while the owner still lives; the old owner then follows it.
    Promotion,
    /// The standby's disk is exchanged for an empty one.
    EmptyDisk,
    /// Every fragment is deleted at once.
    DeleteAll,
    /// A restart that nobody forced.
    CleanRestart,
}

/// All of them, with how many steps pass between two on the average.
const RATES: &[(Fault, u64)] = &[
    (Fault::Kill, 300),
    (Fault::PowerCut, 300),
    (Fault::PowerCutAtEffect, 300),
    (Fault::DiskError, 500),
    (Fault::DiskFull, 500),
    (Fault::Reset, 120),
    (Fault::Freeze, 200),
    (Fault::FlippedBit, 250),
    (Fault::Promotion, 700),
    (Fault::EmptyDisk, 1_500),
    (Fault::DeleteAll, 500),
    (Fault::CleanRestart, 400),
];

/// How often each fault was brought about.
pub type Counts = BTreeMap<Fault, u64>;

impl Fault {
    /// What breaks in this step, if anything.
    pub fn draw(random: &mut Random) -> Option<Self> {
        RATES.iter().find(|(_, rate)| random.one_in(*rate)).map(|(fault, _)| *fault)
    }

    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        RATES.iter().map(|(fault, _)| *fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::PowerCut => "power cut",
            Self::PowerCutAtEffect => "power cut inside an effect",
            Self::DiskError => "disk error",
            Self::DiskFull => "disk full",
            Self::Reset => "connection reset",
            Self::Freeze => "frozen link",
            Self::FlippedBit => "flipped bit",
            Self::Promotion => "promotion",
            Self::EmptyDisk => "empty disk",
            Self::DeleteAll => "delete all",
            Self::CleanRestart => "clean restart",
        })
    }
}
