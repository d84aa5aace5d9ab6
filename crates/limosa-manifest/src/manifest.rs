//! The manifest as a node uses it: entries decoded and checked, changes that end in a certain outcome, nothing older than was seen.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use limosa_core::{FragmentId, NodeName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cell::{FragmentCell, Intent};
use crate::entry;
use crate::error::ManifestError;
use crate::handover;
use crate::key::Key;
use crate::node::NodeEntry;
use crate::ratchet::Ratchet;
use crate::store::{Change, Guard, LeaseId, ManifestStore, Reading, Stored, Watch, Write};

/// How often a change whose outcome is unknown is sent again before the caller is told so.
const RESEND_MAX: usize = 4;

/// An entry, and the revision that a change of it must name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held<T> {
    /// What it says.
    pub value: T,
    /// The revision that wrote it.
    pub revision: u64,
}

/// The outcome of a change that is certain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Changed<T> {
    /// It was made.
    Made(Held<T>),
    /// Somebody else was faster; the entry as it is now, if it is there.
    Lost(Option<Held<T>>),
}

/// The manifest over one store. Clones share what was seen.
#[derive(Clone)]
pub struct Manifest {
    store: Arc<dyn ManifestStore>,
    ratchet: Arc<Mutex<Ratchet>>,
}

impl Manifest {
    /// The manifest in `store`, for a node that has seen `ratchet` of it.
    pub fn new(store: Arc<dyn ManifestStore>, ratchet: Ratchet) -> Self {
        Self { store, ratchet: Arc::new(Mutex::new(ratchet)) }
    }

    /// What this node has seen: to be written down before it acts on it.
    pub fn ratchet(&self) -> Ratchet {
        self.seen().clone()
    }

    /// A fragment's cell.
    pub async fn cell(&self, fragment: FragmentId) -> Result<Option<Held<FragmentCell>>, ManifestError> {
        let reached = self.seen().epoch(fragment);
        let held = self.entry::<FragmentCell>(&Key::Fragment(fragment)).await?;
        if let Some(held) = &held {
            self.seen().see_epoch(fragment, held.value.epoch, reached)?;
        }
        Ok(held)
    }

    /// Every fragment's cell at one revision, and that revision: where a watch goes on.
    pub async fn cells(&self) -> Result<(Vec<Held<FragmentCell>>, u64), ManifestError> {
        let before = self.ratchet();
        let reading = self.list(Key::FRAGMENTS).await?;
        let cells: Vec<Held<FragmentCell>> =
            reading.entries.iter().map(|stored| held(&fragment_key(stored)?, stored)).collect::<Result<_, _>>()?;
        for cell in &cells {
            self.seen().see_epoch(cell.value.id(), cell.value.epoch, before.epoch(cell.value.id()))?;
        }
        Ok((cells, reading.revision))
    }

    /// Every node.
    pub async fn nodes(&self) -> Result<Vec<Held<NodeEntry>>, ManifestError> {
        let reading = self.list(Key::NODES).await?;
        let node = |stored: &Stored| {
            let key = Key::parse(&stored.key).ok_or_else(|| misplaced(stored))?;
            held(&key, stored)
        };
        reading.entries.iter().map(node).collect()
    }

    /// Makes cells that are not there yet, all or none. False: another cell is there.
    pub async fn create(&self, cells: &[FragmentCell]) -> Result<bool, ManifestError> {
        self.reframe(&[], cells).await
    }

    /// Replaces a cell that the caller holds by `next`, once, for the wish named `intent`, and says for certain whether it was made.
    ///
    /// An unknown outcome is never guessed: the same change is sent again, which can't be made twice since it names the revision that it
    /// replaces, and if somebody was faster the cell says whether it was this very change.
    pub async fn change(
        &self,
        held: &Held<FragmentCell>,
        next: FragmentCell,
        intent: Intent,
    ) -> Result<Changed<FragmentCell>, ManifestError> {
        next.check_follows(&held.value)?;
        let fragment = next.id();
        let key = Key::Fragment(fragment);
        let next = next.marked(intent);
        let guard = Guard { key: key.to_string(), revision: Some(held.revision) };
        let change = Change { guards: vec![guard], writes: vec![put(&key, &next, None)?] };
        let (done, revision) = self.send(change).await?;
        if done {
            let reached = self.seen().epoch(fragment);
            self.seen().see_epoch(fragment, next.epoch, reached)?;
            return Ok(Changed::Made(Held { value: next, revision }));
        }
        match self.cell(fragment).await? {
            Some(now) if now.value.carried_out(intent) => Ok(Changed::Made(now)),
            now => Ok(Changed::Lost(now)),
        }
    }

    /// Replaces some cells by others in one change: splits and merges. False: one of them has changed since it was read.
    pub async fn reframe(&self, gone: &[Held<FragmentCell>], made: &[FragmentCell]) -> Result<bool, ManifestError> {
        let mut change = Change::default();
        for held in gone {
            let key = Key::Fragment(held.value.id()).to_string();
            change.guards.push(Guard { key: key.clone(), revision: Some(held.revision) });
            change.writes.push(Write::Delete { key });
        }
        for cell in made {
            let key = Key::Fragment(cell.id());
            change.guards.push(Guard { key: key.to_string(), revision: None });
            change.writes.push(put(&key, cell, None)?);
        }
        let (done, _) = self.send(change).await?;
        Ok(done || self.was_reframed(gone, made).await?)
    }

    /// After a lost race: whether what stands there is what this caller wanted. Lineages are random, so nobody else's looks the same.
    async fn was_reframed(&self, gone: &[Held<FragmentCell>], made: &[FragmentCell]) -> Result<bool, ManifestError> {
        for held in gone {
            if self.cell(held.value.id()).await?.is_some() {
                return Ok(false);
            }
        }
        for cell in made {
            if self.cell(cell.id()).await?.is_none_or(|now| now.value.lineage != cell.lineage) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes what is known of a node, over what was known.
    pub async fn register(&self, node: &NodeEntry) -> Result<(), ManifestError> {
        let key = Key::Node(node.name.clone());
        self.send(Change { guards: Vec::new(), writes: vec![put(&key, node, None)?] }).await?;
        Ok(())
    }

    /// Takes out what is known of a node, and its sign of life.
    pub async fn forget(&self, node: &NodeName) -> Result<(), ManifestError> {
        let gone = [Key::Node(node.clone()), Key::Alive(node.clone())].map(|key| Write::Delete { key: key.to_string() });
        self.send(Change { guards: Vec::new(), writes: gone.into() }).await?;
        Ok(())
    }

    /// Says that a node is there, for as long as `lease` lives.
    pub async fn announce(&self, node: &NodeName, lease: LeaseId) -> Result<(), ManifestError> {
        let key = Key::Alive(node.clone()).to_string();
        let write = Write::Put { key, value: Bytes::from_static(b"1"), lease: Some(lease) };
        self.send(Change { guards: Vec::new(), writes: vec![write] }).await?;
        Ok(())
    }

    /// Nodes that were there lately: a hint.
    pub async fn alive(&self) -> Result<Vec<NodeName>, ManifestError> {
        let reading = self.list(Key::ALIVE).await?;
        let name = |stored: &Stored| match Key::parse(&stored.key) {
            Some(Key::Alive(name)) => Some(name),
            _ => None,
        };
        Ok(reading.entries.iter().filter_map(name).collect())
    }

    /// Changes of cells behind `revision`.
    pub async fn watch_cells(&self, revision: u64) -> Result<Box<dyn Watch>, ManifestError> {
        self.store.watch(Key::FRAGMENTS, revision).await
    }

    /// Replaces several cells in one change, each as [`Manifest::change`] would: all, or none. `None`: one of them has changed since it was
    /// read, or the outcome is not known to be a success; the caller goes on with single changes, which end in a certain outcome.
    pub async fn change_all(
        &self,
        changes: &[(Held<FragmentCell>, FragmentCell, Intent)],
    ) -> Result<Option<Vec<Held<FragmentCell>>>, ManifestError> {
        let (mut change, mut made) = (Change::default(), Vec::with_capacity(changes.len()));
        for (held, next, intent) in changes {
            next.check_follows(&held.value)?;
            let key = Key::Fragment(next.id());
            let next = next.clone().marked(*intent);
            change.guards.push(Guard { key: key.to_string(), revision: Some(held.revision) });
            change.writes.push(put(&key, &next, None)?);
            made.push(next);
        }
        let (done, revision) = match self.send(change).await {
            Err(ManifestError::Unknown { .. }) => return Ok(None),
            other => other?,
        };
        if !done {
            return Ok(None);
        }
        for cell in &made {
            self.saw_epoch(cell.id(), cell.epoch)?;
        }
        Ok(Some(made.into_iter().map(|value| Held { value, revision }).collect()))
    }

    /// Takes note of an epoch that the store told without being asked.
    pub(crate) fn saw_epoch(&self, fragment: FragmentId, epoch: u32) -> Result<(), ManifestError> {
        // Events may be older than what a read has shown meanwhile: they can't give a roll-back away, a read can.
        let mut seen = self.seen();
        let reached = seen.epoch(fragment).min(epoch);
        seen.see_epoch(fragment, epoch, reached)
    }

    /// The store, for its leases.
    pub fn store(&self) -> &Arc<dyn ManifestStore> {
        &self.store
    }

    pub(crate) async fn entry<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<Held<T>>, ManifestError> {
        let reached = self.seen().revision();
        let reading = self.store.read(&key.to_string()).await?;
        self.see(reading.store, reading.revision, reached).await?;
        reading.entries.first().map(|stored| held(key, stored)).transpose()
    }

    async fn list(&self, prefix: &str) -> Result<Reading, ManifestError> {
        let reached = self.seen().revision();
        let reading = self.store.list(prefix).await?;
        self.see(reading.store, reading.revision, reached).await?;
        Ok(reading)
    }

    /// Takes note of an answer. One from another store is believed where that was taken from the one that was seen.
    async fn see(&self, store: u64, revision: u64, reached: u64) -> Result<(), ManifestError> {
        let is_known = self.seen().is_of(store);
        let seen = self.seen().see_revision(store, revision, reached);
        let refused = match seen {
            Err(refused) if !is_known => refused,
            other => return other,
        };
        match handover::origin(&*self.store).await? {
            Some(origin) if self.seen().follows(&origin, store) => {
                tracing::info!(from = origin.store, to = store, "the manifest was moved to another store");
                self.seen().see_revision(store, revision, 0)
            }
            _ => Err(refused),
        }
    }

    /// Sends a change until its outcome is known, or it was sent [`RESEND_MAX`] times.
    pub(crate) async fn send(&self, change: Change) -> Result<(bool, u64), ManifestError> {
        change.check()?;
        let reached = self.seen().revision();
        let mut sent = 1;
        loop {
            match self.store.commit(change.clone()).await {
                Err(ManifestError::Unknown { .. }) if sent < RESEND_MAX => sent += 1,
                Err(error) => return Err(error),
                Ok(committed) => {
                    self.see(committed.store, committed.revision, reached).await?;
                    return Ok((committed.done, committed.revision));
                }
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Ratchet> {
        self.ratchet.lock().expect("nothing panics while it holds this lock")
    }
}

fn put<T: Serialize>(key: &Key, value: &T, lease: Option<LeaseId>) -> Result<Write, ManifestError> {
    Ok(Write::Put { key: key.to_string(), value: Bytes::from(entry::encode(key, value)?), lease })
}

fn held<T: DeserializeOwned>(key: &Key, stored: &Stored) -> Result<Held<T>, ManifestError> {
    Ok(Held { value: entry::decode(key, &stored.value)?, revision: stored.revision })
}

fn fragment_key(stored: &Stored) -> Result<Key, ManifestError> {
    match Key::parse(&stored.key) {
        Some(key @ Key::Fragment(_)) => Ok(key),
        _ => Err(misplaced(stored)),
    }
}

fn misplaced(stored: &Stored) -> ManifestError {
    ManifestError::Damaged { key: stored.key.clone(), why: "nothing of ours is filed under such a key".to_owned() }
}
