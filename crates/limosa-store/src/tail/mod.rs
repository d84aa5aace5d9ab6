//! Recent commits for those who want each one: from memory (tier 1), then from the journal (tier 2), then not at all.
//!
//! A reader that falls behind both tiers is told so, and takes the delta since its version from the tree (tier 3).

mod batch;
mod cursor;
mod marks;
mod narrow;
mod ring;
mod skip;

pub use batch::Batch;
pub use cursor::{Tail, TailRead};
pub(crate) use marks::Marks;
pub(crate) use ring::Ring;

/// Longest commit that a tail carries, bytes; one that is longer would not fit a message, and travels as a delta instead.
pub const COMMIT_BYTES_LIVE_MAX: usize = 4 << 20;

const _: () = assert!(COMMIT_BYTES_LIVE_MAX + limosa_core::limits::LIVE_BATCH_BYTES < limosa_core::limits::MESSAGE_BYTES_MAX);
