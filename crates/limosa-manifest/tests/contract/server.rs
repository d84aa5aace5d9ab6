//! A real etcd server for one test, on loopback, with its own folder; ended by its id.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use limosa_manifest::etcd::EtcdConfig;
use tempfile::TempDir;

/// A server that can be stopped and started again on the same ports.
pub(crate) struct EtcdServer {
    child: Option<Child>,
    dir: TempDir,
    client: u16,
    peer: u16,
    scheme: &'static str,
    args: Vec<String>,
}

impl EtcdServer {
    pub(crate) fn start() -> Self {
        Self::start_with("http", |_| Vec::new())
    }

    /// With more arguments, which may name files in the server's folder.
    pub(crate) fn start_with(scheme: &'static str, args: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let args = args(dir.path());
        let mut server = Self { child: None, client: free_port(), peer: free_port(), scheme, args, dir };
        server.resume();
        server
    }

    /// Starts the server again; it is ready when this returns.
    pub(crate) fn resume(&mut self) {
        let (client, peer) = (format!("{}://127.0.0.1:{}", self.scheme, self.client), format!("http://127.0.0.1:{}", self.peer));
        let mut command = Command::new("etcd");
        command.args(["--name", "e", "--data-dir"]).arg(self.data());
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.arg("--initial-cluster").arg(format!("e={peer}"));
        command.args(["--logger", "zap", "--log-level", "error"]).args(&self.args);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("etcd is missing: install it (Debian: apt-get install etcd-server etcd-client)"));
        self.wait();
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.client)).is_err() {
            let ended = self.child.as_mut().expect("started").try_wait().expect("a child of ours");
            assert!(ended.is_none(), "etcd ended at its start: {ended:?}");
            assert!(Instant::now() < deadline, "etcd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the server; its folder stays.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill(); // it may have ended by itself
            let _ = child.wait();
        }
    }

    /// Sends the server a signal: STOP freezes it, CONT lets it go on.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().expect("kill is there");
        assert!(sent.success());
    }

    /// Where its data lies.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.client)
    }

    pub(crate) fn config(&self, prefix: &str) -> EtcdConfig {
        EtcdConfig { request_timeout: Duration::from_secs(2), ..EtcdConfig::new(vec![self.url()], prefix) }
    }

    /// Runs etcdctl against this server.
    pub(crate) fn control(&self, args: &[&str]) -> String {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.url()]).args(args);
        let output = command.output().expect("etcdctl is missing: install it (Debian: apt-get install etcd-client)");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "etcdctl {args:?}: {text}");
        text
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).expect("loopback").local_addr().expect("bound").port()
}
