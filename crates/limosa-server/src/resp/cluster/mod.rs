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

mod acks;
mod own;
mod parking;
mod part;
mod picture;
mod route;
pub mod scripted;
mod seam;
mod slowing;
mod token;
mod waiting;

pub(crate) use acks::{AckGate, drive as drive_acks};
pub(crate) use own::Own;
pub(crate) use parking::Parking;
pub(crate) use part::{Entry, Part, enter, note};
pub use picture::{NodeRef, Picture, SlotRange, Standing, node_id};
pub(crate) use route::{Route, route_write};
pub use seam::{AckLevel, Acked, Cluster};
pub(crate) use token::Token;
