//! How sessions stand, as events for the machine: what changed since the last look, and once a beat what goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use limosa_core::{FragmentId, NodeName, Version};
use limosa_engine::ownership::{Event, Gate, Session};
use limosa_store::Position;

use crate::driver::cluster::Board;
use crate::driver::node::Shared;
use crate::driver::session_table::{Row, Side};

/// A session about one fragment.
type Key = (Side, NodeName, FragmentId);

/// What was told last of it.
#[derive(Clone, Copy, Debug)]
struct Told {
    session: Session,
    held: Version,
    at: Instant,
}

/// Remembers what was told.
pub(super) struct Sessions {
    shared: Arc<Shared>,
    told: BTreeMap<Key, Told>,
    /// The life of each peer, and its sessions of an earlier one, which are over though their connections may not know it.
    lives: BTreeMap<NodeName, u64>,
    dead: BTreeSet<u64>,
    /// Of each fragment when the load was measured last: its head.
    loads: BTreeMap<FragmentId, (Version, Instant)>,
}

impl Sessions {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, told: BTreeMap::new(), lives: BTreeMap::new(), dead: BTreeSet::new(), loads: BTreeMap::new() }
    }

    /// A peer greets in the life `start`. If it is another one than before, its earlier sessions have ended.
    pub(super) fn new_life(&mut self, peer: &NodeName, start: u64) -> Vec<Event> {
        if self.lives.insert(peer.clone(), start).is_none_or(|before| before == start) {
            return Vec::new();
        }
        self.dead.extend(self.shared.sessions.end_all(peer));
        let over: Vec<Key> = self.told.keys().filter(|key| key.1 == *peer).cloned().collect();
        over.into_iter().filter_map(|key| self.end(&key)).collect()
    }

    /// What changed.
    pub(super) fn look(&mut self, board: &Board, known: &BTreeSet<FragmentId>) -> Vec<Event> {
        let rows = self.shared.sessions.rows();
        self.dead.retain(|id| rows.iter().any(|(row, _)| row == id));
        let mut now: BTreeMap<Key, (Session, Version)> = BTreeMap::new();
        let own = self.own_heads(&rows);
        let fragments: Vec<FragmentId> = board.view.borrow().cells.keys().filter(|id| known.contains(id)).copied().collect();
        for (_, row) in rows.iter().filter(|(id, _)| !self.dead.contains(id)) {
            let session = self.session(row);
            for &fragment in fragments.iter().filter(|id| row.scope.has(**id)) {
                let held = match row.side {
                    Side::Source => row.held.get(&fragment).copied().unwrap_or_default(),
                    Side::Target => own.get(&fragment).copied().unwrap_or_default(),
                };
                let entry = now.entry((row.side, row.peer.clone(), fragment)).or_insert((session, held));
                if matches!(session, Session::Live { .. }) {
                    *entry = (session, held.max(entry.1));
                }
            }
        }
        note_arrivals(board, &now);
        let over: Vec<Key> = self.told.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
        let mut events: Vec<Event> = over.into_iter().filter_map(|key| self.end(&key)).collect();
        let beat = board.options.lease / 4; // a little more often than the machine wants it
        events.extend(now.into_iter().filter_map(|(key, (session, held))| self.tell(key, session, held, beat)));
        events
    }

    /// These fragments are no more: nothing was told of them.
    pub(super) fn forget(&mut self, gone: &[FragmentId]) {
        self.told.retain(|key, _| !gone.contains(&key.2));
        self.loads.retain(|id, _| !gone.contains(id));
    }

    fn session(&self, row: &Row) -> Session {
        match (row.live, row.side) {
            (true, Side::Source) => Session::Live { behind: self.shared.store.bytes_behind(Position(row.acknowledged)) },
            (true, Side::Target) => Session::Live { behind: 0 },
            (false, _) => Session::Transferring { done: row.bytes.0, total: row.bytes.1 },
        }
    }

    /// What this node has, durably; asked only where it follows somebody.
    fn own_heads(&self, rows: &[(u64, Row)]) -> BTreeMap<FragmentId, Version> {
        let follows = rows.iter().any(|(_, row)| row.side == Side::Target);
        if follows || self.told.keys().any(|key| key.0 == Side::Target) { self.shared.durable_heads() } else { BTreeMap::new() }
    }

    fn tell(&mut self, key: Key, session: Session, held: Version, beat: Duration) -> Option<Event> {
        let now = Instant::now();
        let is_old = self.told.get(&key).is_some_and(|told| {
            told.session == session && told.held == held && (now - told.at < beat || !matches!(session, Session::Live { .. }))
        });
        if is_old {
            return None;
        }
        self.told.insert(key.clone(), Told { session, held, at: now });
        Some(event(key, session, held))
    }

    fn end(&mut self, key: &Key) -> Option<Event> {
        let told = self.told.remove(key)?;
        let held = match key.0 {
            Side::Source => told.held,
            Side::Target => self.shared.durable_heads().get(&key.2).copied().unwrap_or_default(),
        };
        Some(event(key.clone(), Session::Absent, held))
    }

    /// How fast each fragment of this node is written: versions given times the size of an entry.
    pub(super) fn loads(&mut self, board: &Board) -> Vec<Event> {
        let serving: BTreeSet<FragmentId> = {
            let fast = board.fast();
            fast.gates.iter().filter(|(_, gate)| **gate == Gate::Serving).map(|(&id, _)| id).collect()
        };
        let now = Instant::now();
        let mut events = Vec::new();
        for facts in self.shared.store.facts().into_iter().filter(|facts| serving.contains(&facts.id)) {
            let before = self.loads.insert(facts.id, (facts.head, now));
            let Some((head, at)) = before.filter(|(head, _)| head.epoch == facts.head.epoch) else { continue };
            let entry_bytes = facts.live_bytes / facts.live.max(1);
            let written = (facts.head.seq - head.seq).saturating_mul(entry_bytes);
            let ms = u64::try_from((now - at).as_millis()).unwrap_or(u64::MAX).max(1);
            events.push(Event::Load { fragment: facts.id, write_bytes_per_s: written.saturating_mul(1000) / ms });
        }
        events
    }
}

fn event((side, peer, fragment): Key, session: Session, held: Version) -> Event {
    match side {
        Side::Source => Event::Follower { node: peer, fragment, session, held },
        Side::Target => Event::Session { from: peer, fragment, session, held },
    }
}

/// A fragment that moves here and is live may arrive at any moment: commands for it wait instead of going back to its owner.
fn note_arrivals(board: &Board, now: &BTreeMap<Key, (Session, Version)>) {
    let view = board.view.borrow().clone();
    let is_arriving = |((side, _, fragment), (session, _)): (&Key, &(Session, Version))| {
        let is_target = view.cell(*fragment).is_some_and(|cell| cell.running.as_ref().is_some_and(|running| running.to == board.me));
        (is_target && *side == Side::Target && matches!(session, Session::Live { .. })).then_some(*fragment)
    };
    let arriving: BTreeSet<FragmentId> = now.iter().filter_map(is_arriving).collect();
    let mut fast = board.fast();
    if fast.arriving != arriving {
        fast.arriving = arriving;
        drop(fast);
        board.touch();
    }
}
