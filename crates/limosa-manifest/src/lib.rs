//! Who owns what: the manifest's entries, the rules by which they change, and the stores that keep them.
//!
//! | Question | Module |
//! |---|---|
//! | What is known of a fragment, and which changes are legal? | [`cell`], of the core |
//! | How does an entry lie in the store? | [`entry`], [`key`] |
//! | Was the store put back to an older state? | [`ratchet`] |
//! | What must a store promise? | [`store`] |
//! | Where is it kept? | [`embedded`] (one machine), [`etcd`] (a cluster) |
//! | How does a manifest get from one store into another? | [`handover`] |
//! | How is all of this used together? | [`Manifest`] |
//!
//! Ownership changes by one compare-and-set on one cell. A node never acts on what it sent, only on what the cell says.
//!
//! # Not here
//! - When to move, to fence or to promote: the engine. Whether a peer is alive: the node; leases are hints.
#![warn(clippy::pedantic)]
#![allow(clippy::module_name_repetitions, clippy::must_use_candidate, clippy::missing_panics_doc, clippy::missing_errors_doc)]

pub mod embedded;
pub mod entry;
pub mod error;
pub mod etcd;
#[doc(hidden)]
pub mod fuzzing;
pub mod handover;
mod ids;
pub mod key;
mod manifest;
mod news;
pub mod node;
pub mod ratchet;
pub mod store;

pub use error::ManifestError;
pub use key::Key;
pub use limosa_core::cell::{self, FragmentCell, Intent, Refusal};
pub use manifest::{Changed, Held, Manifest};
pub use news::News;
pub use node::NodeEntry;
pub use store::{Boxed, Change, Committed, Event, Guard, LeaseId, ManifestStore, Reading, Stored, Watch, Write};
