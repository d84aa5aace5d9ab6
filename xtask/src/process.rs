//! Child processes that never outlive their owner, free loopback ports, and folders that vanish.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A running server; killed by its id when dropped.
pub(crate) struct Server {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with its output in `log`, and waits until something listens on `port`.
    pub(crate) fn start(mut command: Command, log: PathBuf, port: u16) -> Result<Self, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let (out, err) = log_files(&log)?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().map_err(|error| format!("can't start {name}: {error}"))?;
        let mut server = Self { child, name, log };
        server.wait_for(port)?;
        Ok(server)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name, as kill(1) knows it.
    pub(crate) fn signal(&self, name: &str) -> Result<(), String> {
        let mut kill = Command::new("kill");
        kill.args([&format!("-{name}"), &self.id().to_string()]);
        output_of(kill).map(|_| ())
    }

    /// How it ended, if it has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("{} ended with {status}:\n{}", self.name, tail(&self.log, 20)))
    }

    /// Asks it to stop (SIGTERM) and waits until it has; an error when it takes longer.
    pub(crate) fn stop(mut self, patience: Duration) -> Result<(), String> {
        self.signal("TERM")?;
        let start = Instant::now();
        while self.ended().is_none() {
            if start.elapsed() > patience {
                return Err(format!("{} did not stop within {} s", self.name, patience.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Resident memory, bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64, String> {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory since the start, or since [`Server::reset_peak`], bytes.
    pub(crate) fn peak_bytes(&self) -> Result<u64, String> {
        self.status_bytes("VmHWM:")
    }

    /// The peak is what is resident now.
    pub(crate) fn reset_peak(&self) -> Result<(), String> {
        let path = format!("/proc/{}/clear_refs", self.id());
        fs::write(&path, "5").map_err(|error| format!("can't write {path}: {error}"))
    }

    /// A line of `/proc/ID/status`.
    fn status_bytes(&self, name: &str) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(&path).map_err(|error| format!("can't read {path}: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("{path} has no {name}"))?;
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().map_err(|error| format!("{path}: {error}"))?;
        Ok(kib << 10)
    }

    fn wait_for(&mut self, port: u16) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.child.try_wait().map_err(|error| format!("{}: {error}", self.name))?;
            if let Some(status) = ended {
                return Err(format!("{} ended with {status} before it listened on {port}:\n{}", self.name, tail(&self.log, 20)));
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not listen on {port} after a minute:\n{}", self.name, tail(&self.log, 20)));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

/// Runs `command` to its end with its output in `log`; the error holds the output's last lines.
pub(crate) fn run_logged(mut command: Command, log: &Path) -> Result<(), String> {
    let (out, err) = log_files(log)?;
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(out).stderr(err).status().map_err(|error| format!("can't run {name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}:\n{}\n(all of it: {})", tail(log, 80), log.display())) }
}

/// Runs `command` to its end and returns what it printed to standard output.
pub(crate) fn output_of(mut command: Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("can't run {name}: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} ended with {}: {}", output.status, last_lines(&text, 20)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program of this name can be run at all.
pub(crate) fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// `N` loopback ports that were free a moment ago.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N], String> {
    let mut listeners = Vec::with_capacity(N); // held together, so that no port comes twice
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no free loopback port: {error}"))?;
        *port = listener.local_addr().map_err(|error| format!("no free loopback port: {error}"))?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// A folder that is removed with everything in it when dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new folder inside `parent`.
    pub(crate) fn new(parent: &Path) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = parent.join(format!("scratch-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&path).map_err(|error| format!("can't make {}: {error}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what stays lies under the target folder
    }
}

fn log_files(log: &Path) -> Result<(File, File), String> {
    let describe = |error| format!("can't write {}: {error}", log.display());
    let out = File::create(log).map_err(describe)?;
    let err = out.try_clone().map_err(describe)?;
    Ok((out, err))
}

fn tail(log: &Path, lines: usize) -> String {
    fs::read(log)
        .map_or_else(|error| format!("can't read {}: {error}", log.display()), |bytes| last_lines(&String::from_utf8_lossy(&bytes), lines))
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
