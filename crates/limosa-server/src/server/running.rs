//! A running node: everything that was started, in the order in which it is stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use limosa_core::limits::CREDIT_WINDOW_BYTES;
use limosa_core::{FragmentId, KeyRange, SpaceKeys};
use limosa_node::driver::cluster::{Addresses, MemberOptions};
use limosa_node::driver::{Node, NodeOptions, Role};
use limosa_store::{Durability, Identity, Options, Store};
use tokio::task::{JoinHandle, spawn_blocking};

use super::cluster::{Member, RespCluster};
use super::control::NodeControl;
use super::doors::HttpDoor;
use super::error::ServerError;
use super::frames;
use super::prepare::{Bound, Prepared};
use super::resp_node::RespNode;
use crate::config::{Ack, ClusterConfig, ValidConfig};
use crate::resp::cluster::AckLevel;
use crate::resp::{self, NodeFacts, ServerHandle};

/// The one space of this version; its name keys digests and block boundaries, so that it can never change.
pub(super) const SPACE: &str = "default";

/// What to tell whoever started the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Started {
    /// The node's name.
    pub node: String,
    /// Its cluster, hexadecimal.
    pub cluster: String,
    /// The owner that it follows; none: it takes writes.
    pub standby_of: Option<String>,
    /// Where it listens.
    pub bound: Bound,
}

/// A running node.
pub struct Server {
    started: Started,
    stop_timeout: Duration,
    resp: ServerHandle,
    http: HttpDoor,
    peers: JoinHandle<()>,
    node: Node,
}

impl Server {
    /// Starts a node. Returns once every port is served.
    ///
    /// # Errors
    /// A port is taken, certificates are missing, the folder is another node's or damaged, the disk fails.
    pub async fn start(config: ValidConfig) -> Result<Self, ServerError> {
        let (prepared, node) = open(config).await?;
        let (tls, hosts) = (prepared.tls(), prepared.hosts());
        let started = started(&prepared, &node);
        let Prepared { config, listeners, bound, .. } = prepared;
        let resources = |source| ServerError::Resources { source };

        let peer_listener = tokio::net::TcpListener::from_std(listeners.peer).map_err(resources)?;
        let peers = tokio::spawn({
            let node = node.clone();
            async move { node.run(peer_listener).await }
        });
        let facts = node_facts(&config, &bound);
        let (membership, resp_cluster) = membership(&node, &config);
        let options = resp_options(&node, &config);
        let resp_node = Arc::new(RespNode::new(node.clone(), facts, resp_cluster));
        let resp = resp::serve(listeners.resp, Arc::new(node.store().clone()), resp_node, options).map_err(resources)?;
        let control = Arc::new(NodeControl::new(node.clone(), membership, &config, bound, resp.counter()));
        let http = HttpDoor::open(listeners.http, tls, control, hosts).map_err(resources)?;
        Ok(Self { started, stop_timeout: config.stop_timeout, resp, http, peers, node })
    }

    /// What to tell whoever started it.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// Stops in order, then flushes everything to disk.
    ///
    /// # Errors
    /// The last flush failed: what was not acknowledged may be lost, the rest is on disk.
    pub async fn stop(self) -> Result<(), ServerError> {
        let began = Instant::now();
        // While everything is served still: clients of what is handed over wait for a cutover, and are told where it went.
        let kept = self.node.hand_over(self.stop_timeout / 2).await;
        if kept > 0 {
            tracing::warn!(
                "{kept} fragments have no complete copy elsewhere that could take them over: they are not served until this node is back"
            );
        }
        // Clients first: replies that they wait for need the store, and standbys still get what was written last.
        let resp = self.resp;
        spawn_blocking(move || resp.stop()).await.expect("the RESP door ends without a panic");
        let left = self.stop_timeout.saturating_sub(began.elapsed()) / 2;
        if tokio::time::timeout(left, self.http.close()).await.is_err() {
            tracing::warn!("HTTP requests under way were cut off");
        }
        self.peers.abort();
        let _ = self.peers.await; // cancelled, as asked
        let store = self.node.store().clone();
        let flushed = spawn_blocking(move || {
            store.flush().and_then(|_| store.sync())?;
            if store.wants_checkpoint_at_stop()
                && let Err(error) = store.checkpoint()
            {
                tracing::warn!(code = error.code(), "no checkpoint at the stop, the next start replays the journal: {error}");
            }
            Ok::<(), limosa_store::StoreError>(())
        })
        .await;
        Ok(flushed.expect("a flush does not panic")?)
    }
}

/// Room kept on the disk for the day on which it is full: a delete, or a small checkpoint, fits.
const RESERVE_BYTES: u64 = 16 << 20;

/// Opens store and node. A new member asks the manifest first which fragments there are.
async fn open(config: ValidConfig) -> Result<(Prepared, Node), ServerError> {
    let prepared = spawn_blocking(move || Prepared::prepare(config)).await.expect("preparing a node does not panic")?;
    let config = &prepared.config;
    let told = |cluster: &ClusterConfig| cluster.member(&config.data, addresses(&prepared.bound));
    let member = config.cluster.as_ref().map(told).transpose()?;
    let is_new = !config.data.join("node.toml").exists();
    let frames = match frames::read(&config.data)? {
        Some(known) => known,
        None if is_new => frames::make(&config.data, config.fragments, member.as_ref(), &prepared.tls()).await?,
        None => Vec::new(), // made before this file was written: the configuration says it until the first checkpoint
    };
    spawn_blocking(move || open_node(prepared, member, frames)).await.expect("opening a node does not panic")
}

/// Everything that touches the store.
fn open_node(
    prepared: Prepared,
    member: Option<MemberOptions>,
    frames: Vec<(FragmentId, KeyRange)>,
) -> Result<(Prepared, Node), ServerError> {
    let keys = SpaceKeys::derive(prepared.pki.cluster_secret().expose(), SPACE);
    let store = Store::open(Options { frames, ..store_options(&prepared, keys.clone()) })?;
    let config = &prepared.config;
    let options = NodeOptions {
        node: prepared.pki.node().to_string(),
        space_keys: keys,
        durability: config.durability,
        credit_window: CREDIT_WINDOW_BYTES,
        transfer_log: config.transfer_log.clone(),
    };
    let node = match member {
        Some(member) => Node::open_member(store, prepared.tls(), options, member)?,
        None => Node::open(store, prepared.tls(), options, config.standby_of.as_ref().map(ToString::to_string))?,
    };
    Ok((prepared, node))
}

/// What the cluster is told to dial.
fn addresses(bound: &Bound) -> Addresses {
    Addresses { peer: bound.advertised_peer.to_string(), resp: bound.advertised_resp.to_string(), http: bound.advertised_http.to_string() }
}

/// The cluster for both doors, where this node is a member of one. Inside a runtime.
fn membership(node: &Node, config: &ValidConfig) -> (Option<Member>, Option<Arc<RespCluster>>) {
    match (node.cluster(), &config.cluster) {
        (Some(cluster), Some(told)) => {
            let resp = RespCluster::new(node, cluster.clone(), told.ack);
            (Some(Member::new(node.clone(), cluster, told.name.clone())), Some(Arc::new(resp)))
        }
        _ => (None, None),
    }
}

fn resp_options(node: &Node, config: &ValidConfig) -> resp::Options {
    let mut options = resp::Options { run_id: run_id(node), ..resp::Options::default() };
    if let Some(cluster) = &config.cluster {
        options.ack = match cluster.ack {
            Ack::Local => AckLevel::Local,
            Ack::Standby => AckLevel::Standby,
            Ack::All => AckLevel::All,
        };
        options.ack_timeout = cluster.ack_timeout;
        options.staleness_max = Some(cluster.staleness_max);
    }
    options
}

fn store_options(prepared: &Prepared, keys: SpaceKeys) -> Options {
    let config = &prepared.config;
    let identity = Identity { cluster: prepared.pki.cluster().0, node: prepared.pki.node().to_string() };
    let mut options = Options::new(&config.data, identity, keys);
    options.durability = config.durability;
    options.fragments = config.fragments;
    options.memory_max = config.memory_max;
    options.checkpoint_bytes = config.checkpoint_bytes;
    options.reserve_bytes = RESERVE_BYTES;
    options.ring_bytes = usize::try_from(config.ring_bytes).expect("at most 1 GiB");
    options.tail_bytes = config.tail_bytes;
    options.leases = config.leases;
    // Whole segments are released: a small tail needs small ones.
    options.segment_bytes = options.segment_bytes.min((config.tail_bytes / 4).max(SEGMENT_BYTES_MIN));
    options
}

/// Smallest journal segment, bytes.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

fn started(prepared: &Prepared, node: &Node) -> Started {
    let standby_of = match node.role() {
        Role::Standby { of } => Some(of),
        _ => None,
    };
    let (node, cluster) = (prepared.pki.node().to_string(), prepared.pki.cluster().to_string());
    Started { node, cluster, standby_of, bound: prepared.bound.clone() }
}

fn node_facts(config: &ValidConfig, bound: &Bound) -> NodeFacts {
    NodeFacts {
        data_dir: config.data.display().to_string(),
        flushes_each_commit: config.durability == Durability::Commit,
        bind: bound.resp.ip().to_string(),
        port: bound.resp.port(),
    }
}

/// 40 digits, as Redis: the folder, and the start within it.
fn run_id(node: &Node) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:016x}{:024x}", node.store().incarnation(), since.as_nanos())
}
