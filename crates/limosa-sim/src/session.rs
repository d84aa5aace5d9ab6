//! One connection between an owner and a standby: both machines, their jobs, and what is on its way.

use std::collections::VecDeque;
use std::time::Duration;

use limosa_carry::{SourceCarrier, TargetCarrier, flush, wants_flush};
use limosa_core::{FragmentFacts, Scope};
use limosa_engine::source::{self, Source};
use limosa_engine::target::{self, Target};
use limosa_store::{Store, StoreError};
use limosa_wire::{Message, Method, Purpose, WIRE_VERSIONS, features};

use crate::link::Lane;
use crate::node::{CLUSTER, Node};
use crate::random::Random;

/// Bytes on their way to a standby: small, so that transfers take many round trips.
const CREDIT_WINDOW_BYTES: u64 = 24 << 10;

pub(crate) struct Session {
    source: Source,
    target: Target,
    source_jobs: VecDeque<source::Job>,
    target_jobs: VecDeque<target::Job>,
    source_carrier: SourceCarrier,
    target_carrier: TargetCarrier,
    pub(crate) to_source: Lane,
    pub(crate) to_target: Lane,
    started_ms: u64,
    needs_flush: bool,
    /// The standby said that it is consistent.
    pub(crate) is_consistent: bool,
}

/// What a step of a session could be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    SourceReceives,
    TargetReceives,
    SourceJob,
    TargetJob,
    TargetFlush,
}

/// What came of a step.
pub(crate) enum Outcome {
    /// It goes on.
    Goes(String),
    /// One of the ends, or a damaged message, ended the connection.
    Ends(String),
    /// The owner's store failed.
    SourceFailed(StoreError),
    /// The standby's store failed.
    TargetFailed(StoreError),
    /// An invariant is broken.
    Broken(&'static str, String),
}

impl Session {
    pub(crate) fn new(standby: &str, incarnation: u64, now_ms: u64, random: &mut Random) -> Self {
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
            source,
            target,
            source_jobs: VecDeque::new(),
            target_jobs: VecDeque::new(),
            source_carrier: SourceCarrier::default(),
            target_carrier: TargetCarrier::default(),
            to_source: Lane::default(),
            to_target: Lane::default(),
            started_ms: now_ms,
            needs_flush: false,
            is_consistent: false,
        }
    }

    /// What can be done at `now_ms`.
    pub(crate) fn turns(&self, now_ms: u64) -> Vec<Turn> {
        let arrived = |lane: &Lane| lane.next_at().is_some_and(|at| at <= now_ms);
        let possible = [
            (Turn::SourceReceives, arrived(&self.to_source)),
            (Turn::TargetReceives, arrived(&self.to_target)),
            (Turn::SourceJob, !self.source_jobs.is_empty()),
            (Turn::TargetJob, !self.target_jobs.is_empty()),
            (Turn::TargetFlush, self.needs_flush),
        ];
        possible.into_iter().filter(|(_, is_possible)| *is_possible).map(|(turn, _)| turn).collect()
    }

    /// Does one thing, then what the machines ask for.
    pub(crate) fn step(&mut self, turn: Turn, owner: &Store, standby: &Store, now_ms: u64, random: &mut Random) -> Outcome {
        let outcome = match turn {
            Turn::SourceReceives => self.source_receives(now_ms),
            Turn::TargetReceives => self.target_receives(standby),
            Turn::SourceJob => self.source_job(owner, now_ms),
            Turn::TargetJob => self.target_job(standby),
            Turn::TargetFlush => self.flush(standby),
        };
        match outcome {
            Outcome::Goes(what) => self.act(now_ms, random).map_or(Outcome::Goes(what), Outcome::Ends),
            other => other,
        }
    }

    /// The owner has published commits.
    pub(crate) fn published(&mut self, now_ms: u64, random: &mut Random) -> Option<String> {
        self.source.handle(self.since(now_ms), source::Event::Published);
        self.act(now_ms, random)
    }

    /// Carries out what the machines ask for; why the connection ends, if it does.
    pub(crate) fn act(&mut self, now_ms: u64, random: &mut Random) -> Option<String> {
        while let Some(action) = self.source.poll() {
            match action {
                source::Action::Send(message) => self.to_target.send(now_ms, &message, random).expect("our own messages have a form"),
                source::Action::Job(job) => self.source_jobs.push_back(job),
                source::Action::Close(error) => return Some(format!("the source closes: {error}")),
                source::Action::Acknowledged(_) | source::Action::Held(_) | source::Action::Alternatives(_) => {}
            }
        }
        while let Some(action) = self.target.poll() {
            match action {
                target::Action::Send(message) => self.to_source.send(now_ms, &message, random).expect("our own messages have a form"),
                target::Action::Job(job) => self.target_jobs.push_back(job),
                target::Action::Consistent => self.is_consistent = true,
                target::Action::Close(error) => return Some(format!("the target closes: {error}")),
            }
        }
        None
    }

    fn source_receives(&mut self, now_ms: u64) -> Outcome {
        match self.to_source.receive().expect("something has arrived") {
            Err(error) => Outcome::Ends(format!("a damaged message is refused: {error}")),
            Ok(message) => {
                let name = name(&message);
                self.source.handle(self.since(now_ms), source::Event::Message(message));
                Outcome::Goes(format!("owner takes {name}"))
            }
        }
    }

    fn target_receives(&mut self, standby: &Store) -> Outcome {
        match self.to_target.receive().expect("something has arrived") {
            Err(error) => Outcome::Ends(format!("a damaged message is refused: {error}")),
            Ok(message) => {
                if let Some(copied) = copied_without_need(&message, &standby.facts()) {
                    return Outcome::Broken("I12 no full copy where anything is in common", copied);
                }
                let name = name(&message);
                self.target.handle(target::Event::Message(message));
                Outcome::Goes(format!("standby takes {name}"))
            }
        }
    }

    fn source_job(&mut self, owner: &Store, now_ms: u64) -> Outcome {
        let job = self.source_jobs.pop_front().expect("one waits");
        let what = format!("owner's job {}", word(&job));
        match self.source_carrier.carry_out(owner, &job, &mut ()) {
            Err(error) => return Outcome::SourceFailed(error),
            Ok(Some(event)) => self.source.handle(self.since(now_ms), event),
            Ok(None) => {}
        }
        Outcome::Goes(what)
    }

    fn target_job(&mut self, standby: &Store) -> Outcome {
        let job = self.target_jobs.pop_front().expect("one waits");
        let what = format!("standby's job {}", word(&job));
        match self.target_carrier.carry_out(standby, &job, &mut ()) {
            Err(error) => {
                let also = self.target_carrier.give_up(standby, &job, &error).err();
                return Outcome::TargetFailed(also.unwrap_or(error));
            }
            Ok(Some(event)) => {
                self.needs_flush |= wants_flush(&event);
                self.target.handle(event);
            }
            Ok(None) => {}
        }
        Outcome::Goes(what)
    }

    fn flush(&mut self, standby: &Store) -> Outcome {
        match flush(standby) {
            Err(error) => Outcome::TargetFailed(error),
            Ok((_, events)) => {
                self.needs_flush = false;
                for event in events {
                    if matches!(event, target::Event::Drifted { .. }) {
                        return Outcome::Broken("a standby's digest is its owner's at every version", format!("{event:?}"));
                    }
                    self.target.handle(event);
                }
                Outcome::Goes("standby flushes".to_owned())
            }
        }
    }

    fn since(&self, now_ms: u64) -> Duration {
        Duration::from_millis(now_ms - self.started_ms)
    }
}

/// A plan that copies a fragment of which the standby holds something.
fn copied_without_need(message: &Message, facts: &[FragmentFacts]) -> Option<String> {
    let Message::Plan(plan) = message else { return None };
    let copied = plan.items.iter().filter(|item| item.method == Method::Copy);
    let needless = |id| facts.iter().find(|fact| fact.id == id && fact.live > 0 && !fact.head.is_zero());
    copied.filter_map(|item| needless(item.fragment)).map(|fact| format!("{} with {} entries at {}", fact.id, fact.live, fact.head)).next()
}

fn name(message: &Message) -> String {
    word(message)
}

/// The first word of a value's text: its variant.
fn word(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
