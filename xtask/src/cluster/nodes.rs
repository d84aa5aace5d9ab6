//! Nodes of one cluster on this machine: the first holds the manifest, the others join with bundles that it issued.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::process::{Scratch, Server, free_ports, output_of};

const CHANGE_MAX: Duration = Duration::from_secs(300);
const START_MAX: Duration = Duration::from_secs(10);

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
}

/// Where a cluster runs.
#[derive(Clone)]
pub(crate) struct Place {
    /// The program `limosa`.
    pub(crate) program: PathBuf,
    /// For data and logs.
    pub(crate) folder: PathBuf,
}

/// A running cluster.
pub(crate) struct Cluster {
    place: Place,
    pub(crate) nodes: Vec<Node>,
    flags: Vec<String>,
}

#[derive(Deserialize)]
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
        let mut cluster = Self { place: place.clone(), nodes: Vec::new(), flags: flags.iter().map(|flag| (*flag).to_owned()).collect() };
        let first = cluster.node(Scratch::new(&place.folder)?, "n1", &["--manifest", "embedded"])?;
        cluster.nodes.push(first);
        cluster.command_soon(0, &["cluster", "init"])?;
        Ok(cluster)
    }

    /// One more node. It owns nothing yet.
    pub(crate) fn join(&mut self) -> Result<usize, String> {
        let (first, folder) = (&self.nodes[0], Scratch::new(&self.place.folder)?);
        let name = format!("n{}", self.nodes.len() + 1);
        let bundle = folder.path().join("bundle.pem").display().to_string();
        let mut issue = Command::new(&self.place.program);
        issue.args(["cert", "issue", "--for", &name, "--out", &bundle, "--data"]).arg(first.folder.path().join("data"));
        output_of(issue)?;
        let manifest = format!("127.0.0.1:{}", first.peer);
        let node = self.node(folder, &name, &["--bundle", &bundle, "--manifest", &manifest])?;
        self.nodes.push(node);
        let place = self.nodes.len() - 1;
        self.command_soon(place, &["node", "join"])?;
        Ok(place)
    }

    /// RESP ports of all nodes.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.resp).collect()
    }

    /// What `limosa ARGS` prints when it asks a node.
    pub(crate) fn command(&self, node: usize, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.place.program);
        command.args(args).args(["--node", &format!("127.0.0.1:{}", self.nodes[node].http)]);
        output_of(command)
    }

    /// The same at a node that has just begun to listen: it may not have its manifest yet.
    fn command_soon(&self, node: usize, args: &[&str]) -> Result<String, String> {
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
        let start = Instant::now();
        loop {
            let left = self.cells(node)?.iter().filter(|cell| !is_so(cell)).count();
            if left == 0 {
                return Ok(start.elapsed());
            }
            if start.elapsed() > CHANGE_MAX {
                return Err(format!("{left} fragments are not {what} after {} s", CHANGE_MAX.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Bytes that sessions of `node` moved since it started, by its own count.
    pub(crate) fn moved_bytes(&self, node: usize) -> Result<u64, String> {
        let transfers: Vec<Transfer> = self.ask(node, &["transfers"])?;
        Ok(transfers.iter().map(|transfer| transfer.moved_bytes).sum())
    }

    /// Ends a node at once.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].server = None;
    }

    /// Starts a killed node again on what it left.
    pub(crate) fn restart(&mut self, node: usize) -> Result<(), String> {
        let server = self.serve(&self.nodes[node])?;
        self.nodes[node].server = Some(server);
        Ok(())
    }

    fn node(&self, folder: Scratch, name: &str, flags: &[&str]) -> Result<Node, String> {
        let [resp, peer, http] = free_ports()?;
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut node = Node { name: name.to_owned(), server: None, resp, http, peer, folder, flags };
        node.server = Some(self.serve(&node)?);
        Ok(node)
    }

    fn serve(&self, node: &Node) -> Result<Server, String> {
        let mut command = Command::new(&self.place.program);
        command.args(["serve", "--cluster", "bench", "--name", &node.name, "--data"]).arg(node.folder.path().join("data"));
        command.args(&self.flags).args(&node.flags);
        for (flag, port) in [("--resp", node.resp), ("--peer", node.peer), ("--http", node.http)] {
            command.args([flag, &format!("127.0.0.1:{port}")]);
        }
        Server::start(command, self.place.folder.join(format!("limosa-{}.log", node.name)), node.http)
    }
}
