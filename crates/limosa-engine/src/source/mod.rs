//! The source's side of a session: says what it has, finds what the target lacks, sends that, seals, and streams on.
//!
//! # The machine in four families
//! - **in**: [`Source::handle`] takes an [`Event`], with `now`
//! - **out**: [`Source::poll`] gives the next [`Action`]
//! - **asked by the driver**: [`Source::progress`], [`Source::phase`]
//! - **private**: one file a phase: `opening` (Hello to Offer), `planning` (Have to Plan), `reconciling`, `sending` (frames to Seal), `live`
//!
//! ```text
//! Hello > Comparing > AwaitHave > Planning > [Reconciling] > Sending > Sealing > Live
//!              ^                                  |             |         |       |
//!              +--- a refusal, a new epoch, a stream that fell behind ----+-------+
//! ```
//!
//! # Invariants
//! - At most one job is under way: checked in `Source::job`.
//! - A frame of a range starts where the target's map of that range stands, and only credits that were given back are spent again.
//! - A seal is sent only when every range stands at the cut's head: checked in `sending`.
//! - Only what lies within the reach is offered and sent: `Reach::take_in`, and behind `leaving` nothing of what left.

mod action;
mod leaving;
mod live;
mod opening;
mod planning;
mod reconciling;
mod sending;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use limosa_core::{FragmentFacts, FragmentId, IntervalMap, Scope};
use limosa_wire::{HaveFragment, Hello, Message, Method};

pub(crate) use action::name;
pub use action::{Action, BlockRef, EntryId, Event, Extract, Job, TailRead, TailStart};

use crate::error::SessionError;
use crate::plan::Piece;
use crate::reach::Reach;
use reconciling::Reconciling;
use sending::Sending;

/// What a source must be told when a connection begins.
#[derive(Clone, Debug)]
pub struct Config {
    /// This cluster.
    pub cluster: [u8; 16],
    /// The space keys' id.
    pub space_keys: u64,
    /// The name in the peer's certificate.
    pub peer: String,
    /// Random: names the session.
    pub session: u64,
    /// Most bytes on their way to the target; the target's own window counts too, whichever is smaller.
    pub credit_window: u64,
    /// Lowest and highest wire version that this end speaks.
    pub wire_versions: (u32, u32),
    /// Feature bits that this end understands.
    pub features: u64,
    /// What it may do. See also [`Source::permit`].
    pub permit: Permit,
}

/// What a source may do in a session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Permit {
    /// What this end may send to this peer.
    pub scope: Scope,
    /// Who opens epochs.
    pub epochs: Epochs,
}

/// Who opens the epoch that replacing something at the target needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Epochs {
    /// This end, by itself: there is no manifest.
    #[default]
    Opened,
    /// The manifest gives them, or this end is no owner: where a higher one is needed the session ends with [`SessionError::Epoch`].
    Given,
}

/// Where a session stands, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Waiting for the target's first message.
    Hello,
    /// Looking at what this end has.
    Comparing,
    /// Waiting for what the target has.
    AwaitHave,
    /// Estimating and choosing.
    Planning,
    /// Finding differences by content.
    Reconciling,
    /// Sending frames.
    Sending,
    /// Waiting until the target is verified and durable at the cut.
    Sealing,
    /// Streaming commits.
    Live,
    /// Over.
    Closed,
}

impl Phase {
    /// The word that status and errors use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hello => "waiting for Hello",
            Self::Comparing => "comparing",
            Self::AwaitHave => "waiting for Have",
            Self::Planning => "planning",
            Self::Reconciling => "reconciling",
            Self::Sending => "sending",
            Self::Sealing => "sealing",
            Self::Live => "live",
            Self::Closed => "closed",
        }
    }
}

/// How far a transfer is. Never above its total.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Payload bytes durable at the target.
    pub bytes_done: u64,
    /// Payload bytes planned, raised when more changed meanwhile.
    pub bytes_total: u64,
    /// Entries sent.
    pub entries_sent: u64,
    /// Passes over what changed.
    pub rounds: u32,
    /// Comparisons in this session.
    pub offers: u32,
}

/// The snapshot that the driver holds for this machine.
#[derive(Debug)]
struct Cut {
    position: u64,
    facts: BTreeMap<FragmentId, FragmentFacts>,
    taken_at: Duration,
    bytes_sent: u64,
}

/// What is known of one fragment at the target.
#[derive(Debug)]
struct TargetState {
    map: IntervalMap,
    have: HaveFragment,
    /// Ascending; only for ranges that still stand at the common point.
    own_keys: Vec<Bytes>,
}

impl TargetState {
    /// Whether the piece starts at the common point of a part whose history goes another way behind it.
    fn is_own_tail(&self, piece: &Piece) -> bool {
        let parts = self.have.each_part().filter(|(part, ..)| part.intersect(&piece.range).is_some());
        parts.into_iter().any(|(_, head, common)| head != common && piece.since == common)
    }
}

/// The source's machine. See the module's text.
#[derive(Debug)]
pub struct Source {
    config: Config,
    phase: Phase,
    reach: Reach,
    actions: VecDeque<Action>,
    job_under_way: bool,
    /// The job under way was asked for a comparison that is over: its answer is dropped.
    answer_is_stale: bool,
    hello: Option<Hello>,
    wire_version: u32,
    features: u64,
    offers: u32,
    cut: Option<Cut>,
    targets: BTreeMap<FragmentId, TargetState>,
    pieces: Vec<(FragmentId, Piece)>,
    tail_bytes: Option<u64>,
    may_tail: bool,
    reconciling: Option<Reconciling>,
    sending: Sending,
    live: live::Live,
    progress: Progress,
    methods: BTreeMap<Method, u64>,
}

/// Comparisons after which a session gives up: each one costs little, but ends that never agree must be seen by people.
const OFFERS_MAX: u32 = 8;

impl Source {
    /// Waits for the target's Hello.
    pub fn new(config: Config) -> Self {
        let (window, reach) = (config.credit_window, Reach::new(config.permit.scope.clone()));
        Self {
            config,
            reach,
            phase: Phase::Hello,
            actions: VecDeque::new(),
            job_under_way: false,
            answer_is_stale: false,
            hello: None,
            wire_version: 0,
            features: 0,
            offers: 0,
            cut: None,
            targets: BTreeMap::new(),
            pieces: Vec::new(),
            tail_bytes: None,
            may_tail: false,
            reconciling: None,
            sending: Sending::new(window),
            live: live::Live::new(window),
            progress: Progress::default(),
            methods: BTreeMap::new(),
        }
    }

    /// What this end may do, now that the driver knows who asks for what: called with the peer's Hello in hand, before it is handled.
    ///
    /// # Panics
    /// If the Hello was handled.
    pub fn permit(&mut self, permit: Permit) {
        assert_eq!(self.phase, Phase::Hello, "what was offered can't be taken back: it leaves");
        self.config.permit = permit;
    }

    /// What the session is about.
    pub fn scope(&self) -> &Scope {
        self.reach.scope()
    }

    /// Takes what happened. Follow with [`Source::poll`] until it gives nothing.
    pub fn handle(&mut self, now: Duration, event: Event) {
        if self.phase == Phase::Closed {
            return;
        }
        let result = match event {
            Event::Message(message) => self.handle_message(now, message),
            Event::Published => {
                self.live.wake();
                Ok(())
            }
            Event::Leave(fragments) => self.on_leave(&fragments),
            answer => {
                assert!(self.job_under_way, "an answer without a job: {answer:?}");
                self.job_under_way = false;
                if std::mem::take(&mut self.answer_is_stale) {
                    self.live.give_up_read();
                    self.tell_left();
                    self.compare();
                    Ok(())
                } else {
                    self.handle_answer(now, answer)
                }
            }
        };
        if let Err(error) = result.and_then(|()| self.pump(now)) {
            self.close(error);
        }
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Where the session stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How far the transfer is.
    pub fn progress(&self) -> Progress {
        let done = self.sending.credit.returned();
        Progress { bytes_done: done, bytes_total: self.progress.bytes_total.max(done), ..self.progress }
    }

    /// Payload bytes planned by method since the session began.
    pub fn methods(&self) -> &BTreeMap<Method, u64> {
        &self.methods
    }

    /// The pieces of the current plan.
    pub fn plan(&self) -> &[(FragmentId, Piece)] {
        &self.pieces
    }

    fn handle_message(&mut self, now: Duration, message: Message) -> Result<(), SessionError> {
        match (self.phase, message) {
            (_, Message::Ping) => Ok(()),
            (_, Message::Close(close)) => Err(SessionError::ClosedByPeer { code: close.code, detail: close.detail, retry: close.retry }),
            (Phase::Hello, Message::Hello(hello)) => self.on_hello(hello),
            (phase, Message::Leave(leave)) if phase != Phase::Hello => self.on_leave(&leave.fragments),
            (Phase::AwaitHave, Message::Have(have)) => self.on_have(have),
            (Phase::Reconciling, Message::Symbols(symbols)) => self.on_symbols(now, &symbols),
            (Phase::Sending | Phase::Sealing | Phase::Live, Message::Ack(ack)) => self.on_ack(ack),
            (_, Message::Ack(_)) if self.offers > 0 => Ok(()), // about an offer that a newer one has replaced
            (Phase::Sending | Phase::Sealing | Phase::Live | Phase::Reconciling, Message::Refuse(refuse)) => self.on_refuse(refuse),
            (_, Message::Refuse(_)) if self.offers > 1 => Ok(()), // likewise
            (Phase::Sealing, Message::Ready(ready)) => self.on_ready(ready),
            (phase, other) => Err(SessionError::OutOfOrder { message: name(&other), phase: phase.word() }),
        }
    }

    fn handle_answer(&mut self, now: Duration, answer: Event) -> Result<(), SessionError> {
        match answer {
            Event::Cut { position, facts } => self.on_cut(now, position, facts),
            Event::EpochOpened => {
                self.job(Job::Cut);
                Ok(())
            }
            Event::Estimated(estimates) => self.on_estimated(&estimates),
            Event::Blocks(blocks) => self.on_blocks(blocks),
            Event::Entries(entries) => self.on_entries(now, entries),
            Event::Extracted { frame, next } => {
                self.on_extracted(frame, next);
                Ok(())
            }
            Event::TailOpened(bytes) => self.on_tail_opened(bytes),
            Event::Tail(read) => self.on_tail(read),
            Event::Message(_) | Event::Published | Event::Leave(_) => unreachable!("sorted out by the caller"),
        }
    }

    /// Does what can be done without waiting.
    fn pump(&mut self, now: Duration) -> Result<(), SessionError> {
        match self.phase {
            Phase::Sending => self.pump_frames(now),
            Phase::Live => self.pump_live(),
            _ => Ok(()),
        }
    }

    fn send(&mut self, message: Message) {
        self.actions.push_back(Action::Send(message));
    }

    fn job(&mut self, job: Job) {
        assert!(!self.job_under_way, "one job at a time: {job:?}");
        self.job_under_way = true;
        self.actions.push_back(Action::Job(job));
    }

    fn release_cut(&mut self) {
        if self.cut.take().is_some() {
            self.actions.push_back(Action::Job(Job::ReleaseCut));
        }
    }

    fn close(&mut self, error: SessionError) {
        self.release_cut();
        self.phase = Phase::Closed;
        self.actions.push_back(Action::Close(error));
    }

    fn facts(&self, fragment: FragmentId) -> &FragmentFacts {
        let cut = self.cut.as_ref().expect("phases that ask for facts hold a cut");
        cut.facts.get(&fragment).expect("only fragments of the cut are planned")
    }

    /// A refusal that no new comparison can mend, or one too many.
    fn too_many_offers(&self, fragment: FragmentId, detail: String) -> Result<(), SessionError> {
        if self.offers < OFFERS_MAX { Ok(()) } else { Err(SessionError::Unequal { fragment, tries: self.offers, detail }) }
    }
}
