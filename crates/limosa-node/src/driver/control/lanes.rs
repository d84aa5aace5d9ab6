//! The lanes of a node: dials those that it must, takes those that come, and knows which one of a peer counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limosa_core::NodeName;
use limosa_wire::OwnershipMessage;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::greeting::Greeting;
use super::lane::{self, REDIAL_MAX};
use crate::error::PeerError;
use crate::transport::{Backoff, Connection, Purpose, Tls};

/// Messages that wait to be written to one peer.
const OUTBOUND_MAX: usize = 1024;
/// What was heard and not yet taken by the driver.
const HEARD_MAX: usize = 256;

/// What comes from the lanes.
#[derive(Debug)]
pub(in crate::driver) enum Heard {
    /// A lane is up; another of the same node, if there was one, counts no more.
    Up {
        from: NodeName,
        lane: u64,
        /// Random, new for each start of the other process.
        start: u64,
    },
    /// It broke.
    Down { from: NodeName, lane: u64 },
    /// A message.
    Said { from: NodeName, lane: u64, message: OwnershipMessage },
}

/// All lanes. Clones share them.
#[derive(Clone)]
pub(in crate::driver) struct Lanes {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) greeting: Greeting,
    pub(super) heard: mpsc::Sender<Heard>,
    tls: Tls,
    revision: AtomicU64,
    last: AtomicU64,
    up: Mutex<BTreeMap<NodeName, Up>>,
    dialled: Mutex<BTreeMap<NodeName, Dialled>>,
}

/// A lane that counts.
struct Up {
    lane: u64,
    queue: mpsc::Sender<OwnershipMessage>,
    /// Dropped: the lane ends.
    _end: oneshot::Sender<()>,
}

struct Dialled {
    address: String,
    task: JoinHandle<()>,
}

impl Drop for Dialled {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lanes {
    pub(in crate::driver) fn new(greeting: Greeting, tls: Tls) -> (Self, mpsc::Receiver<Heard>) {
        let (heard, hear) = mpsc::channel(HEARD_MAX);
        let (up, dialled) = (Mutex::default(), Mutex::default());
        let inner = Inner { greeting, heard, tls, revision: AtomicU64::new(0), last: AtomicU64::new(0), up, dialled };
        (Self { inner: Arc::new(inner) }, hear)
    }

    /// The nodes that there are, with their peer addresses: lanes to those whose names come behind this one's are dialled from here.
    pub(in crate::driver) fn set_nodes(&self, nodes: &BTreeMap<NodeName, String>, revision: u64) {
        self.inner.revision.fetch_max(revision, Ordering::Relaxed);
        let mut dialled = lock(&self.inner.dialled);
        dialled.retain(|name, row| nodes.get(name) == Some(&row.address));
        for (name, address) in nodes.iter().filter(|(name, _)| **name > self.inner.greeting.node) {
            if !dialled.contains_key(name) {
                let task = tokio::spawn(dial(self.clone(), name.clone(), address.clone()));
                dialled.insert(name.clone(), Dialled { address: address.clone(), task });
            }
        }
    }

    /// Sends a message, if there is a lane with room.
    pub(in crate::driver) fn send(&self, to: &NodeName, message: OwnershipMessage) {
        if let Some(up) = lock(&self.inner.up).get(to)
            && let Err(error) = up.queue.try_send(message)
        {
            tracing::debug!(%to, "a control message is lost: {error}");
        }
    }

    /// Takes a lane that the other end dialled, until it ends.
    pub(in crate::driver) async fn accept(&self, connection: Connection) -> PeerError {
        lane::run(self, connection).await.0
    }
}

impl Inner {
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// A new lane of `peer` counts from now on; the one before it ends.
    pub(super) fn register(&self, peer: &NodeName) -> (u64, mpsc::Receiver<OwnershipMessage>, oneshot::Receiver<()>) {
        let lane = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let ((queue, messages), (end, ended)) = (mpsc::channel(OUTBOUND_MAX), oneshot::channel());
        lock(&self.up).insert(peer.clone(), Up { lane, queue, _end: end });
        (lane, messages, ended)
    }

    pub(super) fn deregister(&self, peer: &NodeName, lane: u64) {
        let mut up = lock(&self.up);
        if up.get(peer).is_some_and(|up| up.lane == lane) {
            up.remove(peer);
        }
    }
}

async fn dial(lanes: Lanes, name: NodeName, address: String) {
    let mut backoff = Backoff::new(lanes.inner.greeting.start);
    loop {
        match Connection::connect_for(Purpose::Lane, &address, &lanes.inner.tls).await {
            Ok(connection) if *connection.peer_name() == name => {
                let (error, was_lane) = lane::run(&lanes, connection).await;
                tracing::info!(%name, address, code = error.code(), "the control lane ended: {error}");
                if was_lane {
                    backoff.reset();
                }
            }
            Ok(connection) => {
                tracing::warn!(%name, address, found = %connection.peer_name(), "another node answers at this address");
            }
            Err(error) => tracing::debug!(%name, address, code = error.code(), "no control lane: {error}"),
        }
        tokio::time::sleep(backoff.next_wait().min(REDIAL_MAX)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
