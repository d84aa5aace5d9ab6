//! Redis and Limosa as a case wants them: on free loopback ports, in a folder of their own, gone when dropped.

use std::process::Command;

use super::Bench;
use super::resp::Client;
use crate::process::{Scratch, Server, free_ports, is_installed, output_of};

/// A running server of either kind.
pub(super) struct Peer {
    pub(super) server: Server,
    pub(super) port: u16,
    /// The port of HTTP, and that of peers; Redis has neither.
    pub(super) http: u16,
    pub(super) peer: u16,
    folder: Scratch,
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
    Ok(Peer { server, port, http: 0, peer: 0, folder })
}

/// `limosa serve` with these flags.
pub(super) fn limosa(bench: &Bench, flags: &[&str]) -> Result<Peer, String> {
    serve(bench, Scratch::new(&bench.folder)?, flags)
}

/// A standby of `owner`, called `name`, with a bundle that the owner issued.
pub(super) fn limosa_standby(bench: &Bench, owner: &Peer, name: &str) -> Result<Peer, String> {
    limosa_standby_through(bench, owner, name, owner.peer)
}

/// The same, which dials the owner at another port: a relay's.
pub(super) fn limosa_standby_through(bench: &Bench, owner: &Peer, name: &str, port: u16) -> Result<Peer, String> {
    owner.client()?.ask(&["PING"])?; // it listens before it has its certificates, and answers behind them
    let folder = Scratch::new(&bench.folder)?;
    let bundle = folder.path().join("bundle.pem").display().to_string();
    let mut issue = Command::new(bench.metadata.program("limosa"));
    issue.args(["cert", "issue", "--for", name, "--out", &bundle, "--data"]).arg(owner.folder.path().join("data"));
    output_of(issue)?;
    let of = format!("127.0.0.1:{port}");
    serve(bench, folder, &["--durability", "interval", "--name", name, "--bundle", &bundle, "--standby-of", &of])
}

fn serve(bench: &Bench, folder: Scratch, flags: &[&str]) -> Result<Peer, String> {
    let [port, peer, http] = free_ports()?;
    let mut command = Command::new(bench.metadata.program("limosa"));
    command.arg("serve").arg("--data").arg(folder.path().join("data")).args(flags);
    for (flag, port) in [("--resp", port), ("--peer", peer), ("--http", http)] {
        command.args([flag, &format!("127.0.0.1:{port}")]);
    }
    let server = Server::start(command, bench.folder.join(format!("limosa-{port}.log")), port)?;
    Ok(Peer { server, port, http, peer, folder })
}
