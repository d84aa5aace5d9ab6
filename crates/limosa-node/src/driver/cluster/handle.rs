//! The handle that the front doors hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limosa_core::{FragmentId, NodeName};
use limosa_engine::ownership::Gate;
use limosa_manifest::FragmentCell;
use tokio::sync::{oneshot, watch};

use super::acks::{AckLevel, Acked};
use super::board::{Asked, Board, MoveEnd, MoveStatus, NodeFacts, View};
use super::options::MemberOptions;
use super::order::{Order, OrderError, Ordered};
use super::standing::{Here, Standing};
use super::stints::Fate;

/// A member's view of its cluster, and the way to give orders. Clones share everything.
#[derive(Clone)]
pub struct Cluster {
    pub(in super::super) board: Arc<Board>,
}

impl Cluster {
    /// This node's name.
    pub fn me(&self) -> &NodeName {
        &self.board.me
    }

    /// What it was told.
    pub fn options(&self) -> &MemberOptions {
        &self.board.options
    }

    /// The manifest as it was seen last.
    pub fn view(&self) -> Arc<View> {
        self.board.view.borrow().clone()
    }

    /// Tells of every change of the view.
    pub fn changed(&self) -> watch::Receiver<Arc<View>> {
        self.board.view.subscribe()
    }

    /// Every fragment's cell.
    pub fn cells(&self) -> BTreeMap<FragmentId, FragmentCell> {
        self.view().cells.iter().map(|(&id, held)| (id, held.value.clone())).collect()
    }

    /// Every node.
    pub fn nodes(&self) -> BTreeMap<NodeName, NodeFacts> {
        self.view().nodes.clone()
    }

    /// Why the manifest does not answer, if it does not.
    pub fn outage(&self) -> Option<String> {
        self.view().outage.clone()
    }

    /// How this node stands to a fragment.
    pub fn standing(&self, fragment: FragmentId) -> Standing {
        let here = {
            let fast = self.board.fast();
            let gate = fast.gates.get(&fragment).copied().unwrap_or(Gate::Closed);
            let is_arriving = fast.arriving.contains(&fragment);
            Here { gate, is_arriving, staleness: fast.fresh_at.get(&fragment).map(Instant::elapsed) }
        };
        let view = self.board.view.borrow();
        Standing::of(view.cell(fragment), &self.board.me, &here, view.outage.as_deref())
    }

    /// The number of the stint in which this node serves a fragment, or served it last. Whoever evaluates a command asks while the store
    /// keeps the fragment's gate as it is, and asks for the fate of its answer with that number.
    pub fn stint(&self, fragment: FragmentId) -> u64 {
        self.board.fast().stints.current(fragment)
    }

    /// How far the commits of a fragment that were made in this stint are acknowledged at `level`.
    pub fn acked(&self, fragment: FragmentId, stint: u64, level: AckLevel) -> Acked {
        let fast = self.board.fast();
        match fast.stints.fate(fragment, stint) {
            Fate::Given => Acked::UpTo(u64::MAX),
            Fate::Lost => Acked::Unknown,
            Fate::Open => {
                let nobody = if level == AckLevel::Local { u64::MAX } else { 0 };
                Acked::UpTo(fast.counts.get(&fragment).map_or(nobody, |count| fast.acks.acked(count, level)))
            }
        }
    }

    /// How many members of the sync set of a fragment of this node's own have it on disk up to `position` of this node's journal, which was
    /// written in this stint.
    pub fn copies(&self, fragment: FragmentId, stint: u64, position: u64) -> usize {
        let fast = self.board.fast();
        if fast.stints.fate(fragment, stint) == Fate::Lost {
            return 0;
        }
        fast.counts.get(&fragment).map_or(0, |count| fast.acks.copies(count, position))
    }

    /// How old the complete copy of a fragment here may be, where it follows its owner.
    pub fn staleness(&self, fragment: FragmentId) -> Option<Duration> {
        self.board.staleness(fragment)
    }

    /// Counts up whenever [`Cluster::acked`] may have grown.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.board.progress.subscribe()
    }

    /// Whether a linearizable read of a fragment of this node's own may be answered that was evaluated in this stint: asked before its
    /// answer leaves. Never for longer than enough members promised to follow nobody else.
    pub fn may_read(&self, fragment: FragmentId, stint: u64) -> bool {
        let fast = self.board.fast();
        match fast.stints.fate(fragment, stint) {
            Fate::Given => true,
            Fate::Lost => false,
            Fate::Open => fast.reads_until.get(&fragment).is_some_and(|until| Instant::now() < *until),
        }
    }

    /// By how much writers of a fragment are to be slowed, in thousandths: its move would never end otherwise.
    pub fn slowed_per_mille(&self, fragment: FragmentId) -> u16 {
        self.board.fast().slowed.get(&fragment).copied().unwrap_or(0)
    }

    /// What keeps this node from serving or taking over fragments that it should: code and words.
    pub fn blocked(&self) -> BTreeMap<FragmentId, (&'static str, String)> {
        self.board.fast().blocked.clone()
    }

    /// Moves under way of fragments of this node.
    pub fn moves(&self) -> Vec<MoveStatus> {
        self.board.fast().moves.values().cloned().collect()
    }

    /// The moves of fragments of this node that ended last, the newest at the end.
    pub fn ended_moves(&self) -> Vec<MoveEnd> {
        self.board.fast().ended.iter().cloned().collect()
    }

    /// Gives an order. Returns when it was taken up; how it ends, [`Cluster::moves`] and [`Cluster::cells`] tell.
    ///
    /// # Errors
    /// The manifest is away, or the node is stopping.
    pub async fn order(&self, order: Order) -> Result<Ordered, OrderError> {
        let (answer, answered) = oneshot::channel();
        self.board.orders.send(Asked { order, answer }).await.map_err(|_| OrderError::Stopping)?;
        answered.await.unwrap_or(Err(OrderError::Stopping))
    }
}
