//! Drives the ownership machine of a member: what happens goes in, what it asks for is carried out. Decides nothing.
//!
//! ```text
//!  board (cells, nodes) ──┐                      ┌── changes of cells ──> manifest
//!  control lanes ─────────┤                      ├── messages ──────────> control lanes
//!  sessions ──────────────┼──> the machine ──────┼── gates, counts ─────> store, board       at once, in order
//!  the store's answers ───┤                      ├── follow, unfollow ──> sessions
//!  orders, time ──────────┘                      └── epochs, fences ────> job thread ──> store
//! ```
//!
//! # Invariants
//! - A gate is in force, and a rule for acknowledgements counts, before the next action is begun.
//! - What a job answers is durable: the job thread flushes before it answers.
//! - Fragments that were split or merged: the store falls in with the cells first, then the machine is told (`falling_in`).
//! - A job about a fragment begins after the sessions that were to end with it have ended.

mod act;
mod changing;
mod driver;
mod falling_in;
mod init;
mod jobs;
mod orders;
mod sessions;
mod standing;
mod start;

pub(super) use driver::run;
pub use init::InitError;
pub(super) use init::{init, move_here};
pub(super) use start::fenced_at;
