//! Redis and Limosa as a case wants them: on free loopback ports, in a folder of their own, gone when dropped.

use std::process::Command;

use super::Bench;
use super::resp::Client;
use crate::process::{Scratch, Server, free_ports, is_installed};

/// A running server of either kind.
pub(super) struct Peer {
    pub(super) server: Server,
    pub(super) port: u16,
    _folder: Scratch,
}

impl Peer {
    pub(super) fn client(&self) -> Result<Client, String> {
        Client::connect(self.port)
    }
}

/// `redis-server` with these settings.
pub(super) fn redis(bench: &Bench, settings: &[&str]) -> Result<Peer, String> {
    if !is_installed("redis-server") {
        return Err("no redis-server to compare with: install it (Debian: apt-get install redis-server)".into());
    }
    let (folder, [port]) = (Scratch::new(&bench.folder)?, free_ports()?);
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(folder.path()).args(settings);
    let server = Server::start(command, bench.folder.join("redis.log"), port)?;
    Ok(Peer { server, port, _folder: folder })
}

/// `limosa serve` with these flags.
pub(super) fn limosa(bench: &Bench, flags: &[&str]) -> Result<Peer, String> {
    let (folder, [port, peer, http]) = (Scratch::new(&bench.folder)?, free_ports()?);
    let mut command = Command::new(bench.metadata.program("limosa"));
    command.arg("serve").arg("--data").arg(folder.path().join("data")).args(flags);
    for (flag, port) in [("--resp", port), ("--peer", peer), ("--http", http)] {
        command.args([flag, &format!("127.0.0.1:{port}")]);
    }
    let server = Server::start(command, bench.folder.join("limosa.log"), port)?;
    Ok(Peer { server, port, _folder: folder })
}
