//! The front door of one node among several: who serves which slot, requests that wait for a cutover, replies that wait for standbys.
//!
//! ```text
//! node ── Picture ──> route ── Serve ──> the command, under the store's lock
//!            │          ├───── Park ───> the connection waits until the picture changes
//!            │          └───── Moved ──> -MOVED slot host:port
//!            └ acked ──> acks: replies leave once the members of the sync set have what they saw
//! ```
//!
//! # Not here
//! - Who owns what, and when that changes: the node behind [`Cluster`]. That nothing is evaluated on a fragment whose gate is shut: the
//!   store; a picture may be a moment old, the gate never is.

mod picture;
pub mod scripted;
mod seam;

pub use picture::{NodeRef, Picture, SlotRange, Standing, node_id};
pub use seam::{AckLevel, Cluster};
