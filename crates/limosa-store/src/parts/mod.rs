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
mod reading;
mod rewrite;
mod view;

pub(crate) use cut::{Cutter, cut};
pub(crate) use head::{
    PartedHead, generation_range, may_be_upload, part_key, part_place, parts_range, upload_key, upload_of, uploads_range,
};
pub(crate) use labels::{Ascending, between};
pub(crate) use reading::BROKEN;
pub use reading::Reading;
pub(crate) use rewrite::{OldPart, Rewrite, rewrite};
pub(crate) use view::{Joint, PartsView};
