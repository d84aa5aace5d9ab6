//! A front door over memory, and a client that shows replies as the bytes that they are.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::super::cluster::Cluster;
use super::super::memory::Memory;
use super::super::{Node, NodeFacts, Options, Replica, ServerHandle, serve};

/// A node whose role and standbys the test sets.
pub(super) struct TestNode {
    pub(super) is_owner: AtomicBool,
    pub(super) durable: AtomicU64,
    pub(super) progress: watch::Sender<u64>,
    cluster: Option<Arc<dyn Cluster>>,
    facts: NodeFacts,
}

impl TestNode {
    /// A node of a cluster.
    pub(super) fn of(cluster: Arc<dyn Cluster>) -> Self {
        Self { cluster: Some(cluster), ..Self::default() }
    }
}

impl Default for TestNode {
    fn default() -> Self {
        let facts = NodeFacts { flushes_each_commit: true, ..NodeFacts::default() };
        Self { is_owner: AtomicBool::new(true), durable: AtomicU64::new(0), progress: watch::Sender::new(0), cluster: None, facts }
    }
}

impl Node for TestNode {
    fn is_owner(&self) -> bool {
        self.is_owner.load(Ordering::SeqCst)
    }

    fn owner_address(&self) -> Option<String> {
        Some("10.0.0.1:7600".to_owned())
    }

    fn is_linked(&self) -> bool {
        true
    }

    fn replicas(&self) -> Vec<Replica> {
        vec![Replica { host: "10.0.0.2".to_owned(), port: 7600, durable: self.durable.load(Ordering::SeqCst), is_live: true }]
    }

    fn replica_progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    fn published(&self, _: u64) {}

    fn facts(&self) -> &NodeFacts {
        &self.facts
    }

    fn cluster(&self) -> Option<Arc<dyn Cluster>> {
        self.cluster.clone()
    }
}

pub(super) struct Door {
    pub(super) memory: Arc<Memory>,
    pub(super) node: Arc<TestNode>,
    pub(super) address: SocketAddr,
    pub(super) handle: ServerHandle,
}

/// Opens a front door on a free loopback port.
pub(super) fn door() -> Door {
    door_of(Arc::default(), TestNode::default(), Options::default())
}

/// The same over this keyspace, for this node.
pub(super) fn door_of(memory: Arc<Memory>, node: TestNode, options: Options) -> Door {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let node = Arc::new(node);
    let handle = serve(listener, memory.clone(), node.clone(), options).expect("the front door opens");
    Door { memory, node, address, handle }
}

impl Door {
    pub(super) fn client(&self) -> Client {
        Client::connect(self.address).expect("the front door listens")
    }
}

/// Sends bytes, reads whole replies.
pub(super) struct Client {
    stream: TcpStream,
    pending: Vec<u8>,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream, pending: vec![] })
    }

    /// Sends a command, its words separated by blanks, and returns the bytes of its reply.
    pub(super) fn call(&mut self, command: &str) -> String {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        self.call_args(&args)
    }

    pub(super) fn call_args(&mut self, args: &[&[u8]]) -> String {
        self.send(&encode(args));
        self.reply()
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection takes bytes");
    }

    /// The bytes of the next reply; empty when the connection has ended.
    pub(super) fn reply(&mut self) -> String {
        loop {
            if let Some(len) = reply_len(&self.pending) {
                let reply: Vec<u8> = self.pending.drain(..len).collect();
                return String::from_utf8_lossy(&reply).into_owned();
            }
            let mut bytes = [0; 64 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) | Err(_) => return String::new(),
                Ok(count) => self.pending.extend_from_slice(&bytes[..count]),
            }
        }
    }
}

pub(super) fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Length of the reply at the front of `bytes`, if it is whole.
fn reply_len(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse::<i64>().ok();
    let parts = match bytes[0] {
        b'$' | b'=' => {
            let len = usize::try_from(number()?).ok().map_or(line, |len| line + len + 2);
            return (bytes.len() >= len).then_some(len);
        }
        b'*' | b'~' => number()?.max(0),
        b'%' => number()? * 2,
        _ => 0,
    };
    (0..parts).try_fold(line, |at, _| Some(at + reply_len(&bytes[at..])?))
}
