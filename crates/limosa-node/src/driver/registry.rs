//! What the sessions of a node tell about themselves: for status, metrics, WAIT, and the history of transfers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use limosa_core::{FragmentId, Version};
use limosa_engine::plan::Alternative;
use limosa_wire::{Method, PlanItem};
use tokio::sync::watch;

use super::on_the_way::Sent;
use super::totals::Totals;
use crate::transport::{Counters, CpuSeconds};

/// Transfers remembered.
const HISTORY_MAX: usize = 256;

/// Which end of its sessions a peer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerRole {
    /// The peer is this node's owner: this node is the target.
    Owner,
    /// The peer is a standby of this node: this node is the source.
    Standby,
}

/// A session as it stands.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// The peer's name, once it has shown a certificate.
    pub name: Option<String>,
    /// Its address, as dialled or seen.
    pub address: String,
    /// What it is.
    pub role: PeerRole,
    /// Names the session; 0 while there is none.
    pub session: u64,
    /// Whether a connection is up.
    pub connected: bool,
    /// The machine's own word for where it is.
    pub phase: &'static str,
    /// Whether the stream of commits is on.
    pub live: bool,
    /// Payload bytes durable at the target, and planned.
    pub bytes: (u64, u64),
    /// When the running transfer began.
    pub since: Instant,
    /// Position of the source's commit order that the target has durably.
    pub acknowledged: u64,
    /// What a standby has durably of each fragment, as far as it is known: kept while it is away.
    pub held: Arc<BTreeMap<FragmentId, Version>>,
    /// The plan of the session.
    pub plan: Vec<PlanItem>,
    /// What was not chosen, for each item of the plan; empty where this node is the target, which is not told.
    pub alternatives: Arc<Vec<Vec<Alternative>>>,
    /// Why it can't go on.
    pub blocked: Option<String>,
    /// Socket bytes of this node's earlier sessions with the peer: in, out, handshakes.
    before: (u64, u64, u64),
    /// Of the sessions that last: several in a cluster.
    counters: Vec<Arc<Counters>>,
}

impl PeerStatus {
    /// Socket bytes with this peer since the node started: in, out, and what handshakes took of both.
    pub fn socket_bytes(&self) -> (u64, u64, u64) {
        self.counters.iter().map(|counters| totals(counters)).fold(self.before, |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2))
    }
}

fn totals(counters: &Counters) -> (u64, u64, u64) {
    (counters.bytes_in(), counters.bytes_out(), counters.handshake_in() + counters.handshake_out())
}

/// What a transfer was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransferKind {
    /// A standby was brought up to date.
    CatchUp,
    /// A damaged block of this node was fetched again.
    Repair,
}

/// A transfer that ended.
#[derive(Clone, Debug)]
pub struct TransferRecord {
    /// What it was for.
    pub kind: TransferKind,
    /// The other end.
    pub peer: String,
    /// What the other end was.
    pub peer_role: PeerRole,
    /// The session.
    pub session: u64,
    /// The dearest method used.
    pub method: Method,
    /// Why, in the planner's words.
    pub why: String,
    /// `None`: both ends agreed. Else a stable code and what happened.
    pub failure: Option<(&'static str, String)>,
    /// Entries sent or taken in frames.
    pub entries: u64,
    /// Payload bytes that the plan had named.
    pub planned_bytes: u64,
    /// Socket bytes, both directions, handshakes apart.
    pub moved_bytes: u64,
    /// Socket bytes of handshakes.
    pub handshake_bytes: u64,
    /// Key and value bytes that an earlier session had sent already (same key and version).
    pub sent_again_bytes: u64,
    /// Key and value bytes of everything live at the source.
    pub full_copy_bytes: u64,
    /// From the accepted connection until both ends agreed or the end.
    pub seconds: f64,
    /// What this process used meanwhile, by stage.
    pub cpu_seconds: CpuSeconds,
    /// When it ended.
    pub ended: SystemTime,
}

/// All sessions of a node.
#[derive(Debug)]
pub struct Registry {
    inner: Mutex<Inner>,
    progress: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    peers: BTreeMap<(u8, String), PeerStatus>,
    history: VecDeque<TransferRecord>,
    totals: Totals,
    /// On its way to a standby when its last session ended.
    cuts: BTreeMap<(u8, String), Sent>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { inner: Mutex::default(), progress: watch::Sender::new(0) }
    }
}

impl Registry {
    /// Every peer, owners first, by name.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.lock().peers.values().cloned().collect()
    }

    /// The last transfers, newest first.
    pub fn transfers(&self) -> Vec<TransferRecord> {
        self.lock().history.iter().rev().cloned().collect()
    }

    /// Changes whenever a standby's durable position does.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    /// Sums over all sessions since the node started.
    pub fn totals(&self) -> Totals {
        self.lock().totals
    }

    /// A handle on the peer at `address`, or called `name`: it stays listed when its session ends.
    pub(super) fn open(self: &Arc<Self>, role: PeerRole, name: Option<String>, address: String) -> PeerHandle {
        let key = (role as u8, name.clone().unwrap_or_else(|| address.clone()));
        let fresh = PeerStatus {
            name: name.clone(),
            address: address.clone(),
            role,
            session: 0,
            connected: false,
            phase: "connecting",
            live: false,
            bytes: (0, 0),
            since: Instant::now(),
            acknowledged: 0,
            held: Arc::default(),
            plan: Vec::new(),
            alternatives: Arc::default(),
            blocked: None,
            before: (0, 0, 0),
            counters: Vec::new(),
        };
        let mut inner = self.lock();
        let status = inner.peers.entry(key.clone()).or_insert(fresh);
        status.address = address;
        drop(inner);
        PeerHandle { registry: self.clone(), key, counters: Mutex::default() }
    }

    /// Forgets the owners: this node has none any more.
    pub(super) fn forget_owners(&self) {
        self.lock().peers.retain(|_, status| status.role != PeerRole::Owner);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner) // plain figures: whole after every statement
    }
}

/// One peer's line.
pub(super) struct PeerHandle {
    registry: Arc<Registry>,
    key: (u8, String),
    /// Of the session that this handle speaks for.
    counters: Mutex<Option<Arc<Counters>>>,
}

impl PeerHandle {
    pub(super) fn update(&self, change: impl FnOnce(&mut PeerStatus)) {
        if let Some(status) = self.registry.lock().peers.get_mut(&self.key) {
            change(status);
        }
    }

    pub(super) fn connected(&self, name: &str, session: u64, counters: Arc<Counters>) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = Some(counters.clone());
        self.update(|status| {
            status.name = Some(name.to_owned());
            status.session = session;
            status.connected = true;
            status.live = false;
            status.acknowledged = 0;
            status.blocked = None;
            status.plan.clear();
            status.alternatives = Arc::default();
            status.since = Instant::now();
            status.counters.push(counters);
        });
    }

    pub(super) fn disconnected(&self, blocked: Option<String>) {
        let own = self.counters.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.update(|status| {
            let all = status.socket_bytes();
            status.counters.retain(|counters| own.as_ref().is_none_or(|own| !Arc::ptr_eq(own, counters)));
            status.before = (0, 0, 0);
            let left = status.socket_bytes();
            status.before = (all.0 - left.0, all.1 - left.1, all.2 - left.2);
            status.blocked = blocked;
            if status.counters.is_empty() {
                status.connected = false;
                status.live = false;
                status.phase = "connecting";
            }
        });
        self.bump();
    }

    pub(super) fn acknowledged(&self, position: u64) {
        self.update(|status| status.acknowledged = position);
        self.bump();
    }

    pub(super) fn record(&self, record: TransferRecord) {
        let mut inner = self.registry.lock();
        if record.kind == TransferKind::Repair {
            inner.totals.repaired_blocks += 1;
            inner.totals.repaired_bytes += record.moved_bytes;
        } else if record.failure.is_some() {
            inner.totals.transfers_cut += 1;
        } else {
            let totals = inner.totals.of_mut(record.method);
            totals.transfers += 1;
            totals.bytes += record.moved_bytes;
            totals.entries += record.entries;
        }
        if inner.history.len() == HISTORY_MAX {
            inner.history.pop_front();
        }
        inner.history.push_back(record);
    }

    /// Counts what a session did.
    pub(super) fn count(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.registry.lock().totals);
    }

    pub(super) fn held(&self, versions: Vec<(FragmentId, Version)>) {
        self.update(|status| Arc::make_mut(&mut status.held).extend(versions));
    }

    /// What the last session with this peer had on its way when it ended.
    pub(super) fn take_cut(&self) -> Sent {
        self.registry.lock().cuts.remove(&self.key).unwrap_or_default()
    }

    pub(super) fn leave_cut(&self, cut: Sent) {
        if !cut.is_empty() {
            self.registry.lock().cuts.insert(self.key.clone(), cut);
        }
    }

    fn bump(&self) {
        self.registry.progress.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_on_when_the_list_of_transfers_is_full() {
        let registry = Arc::new(Registry::default());
        let peer = registry.open(PeerRole::Standby, Some("b".to_owned()), "127.0.0.1:1".to_owned());
        let record = |failure| TransferRecord {
            kind: TransferKind::CatchUp,
            peer: "b".to_owned(),
            peer_role: PeerRole::Standby,
            session: 1,
            method: Method::Delta,
            why: String::new(),
            failure,
            entries: 3,
            planned_bytes: 0,
            moved_bytes: 10,
            handshake_bytes: 0,
            sent_again_bytes: 0,
            full_copy_bytes: 0,
            seconds: 0.0,
            cpu_seconds: CpuSeconds::default(),
            ended: SystemTime::UNIX_EPOCH,
        };
        for _ in 0..HISTORY_MAX + 5 {
            peer.record(record(None));
        }
        peer.record(record(Some(("session.reset", String::new()))));
        let totals = registry.totals();
        assert_eq!(registry.transfers().len(), HISTORY_MAX);
        assert_eq!(
            (totals.of(Method::Delta).transfers, totals.of(Method::Delta).bytes),
            (HISTORY_MAX as u64 + 5, 10 * (HISTORY_MAX as u64 + 5))
        );
        assert_eq!((totals.transfers_cut, totals.of(Method::Copy).transfers), (1, 0));
    }
}
