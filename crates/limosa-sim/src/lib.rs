//! The simulated world: an owner and its standbys, real engines over real stores, on a disk, a network and a clock that one seed rules.
//!
//! ```text
//!   operator ──> promote, follow, stop          oracle: what was acknowledged, what each version holds
//!      │                                          ▲          ▲
//!   clients ──> [ Store ][ Source ] ══ link ══ [ Target ][ Store ] ── checks after each step
//!                   │                  │                     │
//!              MemoryDisk       delay, cuts, flips      MemoryDisk
//! ```
//! Time jumps from one event to the next, so that a world of minutes runs in a fraction of a second. A world lives in two phases. In *chaos* anything may break, judged after each step by one check for each invariant. Then comes *calm*:
//! nothing breaks any more, and everything must heal and end equal. The same seed makes the same world, step by step.
//!
//! | Question | Module |
//! |---|---|
//! | What happens in which order? | [`world`] |
//! | What breaks, and how often? | [`fault`] |
//! | Where may a node die? | [`point`] |
//! | What does a node do? | `node`, `session`, `repairing`, and the crate `limosa-carry` |
//! | What is between nodes, and what time is it? | `link`, `clock` |
//! | What must hold? | [`check`], [`oracle`] |
//! | What came of it? | [`report`] |
//!
//! # Not here
//! - Sockets, TLS and threads: the node crate, tested with real processes. Moves and failover by a manifest: not built yet.
#![warn(clippy::pedantic)]
#![allow(clippy::module_name_repetitions, clippy::must_use_candidate, clippy::missing_panics_doc)]
#![allow(clippy::missing_errors_doc, reason = "an error is a rule that does not hold, or the store's own")]

pub mod check;
mod clock;
pub mod cluster;
pub mod fault;
#[cfg(feature = "planted")]
pub mod hunt;
mod link;
mod node;
pub mod oracle;
pub mod point;
pub mod program;
pub mod random;
mod repairing;
pub mod report;
mod session;
mod trace;
pub mod workload;
pub mod world;

pub use report::Report;
pub use world::{Failure, World};
