//! Executes requests of a batch under one hold of the store's lock, until something other than the head is needed.

use super::batch::Batch;
use super::call::Run;
use super::cluster::{self, Entry};
use super::connection::{Connection, OUT_BYTES_MAX};
use super::dispatch::{self, Ran, Request};
use super::error::CommandError;
use super::keyspace::{Backend, Keyspace};
use super::session::Session;
use super::shared::Stats;
use super::stream_in;

/// The store's lock is held for at most so many commands, and bytes of them, at a time.
const LOCK_COMMANDS_MAX: usize = 256;
const LOCK_BYTES_MAX: usize = 1 << 20;
/// So often a command is tried again because something was not in memory, before it waits for the disk under the lock: it needs more at
/// once than memory keeps.
pub(super) const TRIES_MAX: u32 = 16;
/// Commands behind one that must wait for the disk whose keys are loaded with it.
const AHEAD_COMMANDS: usize = 32;

/// Why execution stopped before the batch's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pause {
    /// The batch is through.
    End,
    /// The lock was held, or replies were gathered, for long enough.
    Breath,
    /// The next command runs on a snapshot.
    Cut,
    /// The next command waits for standbys.
    Replicas,
    /// The next command needs what is not in memory.
    Cold,
    /// The values that had arrived for the last command are to be closed.
    Arrived,
    /// The next command sets a large value that must be joined to the old one first.
    Join,
    /// The next command's slot changes hands.
    Park,
    /// The next command's fragment does not serve, though the picture says otherwise.
    Shut,
    /// The next command reads what this node has not caught up with.
    Behind,
}

impl<B: Backend> Connection<B> {
    /// Executes until something other than the connection and the head is needed.
    pub(super) fn run_batch(&mut self) -> Pause {
        self.look_at_picture();
        let Self { session, batch, buffer, out, next, now_ms, seen, backend, cold, tries, .. } = self;
        let waits = *tries >= TRIES_MAX;
        let mut head: Option<(B::Head<'_>, bool)> = None;
        let (first, mut bytes, mut pause) = (*next, 0, Pause::End);
        while *next < batch.len() && !session.is_closing {
            let index = *next;
            let is_long = index - first >= LOCK_COMMANDS_MAX || bytes >= LOCK_BYTES_MAX;
            if is_long || out.len() >= OUT_BYTES_MAX || !session.splices.is_empty() {
                pause = Pause::Breath;
                break;
            }
            match batch.command(index) {
                Err(error) => refuse(session, batch, buffer, index, error, out),
                Ok(command) => {
                    if index + 1 == batch.len() {
                        session.facts.touch(command, *now_ms);
                    }
                    match command.run {
                        Run::Published(_) => pause = Pause::Cut,
                        Run::Replicas => pause = Pause::Replicas,
                        Run::Session(_) | Run::Container => batch
                            .with_args(index, buffer, |args| dispatch::alone(session, &Request { command, args, now_ms: *now_ms }, out)),
                        Run::Keys(_) => {
                            let (keys, is_owner) = head.get_or_insert_with(|| {
                                let keys = backend.begin(waits);
                                (keys, session.shared.node.is_owner())
                            });
                            pause = batch.with_args(index, buffer, |args| {
                                on_keys(session, &Request { command, args, now_ms: *now_ms }, keys, *is_owner, out)
                            });
                            match pause {
                                Pause::End => *tries = 0,
                                Pause::Cold => note_ahead(batch, buffer, index, keys),
                                _ => {}
                            }
                        }
                    }
                    if pause != Pause::End {
                        break;
                    }
                }
            }
            bytes += batch.bytes(index);
            *next += 1;
            if !session.arrived.is_empty() {
                pause = Pause::Arrived;
                break;
            }
        }
        if let Some((keys, _)) = head {
            *seen = keys.seen().max(session.cluster.seen).max(*seen);
            *cold = keys.into_cold();
        }
        Stats::add(&session.shared.stats.commands, (*next - first) as u64);
        pause
    }
}

/// Runs one command on keys, if it may be; `Pause::End` when that is done. `is_owner` was asked under the lock that `keys` holds.
#[inline]
fn on_keys<K: Keyspace>(session: &mut Session, request: &Request<'_>, keys: &mut K, is_owner: bool, out: &mut Vec<u8>) -> Pause {
    if session.cluster.is_kept {
        return on_kept_keys(session, request, keys, is_owner, out);
    }
    if is_owner && stream_in::needs_join(session, request.command.name, request.args, keys, request.now_ms) {
        return Pause::Join;
    }
    pause_of(dispatch::on_head(session, request, keys, is_owner, out))
}

/// The same where commands are routed, or something is kept of what they saw. Apart, so that the usual path stays small.
#[inline(never)]
fn on_kept_keys<K: Keyspace>(session: &mut Session, request: &Request<'_>, keys: &mut K, is_owner: bool, out: &mut Vec<u8>) -> Pause {
    let follows = match cluster::enter(session, request, keys, is_owner) {
        Entry::Serve => false,
        Entry::Follow => true,
        Entry::Park => return Pause::Park,
        Entry::Behind => return Pause::Behind,
        Entry::Refuse(error) => {
            dispatch::refuse(session, &error, out);
            return Pause::End;
        }
    };
    // In a cluster the route has decided, READONLY included; elsewhere `dispatch` does by the node's one role.
    let is_admitted = is_owner || session.cluster.picture.is_some();
    if !follows && is_admitted && stream_in::needs_join(session, request.command.name, request.args, keys, request.now_ms) {
        return Pause::Join;
    }
    let start = out.len();
    keys.follow(follows);
    let ran = dispatch::on_head(session, request, keys, is_admitted, out);
    keys.follow(false);
    if matches!(ran, Ran::Done) {
        cluster::note(session, request, keys, follows, start..out.len());
    }
    pause_of(ran)
}

fn pause_of(ran: Ran) -> Pause {
    match ran {
        Ran::Done => Pause::End,
        Ran::Cold => Pause::Cold,
        Ran::Shut => Pause::Shut,
    }
}

/// Notes the keys of command `index` and of those behind it.
fn note_ahead<K: Keyspace>(batch: &Batch, buffer: &[u8], index: usize, keys: &mut K) {
    for ahead in index..batch.len().min(index + AHEAD_COMMANDS) {
        match batch.command(ahead) {
            Ok(command) if matches!(command.run, Run::Keys(_)) => {
                batch.with_args(ahead, buffer, |args| dispatch::note_keys(command, args, keys));
            }
            _ => {}
        }
    }
}

/// Replies with the error, and ends a connection that speaks HTTP to us: a page in somebody's browser may have been made to send commands.
fn refuse(session: &mut Session, batch: &Batch, buffer: &[u8], index: usize, error: &CommandError, out: &mut Vec<u8>) {
    let is_http = batch.with_args(index, buffer, |args| args[0].eq_ignore_ascii_case(b"post") || args[0].eq_ignore_ascii_case(b"host:"));
    if is_http {
        tracing::warn!(code = "resp.http", peer = %session.facts.peer(), "an HTTP request on the RESP port: connection closed");
        session.is_closing = true;
        return;
    }
    dispatch::refuse(session, error, out);
}
