//! What a proxy can do to a connection.

use std::time::Duration;

/// Which bytes of a connection: those towards the node that the proxy stands before, or those back to who dialled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Towards,
    Back,
    Both,
}

impl Direction {
    pub(super) fn has(self, one: Self) -> bool {
        self == Self::Both || self == one
    }
}

/// One thing that goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Each piece of bytes comes later.
    Delay(Duration),
    /// Nothing comes until it is over; then all of it does.
    Hold,
    /// Nothing comes, nor will it: the connection ends when it is over.
    Drop,
    /// A few bytes at a time.
    Dribble,
    /// A piece comes twice. This and what follows happens once.
    Duplicate,
    /// Half of a piece, then the end.
    Truncate,
    /// One bit is another one.
    Flip,
    /// The end, at once.
    Reset,
}

impl Fault {
    /// Kinds of faults.
    pub(crate) const KINDS: usize = 8;
    pub(crate) const NAMES: [&str; Self::KINDS] = ["delay", "hold", "drop", "dribble", "duplicate", "truncate", "flip", "reset"];
    /// One of each kind.
    pub(crate) const ALL: [Self; Self::KINDS] = [
        Self::Delay(Duration::from_millis(50)),
        Self::Hold,
        Self::Drop,
        Self::Dribble,
        Self::Duplicate,
        Self::Truncate,
        Self::Flip,
        Self::Reset,
    ];

    /// An index into [`Fault::NAMES`].
    pub(crate) fn kind(self) -> usize {
        match self {
            Self::Delay(_) => 0,
            Self::Hold => 1,
            Self::Drop => 2,
            Self::Dribble => 3,
            Self::Duplicate => 4,
            Self::Truncate => 5,
            Self::Flip => 6,
            Self::Reset => 7,
        }
    }

    /// Whether it is over once it has happened.
    pub(crate) fn is_once(self) -> bool {
        matches!(self, Self::Duplicate | Self::Truncate | Self::Flip | Self::Reset)
    }
}
