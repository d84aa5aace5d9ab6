//! Members of a cluster in one process, and a client that finds the node that serves a key.

use std::path::Path;
use std::time::{Duration, Instant};

use limosa_core::{Expiry, FragmentId};
use limosa_manifest::FragmentCell;
use limosa_node::driver::Node;
use limosa_node::driver::cluster::{AckLevel, Acked, Addresses, Cluster, ManifestAt, MemberOptions, Order};
use limosa_node::pki::Pki;
use limosa_node::transport::Tls;
use limosa_store::StoreError;
use tokio::net::TcpListener;

use crate::common::{PATIENCE, Place, Running, wait};

/// A lease short enough for tests and long enough for a busy machine.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// Places of nodes `a`, `b`, `c`, with certificates of one cluster.
pub(crate) fn places(root: &Path) -> [Place; 3] {
    let name = |text: &str| text.parse().expect("a name");
    let a = Pki::create(&root.join("a"), &name("a")).expect("certificates");
    let [b, c] = ["b", "c"].map(|other| {
        let bundle = a.issue(&name(other)).expect("the CA's key is here");
        Pki::load_or_adopt(&root.join(other), Some(&bundle)).expect("certificates")
    });
    [("a", a), ("b", b), ("c", c)].map(|(dir, pki)| Place::new(root.join(dir), pki))
}

/// A member that runs.
pub(crate) struct Member {
    pub(crate) running: Running,
}

impl Place {
    /// The disk is another one: all but the certificates has gone.
    pub(crate) fn lose_data(&self) {
        drop(self.store_with(self.member_options())); // waits until the folder is given back
        for entry in std::fs::read_dir(&self.dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some("pki") => {}
                _ if path.is_dir() => std::fs::remove_dir_all(path).expect("removed"),
                _ => std::fs::remove_file(path).expect("removed"),
            }
        }
    }

    pub(crate) fn member_options(&self) -> limosa_store::Options {
        limosa_store::Options { fragments: FRAGMENTS, ..self.store_options() }
    }

    /// Starts this node as a member; `holder` is the peer address of the one with the manifest, itself where there is none.
    pub(crate) fn member(&self, holder: Option<&str>, tune: impl FnOnce(&mut MemberOptions)) -> Member {
        self.member_at("127.0.0.1:0", holder, tune)
    }

    /// The same at an address.
    pub(crate) fn member_at(&self, address: &str, holder: Option<&str>, tune: impl FnOnce(&mut MemberOptions)) -> Member {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let listener = runtime.block_on(TcpListener::bind(address)).expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let manifest = match holder {
            Some(holder) => ManifestAt::Remote { address: holder.to_owned() },
            None => ManifestAt::Embedded { dir: self.dir.join("manifest") },
        };
        let addresses = Addresses { peer: address.clone(), resp: address.clone(), http: address.clone() };
        let mut options = MemberOptions::new(manifest, addresses);
        options.lease = LEASE;
        tune(&mut options);
        let store = self.store_with(self.member_options());
        let node = Node::open_member(store, Tls::new(self.pki.credentials()), self.node_options(), options).expect("it becomes a member");
        runtime.spawn({
            let node = node.clone();
            async move { node.run(listener).await }
        });
        Member { running: Running { node, address, runtime } }
    }
}

/// Fragments of a test's space.
pub(crate) const FRAGMENTS: u16 = 8;

impl Member {
    pub(crate) fn cluster(&self) -> Cluster {
        self.running.node.cluster().expect("it is a member")
    }

    pub(crate) fn init(&self) {
        let node = self.running.node.clone();
        wait("the cluster is made", || self.running.runtime.block_on(node.init_cluster()).is_ok());
    }

    pub(crate) fn init_again(&self) -> usize {
        self.running.runtime.block_on(self.running.node.init_cluster()).expect("it is done already")
    }

    pub(crate) fn order(&self, order: Order) -> limosa_node::driver::cluster::Ordered {
        self.running.runtime.block_on(self.cluster().order(order)).expect("it is taken up")
    }

    pub(crate) fn cells(&self) -> Vec<FragmentCell> {
        self.cluster().cells().into_values().collect()
    }

    pub(crate) fn name(&self) -> limosa_core::NodeName {
        self.cluster().me().clone()
    }

    /// Fragments that it owns by its view.
    pub(crate) fn owns(&self) -> Vec<FragmentId> {
        let me = self.name();
        self.cells().into_iter().filter(|cell| cell.owner() == Some(&me)).map(|cell| cell.id()).collect()
    }

    /// Whether it serves all of these.
    pub(crate) fn serves(&self, fragments: &[FragmentId]) -> bool {
        let gates = self.running.node.store().gates();
        fragments.iter().all(|id| gates.iter().any(|(of, gate)| of == id && *gate == limosa_store::FragmentGate::Serving))
    }

    /// What it knows, for a test that fails.
    #[expect(clippy::print_stderr, reason = "for whoever reads why a test failed")]
    pub(crate) fn print(&self) {
        let cluster = self.cluster();
        eprintln!("== {} (outage: {:?})", self.name(), cluster.outage());
        for (id, cell) in cluster.cells() {
            let (gate, standing) = (self.running.node.store().gate(id), cluster.standing(id));
            let head = self.running.node.store().facts().into_iter().find(|facts| facts.id == id).map(|facts| facts.head);
            eprintln!(
                "{id} epoch {} {:?} members {:?} replicas {:?} w {} running {:?}; here {gate:?} {standing:?} {head:?}",
                cell.epoch, cell.holder, cell.sync_set, cell.replicas, cell.flushed_min, cell.running
            );
        }
        eprintln!("blocked {:?}\nmoves {:?}", cluster.blocked(), cluster.moves());
        for node in cluster.nodes().values() {
            eprintln!("{} alive {} incarnation {:x} at {}", node.entry.name, node.alive, node.entry.incarnation, node.entry.peer);
        }
        for peer in self.running.node.registry().peers() {
            eprintln!("{:?} {:?} {} {} live {} {:?}", peer.role, peer.name, peer.address, peer.phase, peer.live, peer.blocked);
        }
        for transfer in self.running.node.registry().transfers().into_iter().take(5) {
            eprintln!("{:?} {} {:?} {}", transfer.peer_role, transfer.peer, transfer.failure, transfer.why);
        }
    }

    /// Writes, if the key is served here.
    pub(crate) fn try_set(&self, key: &str, value: &[u8]) -> Result<Written, StoreError> {
        let store = self.running.node.store();
        let mut txn = store.begin();
        txn.set(key.as_bytes(), value, Expiry::NEVER)?;
        let position = txn.commit().map(|position| position.0);
        drop(txn);
        self.running.node.published(store.flush()?.0);
        Ok(Written { position: position.unwrap_or(0) })
    }
}

/// A write that was evaluated and is on its owner's disk.
pub(crate) struct Written {
    pub(crate) position: u64,
}

/// Writes wherever the key is served, as a client that is redirected would; waits while nobody serves it.
pub(crate) fn set_somewhere(members: &[&Member], key: &str, value: &[u8]) {
    wait("somebody serves the key", || {
        members.iter().any(|member| match member.try_set(key, value) {
            Ok(_) => true,
            Err(StoreError::Parked { .. } | StoreError::NotServed { .. }) => false,
            Err(error) => panic!("{error}"),
        })
    });
}

/// Reads wherever the key is served.
pub(crate) fn get_somewhere(members: &[&Member], key: &str) -> Option<Vec<u8>> {
    let mut found = None;
    wait("somebody serves the key", || {
        members.iter().any(|member| match member.running.get(key) {
            Ok(value) => {
                found = value;
                true
            }
            Err(StoreError::Parked { .. } | StoreError::NotServed { .. }) => false,
            Err(error) => panic!("{error}"),
        })
    });
    found
}

/// Whether a write at `member` is acknowledged within `patience`, by members of every fragment.
pub(crate) fn acknowledged(member: &Member, fragment: FragmentId, written: &Written, patience: Duration) -> bool {
    let (cluster, began) = (member.cluster(), Instant::now());
    while began.elapsed() < patience {
        if matches!(cluster.acked(fragment, cluster.stint(fragment), AckLevel::Standby), Acked::UpTo(position) if position >= written.position)
        {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Waits until every fragment has so many complete standbys, by everybody's view, and as many must flush.
pub(crate) fn wait_until_complete(members: &[&Member], standbys: usize) {
    let has_enough = |member: &&Member| {
        let cells = member.cells();
        cells.len() == usize::from(FRAGMENTS) && cells.iter().all(|cell| cell.sync_set.len() >= standbys && cell.flushed_min > 0)
    };
    wait_or_print(members, "every fragment has its complete standbys", || members.iter().all(has_enough));
}

/// Waits as `wait` does, and prints what all members know when it was in vain.
fn wait_or_print(members: &[&Member], what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > PATIENCE {
            members.iter().for_each(|member| member.print());
            panic!("waited in vain until {what}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a fragment's copies are equal at these members.
pub(crate) fn wait_until_equal(members: &[&Member], fragments: &[FragmentId]) {
    wait_or_print(members, "the copies are equal", || {
        let states = |member: &&Member| {
            let facts = member.running.node.store().facts();
            let chosen = facts.into_iter().filter(|facts| fragments.contains(&facts.id));
            chosen.map(|facts| (facts.id, facts.head, facts.state)).collect::<Vec<_>>()
        };
        let first = states(&members[0]);
        first.len() == fragments.len() && members.iter().all(|member| states(member) == first)
    });
}
