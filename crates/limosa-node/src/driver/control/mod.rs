//! Control lanes: one connection to each other node of the cluster for what is said about ownership, apart from the bytes of transfers.
//!
//! Of two nodes the one whose name comes first dials; both greet; then ownership messages go both ways. A message for a node without a
//! lane is lost, and so are those beyond a bounded queue: the machine asks again.
//!
//! # Invariants
//! - Who sent a message is what its certificate says, never what the message says.
//! - A lane that replaces another of the same node ends it first: the machine hears of both.

mod greeting;
mod lane;
mod lanes;

pub(super) use greeting::Greeting;
pub(super) use lanes::{Heard, Lanes};
