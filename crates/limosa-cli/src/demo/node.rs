//! One node of the demo: a process of its own with a folder, ports and a log of its own.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use limosa_server::http::api::{Peer, PeerState, Status};

use super::children::Children;
use super::control::Control;
use super::error::DemoError;
use super::ports::NodePorts;
use super::wait::{self, Seen};

/// For a node to recover and answer.
const START_MAX: Duration = Duration::from_secs(120);
/// For a node to notice that a connection is gone.
const NOTICE_MAX: Duration = Duration::from_secs(60);
/// For two ends to agree.
const AGREE_MAX: Duration = Duration::from_secs(1800);
/// For a transfer to stand still.
const STILL_MAX: Duration = Duration::from_secs(60);
/// Lines of a log that an error shows.
const LOG_LINES: usize = 12;

/// A node, running or not.
pub(super) struct Node {
    /// What people and its certificate call it.
    pub(super) name: &'static str,
    pub(super) ports: NodePorts,
    pub(super) data: PathBuf,
    pub(super) control: Control,
    log: PathBuf,
    flags: Vec<String>,
    children: Children,
}

impl Node {
    /// A node with its folder under `folder`; `flags` are given at every start.
    pub(super) fn new(
        name: &'static str,
        folder: &Path,
        ports: NodePorts,
        flags: Vec<String>,
        children: &Children,
    ) -> Result<Self, DemoError> {
        let control = Control::new(name, ports.http())?;
        let (data, log) = (folder.join(name), folder.join(format!("{name}.log")));
        Ok(Self { name, ports, data, control, log, flags, children: children.clone() })
    }

    /// Starts the process and waits until it answers.
    pub(super) fn start(&self, more: &[&str]) -> Result<Status, DemoError> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|source| DemoError::File { path: self.log.clone(), source })?;
        let again = log.try_clone().map_err(|source| DemoError::File { path: self.log.clone(), source })?;
        let mut command = program()?;
        command.args(["serve", "--name", self.name]).arg("--data").arg(&self.data);
        for (flag, address) in [("--resp", self.ports.resp()), ("--peer", self.ports.peer()), ("--http", self.ports.http())] {
            command.arg(flag).arg(address.to_string());
        }
        command.args(&self.flags).args(more).stdin(Stdio::null()).stdout(log).stderr(again);
        // A group of its own: Ctrl-C reaches the demo, which then ends the nodes.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        self.children.start(self.name, &mut command)?;
        self.until("answering", START_MAX, || {
            Ok(self.control.try_status()?.map_or_else(|| Seen::NotYet("no answer".to_owned()), Seen::Done))
        })
    }

    /// Until it can do its work.
    pub(super) fn ready(&self) -> Result<(), DemoError> {
        self.until("ready", START_MAX, || {
            let ready = self.control.try_ready()?.is_some_and(|readiness| readiness.ready);
            Ok(if ready { Seen::Done(()) } else { Seen::NotYet("not ready".to_owned()) })
        })
    }

    /// `kill -9`.
    pub(super) fn kill(&self) {
        self.children.kill(self.name);
    }

    /// Until this owner noticed that the standby is gone.
    pub(super) fn alone(&self, standby: &Self) -> Result<(), DemoError> {
        self.until("without its standby", NOTICE_MAX, || {
            let state = peer(&self.control.status()?, standby.name).map(|peer| peer.state);
            let gone = state.is_none_or(|state| matches!(state, PeerState::Connecting | PeerState::Blocked));
            Ok(if gone { Seen::Done(()) } else { Seen::NotYet("still connected".to_owned()) })
        })
    }

    /// Until the standby has all of this owner's commits durably; `look` is shown every status on the way.
    pub(super) fn agrees(&self, standby: &Self, mut look: impl FnMut(&Status)) -> Result<Status, DemoError> {
        let mut last = (Instant::now(), String::new());
        self.until("in agreement with its standby", AGREE_MAX, || {
            standby.check()?;
            let status = self.control.status()?;
            look(&status);
            let seen = match peer(&status, standby.name) {
                Some(peer) if peer.state == PeerState::Live && peer.acknowledged.is_some_and(|position| position >= status.head) => {
                    return Ok(Seen::Done(status));
                }
                Some(peer) => describe(peer, &status),
                None => "no standby".to_owned(),
            };
            if seen != last.1 {
                last = (Instant::now(), seen.clone());
            } else if last.0.elapsed() > STILL_MAX {
                return Err(DemoError::TooLate { what: "the transfer to go on".to_owned(), waited: STILL_MAX, seen });
            }
            Ok(Seen::NotYet(seen))
        })
    }

    /// Runs a command of ours on the folder of this node, which must not run.
    pub(super) fn offline(&self, args: &[&str]) -> Result<(), DemoError> {
        let output = program()?.args(args).arg("--data").arg(&self.data).output();
        let output = output.map_err(|source| DemoError::NotStarted { what: "limosa", source })?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(DemoError::Refused { node: self.name, message: format!("`limosa {}`: {message}", args.join(" ")) })
    }

    /// Waits for something of this node, and fails at once when it ended by itself.
    pub(super) fn until<T>(
        &self,
        what: &str,
        longest: Duration,
        mut look: impl FnMut() -> Result<Seen<T>, DemoError>,
    ) -> Result<T, DemoError> {
        wait::until(&self.children, &format!("the {} to be {what}", self.name), longest, || {
            self.check()?;
            look()
        })
    }

    /// Fails when the process ended by itself.
    pub(super) fn check(&self) -> Result<(), DemoError> {
        let Some(status) = self.children.ended(self.name) else { return Ok(()) };
        self.children.check()?; // an interrupt ended it
        Err(DemoError::NodeEnded { node: self.name, status, log: last_lines(&self.log) })
    }
}

/// Where a standby is, in words that change when it gets on.
fn describe(peer: &Peer, status: &Status) -> String {
    let bytes = peer.progress.as_ref().map_or(0, |progress| progress.bytes_done);
    let blocked = peer.blocked_because.as_ref().map_or_else(String::new, |why| format!(" because {why}"));
    let acknowledged = peer.acknowledged.unwrap_or(0);
    format!("{}{blocked}, {acknowledged} of {} commits, {bytes} bytes transferred", peer.state.word(), status.head)
}

/// What a status says of the peer called `name`.
pub(super) fn peer<'a>(status: &'a Status, name: &str) -> Option<&'a Peer> {
    status.peers.iter().find(|peer| peer.name.as_deref() == Some(name))
}

/// This very program. What the environment sets for the user's own nodes must not reach the demo's.
fn program() -> Result<Command, DemoError> {
    let path = std::env::current_exe().map_err(|source| DemoError::NotStarted { what: "this program again", source })?;
    let mut command = Command::new(path);
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("LIMOSA_"));
    for name in ours {
        command.env_remove(name);
    }
    Ok(command)
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
