//! The state machines of a transfer, without I/O: what the two ends decide, in which order, and why.
//!
//! A machine takes messages and the results of jobs, each with `now`, and gives [`source::Action`]s or [`target::Action`]s:
//! messages to send and jobs to run against the store. Whoever drives it (the async node, a test, a simulator) holds no decision.
//!
//! ```text
//!            messages                                    messages
//!   peer  <----------->  driver  ---- events ---->  machine (this crate)
//!                          |     <--- actions ----
//!                          +-- jobs --> store
//! ```
//!
//! # Architecture invariants
//! - No clock, randomness, file, socket or thread; `now` is an argument, ids are given by the driver.
//! - A job's result comes back in the order in which the jobs were asked for.

pub mod compare;
pub mod credit;
pub mod error;
pub mod ownership;
pub mod plan;
mod reach;
pub mod repair;
pub mod shared;
pub mod source;
pub mod target;

pub use error::SessionError;
pub use repair::Repair;
pub use source::Source;
pub use target::Target;
