//! The open connections: for CLIENT LIST, for the limit on their number, and to end the idle ones when the node stops.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::commands::table::{Command, path_of};
use super::reply::Protocol;

/// Names that a client gave itself.
#[derive(Clone, Default)]
struct Names {
    name: Vec<u8>,
    library: Vec<u8>,
    library_version: Vec<u8>,
    last_command: Option<&'static Command>,
}

/// What is known of one connection.
pub(crate) struct ClientFacts {
    /// Never given twice in a run.
    pub(crate) id: u64,
    peer: SocketAddr,
    local: SocketAddr,
    since_ms: u64,
    active_ms: AtomicU64,
    protocol: AtomicU8,
    is_idle: AtomicBool,
    names: Mutex<Names>,
}

impl ClientFacts {
    /// A connection that was made at `now_ms`.
    pub(crate) fn new(id: u64, peer: SocketAddr, local: SocketAddr, now_ms: u64) -> Self {
        Self {
            id,
            peer,
            local,
            since_ms: now_ms,
            active_ms: AtomicU64::new(now_ms),
            protocol: AtomicU8::new(2),
            is_idle: AtomicBool::new(true),
            names: Mutex::default(),
        }
    }

    /// The client's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Notes that a command runs at `now_ms`.
    pub(crate) fn touch(&self, command: &'static Command, now_ms: u64) {
        self.active_ms.store(now_ms, Ordering::Relaxed);
        self.names().last_command = Some(command);
    }

    /// Notes whether the connection waits for bytes and owes no reply.
    pub(crate) fn set_idle(&self, is_idle: bool) {
        self.is_idle.store(is_idle, Ordering::Release);
    }

    /// CLIENT SETNAME.
    pub(crate) fn set_name(&self, name: &[u8]) {
        self.names().name = name.to_vec();
    }

    /// CLIENT GETNAME; empty when there is none.
    pub(crate) fn name(&self) -> Vec<u8> {
        self.names().name.clone()
    }

    /// CLIENT SETINFO LIB-NAME.
    pub(crate) fn set_library(&self, name: &[u8]) {
        self.names().library = name.to_vec();
    }

    /// CLIENT SETINFO LIB-VER.
    pub(crate) fn set_library_version(&self, version: &[u8]) {
        self.names().library_version = version.to_vec();
    }

    /// HELLO.
    pub(crate) fn set_protocol(&self, protocol: Protocol) {
        self.protocol.store(if protocol == Protocol::Three { 3 } else { 2 }, Ordering::Relaxed);
    }

    /// One line of CLIENT LIST, without its end. Fields without a meaning here have the value of an idle Redis connection.
    pub(crate) fn line(&self, now_ms: u64) -> String {
        let names = self.names().clone();
        let age_s = now_ms.saturating_sub(self.since_ms) / 1000;
        let idle_s = now_ms.saturating_sub(self.active_ms.load(Ordering::Relaxed)) / 1000;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut line = format!("id={} addr={} laddr={} fd=0 name={}", self.id, self.peer, self.local, text(&names.name));
        let _ = write!(line, " age={} idle={idle_s} flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0", age_s);
        let _ = write!(
            line,
            " multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={}",
            names.last_command.map_or_else(|| "NULL".to_owned(), path_of)
        );
        let _ = write!(line, " user=default redir=-1 resp={}", self.protocol.load(Ordering::Relaxed));
        let _ = write!(line, " lib-name={} lib-ver={}", text(&names.library), text(&names.library_version));
        line
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Client {
    facts: Arc<ClientFacts>,
    task: Option<AbortHandle>,
}

/// The open connections, by id.
#[derive(Default)]
pub(crate) struct Registry {
    clients: Mutex<BTreeMap<u64, Client>>,
    last_id: AtomicU64,
    is_stopping: AtomicBool,
}

impl Registry {
    /// Number of open connections.
    pub(crate) fn len(&self) -> usize {
        self.clients().len()
    }

    /// Whether no connection is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.clients().is_empty()
    }

    /// Takes a new connection in.
    pub(crate) fn open(&self, peer: SocketAddr, local: SocketAddr, now_ms: u64) -> Arc<ClientFacts> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let facts = Arc::new(ClientFacts::new(id, peer, local, now_ms));
        self.clients().insert(id, Client { facts: facts.clone(), task: None });
        facts
    }

    /// Notes the task that serves connection `id`.
    pub(crate) fn attach(&self, id: u64, task: AbortHandle) {
        if let Some(client) = self.clients().get_mut(&id) {
            client.task = Some(task);
        }
    }

    /// Lets a connection go.
    pub(crate) fn close(&self, id: u64) {
        self.clients().remove(&id);
    }

    /// What is known of every connection, oldest first.
    pub(crate) fn list(&self) -> Vec<Arc<ClientFacts>> {
        self.clients().values().map(|client| client.facts.clone()).collect()
    }

    /// Whether [`Registry::stop`] was called: connections end behind their current batch.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Ends the connections that wait for bytes; the others end by themselves once their replies are out.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        for client in self.clients().values() {
            if let (true, Some(task)) = (client.facts.is_idle.load(Ordering::Acquire), &client.task) {
                task.abort();
            }
        }
    }

    /// Ends all connections at once.
    pub(crate) fn abort(&self) {
        self.clients().values().filter_map(|client| client.task.as_ref()).for_each(AbortHandle::abort);
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<u64, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
