//! Several front doors of one cluster over one store, whose slots change hands all the time: for trying cluster clients.
//!
//! ```text
//! cargo run --release --example resp_cluster -- [MOVE_EVERY_MS] [PARK_MS] [PORT ..]
//! ```
//! A run of slots is parked at every door for PARK_MS, as in a real cutover, then served by the next door; with MOVE_EVERY_MS 0 none is. What moves is who answers: the
//! doors stand over one store, so that a client that writes at two of them would show as a wrong count, and none may see an error.
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::error::Error;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use limosa_core::SpaceKeys;
use limosa_server::resp::cluster::Cluster;
use limosa_server::resp::cluster::scripted::{Script, Scripted};
use limosa_server::resp::{self, Node, NodeFacts, Replica};
use limosa_store::{Durability, Identity, Options, Store};
use tokio::sync::watch;

/// A node that knows only its cluster.
struct Member {
    facts: NodeFacts,
    cluster: Arc<Scripted>,
    progress: watch::Sender<u64>,
}

impl Node for Member {
    fn is_owner(&self) -> bool {
        true
    }

    fn owner_address(&self) -> Option<String> {
        None
    }

    fn is_linked(&self) -> bool {
        true
    }

    fn replicas(&self) -> Vec<Replica> {
        vec![]
    }

    fn replica_progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    fn published(&self, _: u64) {}

    fn facts(&self) -> &NodeFacts {
        &self.facts
    }

    fn cluster(&self) -> Option<Arc<dyn Cluster>> {
        Some(self.cluster.clone())
    }
}

/// Runs of slots.
const FRAGMENTS: u16 = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().collect();
    let number = |index: usize, default: u16| args.get(index).map_or(Ok(default), |text| text.parse::<u16>());
    let (move_every_ms, park_ms) = (number(1, 20)?, number(2, 5)?);
    let mut ports = args.iter().skip(3).map(|port| port.parse()).collect::<Result<Vec<u16>, _>>()?;
    if ports.is_empty() {
        ports = vec![7700, 7701, 7702];
    }
    let dir = std::env::temp_dir().join(format!("limosa-cluster-{}", std::process::id()));
    let mut options = Options::new(&dir, Identity { cluster: [1; 16], node: "doors".to_owned() }, SpaceKeys::derive(&[1; 32], "main"));
    (options.durability, options.fragments) = (Durability::Interval, FRAGMENTS);
    let store = Store::open(options)?;
    store.open_epoch(0)?;

    let addresses: Vec<_> = ports.iter().map(|port| ("127.0.0.1", *port)).collect();
    let script = Script::new(&addresses, FRAGMENTS);
    script.set_staleness(Some(Duration::ZERO)); // one store: copies are never behind
    let mut open = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let facts =
            NodeFacts { data_dir: dir.display().to_string(), bind: "127.0.0.1".to_owned(), port: address.1, ..NodeFacts::default() };
        let member = Member { facts, cluster: script.node(index), progress: watch::Sender::new(0) };
        open.push(resp::serve(TcpListener::bind(address)?, Arc::new(store.clone()), Arc::new(member), resp::Options::default())?);
    }
    println!("redis-cli -c -p {}    {} doors, a run of slots moves every {move_every_ms} ms", ports[0], ports.len());
    for turn in 0usize.. {
        if move_every_ms == 0 {
            std::thread::sleep(Duration::from_secs(1));
            continue;
        }
        let run = turn % script.runs();
        let next = (script.owner(run) + 1) % ports.len();
        script.park(run);
        std::thread::sleep(Duration::from_millis(park_ms.into()));
        script.hand_over(run, next);
        std::thread::sleep(Duration::from_millis(move_every_ms.into()));
    }
    Ok(())
}
