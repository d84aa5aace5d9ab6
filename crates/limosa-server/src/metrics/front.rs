//! What the client doors count as they go.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Handles for the doors; cheap to clone, and each step is one atomic add.
#[derive(Clone, Debug)]
pub struct Front {
    /// Client connections open now.
    pub connections: Gauge,
    /// Client connections accepted.
    pub accepted: Counter,
    /// Client connections refused because there were too many.
    pub refused: Counter,
    /// Commands answered.
    pub commands: Counter,
    /// Of those, answered with an error.
    pub command_errors: Counter,
    /// Bytes received from clients.
    pub received_bytes: Counter,
    /// Bytes sent to clients.
    pub sent_bytes: Counter,
}

impl Front {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let front = Self {
            connections: Gauge::default(),
            accepted: counter("client_connections_accepted", "Client connections accepted"),
            refused: counter("client_connections_refused", "Client connections refused because there were too many"),
            commands: counter("commands", "Commands answered"),
            command_errors: counter("command_errors", "Commands answered with an error"),
            received_bytes: counter("client_received_bytes", "Bytes received from clients"),
            sent_bytes: counter("client_sent_bytes", "Bytes sent to clients"),
        };
        registry.register("client_connections", "Client connections open now", front.connections.clone());
        front
    }
}
