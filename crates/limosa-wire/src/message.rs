//! The messages between the two ends of a transfer, as values of the core.
//!
//! The order of a session is in `docs/contract.md`; the bytes are in [`crate::codec`].

mod ownership;

pub use ownership::{Greet, MoveAt, OwnershipMessage, Renewal};

use bytes::Bytes;

use limosa_core::{Digest, EpochTable, FragmentId, Frame, History, IntervalMap, KeyRange, Version};

/// Everything that can cross a peer connection.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// Target, first: who it is, what it speaks, and one digest of everything it holds.
    Hello(Hello),
    /// Source: what it has. Also later in a session, when the live stream can't go on from where the target is.
    Offer(Offer),
    /// Target: what it has of each offered fragment.
    Have(Have),
    /// Source: what it will do, and why.
    Plan(Plan),
    /// Source: a part of the state.
    Frame(FrameMessage),
    /// Target: what its journal has.
    Ack(Ack),
    /// Target: symbols of its blocks or entries, for reconciling.
    Symbols(Symbols),
    /// Source: answer to symbols.
    Differ(Differ),
    /// Source: the cut at which the transfer ends.
    Seal(Seal),
    /// Target: it is at the cut, verified and durable.
    Ready(Ready),
    /// Source: commits behind the cut.
    Live(Live),
    /// Target: what it refuses; the source replans that range.
    Refuse(Refuse),
    /// Either end, last: why it closes.
    Close(Close),
    /// Either end, when nothing else was sent for a while.
    Ping,
    /// Either end, under [`crate::features::REPAIR`]: a block of its own is damaged, what does the other one have in its range?
    Fetch(Fetch),
    /// Either end: answer to a [`Fetch`].
    Fetched(Box<Fetched>),
    /// Either end, under [`crate::features::SCOPE`]: fragments that are no longer part of the session.
    Leave(Leave),
    /// Each end, first message of a control lane.
    Greet(Greet),
    /// On a control lane: leases, moves, fences.
    Ownership(OwnershipMessage),
}

/// First message of a connection, from the target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Lowest and highest wire version that the sender speaks.
    pub wire_versions: (u32, u32),
    /// Feature bits that the sender understands.
    pub features: u64,
    /// Which cluster; must be the receiver's.
    pub cluster: [u8; 16],
    /// The sender's name; must be the one in its certificate.
    pub node: String,
    /// Random, new for each data folder: tells a node that lost its disk from the one it was.
    pub incarnation: u64,
    /// Names the space keys; must be the receiver's.
    pub space_keys: u64,
    /// Bytes that the sender takes before its journal has them.
    pub credit_window: u64,
    /// Highest epoch that the sender holds in any fragment. A source below it opens a higher one first.
    pub epoch_max: u32,
    /// Hash over (fragment, head, state digest, epoch table) of all in `scope`; zero when a stage is open.
    pub shared: Digest,
    /// The fragments that the session is about, ascending; empty: all. Only under [`crate::features::SCOPE`].
    pub scope: Vec<FragmentId>,
    /// What for.
    pub purpose: Purpose,
}

/// Why a target asks for state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Purpose {
    /// To follow the owner.
    #[default]
    Follow,
    /// To be promoted: it repairs itself from a member that has been fenced at this epoch. Only under [`crate::features::SCOPE`].
    Collect {
        /// The epoch of the fence.
        epoch: u32,
    },
}

/// Fragments leave the session. What is on its way of them is dropped; the rest of the session goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leave {
    /// Which, ascending.
    pub fragments: Vec<FragmentId>,
}

/// What the source has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The wire version chosen; both ends use it from here on.
    pub wire_version: u32,
    /// Feature bits that both ends understand; neither uses another one from here on.
    pub features: u64,
    /// Names this session in logs, receipts and errors.
    pub session: u64,
    /// True when the target's `shared` equals the source's: nothing to transfer, the live stream follows at once.
    pub equal: bool,
    /// Each fragment; empty when `equal`.
    pub fragments: Vec<OfferedFragment>,
}

/// One fragment of an [`Offer`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferedFragment {
    /// Which.
    pub id: FragmentId,
    /// Its keys.
    pub range: KeyRange,
    /// Its newest published version.
    pub head: Version,
    /// State digest at `head`.
    pub state: Digest,
    /// Live entries at `head`.
    pub live: u64,
    /// Key and value bytes of the live entries at `head`.
    pub live_bytes: u64,
    /// A target below this must reconcile to find what it has too much.
    pub floor: Version,
    /// The history.
    pub epochs: History,
}

/// What the target has. A long list of keys comes in several messages; `last` ends them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Have {
    /// Each offered fragment, at most once per message; later messages only add `own_keys`.
    pub fragments: Vec<HaveFragment>,
    /// No more of them follow.
    pub last: bool,
}

/// One fragment of a [`Have`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HaveFragment {
    /// Which.
    pub id: FragmentId,
    /// Version that it shows to readers.
    pub head: Version,
    /// State digest at `head`.
    pub state: Digest,
    /// Live entries at `head`.
    pub live: u64,
    /// The newest version that both histories have; [`Version::ZERO`] when none is known.
    pub common: Version,
    /// What each range stands at: where a stage is open, the stage's map; else all at `common`, or at zero.
    pub map: IntervalMap,
    /// Keys that it changed after `common`: the source replaces them.
    pub own_keys: Vec<Bytes>,
    /// Where the target's own fragments, or their histories, part the range, in key order. Empty: `head` and `common` hold for all of it.
    /// Else `head` is the highest one, `common` and `state` are zero.
    pub parts: Vec<HavePart>,
}

/// A part of an offered fragment that the target holds with a head of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HavePart {
    /// Its first key; empty for the first part, which starts with the range.
    pub start: Bytes,
    /// Version that it shows to readers here.
    pub head: Version,
    /// The newest version that both histories have here.
    pub common: Version,
}

impl HaveFragment {
    /// Each part of the range with its head and common point, in key order.
    pub fn each_part(&self) -> impl Iterator<Item = (KeyRange, Version, Version)> {
        let (range, all) = (self.map.range(), self.parts.iter());
        let ends = self.parts.iter().skip(1).map(|part| Some(part.start.clone())).chain([range.end.clone()]);
        let part = |(part, end): (&HavePart, _)| {
            let start = if part.start.is_empty() { range.start.clone() } else { part.start.clone() };
            (KeyRange { start, end }, part.head, part.common)
        };
        let whole = self.parts.is_empty().then(|| (range.clone(), self.head, self.common));
        whole.into_iter().chain(all.zip(ends).map(part))
    }
}

/// What the source will do.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// One item for each fragment and range that needs something; empty when nothing does.
    pub items: Vec<PlanItem>,
}

/// How a range is brought up to date.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Method {
    /// Digests are equal.
    Nothing,
    /// The exact recent commits.
    Tail,
    /// The latest value of each key changed since a common version.
    Delta,
    /// Compare by content, then send what differs.
    Reconcile,
    /// Everything, into an empty range.
    Copy,
}

impl Method {
    /// The word that plans, reports and metrics use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Tail => "tail",
            Self::Delta => "delta",
            Self::Reconcile => "reconcile",
            Self::Copy => "copy",
        }
    }
}

/// One line of a plan.
#[derive(Clone, PartialEq, Debug)]
pub struct PlanItem {
    /// Which fragment.
    pub fragment: FragmentId,
    /// How.
    pub method: Method,
    /// Estimated entries to send.
    pub entries: u64,
    /// Estimated bytes to send, both directions.
    pub bytes: u64,
    /// Why this method, in one sentence.
    pub reason: String,
    /// Which part of the fragment; `None`: all that needs something.
    pub range: Option<KeyRange>,
}

/// A frame and what belongs to the session.
#[derive(Clone, PartialEq, Debug)]
pub struct FrameMessage {
    /// Counts the frames since the offer from 1.
    pub number: u64,
    /// Entries of the target to remove before the frame is applied, by short id: those that reconciling found too much.
    pub drops: Vec<u64>,
    /// The state.
    pub frame: Frame,
}

/// What the target's journal has, in running totals since the last [`Offer`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ack {
    /// Number of the last frame that is durable.
    pub frames: u64,
    /// Cost of the durable frames: credits given back. What a message costs is in `docs/contract.md`.
    pub frame_bytes: u64,
    /// Position of the live stream that is durable: the `upto` of the last durable [`Live`].
    pub live: u64,
    /// Cost of the durable live messages.
    pub live_bytes: u64,
}

/// Which things are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Blocks of all ranges under reconciliation.
    Blocks,
    /// Entries of the blocks that differ.
    Entries,
}

/// Coded symbols of a rateless IBLT, or plain ids where that is smaller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbols {
    /// What they describe.
    pub level: Level,
    /// Index of the first symbol; `u64::MAX`: these are plain ids.
    pub first: u64,
    /// How many things the sender has in all.
    pub total: u64,
    /// Encoded symbols ([`limosa_core::iblt`]), or ids of 8 bytes each, little-endian.
    pub symbols: Bytes,
}

/// The source's answer to symbols.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Differ {
    /// Not decoded yet: send symbols from this index on, about this many.
    More {
        /// Which level.
        level: Level,
        /// First symbol wanted.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Decoded: these ids only the target has.
    Found {
        /// Which level.
        level: Level,
        /// Short ids, in no order.
        target_only: Vec<u64>,
    },
    /// Comparing costs more than the list: send all your ids.
    List {
        /// Which level.
        level: Level,
    },
}

/// The cut at which all fragments of the session end together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seal {
    /// Position of the source's commit order at the cut: the live stream starts behind it.
    pub position: u64,
    /// Every fragment of the session.
    pub fragments: Vec<SealedFragment>,
}

/// One fragment at the cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedFragment {
    /// Which.
    pub id: FragmentId,
    /// Version at the cut.
    pub head: Version,
    /// State digest at the cut.
    pub state: Digest,
    /// The floor that the target must keep for ranges that it got by delta.
    pub floor: Version,
    /// The history, the target's from here on.
    pub epochs: History,
}

/// The target is at the cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    /// The sealed position.
    pub position: u64,
}

/// Commits in the source's order, as journal records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Live {
    /// Position behind the last record. Records start behind the previous message's (or the seal's) position.
    pub upto: u64,
    /// Concatenated [`limosa_core::Commit`] bytes, each behind its varint length. Longer ones than one message takes are sent in
    /// several, which [`crate::encode`] and [`crate::Decoder`] cut and join: here they are always whole.
    pub records: Bytes,
    /// Rows opened since the last message: (fragment, rows behind those that the target has).
    pub epochs: Vec<(FragmentId, EpochTable)>,
    /// State digests of touched fragments behind the last record, where the source knows them.
    pub checks: Vec<(FragmentId, Version, Digest)>,
    /// Floors that rose since the last message, as far as the records reach: deletions up to them are forgotten.
    pub floors: Vec<(FragmentId, Version)>,
    /// A split or merge, as the source's journal holds it; then nothing else is in the message. Empty: none.
    pub reframe: Bytes,
}

/// Why a target refuses a frame, a seal or a live message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The range is already at or beyond `to`.
    Stale,
    /// The range is not at `from`.
    Gap,
    /// The digest after applying would differ: wrong baseline, missing or foreign entries.
    Mismatch,
    /// The disk budget does not hold the stage.
    NoRoom,
}

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refuse {
    /// Which fragment.
    pub fragment: FragmentId,
    /// Which keys.
    pub range: KeyRange,
    /// Why.
    pub why: Refusal,
    /// Need and have, or the two digests, for people.
    pub detail: String,
}

/// Asks for every entry of a range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// Counts the questions of its sender from 1.
    pub number: u64,
    /// Which fragment.
    pub fragment: FragmentId,
    /// Which keys.
    pub range: KeyRange,
}

/// What the other end has in a range.
#[derive(Clone, PartialEq, Debug)]
pub struct Fetched {
    /// The question's.
    pub number: u64,
    /// Every entry of the range, or of a first part of it, tombstones included, in mode *replace range*; `None` when the range can't be had.
    pub frame: Option<Frame>,
    /// The sender's floor of the fragment: it may have collected tombstones up to here.
    pub floor: Version,
    /// Why there is no frame, for people.
    pub why_not: String,
}

/// Why a session ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Close {
    /// A stable code of `docs/errors.md`.
    pub code: String,
    /// What, where and what to do.
    pub detail: String,
    /// Whether a new session may help.
    pub retry: bool,
}
