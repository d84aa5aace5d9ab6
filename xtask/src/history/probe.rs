//! Requests that wait in the sockets of a paused node: what it answers when it goes on must not be about the past.

use std::time::{Duration, Instant};

use super::clients::{key_text, number_of, replies, request, value_of};
use super::operation::{Operation, What};
use crate::cluster::connection::{Answer, Connection, Reply};

/// The client number of probes, above that of every other client.
const NUMBER: u64 = 1 << 20;

/// Connections to one node, made while it ran.
pub(crate) struct Probe {
    port: u16,
    start: Instant,
    /// A read and a write of each key.
    connections: Vec<(Connection, Operation)>,
    value_bytes: usize,
}

impl Probe {
    /// Connects to `port` for each key. `round` makes its values its own.
    pub(crate) fn open(port: u16, keys: impl Iterator<Item = u32>, start: Instant, round: u64, value_bytes: usize) -> Result<Self, String> {
        let mut connections = Vec::new();
        for key in keys {
            for what in [What::Read(None), What::Write(((NUMBER | round) << 40) | u64::from(key))] {
                let operation = Operation { key, what, invoked: 0, returned: None, seen: None, node: port, may_be_old: false };
                connections.push((Connection::open(port, Duration::from_secs(5))?, operation));
            }
        }
        Ok(Self { port, start, connections, value_bytes })
    }

    /// Sends everything: the node's system takes it, the node does not see it yet.
    pub(crate) fn send(&mut self) {
        for (connection, operation) in &mut self.connections {
            let text = key_text(operation.key);
            operation.invoked = u64::try_from(self.start.elapsed().as_nanos()).expect("a history is shorter than 500 years");
            let bytes = match operation.what {
                What::Write(number) => {
                    let value = value_of(number, self.value_bytes);
                    request(&[b"SET", text.as_bytes(), &value], false)
                }
                What::Read(_) => request(&[b"GET", text.as_bytes()], false),
            };
            let _ = connection.send(&bytes); // where that fails, no answer comes either
        }
    }

    /// What it answered: reads that were, and writes, of which those without an answer are unknown. A refused one is none.
    pub(crate) fn read(self) -> Vec<Operation> {
        let mut history = Vec::new();
        for (mut connection, mut operation) in self.connections {
            assert_eq!(operation.node, self.port, "all are to one node");
            match replies(&mut connection, false) {
                Ok((Reply::Answer(answer), seen)) => {
                    let returned = u64::try_from(self.start.elapsed().as_nanos()).expect("a history is shorter than 500 years");
                    (operation.returned, operation.seen) = (Some(returned), seen);
                    if let (What::Read(found), Answer::Value(value)) = (&mut operation.what, answer) {
                        *found = value.as_deref().map(number_of);
                    }
                }
                Ok((Reply::Moved(..) | Reply::Later(_), _)) => continue,
                Ok((Reply::Error(_), _)) | Err(_) if matches!(operation.what, What::Read(_)) => continue,
                Ok((Reply::Error(_), _)) | Err(_) => {}
            }
            history.push(operation);
        }
        history
    }
}
