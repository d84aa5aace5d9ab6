//! Listens, takes connections in up to the limit, and ends them in an orderly way.

use std::io::{self, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use limosa_core::limits::CLIENTS_MAX;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::cluster::{self, AckLevel};
use super::connection::Connection;
use super::gate::{self, Gate};
use super::keyspace::Backend;
use super::node::Node;
use super::session::Session;
use super::shared::{Shared, Stats};
use crate::metrics::ClientCounts;

/// Optional decisions of a front door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// How long connections that owe replies may take to send them when the front door stops.
    pub grace: Duration,
    /// 40 hexadecimal digits that name this run of the node: INFO shows it and clients notice a restart by it.
    pub run_id: String,
    /// Whose disks have a commit before a reply that tells of it leaves. What `standby` asks of a fragment is the node's to know.
    pub ack: AckLevel,
    /// A reply that is not acknowledged after so long becomes an error.
    pub ack_timeout: Duration,
    /// A standby further behind than this answers no reads, but names the owner; `None` for any.
    pub staleness_max: Option<Duration>,
    /// A request whose slot changes hands waits for at most so long.
    pub park_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(5),
            run_id: "0".repeat(40),
            ack: AckLevel::Local,
            ack_timeout: Duration::from_secs(5),
            staleness_max: None,
            park_max: Duration::from_secs(10),
        }
    }
}

/// A running front door. Dropping it stops it without waiting.
pub struct ServerHandle {
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl ServerHandle {
    /// Reads what the front door counted since it opened, or since CONFIG RESETSTAT; from any thread.
    pub fn counter(&self) -> impl Fn() -> ClientCounts + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || shared.stats.counts(shared.registry.len())
    }

    /// Takes no more connections, lets those that owe replies send them, closes all, and waits for that. Blocks for at most the grace time.
    pub fn stop(mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the front door's thread must not panic");
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// Threads for commands that walk over all keys; more such commands wait for one of them.
const WALKERS_MAX: usize = 2;

/// Serves `backend` on `listener`, on a thread of its own.
///
/// # Errors
/// The listener can't be used without blocking, or the thread does not start.
pub fn serve<B: Backend>(listener: TcpListener, backend: Arc<B>, node: Arc<dyn Node>, options: Options) -> io::Result<ServerHandle> {
    listener.set_nonblocking(true)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(WALKERS_MAX + LOADERS).build()?;
    let stop = Arc::new(Notify::new());
    let stopped = stop.clone();
    let grace = options.grace;
    let shared = Arc::new(Shared::new(node, options));
    let served_by = shared.clone();
    let thread = std::thread::Builder::new().name("limosa-resp".to_owned()).spawn(move || {
        let served = runtime.block_on(run(listener, backend, served_by, &stopped, grace));
        if let Err(error) = served {
            tracing::error!(code = "resp.listener", %error, "the RESP port can't be served");
        }
    })?;
    Ok(ServerHandle { stop, thread: Some(thread), shared })
}

async fn run<B: Backend>(listener: TcpListener, backend: Arc<B>, shared: Arc<Shared>, stop: &Notify, grace: Duration) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let gate = Arc::new(Gate::new(backend.horizon()));
    let flusher = tokio::spawn(gate::drive(backend.clone(), gate.clone(), shared.clone()));
    let acks = shared.acks.clone().map(|gate| tokio::spawn(cluster::drive_acks(gate)));
    tokio::select! {
        () = accept(&listener, &backend, &gate, &shared) => {}
        () = stop.notified() => {}
    }
    drop(listener);
    shared.registry.stop();
    let emptied = async {
        while !shared.registry.is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    if timeout(grace, emptied).await.is_err() {
        tracing::warn!(code = "resp.stop", clients = shared.registry.len(), "connections did not end in time");
        shared.registry.abort();
    }
    flusher.abort();
    acks.into_iter().for_each(|acks| acks.abort());
    Ok(())
}

/// Threads that load for commands what is not in memory.
const LOADERS: usize = 2;

/// How long to wait when the system gives no connection, mostly for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

async fn accept<B: Backend>(listener: &tokio::net::TcpListener, backend: &Arc<B>, gate: &Arc<Gate>, shared: &Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = open(stream, backend, gate, shared) {
                    tracing::debug!(code = "resp.socket", %peer, %error, "a connection ended before it was served");
                }
            }
            Err(error) => {
                tracing::warn!(code = "resp.accept", %error, "no connection can be taken in");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn open<B: Backend>(stream: TcpStream, backend: &Arc<B>, gate: &Arc<Gate>, shared: &Arc<Shared>) -> io::Result<()> {
    let clients_max = shared.settings.clients_max.load(Ordering::Relaxed).min(CLIENTS_MAX);
    if shared.registry.len() >= clients_max {
        Stats::add(&shared.stats.rejected, 1);
        return reject(stream);
    }
    stream.set_nodelay(true)?;
    Stats::add(&shared.stats.connections, 1);
    let facts = shared.registry.open(stream.peer_addr()?, stream.local_addr()?, shared.now_ms());
    let id = facts.id;
    let session = Session::new(shared.clone(), facts);
    let task = tokio::spawn(Connection::new(stream, backend.clone(), gate.clone(), session).run());
    shared.registry.attach(id, task.abort_handle());
    Ok(())
}

/// As Redis: tells why, as far as the socket takes it at once, and closes.
fn reject(stream: TcpStream) -> io::Result<()> {
    stream.into_std()?.write_all(b"-ERR max number of clients reached\r\n")
}
