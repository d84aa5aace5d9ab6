//! One fragment's state in memory: packed blocks of entries under a copy-on-write summary tree. No file, socket, thread or clock is touched here.
//!
//! | Question | Module |
//! |---|---|
//! | What does a run of entries add up to? | [`summary`] |
//! | How do entries lie in memory and in a checkpoint? | `block` |
//! | Which block holds a key, which blocks changed? | `tree` |
//! | How much memory do blocks take, and which may go? | [`memory`], `tree` |
//! | How do commits and frames change a fragment, and what is sent of it? | [`fragment`] |
//!
//! Cloning a [`Fragment`] is O(1): the clone is a snapshot, or a fork onto which frames are applied.
#![warn(clippy::pedantic)]
#![allow(clippy::module_name_repetitions, clippy::missing_panics_doc, clippy::must_use_candidate, clippy::missing_errors_doc)]

mod block;
pub mod error;
pub mod fragment;
#[doc(hidden)]
pub mod fuzzing;
pub mod memory;
pub mod summary;
mod tree;

pub use error::{FrameError, LoadError, MendError, PartError, TreeError};
pub use fragment::{
    Applied, BlockId, BlockLoader, Changes, ColdBlock, DirtyBlock, Dropped, Entry, Extract, Fragment, FragmentMeta, Mended, MergeEpoch,
};
pub use fragment::{Peek, Removed, SpillBlock, SpilledBlock, StoredBlock, Unloaded, ValuePlace};
pub use memory::Ledger;
pub use summary::Summary;
pub use tree::Grave;
