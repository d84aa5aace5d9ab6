//! The target's side of a session: says what it has, stages what it is sent, verifies, installs, and follows the live stream.
//!
//! # The machine in four families
//! - **in**: [`Target::handle`] takes an [`Event`]
//! - **out**: [`Target::poll`] gives the next [`Action`]
//! - **asked by the driver**: [`Target::phase`], [`Target::progress`]
//! - **private**: one file a topic: `preparing` (Offer to Have), `comparing` (symbols), `receiving` (frames to Ready, commits, acks)
//!
//! ```text
//! Starting > AwaitOffer > Preparing > AwaitPlan > Receiving > Installing > Live
//!                ^                                    |            |         |
//!                +------------- Refused <-------------+------------+---------+
//! ```
//!
//! # Invariants
//! - What readers see changes only by an install that was verified against the seal, or by contiguous commits.
//! - What a frame or a comparison replaces was set aside in a readable file, durably, before.
//! - An ack names only what the journal has durably.
//! - Nothing outside the reach is offered, staged or followed: `Reach::covers`, and the scope of each job.

mod action;
mod comparing;
mod leaving;
mod preparing;
mod receiving;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use limosa_core::planted::{self, Bug};
use limosa_core::{Digest, FragmentFacts, FragmentId, KeyRange, Scope};
use limosa_wire::{HaveFragment, Hello, Message, Method, Offer, Purpose, Refusal, Refuse};

pub use action::{Action, Event, Job, StageState};

use crate::error::SessionError;
use crate::reach::Reach;
use crate::shared::shared_digest;
use crate::source::name;
use comparing::Comparing;
use receiving::Receiving;

/// What a target must be told when a connection begins.
#[derive(Clone, Debug)]
pub struct Config {
    /// This cluster.
    pub cluster: [u8; 16],
    /// This node's name, as in its certificate.
    pub node: String,
    /// This data folder's random id.
    pub incarnation: u64,
    /// The space keys' id.
    pub space_keys: u64,
    /// Lowest and highest wire version that this end speaks.
    pub wire_versions: (u32, u32),
    /// Feature bits that this end understands.
    pub features: u64,
    /// Most bytes that it takes before its journal has them.
    pub credit_window: u64,
    /// What the session is about.
    pub scope: Scope,
    /// What for.
    pub purpose: Purpose,
    /// Random: names what this session stages.
    pub stage: u64,
}

/// Where a session stands, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Looking at what this node holds.
    Starting,
    /// Waiting for what the source has.
    AwaitOffer,
    /// Finding the common point, setting an own tail aside.
    Preparing,
    /// Waiting for what the source will do.
    AwaitPlan,
    /// Comparing and taking frames.
    Receiving,
    /// Verifying and installing the stage.
    Installing,
    /// Following the stream of commits.
    Live,
    /// Something was refused; what follows is dropped until the next offer.
    Refused,
    /// Over.
    Closed,
}

impl Phase {
    /// The word that status and errors use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::AwaitOffer => "waiting for Offer",
            Self::Preparing => "preparing",
            Self::AwaitPlan => "waiting for Plan",
            Self::Receiving => "receiving",
            Self::Installing => "installing",
            Self::Live => "live",
            Self::Refused => "refused, waiting for Offer",
            Self::Closed => "closed",
        }
    }
}

/// How far a transfer is, as the target sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Cost of the frames that are durable here, bytes.
    pub bytes_done: u64,
    /// What the plan said, raised to what came.
    pub bytes_total: u64,
    /// Entries taken.
    pub entries: u64,
}

/// The target's machine. See the module's text.
#[derive(Debug)]
pub struct Target {
    config: Config,
    phase: Phase,
    reach: Reach,
    /// Fragments that left, and of which something may still be on its way: until the source has said the same.
    leaving: BTreeSet<FragmentId>,
    actions: VecDeque<Action>,
    /// Jobs under way; the oldest `stale` of them were asked for before a refusal, their answers are dropped.
    outstanding: usize,
    stale: usize,
    facts: BTreeMap<FragmentId, FragmentFacts>,
    stage: Option<StageState>,
    offer: Option<Offer>,
    haves: Vec<HaveFragment>,
    /// Fragments whose own version is not believed any more.
    suspects: BTreeSet<FragmentId>,
    /// Fragments that were compared by content since the stage was opened: their deletions are known from the seal on only.
    compared: BTreeSet<FragmentId>,
    comparing: Option<Comparing>,
    /// Ascending keys by fragment, to be removed with the frames of their range.
    drop_keys: BTreeMap<FragmentId, Vec<Bytes>>,
    receiving: Receiving,
    planned_bytes: u64,
    methods: BTreeMap<Method, u64>,
}

impl Target {
    /// Begins: looks at what this node holds, then says Hello.
    pub fn new(config: Config) -> Self {
        let reach = Reach::new(config.scope.clone());
        let mut target = Self {
            config,
            reach,
            leaving: BTreeSet::new(),
            phase: Phase::Starting,
            actions: VecDeque::new(),
            outstanding: 0,
            stale: 0,
            facts: BTreeMap::new(),
            stage: None,
            offer: None,
            haves: Vec::new(),
            suspects: BTreeSet::new(),
            compared: BTreeSet::new(),
            comparing: None,
            drop_keys: BTreeMap::new(),
            receiving: Receiving::default(),
            planned_bytes: 0,
            methods: BTreeMap::new(),
        };
        target.ask_state();
        target
    }

    /// Takes what happened. Follow with [`Target::poll`] until it gives nothing.
    pub fn handle(&mut self, event: Event) {
        if self.phase == Phase::Closed {
            return;
        }
        let result = match event {
            Event::Message(message) => self.handle_message(message),
            Event::Durable(position) => {
                self.on_durable(position);
                Ok(())
            }
            Event::Drifted { fragment, .. } if !self.reach.has(fragment) => Ok(()), // another session's
            Event::Drifted { fragment, range, detail } => {
                self.refuse(fragment, range, Refusal::Mismatch, detail);
                Ok(())
            }
            Event::Leave(fragments) => self.on_leave(&fragments),
            answer => self.take_answer(answer),
        };
        if let Err(error) = result {
            self.phase = Phase::Closed;
            self.actions.push_back(Action::Close(error));
        }
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What the session is about.
    pub fn scope(&self) -> &Scope {
        self.reach.scope()
    }

    /// Where the session stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How far the transfer is.
    pub fn progress(&self) -> Progress {
        let done = self.receiving.durable_bytes();
        Progress { bytes_done: done, bytes_total: self.planned_bytes.max(done), entries: self.receiving.entries() }
    }

    /// Payload bytes planned by method since the session began.
    pub fn methods(&self) -> &BTreeMap<Method, u64> {
        &self.methods
    }

    fn handle_message(&mut self, message: Message) -> Result<(), SessionError> {
        match (self.phase, message) {
            (_, Message::Ping) => Ok(()),
            (_, Message::Close(close)) => Err(SessionError::ClosedByPeer { code: close.code, detail: close.detail, retry: close.retry }),
            (_, Message::Leave(leave)) => self.on_left(&leave.fragments),
            (Phase::AwaitOffer | Phase::Live | Phase::Refused, Message::Offer(offer)) => self.on_offer(offer),
            (Phase::AwaitPlan, Message::Plan(plan)) => self.on_plan(&plan),
            (Phase::Receiving, Message::Differ(differ)) => self.on_differ(differ),
            (Phase::Receiving, Message::Frame(frame)) => self.on_frame(frame),
            (Phase::Receiving, Message::Seal(seal)) => self.on_seal(seal),
            (Phase::Live, Message::Live(live)) => {
                self.on_live(live);
                Ok(())
            }
            // What was on its way when this end refused.
            (Phase::Refused, Message::Frame(_) | Message::Seal(_) | Message::Live(_) | Message::Differ(_)) => Ok(()),
            // A source that could not go on may offer again at any time behind its plan.
            (Phase::Receiving | Phase::AwaitPlan, Message::Offer(offer)) => self.on_offer(offer),
            (phase, other) => Err(SessionError::OutOfOrder { message: name(&other), phase: phase.word() }),
        }
    }

    fn take_answer(&mut self, answer: Event) -> Result<(), SessionError> {
        assert!(self.outstanding > 0, "an answer without a job: {answer:?}");
        self.outstanding -= 1;
        if self.stale > 0 {
            self.stale -= 1;
            return Ok(());
        }
        match answer {
            Event::State { facts, stage } => self.on_state(facts, stage),
            Event::TailsSetAside(keys) => {
                self.send_have(keys);
                Ok(())
            }
            Event::StageOpened | Event::KeysSetAside => Ok(()),
            Event::Blocks(blocks) => self.on_blocks(blocks),
            Event::Entries(entries) => self.on_entries(entries),
            Event::Staged(position) => {
                self.receiving.staged(position);
                if planted::has(Bug::CreditBeforeDurable) {
                    self.on_durable(position);
                }
                self.acknowledge();
                Ok(())
            }
            Event::Replicated(position) => {
                self.receiving.replicated(position);
                self.acknowledge();
                Ok(())
            }
            Event::Reframed { position, facts } => {
                self.reach.take_in(facts);
                self.receiving.replicated(position);
                self.acknowledge();
                Ok(())
            }
            Event::Installed => {
                self.on_installed();
                Ok(())
            }
            Event::Refused { fragment, range, why, detail } => {
                self.refuse(fragment, range, why, detail);
                Ok(())
            }
            Event::Message(_) | Event::Durable(_) | Event::Drifted { .. } | Event::Leave(_) => unreachable!("sorted out by the caller"),
        }
    }

    fn on_state(&mut self, facts: Vec<FragmentFacts>, stage: Option<StageState>) -> Result<(), SessionError> {
        let first = self.phase == Phase::Starting;
        let facts = self.reach.take_in(facts);
        if facts.is_empty() {
            return Err(SessionError::Scope { why: "this node has no place for any of the fragments" });
        }
        let shared = if stage.is_some() { Digest::ZERO } else { shared_digest(&facts) };
        self.facts = facts.into_iter().map(|facts| (facts.id, facts)).collect();
        self.stage = stage;
        if !first {
            return self.prepare();
        }
        self.phase = Phase::AwaitOffer;
        self.send(Message::Hello(Hello {
            wire_versions: self.config.wire_versions,
            features: self.config.features,
            cluster: self.config.cluster,
            node: self.config.node.clone(),
            incarnation: self.config.incarnation,
            space_keys: self.config.space_keys,
            credit_window: self.config.credit_window,
            epoch_max: self.epoch_max(),
            shared,
            scope: self.reach.scope().fragments().into_iter().flatten().copied().collect(),
            purpose: self.config.purpose,
        }));
        Ok(())
    }

    fn ask_state(&mut self) {
        let (stage, scope) = (self.config.stage, self.reach.scope().clone());
        self.job(Job::State { stage, scope });
    }

    fn epoch_max(&self) -> u32 {
        self.facts.values().map(newest_epoch).max().unwrap_or(0)
    }

    /// Drops everything of the current offer and waits for the next one; the fragment will be compared by content.
    fn refuse(&mut self, fragment: FragmentId, range: KeyRange, why: Refusal, detail: String) {
        if self.phase == Phase::Refused {
            return; // one refusal ends an offer
        }
        self.suspects.insert(fragment);
        self.forget_jobs();
        self.abort_stage();
        self.phase = Phase::Refused;
        self.send(Message::Refuse(Refuse { fragment, range, why, detail }));
    }

    fn abort_stage(&mut self) {
        if self.stage.take().is_some() {
            let scope = self.reach.scope().clone();
            self.actions.push_back(Action::Job(Job::AbortStage(scope)));
        }
    }

    fn forget_jobs(&mut self) {
        self.stale = self.outstanding;
        self.receiving = Receiving::default();
        self.comparing = None;
        self.drop_keys.clear();
    }

    fn send(&mut self, message: Message) {
        self.actions.push_back(Action::Send(message));
    }

    fn job(&mut self, job: Job) {
        self.outstanding += 1;
        self.actions.push_back(Action::Job(job));
    }
}

/// A table may have been lost; the entries still carry their epochs.
fn newest_epoch(facts: &FragmentFacts) -> u32 {
    facts.epochs.epoch().max(facts.head.epoch)
}
