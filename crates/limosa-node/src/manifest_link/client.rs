//! The end that calls: one connection, made when it is needed and again when it breaks; calls in flight by id.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use limosa_manifest::{Boxed, Change, Committed, LeaseId, ManifestError, ManifestStore, Reading, Watch};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::frames::{self, PING_EVERY, fits};
use super::messages::{Answer, Call, ChangeText, Said, WatchFrom, What};
use super::watch::RemoteWatch;
use crate::transport::{Backoff, Connection, Purpose, Tls};

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls that wait for the connection.
const CALLS_MAX: usize = 256;
/// Longest wait between two tries to connect: the manifest is what everything waits for.
const RECONNECT_MAX: Duration = Duration::from_millis(500);

const QUEUED: u8 = 0;
const SENT: u8 = 1;
const GIVEN_UP: u8 = 2;

/// What comes back for one call, message by message. An `Err` is the last word.
pub(super) type Heard = Result<Said, String>;

/// A call on its way to the connection's task.
pub(super) struct Outgoing {
    what: What,
    /// Answers that wait for the caller; bounded for watches by the caller's speed, since the reader waits for it.
    heard: mpsc::Sender<Heard>,
    /// Decides who was first: the caller that gave up, or the task that sent.
    state: Arc<AtomicU8>,
}

/// A manifest that another node holds. Clones share the connection.
#[derive(Clone)]
pub struct RemoteStore {
    pub(super) calls: mpsc::Sender<Outgoing>,
    _task: Arc<Task>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A call that was made: its answers, and whether it left.
pub(super) struct Made {
    pub(super) heard: mpsc::Receiver<Heard>,
    state: Arc<AtomicU8>,
}

impl Made {
    /// Nobody waits any more. True: it never left and never will.
    fn give_up(&self) -> bool {
        self.state.compare_exchange(QUEUED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl RemoteStore {
    /// The manifest held by the node at this peer address. Connects when it is first called; must be made inside a runtime.
    pub fn new(address: String, tls: Tls, seed: u64) -> Self {
        let (calls, queue) = mpsc::channel(CALLS_MAX);
        let task = tokio::spawn(run(address, tls, seed, queue));
        Self { calls, _task: Arc::new(Task(task)) }
    }

    pub(super) async fn call(&self, what: What, answers: usize) -> Result<Made, ManifestError> {
        let (heard, answers) = mpsc::channel(answers);
        let state = Arc::new(AtomicU8::new(QUEUED));
        let call = Outgoing { what, heard, state: state.clone() };
        self.calls.send(call).await.map_err(|_| unavailable("the link has ended"))?;
        Ok(Made { heard: answers, state })
    }

    /// The answers to one call: `take` says for each whether it was the last.
    async fn ask(&self, what: What, mut take: impl FnMut(Said) -> Result<bool, ManifestError>) -> Result<(), ManifestError> {
        let key = match &what {
            What::Commit(_) => Some("the change".to_owned()),
            _ => None,
        };
        let mut made = self.call(what, 4).await?;
        let lost = |why: String, left: bool| match &key {
            Some(key) if left => ManifestError::Unknown { key: key.clone(), why },
            _ => ManifestError::Unavailable { why },
        };
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let Ok(heard) = tokio::time::timeout_at(deadline, made.heard.recv()).await else {
                return Err(lost(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()), !made.give_up()));
            };
            match heard {
                Some(Ok(Said::Failed(fault))) => return Err(fault.error()),
                Some(Ok(said)) => {
                    if take(said)? {
                        return Ok(());
                    }
                }
                Some(Err(why)) => return Err(lost(why, !made.give_up())),
                None => return Err(lost("the link has ended".to_owned(), !made.give_up())),
            }
        }
    }

    async fn reading(&self, what: What) -> Result<Reading, ManifestError> {
        let mut reading = Reading { store: 0, revision: 0, entries: Vec::new() };
        let take = |said| match said {
            Said::Reading(page) => {
                (reading.store, reading.revision) = (page.store, page.revision);
                reading.entries.extend(page.entries.into_iter().map(super::messages::EntryText::stored));
                Ok(!page.more)
            }
            _ => Err(foreign()),
        };
        self.ask(what, take).await?;
        Ok(reading)
    }

    async fn commit_change(&self, change: Change) -> Result<Committed, ManifestError> {
        change.check()?;
        let first = change.first_key();
        let what = What::Commit(ChangeText::of(change));
        let call = Call { id: u64::MAX, what: Some(what) };
        if !fits(&call) {
            return Err(ManifestError::Limit {
                what: "bytes of one change",
                value: prost::Message::encoded_len(&call) as u64,
                max: 2 << 20,
            });
        }
        let mut committed = None;
        let take = |said| match said {
            Said::Committed(text) => {
                committed = Some(text.committed());
                Ok(true)
            }
            _ => Err(foreign()),
        };
        let asked = self.ask(call.what.expect("made above"), take).await;
        asked.map_err(|error| match error {
            ManifestError::Unknown { why, .. } => ManifestError::Unknown { key: first, why },
            other => other,
        })?;
        committed.ok_or_else(foreign)
    }
}

impl ManifestStore for RemoteStore {
    fn read<'a>(&'a self, key: &'a str) -> Boxed<'a, Result<Reading, ManifestError>> {
        Box::pin(self.reading(What::Read(key.to_owned())))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Boxed<'a, Result<Reading, ManifestError>> {
        Box::pin(self.reading(What::List(prefix.to_owned())))
    }

    fn commit(&self, change: Change) -> Boxed<'_, Result<Committed, ManifestError>> {
        Box::pin(self.commit_change(change))
    }

    fn watch<'a>(&'a self, prefix: &'a str, revision: u64) -> Boxed<'a, Result<Box<dyn Watch>, ManifestError>> {
        Box::pin(async move {
            let from = WatchFrom { prefix: prefix.to_owned(), revision };
            let watch = timeout(ANSWER_TIMEOUT, RemoteWatch::open(self, from)).await;
            let watch = watch.map_err(|_| unavailable("no answer to a watch"))??;
            Ok(Box::new(watch) as Box<dyn Watch>)
        })
    }

    fn grant(&self, ttl: Duration) -> Boxed<'_, Result<LeaseId, ManifestError>> {
        Box::pin(async move {
            let mut lease = None;
            let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            let take = |said| match said {
                Said::Lease(id) => {
                    lease = Some(LeaseId(id));
                    Ok(true)
                }
                _ => Err(foreign()),
            };
            self.ask(What::Grant(ttl_ms), take).await?;
            lease.ok_or_else(foreign)
        })
    }

    fn keep_alive(&self, lease: LeaseId) -> Boxed<'_, Result<bool, ManifestError>> {
        Box::pin(async move {
            let mut lives = false;
            let take = |said| match said {
                Said::Alive(is_so) => {
                    lives = is_so;
                    Ok(true)
                }
                _ => Err(foreign()),
            };
            self.ask(What::KeepAlive(lease.0), take).await?;
            Ok(lives)
        })
    }

    fn revoke(&self, lease: LeaseId) -> Boxed<'_, Result<(), ManifestError>> {
        Box::pin(self.ask(What::Revoke(lease.0), |said| if said == Said::Done(true) { Ok(true) } else { Err(foreign()) }))
    }
}

pub(super) fn unavailable(why: &str) -> ManifestError {
    ManifestError::Unavailable { why: why.to_owned() }
}

pub(super) fn foreign() -> ManifestError {
    ManifestError::Unavailable { why: "an answer to another question".to_owned() }
}

/// Connects, serves calls until the connection breaks, and again.
async fn run(address: String, tls: Tls, seed: u64, mut queue: mpsc::Receiver<Outgoing>) {
    let mut backoff = Backoff::new(seed);
    while let Some(first) = queue.recv().await {
        let mut waiting = Some(first);
        match Connection::connect_for(Purpose::Manifest, &address, &tls).await {
            Ok(connection) => {
                let began = Instant::now();
                let error = connected(connection, &mut waiting, &mut queue).await;
                tracing::warn!(address, "the link to the manifest broke: {error}");
                if began.elapsed() > RECONNECT_MAX {
                    backoff.reset();
                }
            }
            Err(error) => {
                tracing::debug!(address, code = error.code(), "no link to the manifest: {error}");
                refuse_all(waiting.take(), &mut queue, &error.to_string());
                tokio::time::sleep(backoff.next_wait().min(RECONNECT_MAX)).await;
            }
        }
        refuse_all(waiting, &mut queue, "the connection broke");
    }
}

/// Whoever waits is told at once: none of these left.
fn refuse_all(first: Option<Outgoing>, queue: &mut mpsc::Receiver<Outgoing>, why: &str) {
    let mut next = first;
    while let Some(call) = next {
        let _ = call.heard.try_send(Err(why.to_owned())); // the caller has gone
        next = queue.try_recv().ok();
    }
}

async fn connected(connection: Connection, waiting: &mut Option<Outgoing>, queue: &mut mpsc::Receiver<Outgoing>) -> io::Error {
    let (mut read, mut write) = tokio::io::split(connection.into_stream());
    let (answers, mut inbound) = mpsc::channel::<io::Result<Answer>>(16);
    let reader = Task(tokio::spawn(async move {
        loop {
            let answer = frames::read::<Answer>(&mut read).await;
            let is_last = answer.is_err();
            if answers.send(answer).await.is_err() || is_last {
                return;
            }
        }
    }));
    let mut pending: BTreeMap<u64, mpsc::Sender<Heard>> = BTreeMap::new();
    let (mut last, mut ping_due) = (0, Instant::now() + PING_EVERY);
    let error = loop {
        let call = if let Some(call) = waiting.take() {
            call
        } else {
            tokio::select! {
                call = queue.recv() => match call {
                    Some(call) => call,
                    None => break io::ErrorKind::ConnectionAborted.into(),
                },
                answer = inbound.recv() => match answer {
                    Some(Ok(answer)) => {
                        hear(&mut pending, answer).await;
                        continue;
                    }
                    Some(Err(error)) => break error,
                    None => break io::ErrorKind::ConnectionReset.into(),
                },
                () = sleep_until(ping_due) => {
                    let (heard, _) = mpsc::channel(1);
                    Outgoing { what: What::Ping(true), heard, state: Arc::default() }
                }
            }
        };
        if call.state.compare_exchange(QUEUED, SENT, Ordering::AcqRel, Ordering::Acquire).is_err() {
            continue; // its caller was told that it never left
        }
        let gone: Vec<u64> = pending.iter().filter(|(_, heard)| heard.is_closed()).map(|(&id, _)| id).collect();
        pending.retain(|_, heard| !heard.is_closed());
        last += 1;
        pending.insert(last, call.heard);
        let over = gone.into_iter().map(|id| Call { id: 0, what: Some(What::Unwatch(id)) }); // of what is no watch, the server knows nothing
        let mut written = Ok(());
        for call in over.chain([Call { id: last, what: Some(call.what) }]) {
            written = written.and(frames::write(&mut write, &call).await);
        }
        if let Err(error) = written {
            break error;
        }
        ping_due = Instant::now() + PING_EVERY;
    };
    drop(reader);
    for heard in pending.into_values() {
        let _ = heard.try_send(Err(error.to_string())); // closing it says the same
    }
    error
}

/// Hands an answer to its caller. A watch whose reader is slow for too long is dropped: it lists again.
async fn hear(pending: &mut BTreeMap<u64, mpsc::Sender<Heard>>, answer: Answer) {
    let Some(said) = answer.said else { return };
    let Some(heard) = pending.get(&answer.id) else { return };
    let taken = timeout(Duration::from_secs(1), heard.send(Ok(said))).await;
    if !matches!(taken, Ok(Ok(()))) {
        pending.remove(&answer.id);
    }
}
