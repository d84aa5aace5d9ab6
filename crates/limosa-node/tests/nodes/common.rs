//! Nodes that a test starts, stops and starts again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use limosa_core::limits::CREDIT_WINDOW_BYTES;
use limosa_core::{Expiry, SpaceKeys};
use limosa_node::driver::{Node, NodeOptions, PeerStatus};
use limosa_node::pki::Pki;
use limosa_node::transport::Tls;
use limosa_store::{Durability, Identity, Options, Store};
use tokio::runtime::Runtime;

/// Longest wait for anything: far beyond what it takes, so that a slow machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with certificates; a node runs on it now and then.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) pki: Pki,
    pub(crate) durability: Durability,
}

/// A running node. Dropping it kills it, as a lost process would end: nothing is flushed.
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) address: String,
    pub(crate) runtime: Runtime,
}

/// The owner's place and the standby's, in a folder of their own.
pub(crate) fn places(root: &Path) -> (Place, Place) {
    let (a, b) = (root.join("a"), root.join("b"));
    let owner = Pki::create(&a, &"a".parse().expect("a name")).expect("certificates");
    let bundle = owner.issue(&"b".parse().expect("a name")).expect("the CA's key is here");
    let standby = Pki::load_or_adopt(&b, Some(&bundle)).expect("certificates");
    (Place::new(a, owner), Place::new(b, standby))
}

impl Place {
    pub(crate) fn new(dir: PathBuf, pki: Pki) -> Self {
        Self { dir, pki, durability: Durability::Commit }
    }

    pub(crate) fn store_options(&self) -> Options {
        let identity = Identity { cluster: self.pki.cluster().0, node: self.pki.node().to_string() };
        let mut options = Options::new(&self.dir, identity, self.keys());
        options.fragments = 2;
        options.durability = self.durability;
        options
    }

    pub(crate) fn keys(&self) -> SpaceKeys {
        SpaceKeys::derive(self.pki.cluster_secret().expose(), "0")
    }

    /// Opens the folder without a node; waits until the threads of one that was dropped have given it back.
    pub(crate) fn store(&self) -> Store {
        self.store_with(self.store_options())
    }

    pub(crate) fn store_with(&self, options: Options) -> Store {
        let began = Instant::now();
        loop {
            match Store::open(options.clone()) {
                Ok(store) => return store,
                Err(error) if error.code() == "store.folder_in_use" && began.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn node_options(&self) -> NodeOptions {
        NodeOptions {
            node: self.pki.node().to_string(),
            space_keys: self.keys(),
            durability: self.durability,
            credit_window: CREDIT_WINDOW_BYTES,
            transfer_log: None,
        }
    }

    pub(crate) fn start(&self, standby_of: Option<&Running>) -> Running {
        self.start_with(self.store(), standby_of.map(|owner| owner.address.clone()))
    }

    pub(crate) fn start_with(&self, store: Store, standby_of: Option<String>) -> Running {
        let node = Node::open(store, Tls::new(self.pki.credentials()), self.node_options(), standby_of).expect("it takes up its role");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        runtime.spawn({
            let node = node.clone();
            async move { node.run(listener).await }
        });
        Running { node, address, runtime }
    }
}

impl Running {
    /// Sets keys, each in a commit of its own, and publishes them.
    pub(crate) fn set(&self, keys: impl IntoIterator<Item = String>, value: &[u8]) {
        let store = self.node.store();
        for key in keys {
            let mut txn = store.begin();
            txn.set(key.as_bytes(), value, Expiry::NEVER).expect("a write");
            txn.commit();
        }
        self.node.published(store.flush().expect("room").0);
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, limosa_store::StoreError> {
        Ok(self.node.store().begin().get(key.as_bytes(), 0)?.map(|value| value.value.to_vec()))
    }

    /// The one peer.
    pub(crate) fn peer(&self) -> PeerStatus {
        self.node.registry().peers().into_iter().next().expect("there is a peer")
    }

    /// Waits until `standby` follows this node and has everything.
    pub(crate) fn wait_until_followed_by(&self, standby: &Running) {
        wait("the standby has everything", || {
            let head = self.node.store().horizon().0;
            let is_there = self.node.registry().peers().iter().any(|peer| peer.live && peer.acknowledged >= head);
            is_there && digests(self) == digests(standby)
        });
    }
}

/// Versions and digests of all fragments.
pub(crate) fn digests(running: &Running) -> Vec<(limosa_core::Version, limosa_core::Digest)> {
    running.node.store().facts().iter().map(|facts| (facts.head, facts.state)).collect()
}

pub(crate) fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
