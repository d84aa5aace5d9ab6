//! What a source asks of its driver, and what it is told.

use std::collections::HashMap;

use bytes::Bytes;
use limosa_core::{Digest, FragmentFacts, FragmentId, Frame, History, KeyRange, Scope, Version};
use limosa_wire::{Live, Message};

use crate::error::SessionError;
use crate::plan::{Alternative, Estimate};

/// What a source wants done. Actions come in order and are carried out in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Send to the target.
    Send(Message),
    /// Run against the store; the answer is an [`Event`]. At most one job is under way.
    Job(Job),
    /// The target's journal has everything up to this position of the live stream.
    Acknowledged(u64),
    /// The target's journal has these fragments at these versions of this history; the others are where they were.
    Held(Vec<(FragmentId, Version)>),
    /// What was not chosen, for each item of the plan that is sent next.
    Alternatives(Vec<Vec<Alternative>>),
    /// Send the error's close message, then end the connection.
    Close(SessionError),
}

/// Work on the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Job {
    /// Take a snapshot of every fragment at one position and keep it in place of the previous one. Answer: [`Event::Cut`].
    Cut,
    /// Give the snapshot up. No answer.
    ReleaseCut,
    /// Open an epoch above this one on every fragment, durably. Answer: [`Event::EpochOpened`].
    OpenEpoch {
        /// The new epoch must be above it.
        above: u32,
    },
    /// How much changed in these ranges of the snapshot. Answer: [`Event::Estimated`].
    Estimate(Vec<(FragmentId, KeyRange, Version)>),
    /// The comparison blocks of these ranges of the snapshot. Answer: [`Event::Blocks`].
    Blocks {
        /// Where.
        ranges: Vec<(FragmentId, KeyRange)>,
        /// Mixed into every id.
        salt: u64,
    },
    /// The live entries of these ranges of the snapshot. Answer: [`Event::Entries`].
    Entries {
        /// Where.
        ranges: Vec<(FragmentId, KeyRange)>,
        /// Mixed into every id.
        salt: u64,
    },
    /// The next frame of a range of the snapshot. Answer: [`Event::Extracted`].
    Extract(Extract),
    /// Find a place in the order of commits, in ring or journal, and keep it. Answer: [`Event::TailOpened`].
    OpenTail {
        /// Where.
        start: TailStart,
        /// Commits of these fragments only.
        scope: Scope,
    },
    /// The tail is no longer of these fragments. No answer.
    NarrowTail(Vec<FragmentId>),
    /// Read on from the tail's place. Answer: [`Event::Tail`].
    ReadTail {
        /// At most about this many bytes of records.
        max_bytes: usize,
    },
}

/// Where a tail starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TailStart {
    /// Behind this position: the target has everything up to it, epoch rows too.
    At(u64),
    /// Behind these versions.
    Behind(Vec<(FragmentId, Version)>),
}

/// Which entries a frame must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extract {
    /// Of which fragment.
    pub fragment: FragmentId,
    /// From where to where; the frame may end earlier.
    pub range: KeyRange,
    /// Entries changed after this version.
    pub since: Version,
    /// These keys too, whatever their version, absent ones as tombstones at version zero; ascending. `Some` makes it a *replace* frame.
    pub replace_keys: Option<Vec<Bytes>>,
    /// Payload at which the frame ends.
    pub max_bytes: usize,
}

/// A comparison block of the snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockRef {
    /// Short id.
    pub id: u64,
    /// Whose.
    pub fragment: FragmentId,
    /// Its keys.
    pub range: KeyRange,
}

impl BlockRef {
    /// The ranges of those among `blocks` that have one of these short ids, in the order of fragments and keys.
    pub(crate) fn ranges_of(blocks: &[Self], ids: &[u64]) -> Vec<(FragmentId, KeyRange)> {
        let by_id: HashMap<u64, &Self> = blocks.iter().map(|block| (block.id, block)).collect();
        let mut ranges: Vec<_> = ids.iter().filter_map(|id| by_id.get(id)).map(|block| (block.fragment, block.range.clone())).collect();
        ranges.sort_by(|a, b| (a.0, &a.1.start).cmp(&(b.0, &b.1.start)));
        ranges
    }
}

/// A live entry of the snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryId {
    /// Short id.
    pub id: u64,
    /// Whose.
    pub fragment: FragmentId,
    /// Its stored key.
    pub key: Bytes,
}

/// What a read of the tail gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TailRead {
    /// Commits, ready to send.
    Batch {
        /// The message.
        live: Live,
        /// The fragments that it touches, and their versions behind it.
        heads: Vec<(FragmentId, Version)>,
    },
    /// Nothing behind the place yet: everything up to this position was handed out.
    CaughtUp(u64),
    /// The commits behind the place are in neither ring nor journal any more.
    Lost,
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// From the target.
    Message(Message),
    /// The snapshot stands at `position`; fragments in the order of their ids.
    Cut {
        /// Of the node's commit order.
        position: u64,
        /// Every fragment.
        facts: Vec<FragmentFacts>,
    },
    /// The new epoch is durable.
    EpochOpened,
    /// In the order asked.
    Estimated(Vec<Estimate>),
    /// In key order.
    Blocks(Vec<BlockRef>),
    /// In key order.
    Entries(Vec<EntryId>),
    /// A frame, and where the rest of the range starts.
    Extracted {
        /// The frame; its `from` is the `since` asked for.
        frame: Frame,
        /// `None`: the range is done.
        next: Option<Bytes>,
    },
    /// Bytes of commits behind the versions; `None` when they can't be had.
    TailOpened(Option<u64>),
    /// The answer to [`Job::ReadTail`].
    Tail(TailRead),
    /// The store published new commits.
    Published,
    /// This end no longer sends these fragments: it does not own them any more. Not an answer to a job.
    Leave(Vec<FragmentId>),
}

/// The name of a message, for errors and logs.
pub(crate) fn name(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "Hello",
        Message::Offer(_) => "Offer",
        Message::Have(_) => "Have",
        Message::Plan(_) => "Plan",
        Message::Frame(_) => "Frame",
        Message::Ack(_) => "Ack",
        Message::Symbols(_) => "Symbols",
        Message::Differ(_) => "Differ",
        Message::Seal(_) => "Seal",
        Message::Ready(_) => "Ready",
        Message::Live(_) => "Live",
        Message::Refuse(_) => "Refuse",
        Message::Close(_) => "Close",
        Message::Ping => "Ping",
        Message::Fetch(_) => "Fetch",
        Message::Fetched(_) => "Fetched",
        Message::Leave(_) => "Leave",
        Message::Greet(_) => "Greet",
        Message::Ownership(_) => "Ownership",
    }
}

/// One fragment at the cut, as the seal names it.
pub(crate) fn sealed(facts: &FragmentFacts) -> limosa_wire::SealedFragment {
    let (state, epochs): (Digest, History) = (facts.state, facts.epochs.clone());
    limosa_wire::SealedFragment { id: facts.id, head: facts.head, state, floor: facts.floor, epochs }
}
