//! The checkpoint: blocks, their summaries and named facts at one point of the journal, in one redb file and the extent files beside it.
//!
//! ```text
//! redb      summaries  (fragment, first key) -> checksum, summary, places     what a start loads: no block is read
//!           extents    file number -> checksum, bytes, bytes still needed     which files there are
//!           meta       name -> checksum, bytes                                "limosa.format", "limosa.point", and the store's own
//!           blocks     (fragment, first key) -> checksum, block               blocks of format 1, until they are written again
//! extents/  extent-<number>.blk                                               whole blocks and patches, each file written once: `extent`
//! ```
//!
//! | Who | Type |
//! |---|---|
//! | opens the file, hands out the others | [`Checkpoint`] |
//! | reads one state, unmoved by later commits | [`CheckpointView`] |
//! | streams the next state into new extent files and redb | [`CheckpointWriter`] |
//! | whole block or patch; which files are cleared | [`Writing`], `choice`, `compact` |
//!
//! # Invariants
//! - A commit is all there after a crash, or not at all, with the point of the journal that it holds.
//! - Every value carries a checksum over its key and itself; a block that a summary names is never *absent*, it is corrupt.
//! - A panic inside redb is caught in `guard` and nowhere else; after it nothing is read or written until the store is opened again.
//!
//! # Not here
//! - What blocks and summaries hold: they are bytes here (`limosa-tree`). When a checkpoint is due: the store.

mod backend;
mod choice;
mod compact;
mod extent;
#[cfg(test)]
mod extent_tests;
mod file;
mod files;
pub(crate) mod fuzzing;
mod guard;
mod place;
#[cfg(test)]
mod tests;
mod value;
mod view;
mod writer;

pub use choice::{ExtentFacts, Writing};
pub use file::{Checkpoint, CheckpointOptions};
pub use place::{Place, Shape};
pub use view::{BlockRow, CheckpointView, StoredBytes};
pub use writer::{CheckpointWriter, Written};
