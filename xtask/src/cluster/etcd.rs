//! A real etcd server with its own folder, that can be ended and started again on the same port.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Scratch, Server, free_ports};

/// A server; ended by its id.
pub(crate) struct Etcd {
    server: Option<Server>,
    folder: Scratch,
    log: PathBuf,
    client: u16,
    peer: u16,
}

impl Etcd {
    /// Starts one with its data under `parent`.
    pub(crate) fn start(parent: &Path) -> Result<Self, String> {
        let ([client, peer], folder) = (free_ports()?, Scratch::new(parent)?);
        let mut etcd = Self { server: None, folder, log: parent.join("etcd.log"), client, peer };
        etcd.resume()?;
        Ok(etcd)
    }

    /// Where it answers.
    pub(crate) fn port(&self) -> u16 {
        self.client
    }

    /// Kills it; its folder stays.
    pub(crate) fn stop(&mut self) {
        self.server = None;
    }

    /// Starts it again.
    pub(crate) fn resume(&mut self) -> Result<(), String> {
        let (client, peer) = (format!("http://127.0.0.1:{}", self.client), format!("http://127.0.0.1:{}", self.peer));
        let mut command = Command::new("etcd");
        command.args(["--name", "e", "--data-dir"]).arg(self.folder.path().join("data"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.arg("--initial-cluster").arg(format!("e={peer}")).args(["--logger", "zap", "--log-level", "error"]);
        self.server = Some(
            Server::start(command, self.log.clone(), self.client)
                .map_err(|error| format!("{error} (a real etcd is needed; Debian: apt-get install etcd-server)"))?,
        );
        Ok(())
    }

    /// Freezes it, or lets it go on.
    pub(crate) fn pause(&self, is_paused: bool) -> Result<(), String> {
        self.server.as_ref().map_or(Ok(()), |server| server.signal(if is_paused { "STOP" } else { "CONT" }))
    }
}
