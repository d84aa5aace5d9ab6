//! What the machine is told.

use bytes::Bytes;
use limosa_core::{Digest, FragmentCell, FragmentId, Intent, NodeName, Version};
use limosa_wire::OwnershipMessage;

use super::config::HeldFragment;

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// Cells as they are, from a list, a watch or a read. Older revisions than the known ones are passed over.
    Cells(Vec<SeenCell>),
    /// A cell was removed: its fragment was split or merged away.
    Gone {
        /// Which.
        fragment: FragmentId,
        /// The revision that removed it.
        revision: u64,
    },
    /// The answer to a [`super::Action::Change`].
    Changed {
        /// Of which fragment.
        fragment: FragmentId,
        /// The wish.
        intent: Intent,
        /// What came of it.
        outcome: Outcome,
    },
    /// The answer to a [`super::Action::Reframe`].
    ReframeAnswered {
        /// The first of the fragments that were to go.
        first: FragmentId,
        /// What came of it.
        outcome: Reframing,
    },
    /// The store's fragments are others now, as cells ask that were split or merged, by this node or another one. Told before these cells, and
    /// once nothing of the old fragments is applied any more. From here on the new ones begin as behind a restart.
    Reframed {
        /// Those that went.
        gone: Vec<FragmentId>,
        /// Those that came.
        made: Vec<Made>,
    },
    /// From a peer, over the control lane. The end of its former life's sessions ([`Event::Session`], [`Event::Follower`]) is told first.
    Message {
        /// From whom.
        from: NodeName,
        /// What.
        message: OwnershipMessage,
    },
    /// A control lane came up (`true`) or broke.
    Peer {
        /// With whom.
        node: NodeName,
        /// Whether it is there.
        is_connected: bool,
    },
    /// How a session stands that this node follows. Told on each change, and while it is live at least once a beat.
    Session {
        /// Whom it follows.
        from: NodeName,
        /// Of which fragment.
        fragment: FragmentId,
        /// The session.
        session: Session,
        /// The consistent version that this node shows, durably. Exact whenever the session is not live.
        held: Version,
    },
    /// How a session stands that follows this node. Told on each change; while it is live, as acknowledgements come, at least once a beat.
    Follower {
        /// Who follows.
        node: NodeName,
        /// Of which fragment.
        fragment: FragmentId,
        /// The session.
        session: Session,
        /// The version that it has, durably, as far as it is known.
        held: Version,
    },
    /// The answer to [`super::Job::Digest`].
    Digest {
        /// Of which fragment.
        fragment: FragmentId,
        /// The published version, durable.
        version: Version,
        /// State digest there.
        state: Digest,
    },
    /// The row is durable.
    EpochOpened {
        /// Of which fragment.
        fragment: FragmentId,
        /// Its number.
        epoch: u32,
        /// The version that the fragment was at: the epoch's first write follows it.
        base: Version,
    },
    /// The store has a row of this epoch, or of a higher one, already.
    EpochRefused {
        /// Of which fragment.
        fragment: FragmentId,
        /// The newest epoch that it has.
        held: u32,
    },
    /// The fence is durable; nothing of an older epoch is applied behind `held`.
    FencePersisted {
        /// Of which fragment.
        fragment: FragmentId,
        /// The fence's epoch.
        epoch: u32,
        /// The consistent version that this node shows, durably.
        held: Version,
    },
    /// The copy was given up.
    Dropped {
        /// Which fragment.
        fragment: FragmentId,
    },
    /// The answer to [`super::Action::Count`]: it is in force, and the fragment's head at that moment. Nothing beyond it was acknowledged
    /// under another rule.
    Counted {
        /// Which fragment.
        fragment: FragmentId,
        /// Its newest version.
        head: Version,
    },
    /// Bytes of a fragment, and how fast it is written, at a node that owns it. A hint, every few seconds.
    Load {
        /// Which fragment.
        fragment: FragmentId,
        /// Written per second.
        write_bytes_per_s: u64,
    },
    /// Every node of the cluster.
    Nodes(Vec<NodeState>),
    /// What the clock of the wall says: for the deadlines that cells carry, which are hints.
    Clock {
        /// Since the Unix epoch.
        unix_ms: u64,
    },
    /// An operator's word.
    Order(Order),
}

/// A fragment that came out of others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// What the store holds of it.
    pub held: HeldFragment,
    /// Those that it came out of, as far as they went with it.
    pub from: Vec<FragmentId>,
    /// The store could not make it: its copy stands elsewhere than where the halves were put together, and is not believed.
    pub is_lost: bool,
}

/// What came of a split or merge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reframing {
    /// It was made. [`Event::Reframed`] follows.
    Made,
    /// One of the cells was another one: it was not made, and will not be.
    Lost,
    /// It may have been made, or be made yet.
    Unknown,
    /// It was not made, and will not be: the manifest does not answer.
    Unavailable,
}

/// A cell, and the revision that wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenCell {
    /// What it says.
    pub cell: FragmentCell,
    /// The revision.
    pub revision: u64,
}

/// What came of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was made.
    Made(Box<SeenCell>),
    /// The cell was another one; as it is now, if it is there.
    Lost(Option<Box<SeenCell>>),
    /// It may have been made, or be made yet. The driver has read back and sent again as often as it does.
    Unknown,
    /// It was not made, and will not be: the manifest does not answer.
    Unavailable,
}

/// How a session about a fragment stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Session {
    /// There is none.
    Absent,
    /// Bytes that are there, and bytes in all.
    Transferring {
        /// There.
        done: u64,
        /// In all.
        total: u64,
    },
    /// The live stream goes; bytes that are on their way.
    Live {
        /// On their way.
        behind: u64,
    },
}

/// What is known of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeState {
    /// Its name.
    pub name: NodeName,
    /// Its zone; empty: not said.
    pub zone: String,
    /// It is to be emptied.
    pub is_leaving: bool,
    /// Whether it was there lately, as far as one knows.
    pub is_alive: bool,
    /// Fragments that it owns or holds.
    pub fragments: usize,
}

/// What an operator wants. Each is answered by [`super::Report`]s.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Move fragments that this node owns.
    Move {
        /// Which.
        fragments: Vec<FragmentId>,
        /// Where to.
        to: NodeName,
    },
    /// Bring fragments that this node owns to a node and keep them fresh there.
    Stage {
        /// Which.
        fragments: Vec<FragmentId>,
        /// Where to.
        to: NodeName,
    },
    /// The opposite: that node need not keep them.
    Unstage {
        /// Which.
        fragments: Vec<FragmentId>,
        /// Where.
        to: NodeName,
    },
    /// End the moves of these fragments.
    Cancel {
        /// Which.
        fragments: Vec<FragmentId>,
    },
    /// Part a fragment that this node owns.
    Split {
        /// Which.
        fragment: FragmentId,
        /// The first key of the right part.
        at: Bytes,
        /// Id and lineage of the left part, never used before.
        left: (FragmentId, u64),
        /// Of the right part.
        right: (FragmentId, u64),
    },
    /// Put two neighbours together that this node owns.
    Merge {
        /// The one.
        left: FragmentId,
        /// Its right neighbour.
        right: FragmentId,
        /// Id and lineage of the whole, never used before.
        made: (FragmentId, u64),
    },
    /// Hand everything that this node owns over to complete standbys.
    HandOver,
    /// This node is to own these fragments now, though their owner may be there.
    FailOver {
        /// Which.
        fragments: Vec<FragmentId>,
        /// Even if acknowledged writes may be lost by it.
        accept_loss: bool,
    },
    /// Let the members go that are away, though too few may be left for each write to be flushed.
    Shrink {
        /// Of which fragments.
        fragments: Vec<FragmentId>,
    },
}
