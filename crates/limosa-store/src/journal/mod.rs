//! The journal: every record of a node in one sequence of append-only segments, written and flushed by commit group.
//!
//! ```text
//! DIR/journal/journal-00000000000000000001.log
//!     segment header | group | group | ..
//! DIR/journal/journal-00000000000000052113.log      named by its first position
//! group: header (length, checksums, first position, count, flushed position, chain) | record..
//! ```
//!
//! | Who | Type |
//! |---|---|
//! | writes, flushes, releases (one of it) | [`Journal`] |
//! | collects records for one write | [`Group`] |
//! | reads behind the published end while the writer goes on | [`JournalHandle`], [`Reader`] |
//!
//! # Invariants
//! - Positions are dense, from 1. A group goes into the file with one write and counts from its flush.
//! - A reader sees whole groups up to the published end, and nothing behind it.
//! - After a failed flush nothing is written until the journal is opened again.
//!
//! # Not here
//! - What records mean: the journal does not look into them.

mod chain;
pub(crate) mod fuzzing;
mod group;
mod position;
mod reader;
mod record;
mod recover;
mod segment;
mod shared;
#[cfg(test)]
mod tests;
mod window;
mod writer;

pub use chain::{Chain, Point};
pub use group::{BODY_BYTES_MAX, Group, GroupView};
pub use position::Position;
pub use reader::{JournalHandle, Reader};
pub use record::{Record, RecordKind};
pub(crate) use segment::hex;
pub use writer::{FlushDone, FlushJob, Journal, JournalOptions, Recovered, TornTail};

/// Whose journal it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// The data folder's incarnation.
    pub incarnation: u64,
}
