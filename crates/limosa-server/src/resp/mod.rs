//! The Redis protocol front door: RESP2 and RESP3 over TCP, for any Redis client.
//!
//! ```text
//! socket ── parser ── batch ── dispatch ── commands ── keyspace (store, or a map in tests)
//!    └───────── reply ◄──────────┘             gate: replies leave once the horizon covers what they saw
//! ```
//! One thread runs all connections. What a connection has sent is executed under one hold of the store's lock, one commit for each
//! command; the connections that are ready in the same turn of the event loop share one group commit (`gate`). `commands` and
//! `dispatch` know no socket and no clock.
//!
//! # Not here
//! - What is durable, and how: `limosa-store`. Who is the owner: the [`node::Node`] around the front door.

mod backend;
mod batch;
mod big;
mod call;
pub mod cluster;
mod commands;
mod connection;
mod dispatch;
mod ended;
mod error;
pub(crate) mod fuzzing;
mod gate;
mod glob;
mod inline;
mod keyspace;
mod long_double;
#[cfg(test)]
mod memory;
mod node;
mod number;
pub mod parser;
mod read_budget;
mod registry;
mod reply;
mod server;
mod session;
mod shared;
mod stream_in;
mod stream_out;
mod turn;

pub use error::{CommandError, KeyspaceError};
pub use keyspace::{Backend, BackendFacts, Cold, Keyspace, Looked, Place, Published, ScannedKey, Stat, Stretch, Value, Visit};
pub use node::{Node, NodeFacts, Replica};
pub use server::{Options, ServerHandle, serve};

#[cfg(test)]
mod tests;
