//! The manifest of one machine: a file of redb that one process serves. For embedding, tests and the demo; a cluster keeps it in etcd.
//!
//! # Invariants
//! - A change is answered when it is on the disk. Revisions are dense and never given twice, also over a restart.
//! - Leases do not outlive the process: their entries go when the file is opened again.

mod file;
mod history;
mod leases;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::error::ManifestError;
use crate::key::Key;
use crate::store::{Boxed, Change, Committed, Event, LeaseId, ManifestStore, Reading, Watch, Write};
use file::File;
use history::History;
use leases::Leases;

/// How often leases are looked at when somebody waits for events.
const LEASE_TICK: Duration = Duration::from_millis(200);

struct State {
    file: File,
    history: History,
    leases: Leases,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

/// An open embedded store. Clones share it.
#[derive(Clone)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
}

impl EmbeddedStore {
    /// Opens or makes the file. `store` names a new one; random.
    ///
    /// # Errors
    /// Damage, a newer format, a file in use by another process, a failing disk; its entries were moved elsewhere.
    pub fn open(path: &Path, store: u64) -> Result<Self, ManifestError> {
        let mut file = File::open(path, store)?;
        if !file.read(Key::MOVED)?.entries.is_empty() {
            let why =
                format!("{}: it was moved elsewhere, with `limosa cluster init --from`: start this node with that place", path.display());
            return Err(ManifestError::Config { what: "embedded manifest", why });
        }
        let orphans: Vec<Write> = file.leased()?.into_iter().map(|key| Write::Delete { key }).collect();
        if !orphans.is_empty() {
            file.commit(&Change { guards: Vec::new(), writes: orphans })?;
        }
        Ok(Self::of(file))
    }

    /// Opens it to move its entries elsewhere: also one whose entries have been moved, in part perhaps. Changes nothing by itself, so that
    /// its revision goes on to say how old it is.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn open_retired(path: &Path, store: u64) -> Result<Self, ManifestError> {
        Ok(Self::of(File::open(path, store)?))
    }

    fn of(file: File) -> Self {
        let history = History::new(file.revision());
        let state = State { file, history, leases: Leases::default() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }) }
    }

    /// Runs `f` on a thread that may wait for the disk, with leases that have run out ended first.
    async fn with<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut State) -> Result<T, ManifestError> + Send + 'static,
    ) -> Result<T, ManifestError> {
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let mut state = shared.state();
            let before = state.file.revision();
            let result = state.expire(Instant::now()).and_then(|()| f(&mut state));
            let changed = state.file.revision() != before;
            drop(state);
            if changed {
                shared.changed.notify_waiters();
            }
            result
        };
        let joined = tokio::task::spawn_blocking(work).await;
        joined.unwrap_or_else(|error| Err(ManifestError::Poisoned { why: error.to_string() }))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("redb's panics are caught below this lock")
    }
}

impl State {
    fn commit(&mut self, change: &Change) -> Result<Committed, ManifestError> {
        change.check()?;
        let gone = change.writes.iter().find_map(|write| match write {
            Write::Put { lease: Some(lease), .. } if !self.leases.lives(*lease) => Some(*lease),
            _ => None,
        });
        if let Some(lease) = gone {
            return Err(ManifestError::Config { what: "lease", why: format!("{} has gone", lease.0) });
        }
        let committed = self.file.commit(change)?;
        if committed.done && !change.writes.is_empty() {
            self.history.push(committed.revision, &change.writes);
        }
        Ok(committed)
    }

    fn expire(&mut self, now: Instant) -> Result<(), ManifestError> {
        for lease in self.leases.expired(now) {
            self.drop_lease(lease)?;
        }
        Ok(())
    }

    fn drop_lease(&mut self, lease: LeaseId) -> Result<(), ManifestError> {
        let writes: Vec<Write> = self.file.bound_to(lease)?.into_iter().map(|key| Write::Delete { key }).collect();
        if !writes.is_empty() {
            self.commit(&Change { guards: Vec::new(), writes })?;
        }
        Ok(())
    }
}

impl ManifestStore for EmbeddedStore {
    fn read<'a>(&'a self, key: &'a str) -> Boxed<'a, Result<Reading, ManifestError>> {
        let key = key.to_owned();
        Box::pin(self.with(move |state| state.file.read(&key)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Boxed<'a, Result<Reading, ManifestError>> {
        let prefix = prefix.to_owned();
        Box::pin(self.with(move |state| state.file.list(&prefix)))
    }

    fn commit(&self, change: Change) -> Boxed<'_, Result<Committed, ManifestError>> {
        Box::pin(self.with(move |state| state.commit(&change)))
    }

    fn watch<'a>(&'a self, prefix: &'a str, revision: u64) -> Boxed<'a, Result<Box<dyn Watch>, ManifestError>> {
        let watch = EmbeddedWatch { store: self.clone(), prefix: prefix.to_owned(), seen: revision };
        Box::pin(async move { Ok(Box::new(watch) as Box<dyn Watch>) })
    }

    fn grant(&self, ttl: Duration) -> Boxed<'_, Result<LeaseId, ManifestError>> {
        Box::pin(self.with(move |state| Ok(state.leases.grant(ttl, Instant::now()))))
    }

    fn keep_alive(&self, lease: LeaseId) -> Boxed<'_, Result<bool, ManifestError>> {
        Box::pin(self.with(move |state| Ok(state.leases.keep_alive(lease, Instant::now()))))
    }

    fn revoke(&self, lease: LeaseId) -> Boxed<'_, Result<(), ManifestError>> {
        Box::pin(self.with(move |state| {
            state.leases.forget(lease);
            state.drop_lease(lease)
        }))
    }
}

struct EmbeddedWatch {
    store: EmbeddedStore,
    prefix: String,
    seen: u64,
}

impl Watch for EmbeddedWatch {
    fn next(&mut self) -> Boxed<'_, Result<Vec<Event>, ManifestError>> {
        Box::pin(async move {
            loop {
                let shared = Arc::clone(&self.store.shared);
                // Registered before the look: a change between the look and the wait is not missed.
                let changed = shared.changed.notified();
                let (seen, prefix) = (self.seen, self.prefix.clone());
                let (events, upto) = self.store.with(move |state| state.history.since(seen, &prefix)).await?;
                self.seen = upto;
                if !events.is_empty() {
                    return Ok(events);
                }
                // The tick ends leases whose holders fell silent while nobody else calls.
                let _ = tokio::time::timeout(LEASE_TICK, changed).await;
            }
        })
    }
}
