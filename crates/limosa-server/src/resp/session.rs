//! What one connection has told us about itself, and what is counted about it.

use std::sync::Arc;

use tokio::sync::watch;

use super::cluster::{Part, Token};
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
    /// What the connection has to do with the cluster.
    pub(crate) cluster: Part,
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
            cluster: Part::default(),
        }
    }

    /// Counts the standbys that have everything on disk which this connection has written so far.
    pub(crate) fn copies(&self) -> impl Fn() -> usize + Send + 'static {
        let (shared, written, last_write) = (self.shared.clone(), self.cluster.written.clone(), self.last_write);
        let is_routed = self.cluster.picture.is_some() && !written.is_empty();
        move || match &shared.cluster {
            Some(cluster) if is_routed => {
                written.iter().map(|(of, position)| cluster.copies(of.fragment, of.number, *position)).min().unwrap_or_default()
            }
            _ => shared.node.durable_elsewhere(last_write),
        }
    }

    /// Changes when [`Session::copies`] may have.
    pub(crate) fn copies_progress(&self) -> watch::Receiver<u64> {
        match (&self.shared.cluster, &self.cluster.picture) {
            (Some(cluster), Some(_)) => cluster.ack_progress(),
            _ => self.shared.node.replica_progress(),
        }
    }

    /// RESET: as if the connection had just been made.
    pub(crate) fn reset(&mut self) {
        self.protocol = Protocol::Two;
        self.is_readonly = false;
        (self.cluster.token, self.cluster.wanted) = (Token::default(), None);
        self.facts.set_protocol(Protocol::Two);
        self.facts.set_name(&[]);
    }
}
