//! A manifest changes its place, deliberately: from a file of one machine into etcd. No state is copied, only who owns what.
//!
//! ```text
//!  the old store is retired: nobody opens it to serve any more ──> its entries, byte by byte ──> the new store's origin: complete
//! ```
//! Each step may be done again: a call that was cut off is given again, and goes on.
//!
//! # Invariants
//! - Two stores never decide for one cluster: the old one is retired, durably, before anything is written to the new one.
//! - A node that has seen the old one believes the new one only if it is complete and was taken from what the node saw, or from later: an old
//!   backup of the old store is no way around the ratchet.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::cell::text;
use crate::entry;
use crate::error::ManifestError;
use crate::key::Key;
use crate::store::{CHANGE_OPS_MAX, Change, Committed, Guard, ManifestStore, Reading, Stored, Write};

/// Entries in one change: each is one guard and one write.
const GROUP: usize = CHANGE_OPS_MAX / 2;
/// How often a change of unknown outcome is sent.
const SEND_MAX: usize = 5;

/// Where a store's entries were taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The number of the store that was retired for it.
    #[serde(with = "text::id")]
    pub store: u64,
    /// Its last revision before it was retired: retiring a backup must not make it look newer.
    pub revision: u64,
    /// Every entry is there.
    pub is_complete: bool,
}

/// Moves the entries of `from` into `to`. Answers how many fragments they name.
///
/// # Errors
/// `from` has none; `to` has another cluster's; one of the two fails: what was done stays, and the same call goes on with it.
pub async fn carry(from: &dyn ManifestStore, to: &dyn ManifestStore) -> Result<usize, ManifestError> {
    let cells = from.list(Key::FRAGMENTS).await?.entries.len();
    if cells == 0 {
        return Err(config("it holds no cluster: there is nothing to move"));
    }
    let retired = retire(from).await?;
    let mark = retired.entries.iter().find(|entry| entry.key == Key::MOVED).map_or(retired.revision, |mark| mark.revision);
    let origin = Origin { store: retired.store, revision: mark.saturating_sub(1), is_complete: false };
    let Some(revision) = begin(to, origin).await? else { return Ok(cells) };
    let entries: Vec<Stored> = retired.entries.into_iter().filter(is_carried).collect();
    for group in entries.chunks(GROUP) {
        put(to, group).await?;
    }
    let whole = Origin { is_complete: true, ..origin };
    let guard = Guard { key: Key::ORIGIN.to_owned(), revision: Some(revision) };
    let done = commit(to, Change { guards: vec![guard], writes: vec![write(Key::ORIGIN, encoded(&whole)?)] }).await?;
    if done.done || read(to).await?.is_some_and(|(now, _)| now == whole) {
        return Ok(cells);
    }
    Err(config("somebody else moves it at the same moment: look, and try again"))
}

/// Where `store`'s entries come from; `None`: they were begun there.
pub(crate) async fn origin(store: &dyn ManifestStore) -> Result<Option<Origin>, ManifestError> {
    Ok(read(store).await?.map(|(origin, _)| origin))
}

/// From then on nobody opens it to serve. Everything in it, behind that.
async fn retire(from: &dyn ManifestStore) -> Result<Reading, ManifestError> {
    if from.read(Key::MOVED).await?.entries.is_empty() {
        commit(from, Change { guards: Vec::new(), writes: vec![write(Key::MOVED, Bytes::from_static(b"1"))] }).await?;
    }
    from.list("").await
}

/// The revision of the mark that entries are being put there; `None`: they all are.
async fn begin(to: &dyn ManifestStore, origin: Origin) -> Result<Option<u64>, ManifestError> {
    if let Some((known, revision)) = read(to).await? {
        if (known.store, known.revision) != (origin.store, origin.revision) {
            return Err(config("another manifest was moved there: give the cluster another name, or another etcd"));
        }
        return Ok((!known.is_complete).then_some(revision));
    }
    if !to.list(Key::FRAGMENTS).await?.entries.is_empty() {
        return Err(config("there is a cluster of this name already"));
    }
    let guard = Guard { key: Key::ORIGIN.to_owned(), revision: None };
    commit(to, Change { guards: vec![guard], writes: vec![write(Key::ORIGIN, encoded(&origin)?)] }).await?;
    match read(to).await? {
        Some((known, revision)) if known == origin => Ok(Some(revision)),
        _ => Err(config("somebody else moves it at the same moment: look, and try again")),
    }
}

/// Nodes that run register anew: what is there of them by then is newer, and stays.
async fn put(to: &dyn ManifestStore, group: &[Stored]) -> Result<(), ManifestError> {
    let change = |entries: &[Stored]| Change {
        guards: entries.iter().map(|entry| Guard { key: entry.key.clone(), revision: None }).collect(),
        writes: entries.iter().map(|entry| write(&entry.key, entry.value.clone())).collect(),
    };
    if commit(to, change(group)).await?.done {
        return Ok(());
    }
    for entry in group {
        if commit(to, change(std::slice::from_ref(entry))).await?.done {
            continue;
        }
        let there = to.read(&entry.key).await?.entries.into_iter().next();
        if !entry.key.starts_with(Key::NODES) && there.is_none_or(|there| there.value != entry.value) {
            return Err(config("something else was written there meanwhile"));
        }
    }
    Ok(())
}

fn is_carried(entry: &Stored) -> bool {
    !matches!(Key::parse(&entry.key), None | Some(Key::Alive(_) | Key::Moved | Key::Origin))
}

async fn read(store: &dyn ManifestStore) -> Result<Option<(Origin, u64)>, ManifestError> {
    let reading = store.read(Key::ORIGIN).await?;
    let decoded = |stored: &Stored| Ok((entry::decode(&Key::Origin, &stored.value)?, stored.revision));
    reading.entries.first().map(decoded).transpose()
}

fn encoded(origin: &Origin) -> Result<Bytes, ManifestError> {
    Ok(entry::encode(&Key::Origin, origin)?.into())
}

/// Sent until its outcome is known: its guards name what it replaces.
async fn commit(store: &dyn ManifestStore, change: Change) -> Result<Committed, ManifestError> {
    for _ in 1..SEND_MAX {
        match store.commit(change.clone()).await {
            Err(ManifestError::Unknown { .. }) => {}
            other => return other,
        }
    }
    store.commit(change).await
}

fn write(key: &str, value: Bytes) -> Write {
    Write::Put { key: key.to_owned(), value, lease: None }
}

fn config(why: &str) -> ManifestError {
    ManifestError::Config { what: "moving a manifest", why: why.to_owned() }
}
