//! Carries out the jobs of a session's two ends against a store: the one place where engine and store meet.
//!
//! The node drives it from threads, the simulator from its one loop, so that what is simulated is what runs. A carrier decides nothing: it
//! turns a job into calls of the store and the outcome into an event. What a driver wants beside that, it hooks in.
//!
//! # Invariants
//! - A job that fails with a [`limosa_store::StoreError`] has changed nothing, and can be carried out again.
//!
//! # Not here
//! - Threads, sockets, waiting for repairs: the node's driver. What to do next: `limosa_engine`.
#![warn(clippy::pedantic)]
#![allow(clippy::module_name_repetitions, clippy::must_use_candidate, clippy::missing_errors_doc)]

mod compare;
mod flush;
mod narrow;
mod setting_aside;
mod source;
mod target;

pub use flush::{flush, wants_flush};
pub use source::{SourceCarrier, SourceHooks};
pub use target::{TargetCarrier, TargetHooks};
