//! What each session of this node says of itself, for the ownership driver: with whom, about which fragments, how far.
//!
//! Unlike the registry, which has a line for each peer and keeps it for people, this has a row for each session and no longer than it lasts:
//! a peer may have several, each about other fragments.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limosa_core::{FragmentId, NodeName, Scope, Version};
use tokio::sync::{Notify, watch};

/// Which end of a session this node is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Side {
    /// The peer follows this node.
    Source,
    /// This node follows the peer.
    Target,
}

/// A session as it stands.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) peer: NodeName,
    pub(super) side: Side,
    /// What it is about; on the source's side all until Hello has said.
    pub(super) scope: Scope,
    /// Whether both ends know what it is about, and the stream goes.
    pub(super) live: bool,
    /// Payload bytes that are there, and in all.
    pub(super) bytes: (u64, u64),
    /// On the source's side: what the peer has, durably.
    pub(super) held: Arc<BTreeMap<FragmentId, Version>>,
    /// On the source's side: up to which position of this node's journal the peer has what the session is about, durably.
    pub(super) acknowledged: u64,
    /// Told when the session is to end, though its connection may last.
    over: Arc<Notify>,
}

/// All sessions that last.
#[derive(Debug)]
pub(super) struct SessionTable {
    rows: Mutex<(u64, BTreeMap<u64, Row>)>,
    changed: watch::Sender<u64>,
}

impl Default for SessionTable {
    fn default() -> Self {
        Self { rows: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl SessionTable {
    /// A session with `peer` begins. Its row lasts as long as the handle.
    pub(super) fn open(self: &Arc<Self>, peer: NodeName, side: Side, scope: Scope) -> SessionHandle {
        let row = Row { peer, side, scope, live: false, bytes: (0, 0), held: Arc::default(), acknowledged: 0, over: Arc::default() };
        let over = row.over.clone();
        let mut rows = self.lock();
        rows.0 += 1;
        let id = rows.0;
        rows.1.insert(id, row);
        drop(rows);
        self.bump();
        SessionHandle { table: self.clone(), id, over }
    }

    /// Every session, by a number that is never given twice.
    pub(super) fn rows(&self) -> Vec<(u64, Row)> {
        self.lock().1.iter().map(|(&id, row)| (id, row.clone())).collect()
    }

    /// Ends every session with `peer`: it greets in another life. One that it has begun in this life already is dialled once more, since
    /// nothing tells the two apart. Their numbers.
    pub(super) fn end_all(&self, peer: &NodeName) -> Vec<u64> {
        let rows = self.lock();
        let with_peer = rows.1.iter().filter(|(_, row)| row.peer == *peer);
        with_peer.map(|(&id, row)| (id, row.over.notify_one()).0).collect()
    }

    /// Changes whenever a row does.
    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Row>)> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bump(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// One session's row.
#[derive(Debug)]
pub(super) struct SessionHandle {
    table: Arc<SessionTable>,
    id: u64,
    over: Arc<Notify>,
}

impl SessionHandle {
    /// The row's number.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// As [`SessionHandle::update`], where `now` is not what the row has: true then.
    pub(super) fn update_if<T: PartialEq>(&self, now: T, has: impl FnOnce(&Row) -> T, change: impl FnOnce(&mut Row)) -> bool {
        let differs = self.table.lock().1.get(&self.id).is_some_and(|row| has(row) != now);
        if differs {
            self.update(change);
        }
        differs
    }

    /// With whom.
    pub(super) fn peer(&self) -> NodeName {
        self.table.lock().1.get(&self.id).map(|row| row.peer.clone()).expect("the row lasts as long as this handle")
    }

    /// Until the session is to end.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }

    /// Changes the row, and tells.
    pub(super) fn update(&self, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.table.lock().1.get_mut(&self.id) {
            change(row);
        }
        self.table.bump();
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        self.table.lock().1.remove(&self.id);
        self.table.bump();
    }
}
