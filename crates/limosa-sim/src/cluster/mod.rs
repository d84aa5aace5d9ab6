//! Worlds of a cluster: three nodes, each with a real ownership machine, over a simulated manifest, control lanes, sessions and disks.
//!
//! What is simulated here is who may write what, and when: moves, hand-overs, failovers, returns. A fragment's state is a chain of commits
//! instead of a store, and a session copies such a chain; the machine, its messages and the cells are the real ones.
//!
//! ```text
//!   operator ──> move, hand over, fail over           manifest: cells by compare-and-set, watch
//!   clients ──┐                                          ▲ outage, lost replies, stale watch
//!             ▼                                          │
//!   [ chains │ Ownership ] ══ control lane, sessions ══ [ Ownership │ chains ] × 3   crashes, partitions, pauses, lost disks
//! ```
//! # Invariants
//! Judged in `judge`: I1, I2, I3, I5, and I9 in calm.

mod chain;
mod doing;
mod judge;
mod manifest;
mod node;
mod sessions;
mod trouble;
mod world;

pub use trouble::Trouble;
pub use world::{ClusterWorld, Tally};
