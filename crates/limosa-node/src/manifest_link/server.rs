//! The end that holds the manifest: calls of one connection against the store, watches as long as the connection lasts.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use limosa_manifest::{LeaseId, ManifestError, ManifestStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::fault::FaultText;
use super::frames::{self, PAGE_BYTES};
use super::messages::{Answer, Call, CommittedText, Said, WatchFrom, What, event_pages, reading_pages};

/// Calls of one connection that run at once.
const CALLS_MAX: usize = 32;
/// Watches of one connection.
const WATCHES_MAX: usize = 16;
/// Answers that wait to be written.
const ANSWERS_MAX: usize = 64;
/// Longest time to live of a lease.
const LEASE_MAX: Duration = Duration::from_hours(1);

/// Serves one connection until it ends.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, store: Arc<dyn ManifestStore>) -> io::Error {
    let (mut read, mut write) = tokio::io::split(stream);
    let (answers, mut queue) = mpsc::channel::<Answer>(ANSWERS_MAX);
    let writing = async move {
        while let Some(answer) = queue.recv().await {
            frames::write(&mut write, &answer).await?;
        }
        Ok::<_, io::Error>(())
    };
    let reading = async move {
        let mut serving =
            Serving { store, answers, running: JoinSet::new(), watches: BTreeMap::new(), places: Arc::new(Semaphore::new(CALLS_MAX)) };
        loop {
            match frames::read::<Call>(&mut read).await {
                Ok(call) => serving.take(call).await,
                Err(error) => return error,
            }
        }
    };
    tokio::select! {
        error = reading => error,
        written = writing => written.err().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()),
    }
}

/// Tasks of one connection; they end with it.
struct Serving {
    store: Arc<dyn ManifestStore>,
    answers: mpsc::Sender<Answer>,
    running: JoinSet<()>,
    watches: BTreeMap<u64, AbortHandle>,
    places: Arc<Semaphore>,
}

impl Serving {
    async fn take(&mut self, call: Call) {
        while self.running.try_join_next().is_some() {}
        let id = call.id;
        match call.what {
            Some(What::Watch(from)) => self.watch(id, from).await,
            Some(What::Unwatch(watch)) => {
                if let Some(task) = self.watches.remove(&watch) {
                    task.abort();
                }
                self.say(id, Said::Done(true)).await;
            }
            Some(what) => {
                // The reader waits here when too many calls run: so the peer is held back by TCP.
                let place = self.places.clone().acquire_owned().await.expect("never closed");
                let (store, answers) = (self.store.clone(), self.answers.clone());
                self.running.spawn(async move {
                    for said in answer(&*store, what).await {
                        let _ = answers.send(Answer { id, said: Some(said) }).await; // the connection has ended
                    }
                    drop(place);
                });
            }
            None => self.say(id, Said::Failed(FaultText::malformed("a call of a newer program"))).await,
        }
    }

    async fn watch(&mut self, id: u64, from: WatchFrom) {
        self.watches.retain(|_, task| !task.is_finished());
        if self.watches.len() >= WATCHES_MAX {
            return self.say(id, Said::Failed(FaultText::malformed("too many watches on one connection"))).await;
        }
        let (store, answers) = (self.store.clone(), self.answers.clone());
        let task = self.running.spawn(async move {
            let error = watch(&*store, id, &from, &answers).await;
            let _ = answers.send(Answer { id, said: Some(Said::Failed(FaultText::of(&error))) }).await; // the connection has ended
        });
        self.watches.insert(id, task);
    }

    async fn say(&self, id: u64, said: Said) {
        let _ = self.answers.send(Answer { id, said: Some(said) }).await; // the connection has ended
    }
}

/// Hands events on until the watch fails. A peer that takes nothing falls behind, and is told to list again.
async fn watch(store: &dyn ManifestStore, id: u64, from: &WatchFrom, answers: &mpsc::Sender<Answer>) -> ManifestError {
    let mut watch = match store.watch(&from.prefix, from.revision).await {
        Ok(watch) => watch,
        Err(error) => return error,
    };
    if answers.send(Answer { id, said: Some(Said::Done(true)) }).await.is_err() {
        return ManifestError::Unavailable { why: "the connection has ended".to_owned() };
    }
    loop {
        let events = match watch.next().await {
            Ok(events) => events,
            Err(error) => return error,
        };
        for page in event_pages(events, PAGE_BYTES) {
            if answers.send(Answer { id, said: Some(Said::Events(page)) }).await.is_err() {
                return ManifestError::Unavailable { why: "the connection has ended".to_owned() };
            }
        }
    }
}

async fn answer(store: &dyn ManifestStore, what: What) -> Vec<Said> {
    let said = match what {
        What::Read(key) => {
            store.read(&key).await.map(|reading| reading_pages(reading, PAGE_BYTES).into_iter().map(Said::Reading).collect())
        }
        What::List(prefix) => {
            store.list(&prefix).await.map(|reading| reading_pages(reading, PAGE_BYTES).into_iter().map(Said::Reading).collect())
        }
        What::Commit(change) => match change.change() {
            Some(change) => store.commit(change).await.map(|committed| vec![Said::Committed(CommittedText::of(committed))]),
            None => return vec![Said::Failed(FaultText::malformed("a change with too many entries"))],
        },
        What::Grant(ttl_ms) => store.grant(Duration::from_millis(ttl_ms).min(LEASE_MAX)).await.map(|lease| vec![Said::Lease(lease.0)]),
        What::KeepAlive(lease) => store.keep_alive(LeaseId(lease)).await.map(|lives| vec![Said::Alive(lives)]),
        What::Revoke(lease) => store.revoke(LeaseId(lease)).await.map(|()| vec![Said::Done(true)]),
        What::Ping(_) => Ok(vec![Said::Done(true)]),
        What::Watch(_) | What::Unwatch(_) => unreachable!("handled before a task is made"),
    };
    said.unwrap_or_else(|error| vec![Said::Failed(FaultText::of(&error))])
}
