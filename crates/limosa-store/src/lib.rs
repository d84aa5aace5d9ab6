//! Durable fragments of one node: journal, checkpoint, data folder, and the store over them.
//!
//! ```text
//!   Txn ──writes──> pending group ──flush──> journal ──decode──> published trees ──checkpoint──> redb
//!    ▲                  │                       │                     │    │
//!    └── overlay <──────┘                       └──> Tail <── ring <──┘    └──> Cut, stage (forks)
//! ```
//! A command evaluates at the *head* (published trees and overlay). Its commit counts once the journal has it; then it is applied to the
//! trees by decoding the journal's own bytes: owner, standby and recovery share that one path.
//!
//! | Question | Module |
//! |---|---|
//! | What is in memory, and what goes? | `memory` |
//! | What may be asked of a store? | [`Store`], [`Txn`], [`Cut`], [`Tail`] |
//! | What is durable, and when? | `flush`, [`journal`], [`checkpoint`] |
//! | How does a start find it again? | `recover`, `saved` |
//! | What does a transfer's target do? | `stage`, `replicate` |
//! | How do fragments part and join? | `reframe` |
//! | How do large values lie? | `parts` |
//!
//! # Not here
//! - What a session sends, and when: the engine. Sockets and timers: the node.
#![warn(clippy::pedantic)]
#![allow(clippy::module_name_repetitions, clippy::must_use_candidate, clippy::missing_panics_doc)]
#![allow(clippy::similar_names, reason = "state, stage and stats are this crate's words")]

pub mod checkpoint;
pub mod disk;
pub mod error;
pub mod folder;
pub mod journal;

mod apply;
mod bulk;
mod clock;
mod codec;
mod cut;
mod damage;
mod drop;
mod expiry;
mod flush;
mod fragments;
#[doc(hidden)]
pub mod fuzzing;
mod gates;
mod grave;
mod house;
mod leases;
mod loader;
mod memory;
mod notes;
mod options;
mod overlay;
mod parts;
mod past;
mod quarantine;
mod ready;
mod recover;
mod reframe;
mod refusal;
mod replicate;
mod reserve;
mod save;
mod saved;
mod schedule;
mod stage;
mod state;
mod stats;
mod store;
mod tail;
mod txn;
mod uploads;

pub use cut::{Cut, FragmentView};
pub use damage::{DAMAGED_MAX, DamagedBlock};
pub use error::StoreError;
pub use folder::Identity;
pub use gates::FragmentGate;
pub use house::Raised;
pub use journal::Position;
pub use leases::{LeaseBounds, LeaseFacts};
pub use memory::MemoryUse;
pub use options::{Clock, Durability, Entropy, Options};
pub use parts::Reading;
pub use quarantine::put_line;
pub use reframe::{Framed, ReframeError, Seam};
pub use refusal::{ReplicateError, StageError};
pub use save::CheckpointReport;
pub use schedule::Due;
pub use stage::{SealedFacts, StageApplied, StageStart, StageState, StagedFragment};
pub use state::{Check, Drift, Found};
pub use stats::StoreStats;
pub use store::Store;
pub use tail::{Batch, COMMIT_BYTES_LIVE_MAX, Tail, TailRead};
pub use txn::{Look, LostEntry, NotReapplied, Place, Reapplied, StringFacts, StringValue, Txn, ValueBytes};
pub use uploads::Join;

/// What cuts answer with: the tree's own values.
pub use limosa_tree::{Applied, BlockId, Changes, Entry, Extract, Mended, Summary, Unloaded};
