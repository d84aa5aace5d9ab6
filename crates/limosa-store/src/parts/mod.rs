//! Large values as parts: how one is cut, where its parts lie in key order, and what an edit rewrites.
//!
//! ```text
//! user key      head entry, Kind::PARTED: generation | bytes | parts     (varints)
//! + 01 | generation (8) | label (8)      a part, about 2 KiB; labels ascend with the position in the value
//! ```
//! # Not here
//! - Reading and writing the entries: [`crate::txn`].

mod cut;
mod head;
mod labels;
mod rewrite;

pub(crate) use cut::cut;
pub(crate) use head::{PartedHead, part_key, parts_range};
pub(crate) use rewrite::{OldPart, Rewrite, rewrite};
