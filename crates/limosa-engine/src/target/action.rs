//! What a target asks of its driver, and what it is told.

use bytes::Bytes;
use limosa_core::{Digest, EpochTable, FragmentFacts, FragmentId, Frame, IntervalMap, KeyRange, Scope, Version};
use limosa_wire::{Message, Refusal, SealedFragment};

use crate::error::SessionError;
use crate::source::{BlockRef, EntryId};

/// What a target wants done. Jobs may queue up: they run, and answer, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Send to the source.
    Send(Message),
    /// Run against the store; the answer is an [`Event`].
    Job(Job),
    /// This node is a consistent copy of the source at the sealed version, or streams from a version it had: readers may be told.
    Consistent,
    /// Send the error's close message, then end the connection.
    Close(SessionError),
}

/// Work on the store.
#[derive(Clone, PartialEq, Debug)]
pub enum Job {
    /// What this node holds, and what earlier sessions staged of it. Answer: [`Event::State`].
    State {
        /// Names this session's stage: what is staged in `scope` is that stage from here on.
        stage: u64,
        /// What the session is about.
        scope: Scope,
    },
    /// Name the keys changed behind these versions. Answer: [`Event::TailsSetAside`].
    SetAsideTails {
        /// Behind which version, in which part of which of this node's fragments.
        tails: Vec<(FragmentId, KeyRange, Version)>,
        /// Write the entries to a readable file first, durably. False when an open stage proves that this was done before it was opened.
        write: bool,
    },
    /// Write these entries to a readable file, durably, before they are replaced. Answer: [`Event::KeysSetAside`].
    SetAsideKeys(Vec<(FragmentId, Bytes)>),
    /// Stage these fragments, in place of what is staged of them and beside what this session's stage has of others: each with its range
    /// stands at these versions. Answer: [`Event::StageOpened`].
    OpenStage {
        /// Names the stage.
        session: u64,
        /// Fragments of the offer.
        starts: Vec<(FragmentId, KeyRange, IntervalMap)>,
    },
    /// Go on with the open stage in these fragments. Answer: [`Event::StageOpened`] or [`Event::Refused`].
    ReframeStage {
        /// Names the session that goes on.
        session: u64,
        /// Every fragment of the offer.
        fragments: Vec<(FragmentId, KeyRange)>,
    },
    /// Give up what is staged of these fragments. No answer.
    AbortStage(Scope),
    /// The comparison blocks of these ranges of the stage. Answer: [`Event::Blocks`].
    Blocks {
        /// Where.
        ranges: Vec<(FragmentId, KeyRange)>,
        /// Mixed into every id.
        salt: u64,
    },
    /// The live entries of these ranges of the stage. Answer: [`Event::Entries`].
    Entries {
        /// Where.
        ranges: Vec<(FragmentId, KeyRange)>,
        /// Mixed into every id.
        salt: u64,
    },
    /// Check, apply and journal a frame. Answer: [`Event::Staged`] or [`Event::Refused`]. Frames behind a refused one are refused too.
    Apply(Frame),
    /// Nothing is to be done for a frame whose fragment left the session; it is counted in its turn. Answer: [`Event::Staged`].
    Pass,
    /// Verify every fragment against the seal, make the stage what readers see, durably. Answer: [`Event::Installed`] or [`Event::Refused`].
    Install(Vec<SealedFragment>),
    /// Append commits of the live stream, or follow a split or merge. Answer: [`Event::Replicated`] or [`Event::Refused`].
    Replicate {
        /// As in [`limosa_wire::Live`].
        records: Bytes,
        /// Rows to adopt first.
        epochs: Vec<(FragmentId, EpochTable)>,
        /// State digests to compare once the commits are published. A difference is an [`Event::Drifted`], later.
        checks: Vec<(FragmentId, Version, Digest)>,
        /// Floors of the source: deletions up to them may be forgotten here too.
        floors: Vec<(FragmentId, Version)>,
        /// As in [`limosa_wire::Live`]; when it is not empty nothing else is there.
        reframe: Bytes,
        /// Commits may touch these fragments,
        scope: Scope,
        /// and parts of these are passed over: they left the session, and this was on its way.
        left: Vec<FragmentId>,
    },
}

/// An open stage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StageState {
    /// Each fragment: the versions at which it was opened, and what its ranges stand at now.
    pub fragments: Vec<(FragmentId, IntervalMap, IntervalMap)>,
}

/// What happened. Positions are of this node's own journal; [`Event::Durable`] says which of them are durable.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// From the source.
    Message(Message),
    /// The answer to [`Job::State`], fragments in the order of their ids.
    State {
        /// What readers see.
        facts: Vec<FragmentFacts>,
        /// A stage that an earlier session left.
        stage: Option<StageState>,
    },
    /// Keys by fragment, ascending.
    TailsSetAside(Vec<(FragmentId, Vec<Bytes>)>),
    /// The file is durable.
    KeysSetAside,
    /// The stage is open.
    StageOpened,
    /// In key order.
    Blocks(Vec<BlockRef>),
    /// In key order.
    Entries(Vec<EntryId>),
    /// The frame is applied; its record has this position.
    Staged(u64),
    /// The stage is what readers see, durably.
    Installed,
    /// The commits are appended; the last has this position.
    Replicated(u64),
    /// The split or merge is appended at this position.
    Reframed {
        /// Of this node's journal.
        position: u64,
        /// Every fragment of this node behind it.
        facts: Vec<FragmentFacts>,
    },
    /// Frame, seal or commits were refused; nothing of them was kept.
    Refused {
        /// Which fragment.
        fragment: FragmentId,
        /// Which keys.
        range: KeyRange,
        /// Why.
        why: Refusal,
        /// For people.
        detail: String,
    },
    /// Everything up to this position is durable.
    Durable(u64),
    /// A fragment's digest differs from the one that the live stream named for the same version. Not an answer to a job.
    Drifted {
        /// Which fragment.
        fragment: FragmentId,
        /// Its keys.
        range: KeyRange,
        /// The two digests, for people.
        detail: String,
    },
    /// This node no longer wants these fragments from this source. Not an answer to a job.
    Leave(Vec<FragmentId>),
}
