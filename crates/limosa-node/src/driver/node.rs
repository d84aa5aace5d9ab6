//! A running node: its role, its peer port, its sessions, and the pulse that flushes, syncs, expires and checkpoints.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use limosa_core::{FragmentId, Scope, SpaceKeys, Version};
use limosa_manifest::Manifest;
use limosa_store::{Durability, FragmentGate, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::cluster::{Board, Cluster, ManifestAt, MemberOptions, Order, View};
use super::durable::DurableHeads;
use super::follower;
use super::ownership::InitError;
use super::registry::Registry;
use super::role::Role;
use super::session_end::SessionEnd;
use super::session_table::SessionTable;
use super::source_session::SourceSession;
use crate::transport::{Connection, Purpose, Tls};

/// How long an order waits for a node that is starting, and how often it looks.
const START_TIME_MAX: Duration = Duration::from_secs(10);
const START_LOOK: Duration = Duration::from_millis(10);

/// What a node must be told.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Its name, as in its certificate.
    pub node: String,
    /// The space's secret keys.
    pub space_keys: SpaceKeys,
    /// When a commit counts as published.
    pub durability: Durability,
    /// Most bytes on their way to a target before its journal has them.
    pub credit_window: u64,
    /// Where to log each entry sent, for audits.
    pub transfer_log: Option<PathBuf>,
}

/// What the tasks of a node share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) tls: Tls,
    pub(super) options: NodeOptions,
    pub(super) registry: Arc<Registry>,
    /// The sessions that last.
    pub(super) sessions: Arc<SessionTable>,
    pub(super) role: watch::Sender<Role>,
    pub(super) published: watch::Sender<u64>,
    pub(super) reset: watch::Sender<u64>,
    ready: AtomicBool,
    pub(super) scrubbed: Mutex<Option<Instant>>,
    /// Asked with interval durability only: with commit durability every published head is durable.
    pub(super) durable: DurableHeads,
    /// What a member of a cluster knows of it.
    pub(super) board: Option<Arc<Board>>,
}

impl Shared {
    pub(super) fn cluster(&self) -> [u8; 16] {
        self.tls.identity().cluster.0
    }

    pub(super) fn random(&self) -> Result<u64, SessionEnd> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| SessionEnd::Randomness(error.to_string()))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Commits up to `position` were published: streams may send them.
    pub(super) fn publish(&self, position: u64) {
        self.published.send_if_modified(|known| {
            let is_new = position > *known;
            *known = position.max(*known);
            is_new
        });
    }

    /// The newest version of each fragment that survives a power cut; zero before the first flush since the start.
    pub(super) fn durable_heads(&self) -> BTreeMap<FragmentId, Version> {
        let stats = self.store.stats();
        if self.options.durability == Durability::Commit || stats.flushed >= stats.horizon {
            return super::pulse::heads(&self.store);
        }
        self.durable.all()
    }

    /// Makes everything published survive a power cut, and notes how far that is.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let (before, heads) = (self.durable.all(), super::pulse::heads(&self.store));
        self.store.sync()?;
        self.durable.synced(&before, heads);
        Ok(())
    }

    pub(super) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }
}

/// A running node. Cloning gives another handle.
#[derive(Clone)]
pub struct Node {
    pub(super) shared: Arc<Shared>,
}

impl Node {
    /// Takes up the role that the store remembers, or that `standby_of` names; an owner opens a new epoch before it takes writes.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// The store fails; the folder was promoted and `standby_of` is given.
    pub fn open(store: Store, tls: Tls, options: NodeOptions, standby_of: Option<String>) -> Result<Self, RoleError> {
        let role = Role::at_start(&store.role(), standby_of)?;
        if store.role() != role.encode() {
            store.set_role(&role.encode())?;
        }
        if role.is_owner() {
            // A restart is a failover to itself: what was streamed and lost with the last epoch is never given again.
            store.open_epoch(0)?;
        }
        Ok(Self::with(store, tls, options, role, None))
    }

    /// Becomes a member of the cluster whose manifest `member` names: it serves nothing before the manifest says so, and opens epochs then.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// The store fails; the embedded manifest can't be opened.
    pub fn open_member(store: Store, tls: Tls, options: NodeOptions, member: MemberOptions) -> Result<Self, RoleError> {
        let role = Role::Member;
        if store.role() != role.encode() {
            store.set_role(&role.encode())?;
        }
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(|error| RoleError::Randomness(error.to_string()))?;
        let embedded = super::manifest::embedded(&member.manifest, u64::from_le_bytes(number))?;
        // Nothing is served before the manifest has said so, and the epoch that it says is open.
        let closed: Vec<_> = store.facts().iter().map(|facts| (facts.id, FragmentGate::Closed)).collect();
        store.set_gates(&closed);
        let board = Board::new(tls.identity().node.clone(), member, embedded);
        Ok(Self::with(store, tls, options, role, Some(Arc::new(board))))
    }

    fn with(store: Store, tls: Tls, options: NodeOptions, role: Role, board: Option<Arc<Board>>) -> Self {
        let shared = Shared {
            published: watch::Sender::new(store.horizon().0),
            ready: AtomicBool::new(role.is_owner() && !role.is_member()),
            store,
            tls,
            options,
            registry: Arc::default(),
            sessions: Arc::default(),
            role: watch::Sender::new(role),
            reset: watch::Sender::new(0),
            scrubbed: Mutex::new(None),
            durable: DurableHeads::default(),
            board,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The cluster, where this node is a member of one.
    pub fn cluster(&self) -> Option<Cluster> {
        self.shared.board.clone().map(|board| Cluster { board })
    }

    /// Serves peers on `listener` and follows an owner while this node is a standby, until the returned future is dropped.
    pub async fn run(&self, listener: TcpListener) {
        let pulse = super::pulse::spawn(&self.shared);
        let shared = self.shared.clone();
        match &self.shared.board {
            Some(board) => drop(tokio::join!(accept(shared.clone(), listener), super::member::run(shared, board.clone()))),
            None => drop(tokio::join!(accept(shared.clone(), listener), follower::run(shared))),
        }
        drop(pulse);
    }

    /// Turns a standby into an owner under a new epoch, which is returned. An owner stays what it is and opens no epoch.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// The store fails.
    pub fn promote(&self) -> Result<u32, StoreError> {
        let store = &self.shared.store;
        if self.role().is_owner() {
            return Ok(store.facts().iter().map(|facts| facts.epochs.epoch()).max().unwrap_or(0));
        }
        // Order: no more commits of the old owner; then the epoch, durably; then the role, durably; only then are writes taken.
        self.shared.role.send_replace(Role::Promoting);
        store.flush()?;
        store.stage_abort_of(&Scope::All)?;
        let epoch = store.open_epoch(0)?;
        store.set_role(&Role::Promoted.encode())?;
        self.shared.registry.forget_owners();
        self.shared.role.send_replace(Role::Promoted);
        self.shared.set_ready();
        Ok(epoch)
    }

    /// Makes the node a standby of the owner at `address`. Blocks on the disk.
    ///
    /// # Errors
    /// The store fails; a member of a cluster, whose manifest says whom it follows.
    pub fn follow(&self, address: &str) -> Result<(), StoreError> {
        if self.role().is_member() {
            let why = "the manifest says whom a member of a cluster follows".to_owned();
            return Err(StoreError::Invalid { what: "an order to follow", why });
        }
        let role = Role::Standby { of: address.to_owned() };
        {
            // Under the store's lock: a write that was being evaluated is in the journal before the role changes, none is evaluated behind it.
            let _writers = self.shared.store.begin();
            self.shared.ready.store(false, Ordering::Relaxed);
            self.shared.registry.forget_owners();
            self.shared.role.send_replace(role.clone());
        }
        self.shared.store.flush()?;
        self.shared.store.set_role(&role.encode())?;
        Ok(())
    }

    /// Drops every peer connection; they are made again. Returns how many there were.
    pub fn reset_peers(&self) -> usize {
        let connected = self.shared.registry.peers().iter().filter(|peer| peer.connected).count();
        self.shared.reset.send_modify(|count| *count += 1);
        connected
    }

    /// What the node is to its state.
    pub fn role(&self) -> Role {
        self.shared.role.borrow().clone()
    }

    /// Whether it can do its work: an owner at once, a standby once it agreed with its owner.
    pub fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Relaxed)
    }

    /// The newest version of each fragment that survives a power cut; zero before the first flush since the start.
    pub fn durable_heads(&self) -> BTreeMap<FragmentId, Version> {
        self.shared.durable_heads()
    }

    /// Makes a cluster of this node's fragments, all its own. Where they are cells already, nothing is changed. Returns how many there are.
    ///
    /// # Errors
    /// The node has no manifest, or it is away; it has fragments of others.
    pub async fn init_cluster(&self) -> Result<usize, InitError> {
        let board = self.shared.board.as_ref().ok_or(InitError::NoManifest)?;
        let manifest = self.manifest(board).await.ok_or(InitError::Starting)?;
        super::ownership::init(&self.shared, board, manifest).await
    }

    /// Moves the embedded manifest in a folder of this machine into the etcd that this node was told of; no state is copied. Nobody may serve
    /// the old one any more. A call that was cut off is given again. Returns how many fragments there are.
    ///
    /// # Errors
    /// This node's manifest is not in etcd; there is none in the folder, or it is in use; another cluster is there.
    pub async fn init_cluster_from(&self, folder: PathBuf) -> Result<usize, InitError> {
        let board = self.shared.board.as_ref().ok_or(InitError::NoManifest)?;
        if !matches!(board.options.manifest, ManifestAt::Etcd(_)) {
            return Err(InitError::NotEtcd);
        }
        let manifest = self.manifest(board).await.ok_or(InitError::Starting)?;
        super::ownership::move_here(&folder, manifest).await
    }

    /// The manifest, which is opened a moment after the ports listen.
    async fn manifest<'b>(&self, board: &'b Board) -> Option<&'b Manifest> {
        let until = tokio::time::Instant::now() + START_TIME_MAX;
        while board.manifest.get().is_none() && tokio::time::Instant::now() < until {
            tokio::time::sleep(START_LOOK).await;
        }
        board.manifest.get()
    }

    /// Hands this node's fragments over to complete standbys, as far as there are some, until `deadline`. Nothing is copied. Returns how many
    /// are still this node's.
    pub async fn hand_over(&self, deadline: Duration) -> usize {
        let Some(cluster) = self.cluster() else { return 0 };
        let until = tokio::time::Instant::now() + deadline;
        let ordered = tokio::time::timeout_at(until, cluster.order(Order::HandOver)).await;
        if let Ok(Err(error)) = &ordered {
            tracing::warn!(code = error.code(), "nothing is handed over: {error}");
        }
        let given: Vec<_> = ordered.ok().and_then(Result::ok).map(|ordered| ordered.taken).unwrap_or_default();
        let mut changed = cluster.changed();
        let is_mine = |view: &View, id| view.cell(id).is_some_and(|cell| cell.owner() == Some(cluster.me()));
        let gone = changed.wait_for(|view| !given.iter().any(|id| is_mine(view, *id)));
        let _ = tokio::time::timeout_at(until, gone).await; // what is left by then stays
        let view = cluster.view();
        view.cells.keys().filter(|id| is_mine(&view, **id)).count()
    }

    /// The sessions with peers.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.shared.registry
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Who it is, and whom it believes.
    pub fn tls(&self) -> &Tls {
        &self.shared.tls
    }

    /// What it was told.
    pub fn options(&self) -> &NodeOptions {
        &self.shared.options
    }

    /// Commits up to `position` were published: streams may send them.
    pub fn published(&self, position: u64) {
        self.shared.publish(position);
    }
}

pub use super::role::RoleError;

/// Accepts peers, a bounded number at a time.
async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(limosa_core::limits::PEERS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a peer connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors: some connection must end first
                continue;
            }
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let end = serve_peer(shared, stream, address.to_string()).await;
            tracing::info!(%address, code = end.code(), "peer session ended: {end}");
            drop(place);
        });
    }
}

async fn serve_peer(shared: Arc<Shared>, stream: tokio::net::TcpStream, address: String) -> SessionEnd {
    let connection = match Connection::accept(stream, &shared.tls).await {
        Ok(connection) => connection,
        Err(error) => return error.into(),
    };
    match connection.purpose() {
        Purpose::Session => {}
        Purpose::Manifest => return serve_manifest(&shared, connection).await,
        Purpose::Lane => return serve_lane(&shared, connection).await,
    }
    let is_owner = shared.role.borrow().is_owner();
    if !is_owner {
        return refuse(connection).await;
    }
    match SourceSession::new(shared, connection, address) {
        Ok(session) => session.run().await,
        Err(end) => end,
    }
}

/// To a node that does not hold the manifest, the connection just ends: the caller finds the manifest unavailable.
async fn serve_manifest(shared: &Shared, connection: Connection) -> SessionEnd {
    match shared.board.as_ref().and_then(|board| board.embedded.clone()) {
        Some(held) => {
            let source = crate::manifest_link::serve(connection.into_stream(), Arc::new(held)).await;
            SessionEnd::Peer(crate::PeerError::Broken { what: "serving the manifest", source })
        }
        None => SessionEnd::NotOwner,
    }
}

async fn serve_lane(shared: &Shared, connection: Connection) -> SessionEnd {
    match shared.board.as_ref().and_then(|board| board.lanes.get()) {
        Some(lanes) => lanes.accept(connection).await.into(),
        None => SessionEnd::NotOwner, // it is no member, or not yet: the other end dials again
    }
}

async fn refuse(connection: Connection) -> SessionEnd {
    let end = SessionEnd::NotOwner;
    let (mut sender, _receiver) = connection.split();
    if let Some(close) = end.to_close()
        && let Ok(_) = sender.queue(&limosa_wire::Message::Close(close))
    {
        sender.close().await;
    }
    end
}
