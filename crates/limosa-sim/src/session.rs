//! One connection between an owner and a standby: both machines, their jobs, and what is on its way.

use std::collections::VecDeque;
use std::time::Duration;

use limosa_carry::{SourceCarrier, TargetCarrier, flush, wants_flush};
use limosa_core::Scope;
use limosa_engine::source::{self, Source};
use limosa_engine::target::{self, Target};
use limosa_store::{Store, StoreError};
use limosa_wire::{Message, Purpose, WIRE_VERSIONS, features};

use crate::check::{Broken, Sent, with_a_cause, within_the_window, without_a_needless_copy};
use crate::link::{Lane, Path, Way};
use crate::node::{CLUSTER, Node};
use crate::point::Step;
use crate::random::Random;
use crate::repairing::Repairing;
use crate::trace::{Word, word};

/// Bytes on their way to a standby: small, so that transfers take many round trips.
pub(crate) const CREDIT_WINDOW_BYTES: u64 = 24 << 10;
/// Longest time that a job takes on a good disk, microseconds.
const JOB_US_MAX: u64 = 400;
/// Longest time that a flush takes on a good disk, microseconds.
const FLUSH_US_MAX: u64 = 4_000;
/// How often an end looks for damaged blocks, microseconds.
const TICK_US: u64 = 100_000;
/// How long a job waits for a damaged block to be mended, microseconds.
const PATIENCE_US: u64 = 60_000_000;
/// How often a job that waits for one looks.
const LOOK_US: u64 = 10_000;

pub(crate) struct Session {
    peer: String,
    incarnation: u64,
    source: Source,
    target: Target,
    source_jobs: Queue<source::Job>,
    target_jobs: Queue<target::Job>,
    source_carrier: SourceCarrier,
    target_carrier: TargetCarrier,
    source_repairs: Repairing,
    target_repairs: Repairing,
    pub(crate) to_source: Lane,
    pub(crate) to_target: Lane,
    started_us: u64,
    /// When the standby's flush behind frames or commits is done.
    flush_at_us: Option<u64>,
    tick_at_us: u64,
    /// The standby said that it is consistent.
    pub(crate) is_consistent: bool,
    /// It had an offer.
    is_offered: bool,
    /// Something was done to its stage that may be refused.
    is_excused: bool,
    sent: Sent,
}

/// Jobs that wait, and when the first of them is done.
struct Queue<J> {
    jobs: VecDeque<J>,
    at_us: u64,
    /// Since when the first one waits for a damaged block.
    waits_since_us: Option<u64>,
}

impl<J> Default for Queue<J> {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), at_us: 0, waits_since_us: None }
    }
}

impl<J> Queue<J> {
    fn push(&mut self, job: J, now_us: u64, takes_us: u64) {
        if self.jobs.is_empty() {
            self.at_us = now_us + takes_us;
        }
        self.jobs.push_back(job);
    }

    fn pop(&mut self, now_us: u64, next_takes_us: u64) {
        self.jobs.pop_front();
        self.waits_since_us = None;
        self.at_us = now_us + next_takes_us;
    }

    fn due(&self) -> Option<u64> {
        (!self.jobs.is_empty()).then_some(self.at_us)
    }

    /// A damaged block is in the way. False when it was waited for long enough.
    fn wait(&mut self, now_us: u64) -> bool {
        self.at_us = now_us + LOOK_US;
        now_us - *self.waits_since_us.get_or_insert(now_us) < PATIENCE_US
    }
}

/// What a step of a session could be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    SourceReceives,
    TargetReceives,
    SourceJob,
    TargetJob,
    TargetFlush,
    Tick,
}

/// What came of a step.
pub(crate) enum Outcome {
    /// It goes on.
    Goes(&'static str, Word),
    /// One of the ends, or a damaged message, ended the connection.
    Ends(String),
    /// The owner's store failed.
    SourceFailed(StoreError),
    /// The standby's store failed.
    TargetFailed(StoreError),
    /// An invariant is broken.
    Broken(Broken),
}

/// What a step happens in.
pub(crate) struct Around<'a> {
    pub(crate) now_us: u64,
    pub(crate) owner: &'a Store,
    pub(crate) standby: &'a Store,
    pub(crate) path: &'a mut Path,
    pub(crate) random: &'a mut Random,
    /// How many times longer a disk takes: the owner's and the standby's.
    pub(crate) slowness: (u64, u64),
}

impl Around<'_> {
    fn takes(&mut self, max_us: u64, slowness: u64) -> u64 {
        (1 + self.random.below(max_us)) * slowness
    }
}

impl Session {
    pub(crate) fn new(standby: &str, incarnation: u64, now_us: u64, sent: Sent, random: &mut Random) -> Self {
        let (space_keys, session) = (Node::keys().id(), random.draw());
        let source = Source::new(source::Config {
            cluster: CLUSTER,
            space_keys,
            peer: standby.to_owned(),
            session,
            credit_window: CREDIT_WINDOW_BYTES,
            wire_versions: WIRE_VERSIONS,
            features: features::ALL,
            permit: source::Permit::default(),
        });
        let target = Target::new(target::Config {
            cluster: CLUSTER,
            node: standby.to_owned(),
            incarnation,
            space_keys,
            wire_versions: WIRE_VERSIONS,
            features: features::ALL,
            credit_window: CREDIT_WINDOW_BYTES,
            scope: Scope::All,
            purpose: Purpose::Follow,
            stage: session,
        });
        Self {
            peer: standby.to_owned(),
            incarnation,
            source,
            target,
            source_jobs: Queue::default(),
            target_jobs: Queue::default(),
            source_carrier: SourceCarrier::default(),
            target_carrier: TargetCarrier::default(),
            source_repairs: Repairing::default(),
            target_repairs: Repairing::default(),
            to_source: Lane::new(Way::ToSource),
            to_target: Lane::new(Way::ToTarget),
            started_us: now_us,
            flush_at_us: None,
            tick_at_us: now_us,
            is_consistent: false,
            is_offered: false,
            is_excused: false,
            sent,
        }
    }

    /// What can be done, and from when on.
    pub(crate) fn turns(&self, has_damage: bool) -> impl Iterator<Item = (u64, Turn)> {
        let possible = [
            (self.to_source.next_at(), Turn::SourceReceives),
            (self.to_target.next_at(), Turn::TargetReceives),
            (self.source_jobs.due(), Turn::SourceJob),
            (self.target_jobs.due(), Turn::TargetJob),
            (self.flush_at_us, Turn::TargetFlush),
            (has_damage.then_some(self.tick_at_us), Turn::Tick),
        ];
        possible.into_iter().filter_map(|(at, turn)| Some((at?, turn)))
    }

    /// The crash point of a turn.
    pub(crate) fn step_of(&self, turn: Turn) -> Option<Step> {
        match turn {
            Turn::SourceReceives | Turn::TargetReceives | Turn::Tick => None,
            Turn::SourceJob => self.source_jobs.jobs.front().and_then(source_step),
            Turn::TargetJob => self.target_jobs.jobs.front().and_then(target_step),
            Turn::TargetFlush => Some(Step::TargetFlush),
        }
    }

    /// Does one thing, then what the machines ask for.
    pub(crate) fn step(&mut self, turn: Turn, around: &mut Around<'_>) -> Outcome {
        let outcome = match turn {
            Turn::SourceReceives => self.source_receives(around),
            Turn::TargetReceives => self.target_receives(around),
            Turn::SourceJob => self.source_job(around),
            Turn::TargetJob => self.target_job(around),
            Turn::TargetFlush => self.flush(around),
            Turn::Tick => self.tick(around),
        };
        match outcome {
            Outcome::Goes(what, of) => self.act(around).map_or(Outcome::Goes(what, of), Outcome::Ends),
            other => other,
        }
    }

    /// The owner has published commits.
    pub(crate) fn published(&mut self, around: &mut Around<'_>) -> Option<String> {
        self.source.handle(self.since(around.now_us), source::Event::Published);
        self.act(around)
    }

    /// A frame that an earlier one brought.
    pub(crate) fn late_frame(&self, index: usize) -> Option<&limosa_core::Frame> {
        self.sent.late_frame(index)
    }

    /// The standby asked for a damaged block, and what it was told is not that block.
    pub(crate) fn waits_in_vain(&self) -> bool {
        self.target_repairs.waits_for().is_some()
    }

    /// What this session refuses from here on has a cause.
    pub(crate) fn excuse(&mut self) {
        self.is_excused = true;
    }

    /// What was sent so far counts for nothing: fragments are others.
    pub(crate) fn restarts(&mut self) {
        self.sent.agreed();
    }

    /// The connection is gone; what was sent on it, for the next one.
    pub(crate) fn end(self) -> Sent {
        self.sent
    }

    /// Carries out what the machines ask for; why the connection ends, if it does.
    pub(crate) fn act(&mut self, around: &mut Around<'_>) -> Option<String> {
        while let Some(action) = self.source.poll() {
            match action {
                source::Action::Send(message) => {
                    if let Message::Offer(offer) = &message {
                        self.source_repairs.agreed(offer.features);
                    }
                    send(&mut self.to_target, &message, around);
                }
                source::Action::Job(job) => {
                    let takes = around.takes(JOB_US_MAX, around.slowness.0);
                    self.source_jobs.push(job, around.now_us, takes);
                }
                source::Action::Close(error) => return Some(format!("the source closes: {error}")),
                source::Action::Held(versions) => around.owner.renew_lease(&self.peer, self.incarnation, &versions),
                source::Action::Acknowledged(_) | source::Action::Alternatives(_) => {}
            }
        }
        while let Some(action) = self.target.poll() {
            match action {
                target::Action::Send(message) => send(&mut self.to_source, &message, around),
                target::Action::Job(job) => {
                    let takes = around.takes(JOB_US_MAX, around.slowness.1);
                    self.target_jobs.push(job, around.now_us, takes);
                }
                target::Action::Consistent => {
                    self.is_consistent = true;
                    self.sent.agreed();
                }
                target::Action::Close(error) => return Some(format!("the target closes: {error}")),
            }
        }
        self.source_repairs.act(around.owner).into_iter().for_each(|message| send(&mut self.to_target, &message, around));
        self.target_repairs.act(around.standby).into_iter().for_each(|message| send(&mut self.to_source, &message, around));
        None
    }

    fn source_receives(&mut self, around: &mut Around<'_>) -> Outcome {
        let message = match self.to_source.receive().expect("something has arrived") {
            Err(error) => return Outcome::Ends(format!("a damaged message is refused: {error}")),
            Ok(message) => message,
        };
        let name = word(&message);
        if let Message::Refuse(refuse) = &message
            && let Err(broken) = with_a_cause(refuse, self.is_excused)
        {
            return Outcome::Broken(broken);
        }
        if Repairing::takes(&message) {
            return repaired(self.source_repairs.handle(self.since(around.now_us), message), name);
        }
        self.source.handle(self.since(around.now_us), source::Event::Message(message));
        Outcome::Goes("owner takes", name)
    }

    fn target_receives(&mut self, around: &mut Around<'_>) -> Outcome {
        let message = match self.to_target.receive().expect("something has arrived") {
            Err(error) => return Outcome::Ends(format!("a damaged message is refused: {error}")),
            Ok(message) => message,
        };
        let name = word(&message);
        if Repairing::takes(&message) {
            return repaired(self.target_repairs.handle(self.since(around.now_us), message), name);
        }
        if let Message::Offer(offer) = &message {
            self.target_repairs.agreed(offer.features);
            if std::mem::replace(&mut self.is_offered, true) {
                self.sent.agreed(); // it begins anew because something was refused, not because the connection was cut
            }
        }
        let judged = without_a_needless_copy(&message, around.standby).and_then(|()| self.sent.arrives(&message));
        if let Err(broken) = judged.and_then(|()| within_the_window(self.to_target.bytes(), self.sent.undurable_bytes())) {
            return Outcome::Broken(broken);
        }
        self.target.handle(target::Event::Message(message));
        Outcome::Goes("standby takes", name)
    }

    fn source_job(&mut self, around: &mut Around<'_>) -> Outcome {
        let job = self.source_jobs.jobs.front().expect("one waits").clone();
        let name = word(&job);
        match self.source_carrier.carry_out(around.owner, &job, &mut ()) {
            Err(StoreError::CorruptBlock { .. }) if self.source_jobs.wait(around.now_us) => {
                return Outcome::Goes("a damaged block is in the way of owner's job", name);
            }
            Err(error) => return Outcome::SourceFailed(error),
            Ok(Some(event)) => self.source.handle(self.since(around.now_us), event),
            Ok(None) => {}
        }
        let takes = around.takes(JOB_US_MAX, around.slowness.0);
        self.source_jobs.pop(around.now_us, takes);
        Outcome::Goes("owner's job", name)
    }

    fn target_job(&mut self, around: &mut Around<'_>) -> Outcome {
        let job = self.target_jobs.jobs.front().expect("one waits").clone();
        let name = word(&job);
        match self.target_carrier.carry_out(around.standby, &job, &mut ()) {
            Err(StoreError::CorruptBlock { .. }) if self.target_jobs.wait(around.now_us) => {
                return Outcome::Goes("a damaged block is in the way of standby's job", name);
            }
            Err(error) => {
                let also = self.target_carrier.give_up(around.standby, &job, &error).err();
                return Outcome::TargetFailed(also.unwrap_or(error));
            }
            Ok(Some(event)) => {
                // A tail of its own may hold range deletes, which name no keys: the owner's changes do not add up then, and ends compare.
                self.is_excused |= matches!(event, target::Event::TailsSetAside(_));
                if wants_flush(&event) && self.flush_at_us.is_none() {
                    let now_and_then_long = if around.random.one_in(20) { 30 } else { 1 };
                    self.flush_at_us = Some(around.now_us + around.takes(FLUSH_US_MAX, around.slowness.1 * now_and_then_long));
                }
                self.target.handle(event);
            }
            Ok(None) => {}
        }
        let takes = around.takes(JOB_US_MAX, around.slowness.1);
        self.target_jobs.pop(around.now_us, takes);
        Outcome::Goes("standby's job", name)
    }

    fn flush(&mut self, around: &mut Around<'_>) -> Outcome {
        match flush(around.standby) {
            Err(error) => Outcome::TargetFailed(error),
            Ok((_, events)) => {
                self.flush_at_us = None;
                self.sent.durable(around.standby);
                for event in events {
                    if matches!(event, target::Event::Drifted { .. }) {
                        let rule = "a standby's digest is its owner's at every version";
                        return Outcome::Broken(Broken { rule, what: format!("{event:?}") });
                    }
                    self.target.handle(event);
                }
                Outcome::Goes("standby flushes", Word::default())
            }
        }
    }

    fn tick(&mut self, around: &mut Around<'_>) -> Outcome {
        self.tick_at_us = around.now_us + TICK_US;
        let since = self.since(around.now_us);
        self.source_repairs.tick(since, around.owner);
        self.target_repairs.tick(since, around.standby);
        Outcome::Goes("looks for damage", Word::default())
    }

    fn since(&self, now_us: u64) -> Duration {
        Duration::from_micros(now_us - self.started_us)
    }
}

fn send(lane: &mut Lane, message: &Message, around: &mut Around<'_>) {
    lane.send(around.now_us, message, around.path, around.random).expect("our own messages have a form");
}

fn repaired(handled: Result<(), impl std::fmt::Display>, name: Word) -> Outcome {
    match handled {
        Ok(()) => Outcome::Goes("repair takes", name),
        Err(error) => Outcome::Ends(format!("a repair's message is refused: {error}")),
    }
}

fn source_step(job: &source::Job) -> Option<Step> {
    Some(match job {
        source::Job::Cut => Step::SourceCut,
        source::Job::OpenEpoch { .. } => Step::SourceEpoch,
        source::Job::Estimate(_) => Step::SourceEstimate,
        source::Job::Blocks { .. } | source::Job::Entries { .. } => Step::SourceCompare,
        source::Job::Extract(_) => Step::SourceExtract,
        source::Job::OpenTail { .. } | source::Job::ReadTail { .. } => Step::SourceTail,
        _ => return None,
    })
}

fn target_step(job: &target::Job) -> Option<Step> {
    Some(match job {
        target::Job::Pass => return None,
        target::Job::State { .. } => Step::TargetState,
        target::Job::SetAsideTails { .. } | target::Job::SetAsideKeys(_) => Step::TargetSetAside,
        target::Job::OpenStage { .. } => Step::StageOpen,
        target::Job::ReframeStage { .. } => Step::StageReframe,
        target::Job::AbortStage(_) => Step::StageAbort,
        target::Job::Blocks { .. } | target::Job::Entries { .. } => Step::TargetCompare,
        target::Job::Apply(_) => Step::Apply,
        target::Job::Install(_) => Step::Install,
        target::Job::Replicate { .. } => Step::Replicate,
    })
}
