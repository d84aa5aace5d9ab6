//! What the tasks of a member know together: the view of the manifest, gates, acknowledgements, moves. Tasks write, front doors read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use limosa_core::{FragmentId, NodeName, Scope};
use limosa_engine::ownership::{Count, Gate};
use limosa_manifest::embedded::EmbeddedStore;
use limosa_manifest::{FragmentCell, Held, Manifest, NodeEntry};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::acks::Acks;
use super::options::MemberOptions;
use super::order::{Order, OrderError, Ordered};
use super::stints::Stints;
use crate::driver::control::Lanes;

/// Orders that wait for the ownership driver.
const ORDERS_MAX: usize = 64;

/// A node as the manifest and the connections show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFacts {
    /// What it said of itself.
    pub entry: NodeEntry,
    /// Whether its sign of life is in the manifest: a hint.
    pub alive: bool,
}

/// The manifest as this node saw it last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// Every fragment's cell, with the revision that wrote it.
    pub cells: BTreeMap<FragmentId, Arc<Held<FragmentCell>>>,
    /// Every node.
    pub nodes: BTreeMap<NodeName, NodeFacts>,
    /// The manifest's revision of that.
    pub revision: u64,
    /// Whether the manifest was read at all.
    pub known: bool,
    /// Why the manifest does not answer, if it does not: what is above is what it said last.
    pub outage: Option<String>,
}

impl View {
    /// A fragment's cell.
    pub fn cell(&self, fragment: FragmentId) -> Option<&FragmentCell> {
        self.cells.get(&fragment).map(|held| &held.value)
    }
}

/// A move under way, as its source sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MoveStatus {
    /// Its id, as in the cell.
    pub id: u64,
    /// Which fragment.
    pub fragment: FragmentId,
    /// Where to.
    pub to: NodeName,
    /// The machine's word for where it is.
    pub phase: &'static str,
    /// Payload bytes durable at the target, and planned.
    pub bytes: (u64, u64),
    /// When this node took it up.
    pub since: Instant,
    /// The fragment's writers are to be slowed by this share, in thousandths.
    pub slowed_per_mille: u16,
    /// Why it can't go on, if it can't.
    pub blocked: Option<String>,
}

/// A move that ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MoveEnd {
    /// Its id, as in the cell; 0 where it never began.
    pub id: u64,
    /// Payload bytes durable at the target, and planned, as they were seen last.
    pub bytes: (u64, u64),
    /// How long it took from being taken up.
    pub took: Duration,
    /// Of which fragment.
    pub fragment: FragmentId,
    /// Where to.
    pub to: NodeName,
    /// How long requests waited here; zero where it failed before that.
    pub parked: Duration,
    /// `None`: the target owns it. Else a stable code and what happened.
    pub failure: Option<(&'static str, String)>,
    /// When.
    pub ended: SystemTime,
}

/// Moves that ended and are remembered.
const ENDS_MAX: usize = 1024;

/// An order and where its answer goes.
pub(in super::super) struct Asked {
    pub(in super::super) order: Order,
    pub(in super::super) answer: oneshot::Sender<Result<Ordered, OrderError>>,
}

/// What changes many times a second.
#[derive(Default)]
pub(in super::super) struct Fast {
    pub(in super::super) gates: BTreeMap<FragmentId, Gate>,
    pub(in super::super) acks: Acks,
    /// Who counts for the acknowledgements of this node's fragments.
    pub(in super::super) counts: BTreeMap<FragmentId, Count>,
    /// The times in which this node served: what becomes of answers that still wait for acknowledgements, or for a read lease, behind them.
    pub(in super::super) stints: Stints,
    /// Fragments whose last step to this node may be under way: commands wait here instead of going back.
    pub(in super::super) arriving: BTreeSet<FragmentId>,
    /// The moves that ended last, newest at the end.
    pub(in super::super) ended: VecDeque<MoveEnd>,
    /// Writers to be slowed, in thousandths.
    pub(in super::super) slowed: BTreeMap<FragmentId, u16>,
    /// What keeps this node from serving or taking over: code and words.
    pub(in super::super) blocked: BTreeMap<FragmentId, (&'static str, String)>,
    /// Complete copies that follow, with when they were last known to be at their owner's head.
    pub(in super::super) fresh_at: BTreeMap<FragmentId, Instant>,
    /// Until when reads at the owner need no one else; nothing for fragments without members.
    pub(in super::super) reads_until: BTreeMap<FragmentId, Instant>,
    pub(in super::super) moves: BTreeMap<FragmentId, MoveStatus>,
}

/// What the view's owner has learned since the ownership driver looked last; bounded by the number of fragments.
#[derive(Default)]
pub(in super::super) struct Changes {
    pub(in super::super) cells: BTreeSet<FragmentId>,
    pub(in super::super) nodes: bool,
    /// By who said so: why the manifest does not answer.
    pub(super) outages: BTreeMap<&'static str, String>,
}

/// The shared state of a member.
pub(in super::super) struct Board {
    pub(in super::super) me: NodeName,
    pub(in super::super) options: MemberOptions,
    pub(in super::super) view: watch::Sender<Arc<View>>,
    /// Counts up whenever an acknowledgement came in.
    pub(in super::super) progress: watch::Sender<u64>,
    pub(in super::super) orders: mpsc::Sender<Asked>,
    /// The manifest's file, where this node holds it.
    pub(in super::super) embedded: Option<EmbeddedStore>,
    /// The control lanes, once the node runs.
    pub(in super::super) lanes: OnceLock<Lanes>,
    /// The manifest, once the node runs.
    pub(in super::super) manifest: OnceLock<Manifest>,
    /// Whether the manifest knows another data folder of this node's name; `None` before it was read.
    pub(in super::super) reborn: watch::Sender<Option<bool>>,
    /// Wakes the ownership driver: something of [`Changes`] is there.
    pub(in super::super) changed: Notify,
    pub(super) changes: Mutex<Changes>,
    queue: Mutex<Option<mpsc::Receiver<Asked>>>,
    fast: Mutex<Fast>,
}

impl Board {
    pub(in super::super) fn new(me: NodeName, options: MemberOptions, embedded: Option<EmbeddedStore>) -> Self {
        let (orders, queue) = mpsc::channel(ORDERS_MAX);
        Self {
            me,
            options,
            view: watch::Sender::default(),
            progress: watch::Sender::new(0),
            orders,
            embedded,
            lanes: OnceLock::new(),
            manifest: OnceLock::new(),
            reborn: watch::Sender::new(None),
            changed: Notify::new(),
            changes: Mutex::default(),
            queue: Mutex::new(Some(queue)),
            fast: Mutex::default(),
        }
    }

    /// The orders, for the one task that carries them out.
    pub(in super::super) fn take_orders(&self) -> Option<mpsc::Receiver<Asked>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(in super::super) fn fast(&self) -> MutexGuard<'_, Fast> {
        self.fast.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session with `member` is about these fragments.
    pub(in super::super) fn session_scope(&self, session: u64, member: &NodeName, scope: Scope) {
        self.fast().acks.scope(session, member, scope);
        self.progress.send_modify(|count| *count += 1);
    }

    /// A member has everything of a session's scope up to `position` on its disk.
    pub(in super::super) fn acknowledged(&self, session: u64, position: u64) {
        let is_new = self.fast().acks.acknowledged(session, position);
        if is_new {
            self.progress.send_modify(|count| *count += 1);
        }
    }

    /// A session is over.
    pub(in super::super) fn session_ended(&self, session: u64) {
        self.fast().acks.end(session);
    }

    /// A move has ended.
    pub(in super::super) fn ended(&self, end: MoveEnd) {
        let mut fast = self.fast();
        if fast.ended.len() == ENDS_MAX {
            fast.ended.pop_front();
        }
        fast.ended.push_back(end);
    }

    pub(in super::super) fn staleness(&self, fragment: FragmentId) -> Option<Duration> {
        self.fast().fresh_at.get(&fragment).map(Instant::elapsed)
    }
}
