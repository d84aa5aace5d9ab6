//! Nodes of one cluster on this machine: the first founds it, the others join with bundles that it issued.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::proxy::{Dialers, Proxy};
use crate::process::{Scratch, Server, free_ports, output_of};

const CHANGE_MAX: Duration = Duration::from_secs(300);
const START_MAX: Duration = Duration::from_secs(60);

/// One running node.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) server: Option<Server>,
    pub(crate) resp: u16,
    http: u16,
    peer: u16,
    folder: Scratch,
    /// Its flags, for the next start on the same folder.
    flags: Vec<String>,
    /// How often it was started.
    starts: u32,
}

/// Where a cluster runs.
#[derive(Clone)]
pub(crate) struct Place {
    /// The program `limosa`.
    pub(crate) program: PathBuf,
    /// For data and logs.
    pub(crate) folder: PathBuf,
}

/// What a cluster may differ in.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// Every node's.
    pub(crate) flags: Vec<String>,
    /// Where the manifest is; the first node's own without it.
    pub(crate) manifest: Option<String>,
    /// Nodes reach each other through proxies.
    pub(crate) with_proxies: bool,
    /// The data of the node with this place lies in this folder.
    pub(crate) data: Option<(usize, PathBuf)>,
    /// Who is behind a connection, for proxies.
    pub(crate) dialers: Dialers,
}

/// A running cluster.
pub(crate) struct Cluster {
    place: Place,
    pub(crate) nodes: Vec<Node>,
    /// One before each node, in the order of nodes, where there are any.
    pub(crate) proxies: Vec<Proxy>,
    options: Options,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Cell {
    pub(crate) fragment: u32,
    pub(crate) owner: Option<String>,
    pub(crate) sync_set: Vec<String>,
    pub(crate) moving_to: Option<String>,
}

/// One ended session, as far as a case counts it.
#[derive(Deserialize)]
struct Transfer {
    moved_bytes: u64,
}

impl Cluster {
    /// A cluster of one node, which holds the manifest; every node gets `flags` too.
    pub(crate) fn start(place: &Place, flags: &[&str]) -> Result<Self, String> {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self::start_with(place, Options { flags, ..Options::default() })
    }

    /// A cluster of one node.
    pub(crate) fn start_with(place: &Place, options: Options) -> Result<Self, String> {
        let mut cluster = Self { place: place.clone(), nodes: Vec::new(), proxies: Vec::new(), options };
        let manifest = cluster.options.manifest.clone().unwrap_or_else(|| "embedded".to_owned());
        let folder = Scratch::new(&place.folder)?;
        cluster.add(folder, "n1", vec!["--manifest".to_owned(), manifest])?;
        cluster.command_soon(0, &["cluster", "init"])?;
        Ok(cluster)
    }

    /// One more node. It owns nothing yet.
    pub(crate) fn join(&mut self) -> Result<usize, String> {
        let folder = Scratch::new(&self.place.folder)?;
        let name = format!("n{}", self.nodes.len() + 1);
        let bundle = folder.path().join("bundle.pem").display().to_string();
        let mut issue = Command::new(&self.place.program);
        issue.args(["cert", "issue", "--for", &name, "--out", &bundle, "--data"]).arg(self.data(0));
        output_of(issue)?;
        let manifest = self.options.manifest.clone().unwrap_or_else(|| format!("127.0.0.1:{}", self.peer_door(0)));
        let place = self.add(folder, &name, vec!["--bundle".to_owned(), bundle, "--manifest".to_owned(), manifest])?;
        self.command_soon(place, &["node", "join"])?;
        Ok(place)
    }

    /// RESP ports of all nodes.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.resp).collect()
    }

    /// Which node has this name.
    pub(crate) fn by_name(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// What `limosa ARGS` prints when it asks a node.
    pub(crate) fn command(&self, node: usize, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.place.program);
        command.args(args).args(["--node", &format!("127.0.0.1:{}", self.nodes[node].http)]);
        output_of(command)
    }

    /// The same at a node that has just begun to listen: it may not have its manifest yet.
    pub(crate) fn command_soon(&self, node: usize, args: &[&str]) -> Result<String, String> {
        let start = Instant::now();
        loop {
            match self.command(node, args) {
                Err(_) if start.elapsed() < START_MAX => std::thread::sleep(Duration::from_millis(20)),
                ended => return ended,
            }
        }
    }

    /// The same as a value.
    pub(crate) fn ask<T: DeserializeOwned>(&self, node: usize, args: &[&str]) -> Result<T, String> {
        let text = self.command(node, &[args, &["--json"]].concat())?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error} in {text}", args.join(" ")))
    }

    /// Every cell, as a node sees it.
    pub(crate) fn cells(&self, node: usize) -> Result<Vec<Cell>, String> {
        self.ask(node, &["cluster", "cells"])
    }

    /// Waits until all cells are as wanted, by the word of `node`.
    pub(crate) fn wait(&self, node: usize, what: &str, is_so: impl Fn(&Cell) -> bool) -> Result<Duration, String> {
        self.wait_for(node, what, CHANGE_MAX, is_so)
    }

    /// The same with a patience of its own. A node that does not answer is asked again: it may have no manifest just now.
    pub(crate) fn wait_for(&self, node: usize, what: &str, patience: Duration, is_so: impl Fn(&Cell) -> bool) -> Result<Duration, String> {
        let start = Instant::now();
        loop {
            let cells = self.cells(node);
            let left: Vec<&Cell> = cells.iter().flatten().filter(|cell| !is_so(cell)).collect();
            if left.is_empty() && cells.as_ref().is_ok_and(|cells| !cells.is_empty()) {
                return Ok(start.elapsed());
            }
            if start.elapsed() > patience {
                let why = cells.as_ref().err().map_or_else(|| format!("{:?}", left.first()), Clone::clone);
                return Err(format!("{} fragments are not {what} after {} s: {why}", left.len(), patience.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Bytes that sessions of `node` moved since it started, by its own count.
    pub(crate) fn moved_bytes(&self, node: usize) -> Result<u64, String> {
        let transfers: Vec<Transfer> = self.ask(node, &["transfers"])?;
        Ok(transfers.iter().map(|transfer| transfer.moved_bytes).sum())
    }

    /// Ends a node at once (SIGKILL).
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].server = None;
    }

    /// Sends a running node a signal.
    pub(crate) fn signal(&self, node: usize, name: &str) -> Result<(), String> {
        self.nodes[node].server.as_ref().map_or(Ok(()), |server| server.signal(name))
    }

    /// Starts a killed node again on what it left.
    pub(crate) fn restart(&mut self, node: usize) -> Result<(), String> {
        let server = self.serve(node)?;
        self.nodes[node].server = Some(server);
        Ok(())
    }

    /// Whether two nodes hold the same, by their digests.
    pub(crate) fn are_equal(&self, one: usize, other: usize) -> Result<(), String> {
        self.command(one, &["verify", "--with", &format!("127.0.0.1:{}", self.nodes[other].http)]).map(|_| ())
    }

    /// Logs of all starts of all nodes, in order.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        self.nodes.iter().flat_map(|node| (1..=node.starts).map(|start| self.log(node, start))).collect()
    }

    fn data(&self, node: usize) -> PathBuf {
        match &self.options.data {
            Some((of, folder)) if *of == node => folder.join("data"),
            _ => self.nodes[node].folder.path().join("data"),
        }
    }

    /// Where others dial a node.
    fn peer_door(&self, node: usize) -> u16 {
        self.proxies.get(node).map_or(self.nodes[node].peer, Proxy::port)
    }

    fn log(&self, node: &Node, start: u32) -> PathBuf {
        let name = if start == 1 { format!("limosa-{}.log", node.name) } else { format!("limosa-{}-{start}.log", node.name) };
        self.place.folder.join(name)
    }

    fn add(&mut self, folder: Scratch, name: &str, mut flags: Vec<String>) -> Result<usize, String> {
        let [resp, peer, http] = free_ports()?;
        if self.options.with_proxies {
            let proxy = Proxy::start(peer, self.options.dialers.clone())?;
            flags.extend(["--advertise-peer".to_owned(), format!("127.0.0.1:{}", proxy.port())]);
            self.proxies.push(proxy);
        }
        self.nodes.push(Node { name: name.to_owned(), server: None, resp, http, peer, folder, flags, starts: 0 });
        let place = self.nodes.len() - 1;
        self.restart(place)?;
        Ok(place)
    }

    fn serve(&mut self, node: usize) -> Result<Server, String> {
        self.nodes[node].starts += 1;
        let (data, node) = (self.data(node), &self.nodes[node]);
        let mut command = Command::new(&self.place.program);
        command.args(["serve", "--cluster", "bench", "--name", &node.name, "--data"]).arg(data);
        command.args(&self.options.flags).args(&node.flags);
        for (flag, port) in [("--resp", node.resp), ("--peer", node.peer), ("--http", node.http)] {
            command.args([flag, &format!("127.0.0.1:{port}")]);
        }
        let server = Server::start(command, self.log(node, node.starts), node.http)?;
        self.options.dialers.know(server.id(), &node.name);
        Ok(server)
    }
}
