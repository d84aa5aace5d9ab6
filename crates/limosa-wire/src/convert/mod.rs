//! Between messages as values of the core and as protobuf envelopes with columns.
//!
//! [`outgoing`] checks what this program is about to send against the limits that a peer holds it to; [`incoming`] believes nothing.

mod incoming;
mod key_list;
mod outgoing;
mod ownership;
mod shared;

pub(crate) use incoming::{goes_on, message};
pub(crate) use outgoing::parts;
