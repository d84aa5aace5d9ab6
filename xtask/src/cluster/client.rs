//! A cluster client as applications use one: a table of slots, a connection to each node, redirects followed, lost connections made again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::connection::{Answer, Connection, Reply};

/// Hash slots of a space.
pub(crate) const SLOTS: u16 = 16_384;
/// How long one request is tried again, as client libraries do, before it counts as an error.
const GIVE_UP: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Why a request ended without an answer: the application would have seen an error.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

/// One thread's client.
pub(crate) struct ClusterClient {
    ports: Vec<u16>,
    /// The port that serves each slot, as last known.
    slots: Vec<u16>,
    connections: BTreeMap<u16, Connection>,
    /// Redirects that were followed, and requests sent again for another reason.
    pub(crate) redirects: u64,
    pub(crate) retries: u64,
}

impl ClusterClient {
    /// For a cluster of which these ports are known; learns the slots from redirects.
    pub(crate) fn new(ports: &[u16]) -> Self {
        let slots = vec![ports[0]; usize::from(SLOTS)];
        Self { ports: ports.to_vec(), slots, connections: BTreeMap::new(), redirects: 0, retries: 0 }
    }

    /// Sends a command on `key`, and again wherever the cluster says, until it is answered.
    pub(crate) fn ask(&mut self, key: &[u8], args: &[&[u8]]) -> Result<Answer, Failed> {
        let (slot, start) = (usize::from(slot_of(key)), Instant::now());
        let mut request = Vec::new();
        crate::resp::put_command(&mut request, args);
        let (mut asking, mut port) = (false, self.slots[slot]);
        loop {
            let why = match self.once(port, &request, asking) {
                Ok(Reply::Answer(answer)) => return Ok(answer),
                Ok(Reply::Moved(to, ask)) => {
                    self.redirects += 1;
                    if !ask {
                        self.slots[slot] = to;
                    }
                    (port, asking) = (to, ask);
                    if start.elapsed() < GIVE_UP {
                        continue;
                    }
                    "redirected without end".to_owned()
                }
                Ok(Reply::Error(error)) => return Err(Failed(error)),
                Ok(Reply::Later(why)) => why,
                Err(why) => {
                    self.connections.remove(&port);
                    port = self.another(port);
                    why
                }
            };
            self.retries += 1;
            if start.elapsed() > GIVE_UP {
                return Err(Failed(why));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn another(&self, port: u16) -> u16 {
        let place = self.ports.iter().position(|known| *known == port).map_or(0, |place| place + 1);
        self.ports[place % self.ports.len()]
    }

    fn once(&mut self, port: u16, request: &[u8], asking: bool) -> Result<Reply, String> {
        let connection = match self.connections.entry(port) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Connection::open(port, ANSWER_MAX)?),
        };
        if asking {
            connection.send(b"*1\r\n$6\r\nASKING\r\n")?;
            connection.reply()?;
        }
        connection.send(request)?;
        connection.reply()
    }
}

/// The slot of a key without hash tag: CRC16 (XMODEM) modulo the number of slots, as the Redis Cluster specification says.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    let crc = key.iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(super::slot_of(b"123456789"), 0x31C3);
        assert_eq!(super::slot_of(b"foo"), 12_182);
    }
}
