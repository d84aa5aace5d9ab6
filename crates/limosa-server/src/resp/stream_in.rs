//! Takes a large argument from the socket in pieces, each of them in the store before the next is read.
//!
//! The command itself is executed when it has arrived whole, like any other; what stands for the argument then is the name of the value
//! that has arrived. When the client leaves before that, or the command does not take the value, it is given up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BufMut;
use limosa_core::limits::{USER_KEY_BYTES_MAX, USER_VALUE_BYTES_MAX, WHOLE_VALUE_BYTES_MAX};
use limosa_store::Join;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::cluster::{Route, route_write};
use super::connection::Connection;
use super::ended::Ended;
use super::error::{CommandError, KeyspaceError};
use super::keyspace::{Backend, Keyspace};
use super::number::parse_i64;
use super::session::Session;
use super::shared::Stats;

/// An argument longer than this is taken in pieces.
pub(super) const LARGE_BYTES_MIN: usize = 1 << 20;
/// A command of which so much was read already has its other values taken in pieces too, when they do not fit an entry.
const GATHERED_BYTES_MAX: usize = 4 << 20;
/// Bytes of one piece: what is written under one hold of the store's lock.
const PIECE_BYTES: usize = 64 << 10;

/// An argument that arrives in pieces, as the parser sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expected {
    /// Which argument.
    pub(super) index: usize,
    /// Where its bytes start, counted from the command's.
    pub(super) start: usize,
    /// How many there are.
    pub(super) bytes: usize,
}

impl Expected {
    /// Whether it is a value that is worth taking in pieces; `args` are those before it.
    pub(super) fn is_large(&self, args: &[&[u8]]) -> bool {
        let fits = self.bytes <= LARGE_BYTES_MIN && (self.bytes <= WHOLE_VALUE_BYTES_MAX || self.start <= GATHERED_BYTES_MAX);
        !fits && key_of(args, self.index).is_some()
    }
}

/// The key of the value that is argument `index`, if it is one; `args` are those before it.
fn key_of<'a>(args: &[&'a [u8]], index: usize) -> Option<&'a [u8]> {
    let name = args.first()?.to_ascii_lowercase();
    let key = match (&name[..], index) {
        (b"set" | b"setnx" | b"getset" | b"append", 2) | (b"setex" | b"psetex" | b"setrange", 3) => 1,
        (b"mset" | b"msetnx", 2..) if index.is_multiple_of(2) => index - 1,
        _ => return None,
    };
    args.get(key).copied()
}

/// An argument that has arrived in pieces, or why it can't be taken.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) index: usize,
    pub(crate) bytes: usize,
    pub(crate) upload: Result<u64, CommandError>,
}

impl<B: Backend> Connection<B> {
    /// Takes the argument that comes next when it is large, and then the next; whether there was any. What was read of the command is in
    /// the buffer, from its first byte on.
    pub(super) async fn take_large(&mut self) -> Result<bool, Ended> {
        let mut any = false;
        while let Some(expected) = self.batch.large(&self.buffer) {
            let key = self.batch.expected_args(&self.buffer, |args| key_of(args, expected.index).map(<[u8]>::to_vec));
            let upload = self.open_upload(&key.expect("a large argument has a key")).await?;
            self.session.arrived.push(Arrived { index: expected.index, bytes: expected.bytes, upload });
            self.take_argument(expected).await?;
            self.batch.taken();
            any = true;
        }
        Ok(any)
    }

    async fn take_argument(&mut self, expected: Expected) -> Result<(), Ended> {
        let mut left = expected.bytes;
        let mut piece = Vec::with_capacity(PIECE_BYTES.min(left));
        let mut due = 0;
        while left > 0 {
            let wanted = PIECE_BYTES.min(left);
            piece.clear();
            let at_hand = wanted.min(self.buffer.len() - expected.start);
            piece.extend(self.buffer.drain(expected.start..expected.start + at_hand));
            while piece.len() < wanted {
                self.read_piece(&mut piece, wanted).await?;
            }
            left -= wanted;
            // one piece on its way to the disk while the next one is read
            self.gate.reach(due).await?;
            due = self.push_piece(&piece, left == 0).await?;
            tokio::task::yield_now().await; // whatever the disk: other clients have their turn
        }
        // like the parser, the two bytes behind an argument are skipped unseen
        while self.buffer.len() < expected.start + 2 {
            let mut rest = Vec::with_capacity(2);
            self.read_piece(&mut rest, expected.start + 2 - self.buffer.len()).await?;
            self.buffer.append(&mut rest);
        }
        self.buffer.drain(expected.start..expected.start + 2);
        Ok(())
    }

    /// Reads until there are at most `wanted` bytes.
    async fn read_piece(&mut self, piece: &mut Vec<u8>, wanted: usize) -> Result<(), Ended> {
        let mut room = piece.limit(0);
        room.set_limit(wanted - room.get_ref().len());
        let read = self.stream.read_buf(&mut room);
        let count = match self.shared.settings.timeout_s.load(Ordering::Relaxed) {
            0 => read.await?,
            seconds => timeout(Duration::from_secs(seconds), read).await.map_err(|_| Ended::Idle)??,
        };
        Stats::add(&self.shared.stats.read_bytes, count as u64);
        if count == 0 { Err(Ended::Left) } else { Ok(()) }
    }

    /// Opens an upload for `key`, behind the cutover when its slot is in one; or says why the value can't be taken.
    async fn open_upload(&mut self, key: &[u8]) -> Result<Result<u64, CommandError>, Ended> {
        if key.len() > USER_KEY_BYTES_MAX {
            return Ok(Err(CommandError::KeyTooLong));
        }
        loop {
            let opened = match self.admit_piece(key) {
                Ok(()) => self.backend.begin(true).upload_open(key),
                Err(Some(refusal)) => return Ok(Err(refusal)),
                Err(None) => Err(KeyspaceError::waits()),
            };
            match opened {
                Err(error) if error.is_shut() => {
                    if let Some(refusal) = self.wait_for_gate().await? {
                        return Ok(Err(refusal));
                    }
                }
                opened => {
                    self.waiting_since = None;
                    return Ok(opened.map_err(CommandError::NotWritten));
                }
            }
        }
    }

    /// Whether `key` may be written here now; else the refusal, or none when that can change by waiting.
    fn admit_piece(&mut self, key: &[u8]) -> Result<(), Option<CommandError>> {
        self.look_at_picture();
        match &self.session.cluster.picture {
            None if self.shared.node.is_owner() => Ok(()),
            None => Err(Some(CommandError::ReadOnly)),
            Some(picture) => match route_write(picture, key) {
                Route::Refuse(error) => Err(Some(error)),
                Route::Park => Err(None),
                Route::Serve | Route::Follow(_) => Ok(()),
            },
        }
    }

    /// Waits for a cutover in the middle of a value; replies before it leave first.
    async fn wait_for_gate(&mut self) -> Result<Option<CommandError>, Ended> {
        self.write().await?;
        Ok(self.wait_for_picture(true).await)
    }

    /// Writes a piece of the argument that arrives; answers the position to wait for. A piece that meets a cutover waits for its end.
    async fn push_piece(&mut self, piece: &[u8], is_last: bool) -> Result<u64, Ended> {
        loop {
            let arrived = self.session.arrived.last_mut().expect("pushed before its pieces");
            let Ok(id) = arrived.upload else { return Ok(0) }; // refused: its bytes are only skipped
            let pushed = {
                let mut keys = self.backend.begin(true);
                push(&mut keys, id, piece, is_last).map(|()| keys.seen())
            };
            let refusal = match pushed {
                Ok(seen) => {
                    self.waiting_since = None;
                    return Ok(seen);
                }
                Err(error) if error.is_shut() => match self.wait_for_gate().await? {
                    None => continue,
                    Some(refusal) => refusal,
                },
                Err(error) => CommandError::NotWritten(error),
            };
            self.give_up(refusal);
            return Ok(0);
        }
    }

    /// The value that arrives can't be taken any more: its other bytes are skipped, and its command is answered with `refusal`. Where the
    /// slot has moved away meanwhile, the command's own route says so first.
    fn give_up(&mut self, refusal: CommandError) {
        let arrived = self.session.arrived.last_mut().expect("it is there");
        if let Ok(id) = std::mem::replace(&mut arrived.upload, Err(refusal)) {
            close(&mut self.backend.begin(true), id);
        }
    }

    /// Joins the value that has arrived to the one that is there, so that the command at hand only has to set it.
    pub(super) async fn join(&mut self) -> Result<(), Ended> {
        let (key, join, bytes) = self.batch.with_args(self.next, &self.buffer, |args| {
            let offset = if args.len() == 4 { parse_i64(args[2]).and_then(|offset| u64::try_from(offset).ok()) } else { None };
            (args[1].to_vec(), offset.map_or(Join::Append, Join::At), args[args.len() - 1].to_vec())
        });
        self.session.is_joined = true;
        if self.session.arrived.is_empty() {
            // few bytes far behind the end of a value: they are what has arrived, and the zeros before them are joined to it
            let upload = self.open_upload(&key).await?;
            self.session.arrived.push(Arrived { index: 3, bytes: bytes.len(), upload });
            self.push_piece(&bytes, true).await?;
        }
        let Ok(id) = self.session.arrived[0].upload else { return Ok(()) }; // the command says why
        let mut due = 0;
        loop {
            let stepped = {
                let mut keys = self.backend.begin(true);
                let stepped = keys.upload_join(&key, id, join, self.now_ms);
                keys.commit();
                stepped.map(|is_ready| (is_ready, keys.seen()))
            };
            match stepped {
                // at once: nobody gets a turn before the command is executed
                Ok((true, _)) => return Ok(()),
                Ok((false, seen)) => {
                    self.gate.reach(due).await?;
                    due = seen;
                    tokio::task::yield_now().await;
                }
                // the command is routed again, and what was joined so far goes on
                Err(error) if error.is_shut() => {
                    self.session.is_joined = false;
                    return self.park(true).await;
                }
                Err(error) => {
                    self.give_up(CommandError::NotWritten(error));
                    return Ok(());
                }
            }
        }
    }
}

/// Whether the command sets what must be joined to the old value first. A command that will be refused needs no joining.
pub(super) fn needs_join(session: &Session, name: &str, args: &[&[u8]], keys: &mut impl Keyspace, now_ms: u64) -> bool {
    if session.is_joined || !matches!(name, "append" | "setrange") || args[1].len() > USER_KEY_BYTES_MAX {
        return false;
    }
    let Ok(stat) = keys.stat(args[1], now_ms) else { return false };
    let old = stat.map_or(0, |stat| stat.bytes);
    let (offset, bytes) = match (name, session.arrived.first()) {
        ("append", Some(arrived)) => (old, arrived.bytes),
        ("append", None) => return false,
        (_, arrived) => match parse_i64(args[2]).and_then(|offset| u64::try_from(offset).ok()) {
            Some(offset) => (offset, arrived.map_or(args[3].len(), |arrived| arrived.bytes)),
            None => return false,
        },
    };
    let fits = bytes > 0 && offset.saturating_add(bytes as u64) <= USER_VALUE_BYTES_MAX as u64;
    fits && (!session.arrived.is_empty() || offset.saturating_sub(old) > LARGE_BYTES_MIN as u64)
}

fn push(keys: &mut impl Keyspace, id: u64, piece: &[u8], is_last: bool) -> Result<(), KeyspaceError> {
    let pushed = keys.upload_push(id, piece, is_last);
    if pushed.is_ok() {
        keys.commit()
    } else {
        keys.abort()
    }
    pushed
}

/// Gives up a value that was not set. When even that fails, its parts stay until a node becomes owner.
fn close(keys: &mut impl Keyspace, id: u64) {
    match keys.upload_close(id) {
        Ok(()) => keys.commit(),
        Err(error) => {
            keys.abort();
            tracing::warn!(code = error.code, %error, "parts of a value that was not set stay for now");
        }
    }
}

/// Behind the command that the arrived values belong to, and when the connection ends.
pub(super) fn close_all(session: &mut Session, keys: &mut impl Keyspace) {
    session.is_joined = false;
    session.arrived.drain(..).filter_map(|arrived| arrived.upload.ok()).for_each(|id| close(keys, id));
}
