//! What a store of the manifest must promise: one contract, whatever keeps the bytes.
//!
//! - **One order.** Every change has a revision above all before it. A read that starts after a change was answered sees it.
//! - **All or nothing.** A [`Change`] is made whole when all its guards hold, and else not at all.
//! - **An honest "I don't know".** [`ManifestError::Unknown`] says that a change may or may not have been made; sending the same change
//!   again is safe, since its guards name the revisions that it replaces.
//! - **Watches** tell every change below a prefix in order, or say that they can't any more ([`ManifestError::Compacted`]).
//! - **Leases** are hints: an entry bound to one goes some time after its holder fell silent, not sooner than its time to live.
//!
//! The contract suite (`tests/contract`) runs against each store.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::error::ManifestError;

/// A future that a store answers with.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Most entries that one change may guard or write: etcd's default for one transaction is 128.
pub const CHANGE_OPS_MAX: usize = 120;

/// Names a lease of a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LeaseId(pub i64);

/// An entry as it lies in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its key, below the cluster's prefix.
    pub key: String,
    /// Its bytes.
    pub value: Bytes,
    /// The revision of the change that wrote it.
    pub revision: u64,
}

/// Entries at one revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Which store answered: another number is another store.
    pub store: u64,
    /// The store's revision when it answered.
    pub revision: u64,
    /// What was found, in key order.
    pub entries: Vec<Stored>,
}

/// An entry must be as the caller knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guard {
    /// Its key.
    pub key: String,
    /// The revision that wrote it; `None`: it must not be there.
    pub revision: Option<u64>,
}

/// One effect of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// Writes an entry.
    Put {
        /// Its key.
        key: String,
        /// Its bytes.
        value: Bytes,
        /// It goes with this lease.
        lease: Option<LeaseId>,
    },
    /// Removes an entry.
    Delete {
        /// Its key.
        key: String,
    },
}

/// What is made whole, or not at all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// All of these must hold.
    pub guards: Vec<Guard>,
    /// Then all of these are done; each key at most once.
    pub writes: Vec<Write>,
}

/// The answer to a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Whether the guards held, and so the writes were done.
    pub done: bool,
    /// The store's revision: that of the change, when it was done.
    pub revision: u64,
    /// Which store answered.
    pub store: u64,
}

/// One entry changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its key, below the cluster's prefix.
    pub key: String,
    /// Its bytes; `None`: it was removed.
    pub value: Option<Bytes>,
    /// The revision of the change.
    pub revision: u64,
}

/// Changes as they happen.
pub trait Watch: Send {
    /// The events of the next change, or of a few; waits for them. After an error the watch is of no further use: list again, and watch
    /// from there.
    fn next(&mut self) -> Boxed<'_, Result<Vec<Event>, ManifestError>>;
}

/// Where the manifest is kept. Cheap to share; calls may run at once.
pub trait ManifestStore: Send + Sync + 'static {
    /// The newest state of one entry: no older than anything that was answered before this call.
    fn read<'a>(&'a self, key: &'a str) -> Boxed<'a, Result<Reading, ManifestError>>;

    /// The newest state of every entry whose key begins with `prefix`, all at one revision.
    fn list<'a>(&'a self, prefix: &'a str) -> Boxed<'a, Result<Reading, ManifestError>>;

    /// Makes a change, if its guards hold.
    fn commit(&self, change: Change) -> Boxed<'_, Result<Committed, ManifestError>>;

    /// Every change behind `revision` to entries whose keys begin with `prefix`.
    fn watch<'a>(&'a self, prefix: &'a str, revision: u64) -> Boxed<'a, Result<Box<dyn Watch>, ManifestError>>;

    /// A lease that lives `ttl` (rounded up to seconds) from its last sign of life on.
    fn grant(&self, ttl: Duration) -> Boxed<'_, Result<LeaseId, ManifestError>>;

    /// A sign of life. False: the lease has gone, and what was bound to it.
    fn keep_alive(&self, lease: LeaseId) -> Boxed<'_, Result<bool, ManifestError>>;

    /// Ends a lease; what is bound to it goes.
    fn revoke(&self, lease: LeaseId) -> Boxed<'_, Result<(), ManifestError>>;
}

impl Change {
    /// Refuses what no store would take.
    pub fn check(&self) -> Result<(), ManifestError> {
        let value = self.guards.len().max(self.writes.len());
        if value > CHANGE_OPS_MAX {
            return Err(ManifestError::Limit { what: "entries of one change", value: value as u64, max: CHANGE_OPS_MAX as u64 });
        }
        Ok(())
    }

    /// The first key of the change, for messages.
    pub fn first_key(&self) -> String {
        let written = self.writes.first().map(Write::key);
        written.or_else(|| self.guards.first().map(|guard| guard.key.as_str())).unwrap_or_default().to_owned()
    }
}

impl Write {
    /// Which entry.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}
