//! A store in a folder of its own behind the Redis protocol, and nothing else: for trying and measuring the front door.
//!
//! ```text
//! cargo run --release --example resp_only -- [PORT] [commit|interval] [DIR]
//! ```
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::error::Error;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use limosa_core::SpaceKeys;
use limosa_server::resp::{self, Node, NodeFacts, Replica};
use limosa_store::{Durability, Identity, Options, Store};
use tokio::sync::watch;

/// A node without peers.
struct Alone {
    facts: NodeFacts,
    progress: watch::Sender<u64>,
}

impl Node for Alone {
    fn is_owner(&self) -> bool {
        true
    }

    fn owner_address(&self) -> Option<String> {
        None
    }

    fn is_linked(&self) -> bool {
        false
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
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().collect();
    let port: u16 = args.get(1).map_or(Ok(7600), |port| port.parse())?;
    let durability = if args.get(2).is_some_and(|word| word == "commit") { Durability::Commit } else { Durability::Interval };
    let dir = args.get(3).map_or_else(|| std::env::temp_dir().join(format!("limosa-resp-{}", std::process::id())), Into::into);

    let identity = Identity { cluster: [1; 16], node: "alone".to_owned() };
    let mut options = Options::new(&dir, identity, SpaceKeys::derive(&[1; 32], "main"));
    options.durability = durability;
    let store = Store::open(options)?;
    store.open_epoch(0)?;

    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let flushes_each_commit = durability == Durability::Commit;
    let facts = NodeFacts { data_dir: dir.display().to_string(), flushes_each_commit, bind: "127.0.0.1".to_owned(), port };
    let node = Arc::new(Alone { facts, progress: watch::Sender::new(0) });
    let _door = resp::serve(listener, Arc::new(store.clone()), node, resp::Options::default())?;
    println!("redis-cli -p {port}    data in {}", dir.display());
    loop {
        std::thread::sleep(Duration::from_secs(1));
        store.sync()?;
        if store.wants_checkpoint() {
            store.checkpoint()?;
        }
    }
}
