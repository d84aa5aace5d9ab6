//! What one connection has told us about itself, and what is counted about it.

use std::sync::Arc;

use super::registry::ClientFacts;
use super::reply::Protocol;
use super::shared::Shared;
use super::stream_in::Arrived;
use super::stream_out::Splices;

/// The state of one connection between its commands. Knows no socket.
#[derive(Clone)]
pub(crate) struct Session {
    /// What all connections of the front door share.
    pub(crate) shared: Arc<Shared>,
    /// What CLIENT LIST shows of this one.
    pub(crate) facts: Arc<ClientFacts>,
    /// Chosen with HELLO.
    pub(crate) protocol: Protocol,
    /// Whether READONLY was sent: a standby then answers reads.
    pub(crate) is_readonly: bool,
    /// Whether the connection ends behind the reply to the current command.
    pub(crate) is_closing: bool,
    /// Position of the last write of this connection: what WAIT waits for.
    pub(crate) last_write: u64,
    /// Arguments of the command to come, or at hand, that have arrived in pieces.
    pub(crate) arrived: Vec<Arrived>,
    /// The first of them was joined to the value that is there.
    pub(crate) is_joined: bool,
    /// Values that belong into the output.
    pub(crate) splices: Splices,
}

impl Session {
    /// A connection that has said nothing yet.
    pub(crate) fn new(shared: Arc<Shared>, facts: Arc<ClientFacts>) -> Self {
        Self {
            shared,
            facts,
            protocol: Protocol::Two,
            is_readonly: false,
            is_closing: false,
            last_write: 0,
            arrived: Vec::new(),
            is_joined: false,
            splices: Splices::default(),
        }
    }

    /// RESET: as if the connection had just been made.
    pub(crate) fn reset(&mut self) {
        self.protocol = Protocol::Two;
        self.is_readonly = false;
        self.facts.set_protocol(Protocol::Two);
        self.facts.set_name(&[]);
    }
}
