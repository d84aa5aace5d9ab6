//! The frame: entries of one range that bring it from one version to another, with the digest that the range must then have.

use crate::columns::Columns;
use crate::digest::Digest;
use crate::fragment::FragmentId;
use crate::range::{KeyRange, RangeDelete};
use crate::version::Version;

/// How a frame is applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Applies only where the whole range stands at `from` ≤ map < `to`; the newer version of each key wins as a second guard.
    /// From [`Version::ZERO`] the range must be empty: this is a copy.
    Advance,
    /// The listed keys become exactly the source's, whatever their versions; a tombstone at [`Version::ZERO`] means absent.
    /// Only into a stage, only under an epoch above every epoch that the target holds.
    ReplaceKeys,
    /// The whole range becomes exactly the listed entries. Same conditions as [`Mode::ReplaceKeys`].
    ReplaceRange,
}

/// A unit on the wire. Self-proving: after applying it, the target's state digest of `range` must equal `digest`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Which fragment.
    pub fragment: FragmentId,
    /// How to apply it.
    pub mode: Mode,
    /// Every change of this range in (from, to] is in the frame.
    pub range: KeyRange,
    /// What the target must have in the range.
    pub from: Version,
    /// What it has afterwards.
    pub to: Version,
    /// Applied before the entries.
    pub range_deletes: Vec<RangeDelete>,
    /// Entries, tombstones included.
    pub entries: Columns,
    /// State digest of the live entries of `range` at `to`.
    pub digest: Digest,
}
