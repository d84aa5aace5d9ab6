//! One connection: read, execute what has arrived whole, wait for the horizon, write. One read and one write for each turn.
//!
//! A connection reads nothing while it owes replies, so a client that does not read its replies holds at most one batch of them; when
//! it takes none for [`STALL_MAX`], it is closed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::batch::Batch;
use super::call::View;
use super::cluster::{Own, Picture};
use super::commands::table::Command;
use super::dispatch::{self, Request};
use super::ended::Ended;
use super::error::CommandError;
use super::gate::Gate;
use super::keyspace::{Backend, Cold, Published};
use super::read_budget::Taken;
use super::reply::Reply;
use super::session::Session;
use super::shared::{Shared, Stats};
use super::stream_in;
use super::turn::{Pause, TRIES_MAX};

/// A buffer starts with so many bytes and goes back to them after a large request or reply.
const BUFFER_BYTES: usize = 16 << 10;
/// A buffer above this is given back when it is empty and nothing waits to be read.
const BUFFER_KEPT_BYTES: usize = 64 << 10;
/// Bytes that are read before the whole requests among them are executed: all of a client's pipeline, so that it pays one flush.
const READ_BYTES_MAX: usize = 1 << 20;
/// Replies are written once there are so many bytes of them, though the batch may have more.
pub(super) const OUT_BYTES_MAX: usize = 1 << 20;
/// A client that takes no byte of its replies for so long is closed.
pub(super) const STALL_MAX: Duration = Duration::from_secs(60);

pub(super) struct Connection<B: Backend> {
    pub(super) stream: TcpStream,
    pub(super) backend: Arc<B>,
    pub(super) gate: Arc<Gate>,
    pub(super) shared: Arc<Shared>,
    pub(super) session: Session,
    pub(super) buffer: Vec<u8>,
    /// What the buffer has of the memory for requests, beyond its first bytes.
    taken: Taken,
    pub(super) batch: Batch,
    pub(super) out: Vec<u8>,
    /// Next request of the batch.
    pub(super) next: usize,
    /// Newest position that a reply in `out` has seen.
    pub(super) seen: u64,
    pub(super) cold: Cold,
    /// How often the next command was tried in vain.
    pub(super) tries: u32,
    pub(super) now_ms: u64,
    /// Who serves what, and when that changes.
    pub(super) pictures: Option<watch::Receiver<Option<Arc<Picture>>>>,
    /// Since when the next command waits for its slot, or for this node to catch up.
    pub(super) waiting_since: Option<Instant>,
}

impl<B: Backend> Connection<B> {
    pub(super) fn new(stream: TcpStream, backend: Arc<B>, gate: Arc<Gate>, session: Session) -> Self {
        let shared = session.shared.clone();
        let (buffer, out) = (Vec::with_capacity(BUFFER_BYTES), Vec::with_capacity(BUFFER_BYTES));
        let taken = Taken::nothing(shared.read_budget.clone());
        let pictures = shared.cluster.as_ref().map(|cluster| cluster.pictures());
        Self {
            stream,
            backend,
            gate,
            shared,
            session,
            buffer,
            taken,
            batch: Batch::default(),
            out,
            next: 0,
            seen: 0,
            now_ms: 0,
            cold: Cold::new(),
            tries: 0,
            pictures,
            waiting_since: None,
        }
    }

    /// Serves the client until it leaves, breaks the protocol or is closed.
    pub(super) async fn run(mut self) {
        if let Err(ended) = self.turns().await {
            let (client, peer) = (self.session.facts.id, self.session.facts.peer());
            match &ended {
                Ended::NotDurable(error) => self.tell(&CommandError::NotWritten(error.clone())).await,
                Ended::ReadMemory => self.tell(&CommandError::text("ERR requests of all clients take too much memory, try again")).await,
                _ => {}
            }
            match ended {
                Ended::Socket(_) | Ended::Left => tracing::debug!(code = ended.code(), client, %peer, %ended, "connection ended"),
                _ => tracing::warn!(code = ended.code(), client, %peer, %ended, "connection closed"),
            }
        }
    }

    /// Instead of the replies that can't be sent: one error, and the end. What became of their commands is not known.
    async fn tell(&mut self, error: &CommandError) {
        self.out.clear();
        dispatch::refuse(&self.session, error, &mut self.out);
        drop(timeout(STALL_MAX, self.stream.write_all(&self.out)).await);
    }

    async fn turns(&mut self) -> Result<(), Ended> {
        loop {
            let is_full = self.batch.len() > 0; // a full batch may have left whole requests behind
            let has_taken = self.take_large().await?; // the request that it belongs to may be whole with that
            if !has_taken && (self.buffer.is_empty() || !is_full) && !self.read().await? {
                return Ok(());
            }
            let consumed = self.batch.fill(&self.buffer);
            self.execute().await?;
            if self.session.is_closing || self.shared.registry.is_stopping() {
                return Ok(());
            }
            self.forget(consumed);
        }
    }

    /// Waits for bytes; false when there will be none.
    async fn read(&mut self) -> Result<bool, Ended> {
        self.session.facts.set_idle(true);
        if self.shared.registry.is_stopping() {
            return Ok(false);
        }
        if self.buffer.capacity() - self.buffer.len() < BUFFER_BYTES / 2 && !self.grow() {
            return Err(Ended::ReadMemory);
        }
        let before = self.buffer.len();
        if self.read_what_is_there()?.is_none() {
            self.rest();
            let read = self.stream.read_buf(&mut self.buffer);
            match self.shared.settings.timeout_s.load(Ordering::Relaxed) {
                0 => read.await?,
                seconds => timeout(Duration::from_secs(seconds), read).await.map_err(|_| Ended::Idle)??,
            };
        }
        while self.buffer.len() == self.buffer.capacity() && self.buffer.len() < READ_BYTES_MAX && self.grow() {
            if self.read_what_is_there()?.is_none_or(|count| count == 0) {
                break; // an end is seen again by the next read
            }
        }
        self.session.facts.set_idle(false);
        let count = self.buffer.len() - before;
        Stats::add(&self.shared.stats.read_bytes, count as u64);
        Ok(count > 0)
    }

    /// Reads without waiting; `None` when nothing has come.
    fn read_what_is_there(&mut self) -> Result<Option<usize>, Ended> {
        match self.stream.try_read_buf(&mut self.buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the buffer twice as large; false when that would be too much for all connections together.
    fn grow(&mut self) -> bool {
        let more = self.buffer.capacity().max(BUFFER_BYTES);
        let is_granted = self.taken.more(more);
        if is_granted {
            self.buffer.reserve_exact(self.buffer.capacity() + more - self.buffer.len());
        }
        is_granted
    }

    /// Gives a large buffer back before waiting for a client that may stay silent.
    fn rest(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.buffer.shrink_to(BUFFER_BYTES);
            self.taken.give_back();
            self.batch.rest();
        }
    }

    /// Runs the batch; its replies are written when this returns.
    async fn execute(&mut self) -> Result<(), Ended> {
        self.next = 0;
        self.now_ms = self.backend.now_ms();
        loop {
            let (before, pause) = (self.next, self.run_batch());
            if self.next > before {
                self.waiting_since = None; // whatever waited was let in
            }
            match pause {
                Pause::End => break,
                // Other connections get their turn; what all of them wrote meanwhile shares the flush at the end.
                Pause::Breath if self.out.len() < OUT_BYTES_MAX && self.session.splices.is_empty() => tokio::task::yield_now().await,
                Pause::Breath => self.write().await?,
                Pause::Cut => {
                    self.gate.reach(self.seen).await?;
                    self.run_on_cut().await;
                }
                Pause::Replicas => self.wait_for_replicas().await?,
                Pause::Join => self.join().await?,
                Pause::Arrived => stream_in::close_all(&mut self.session, &mut self.backend.begin(true)),
                Pause::Cold => self.load_cold().await,
                Pause::Park => self.park(false).await?,
                Pause::Shut => self.park(true).await?,
                Pause::Behind => self.catch_up().await?,
            }
        }
        if let (Some(error), false) = (self.batch.error(), self.session.is_closing) {
            Reply::new(&mut self.out, self.session.protocol).error(&format!("ERR Protocol error: {error}"));
            tracing::info!(code = error.code(), peer = %self.session.facts.peer(), %error, "a client broke the protocol");
            self.session.is_closing = true;
        }
        self.write().await
    }

    /// Loads what the next command needs, and what those behind it need, while other connections go on.
    async fn load_cold(&mut self) {
        let (backend, cold) = (self.backend.clone(), std::mem::take(&mut self.cold));
        let loaded = tokio::task::spawn_blocking(move || backend.load(&cold)).await;
        match loaded.expect("loading does not panic") {
            Ok(()) => self.tries += 1,
            // under the lock, the command that needs it meets the error itself: it may be another one than the next
            Err(_) => self.tries = TRIES_MAX,
        }
    }

    /// Executes the next command on a snapshot that has everything this connection was told.
    async fn run_on_cut(&mut self) {
        if let Ok(command) = self.batch.command(self.next) {
            self.session.facts.touch(command, self.now_ms);
            if command.walks_keys() {
                self.run_apart(command).await;
            } else {
                let Self { session, batch, buffer, out, next, now_ms, backend, .. } = self;
                batch.with_args(*next, buffer, |args| on_cut(&**backend, session, &Request { command, args, now_ms: *now_ms }, out));
            }
        }
        self.next += 1;
        Stats::add(&self.shared.stats.commands, 1);
    }

    /// On a thread of its own: it may walk over every key, and other connections go on meanwhile.
    async fn run_apart(&mut self, command: &'static Command) {
        let args: Vec<Vec<u8>> = self.batch.with_args(self.next, &self.buffer, |args| args.iter().map(|arg| arg.to_vec()).collect());
        let (backend, mut session, now_ms) = (self.backend.clone(), self.session.clone(), self.now_ms);
        let walk = tokio::task::spawn_blocking(move || {
            let (args, mut out): (Vec<&[u8]>, _) = (args.iter().map(Vec::as_slice).collect(), Vec::new());
            on_cut(&*backend, &mut session, &Request { command, args: &args, now_ms }, &mut out);
            out
        });
        let out = walk.await.expect("a panic of a command is a broken invariant, and nothing aborts its thread");
        self.out.extend_from_slice(&out);
    }

    /// WAIT: until enough standbys have this connection's last write on disk, or its time is over.
    async fn wait_for_replicas(&mut self) -> Result<(), Ended> {
        let wanted = self.batch.with_args(self.next, &self.buffer, parse_wait);
        self.next += 1;
        Stats::add(&self.shared.stats.commands, 1);
        let shared = self.shared.clone();
        let may_wait = self.session.cluster.picture.is_some() || shared.node.is_owner();
        let wanted = if may_wait { wanted } else { Err(CommandError::text("ERR WAIT cannot be used with replica instances.")) };
        let (wanted, limit) = match wanted {
            Ok(wanted) => wanted,
            Err(error) => {
                dispatch::refuse(&self.session, &error, &mut self.out);
                return Ok(());
            }
        };
        self.write().await?; // the replies before it are due, whatever the standbys do
        let mut progress = self.session.copies_progress();
        let copies = self.session.copies();
        let enough = async {
            while copies() < wanted {
                if progress.changed().await.is_err() {
                    std::future::pending::<()>().await; // no more standbys will come: the time limit decides
                }
            }
        };
        match limit {
            None => enough.await,
            Some(limit) => drop(timeout(limit, enough).await),
        }
        Reply::new(&mut self.out, self.session.protocol).count(copies() as u64);
        Ok(())
    }

    /// Sends the replies so far, once the horizon covers them.
    pub(super) async fn write(&mut self) -> Result<(), Ended> {
        if !self.gate.is_open(self.seen) {
            self.gate.reach(self.seen).await?;
        }
        if !self.session.cluster.dues.is_empty() {
            self.settle_dues().await;
        }
        if !self.session.splices.is_empty() {
            self.write_spliced().await?;
        }
        let out = std::mem::take(&mut self.out);
        let sent = self.send(&out).await;
        self.out = out;
        sent?;
        self.out.clear();
        if self.out.capacity() > BUFFER_KEPT_BYTES + OUT_BYTES_MAX {
            self.out.shrink_to(BUFFER_BYTES);
        }
        Ok(())
    }

    /// Sends bytes, as fast as the client takes them.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let mut rest = bytes;
        while !rest.is_empty() {
            // Most replies fit into the socket at once: no timer is made for them.
            let count = match self.stream.try_write(rest) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    timeout(STALL_MAX, self.stream.write(rest)).await.map_err(|_| Ended::Stalled)??
                }
                written => written?,
            };
            if count == 0 {
                return Err(Ended::Socket(io::ErrorKind::WriteZero.into()));
            }
            rest = &rest[count..];
        }
        Stats::add(&self.shared.stats.written_bytes, bytes.len() as u64);
        Ok(())
    }

    /// Drops the first `consumed` bytes of the buffer.
    fn forget(&mut self, consumed: usize) {
        if consumed == self.buffer.len() {
            self.buffer.clear();
        } else {
            self.buffer.drain(..consumed);
        }
    }
}

impl<B: Backend> Drop for Connection<B> {
    fn drop(&mut self) {
        if !self.session.arrived.is_empty() {
            stream_in::close_all(&mut self.session, &mut self.backend.begin(true));
        }
        self.shared.registry.close(self.session.facts.id); // also when the task is aborted
    }
}

fn on_cut<B: Backend>(backend: &B, session: &mut Session, request: &Request<'_>, out: &mut Vec<u8>) {
    let (cut, random, picture) = (backend.cut(), random(), session.cluster.picture.clone());
    let own = picture.as_ref().map(|picture| Own { held: &cut, picture });
    let keys: &dyn Published = own.as_ref().map_or(&cut, |own| own);
    let view = View { keys, facts: &|| backend.facts(), random };
    dispatch::on_cut(session, request, &view, out);
}

/// Number of standbys, and how long to wait for them; `None` for ever.
fn parse_wait(args: &[&[u8]]) -> Result<(usize, Option<Duration>), CommandError> {
    let wanted = super::number::parse_i64(args[1]).ok_or(CommandError::NotInteger)?;
    let millis = super::number::parse_i64(args[2]).ok_or(CommandError::ArgumentNotInteger("timeout"))?;
    let millis = u64::try_from(millis).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    Ok((usize::try_from(wanted).unwrap_or(0), (millis > 0).then(|| Duration::from_millis(millis))))
}

/// Enough for RANDOMKEY: the seeds that the standard library draws for its maps.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
