//! What the machine asks of its driver. Actions come in order and are begun in order.

use std::collections::BTreeSet;

use limosa_core::{FragmentCell, FragmentId, Intent, NodeName, Version};
use limosa_wire::{OwnershipMessage, Purpose};

use super::report::Report;
use super::step::Wish;

/// What a node must do about ownership.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// A compare-and-set on one cell. Changes that come together may be made in one transaction (60 cells at most); when that loses, each
    /// is tried alone. Each is answered by one [`super::Event::Changed`].
    Change(Box<Change>),
    /// A split or merge: a compare-and-set over several cells at once. Answer: [`super::Event::ReframeAnswered`].
    Reframe(Box<Reframe>),
    /// Read the cell now. Answer: [`super::Event::Cells`] or [`super::Event::Gone`].
    ReadCell(FragmentId),
    /// Send over the control lane; lost when there is none.
    Send {
        /// To whom.
        to: NodeName,
        /// What.
        message: OwnershipMessage,
    },
    /// Whether commands are evaluated on the fragment. In force before the next action is begun.
    SetGate {
        /// Which fragment.
        fragment: FragmentId,
        /// From now on.
        gate: Gate,
    },
    /// Keep sessions with `from` about these fragments, and dial again when one breaks. A later one of the same fragment replaces it.
    Follow {
        /// Whom.
        from: NodeName,
        /// As a standby, or for a repair before a promotion.
        purpose: Purpose,
        /// Which fragments, and the newest epoch of each that may be taken over: a session that is *offered* a newer one must end before
        /// anything is applied.
        fragments: Vec<(FragmentId, u32)>,
    },
    /// From now on nothing of these fragments is taken from `from`.
    Unfollow {
        /// Whom.
        from: NodeName,
        /// Which fragments.
        fragments: Vec<FragmentId>,
    },
    /// Work on the store; each is answered by one event. Like jobs that come together may be done together.
    Job(Job),
    /// Who counts for the acknowledgements of a fragment from now on. Answer: [`super::Event::Counted`].
    Count(Count),
    /// Slow the fragment's writers by this share, in thousandths, 500 at most; 0: no more.
    Slow {
        /// Which fragment.
        fragment: FragmentId,
        /// By how much.
        share_per_mille: u16,
    },
    /// For logs, metrics and whoever gave an order.
    Report(Report),
}

/// A wish to change a cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Of which fragment.
    pub fragment: FragmentId,
    /// The revision of the cell that it replaces.
    pub revision: u64,
    /// What it is about.
    pub wish: Wish,
    /// What it becomes.
    pub next: FragmentCell,
    /// Names the wish.
    pub intent: Intent,
}

/// A wish to replace cells by others, all or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reframe {
    /// The cells that go, in key order, each with the revision that it must have.
    pub gone: Vec<(FragmentId, u64)>,
    /// What comes instead. Lineages are random: whoever finds these there knows that it was this very wish.
    pub made: Vec<FragmentCell>,
}

impl Reframe {
    /// The first of the fragments that go: names the wish in its answer.
    pub fn first(&self) -> FragmentId {
        self.gone[0].0
    }
}

/// What the store does with a command on a fragment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Gate {
    /// Evaluates it.
    Serving,
    /// Keeps it waiting.
    Parked,
    /// Refuses it: another node is to be asked. Answers that still wait for an acknowledgement end as *unknown* now: what followers of a
    /// later ownership have flushed says nothing of them, though their versions be higher.
    Closed,
}

/// Work on the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Job {
    /// Version and state digest, once the published version is at `at` or beyond and durable. A later one of the same fragment replaces
    /// it. Answer: [`super::Event::Digest`].
    Digest {
        /// Of which fragment.
        fragment: FragmentId,
        /// At least this version; zero: as it is, behind a flush.
        at: Version,
    },
    /// Open the row of exactly this epoch. Answer: [`super::Event::EpochOpened`] once it is durable, or [`super::Event::EpochRefused`].
    OpenEpoch {
        /// Of which fragment.
        fragment: FragmentId,
        /// Its number, as in the cell.
        epoch: u32,
    },
    /// Take nothing of an epoch below this one any more, durably. Answer: [`super::Event::FencePersisted`].
    PersistFence {
        /// Of which fragment.
        fragment: FragmentId,
        /// The fence's.
        epoch: u32,
    },
    /// Give the copy up: the fragment is empty at version zero from then on. Answer: [`super::Event::Dropped`].
    Drop {
        /// Which fragment.
        fragment: FragmentId,
    },
}

/// What an acknowledgement takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Count {
    /// Of which fragment.
    pub fragment: FragmentId,
    /// Whose flushes count.
    pub members: BTreeSet<NodeName>,
    /// How many of them must have flushed a write; more than there are: writes wait. At ack level `all`: every member, and no fewer.
    pub needed: usize,
}
