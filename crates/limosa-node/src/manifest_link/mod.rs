//! The embedded manifest over the nodes' own TLS: one process holds the file, the others of the machine call it.
//!
//! A connection of its own on the peer port (application protocol `limosa-manifest`), certificates at both ends as for any peer. Calls have
//! ids and are answered in any order; a watch is a call with many answers.
//!
//! # Invariants
//! - A change whose answer did not come is [`ManifestError::Unknown`](limosa_manifest::ManifestError::Unknown) if a byte of it may have left,
//!   and else [`ManifestError::Unavailable`](limosa_manifest::ManifestError::Unavailable) and never sent.
//! - A watch that lost its connection says so; nothing is skipped silently.
//! - Lengths are checked before anything is allocated; calls and watches of a connection are bounded.

mod client;
mod fault;
mod frames;
pub(crate) mod fuzzing;
mod messages;
mod server;
mod watch;

pub use client::RemoteStore;
pub(crate) use server::serve;
