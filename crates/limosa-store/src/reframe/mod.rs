//! Splits and merges of fragments: metadata only, one journal record each, followed by standbys like a commit.
//!
//! ```text
//! Store::split, Store::merge ──> check, push ──> heads and head routes change: later commits name the new fragments
//! Store::align ────────────────┤
//! Store::replicate_reframe ───────────┘   └── flush ──> State::apply ──> published trees are parted or put together
//! ```
//! A fragment's id names one range for ever: what a split or merge makes has new ids, and ids are not used again.
//! `docs/decisions/0012-versions-over-splits-and-merges.md` says what a version means afterwards.
//!
//! # Not here
//! - How a tree is cut and joined: `limosa_tree::Fragment::split`, `merge`. How a target comes from other fragments: `stage`.

mod align;
mod apply;
mod calls;
mod error;
mod record;

pub use align::{Framed, Seam};
pub use error::ReframeError;
pub(crate) use record::Reframe;
