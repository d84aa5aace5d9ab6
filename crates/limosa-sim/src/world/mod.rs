//! One world: nodes, clients, connections and what breaks, step by step, chosen by one seed.

mod breaking;
mod living;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limosa_store::Durability;

use crate::check::{self, Broken};
use crate::node::{Habits, Node, Now};
use crate::oracle::{Model, Oracle};
use crate::random::Random;
use crate::report::Report;
use crate::session::Session;
use crate::trace::Trace;
use crate::workload::{EPOCH_MS, visible};

/// Steps of chaos.
const CHAOS_STEPS: u64 = 3_000;
/// Steps within which everything must heal.
const CALM_STEPS: u64 = 30_000;
/// Steps between two comparisons of everything that a client can read.
const COMPARE_EVERY: u64 = 50;

/// Memory of a node in a world where it is scarce: about a third of what its state takes.
const SCARCE_BYTES: u64 = 256 << 10;

/// A rule that did not hold, and how to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The world's seed.
    pub seed: u64,
    /// At which step.
    pub step: u64,
    /// What did not hold.
    pub broken: Broken,
    /// The last things that happened.
    pub story: Vec<String>,
}

/// A world. Nothing in it is shared with another.
pub struct World {
    seed: u64,
    random: Random,
    now: Now,
    durability: Durability,
    nodes: Vec<Node>,
    /// Which node is the owner.
    owner: usize,
    /// By standby: its connection to the owner.
    sessions: Vec<Option<Session>>,
    /// By standby: when it dials again.
    dials_at_ms: Vec<u64>,
    oracle: Oracle,
    trace: Trace,
    report: Report,
    is_calm: bool,
    /// What the oracle knows to be promised under interval durability: up to the last sync.
    synced: u64,
}

impl World {
    /// The world of `seed`. With `is_kept_whole` its whole story is kept, else the end of it.
    pub fn new(seed: u64, is_kept_whole: bool) -> Self {
        let mut random = Random::new(seed);
        let now: Now = Arc::new(AtomicU64::new(1));
        let durability = if random.one_in(3) { Durability::Interval } else { Durability::Commit };
        let standbys = 1 + random.index(2);
        let habits = Habits { durability, memory_max: if random.one_in(2) { SCARCE_BYTES } else { u64::MAX } };
        let names = ["a", "b", "c"];
        let nodes = names[..=standbys].iter().map(|name| Node::new(name, Arc::clone(&now), habits, random.draw())).collect();
        Self {
            seed,
            random,
            now,
            durability,
            nodes,
            owner: 0,
            sessions: (0..=standbys).map(|_| None).collect(),
            dials_at_ms: vec![0; standbys + 1],
            oracle: Oracle::default(),
            trace: Trace::new(is_kept_whole),
            report: Report { worlds: 1, ..Report::default() },
            is_calm: false,
            synced: 0,
        }
    }

    /// Lives through chaos and calm.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn run(mut self) -> Result<(Report, u64), Box<Failure>> {
        let lived = self.live();
        self.report.acknowledged = self.oracle.acknowledged;
        self.report.simulated_ms = self.now_ms();
        match lived {
            Ok(()) => Ok((self.report, self.trace.hash())),
            Err(broken) => Err(Box::new(Failure { seed: self.seed, step: self.report.steps, broken, story: self.trace.lines() })),
        }
    }

    fn live(&mut self) -> Result<(), Broken> {
        for _ in 0..CHAOS_STEPS {
            self.break_something();
            self.step()?;
        }
        self.trace.note(self.now_ms(), "calm");
        self.is_calm = true;
        self.mend_everything();
        for _ in 0..CALM_STEPS {
            self.step()?;
            if self.has_healed() {
                return self.judge_the_end();
            }
        }
        let down: Vec<&str> = self.nodes.iter().filter(|node| node.store.is_none()).map(|node| node.name.as_str()).collect();
        let sessions = self.sessions.iter().filter(|session| session.is_some()).count();
        let what = format!("down: {down:?}; {sessions} sessions; {CALM_STEPS} steps were not enough");
        Err(Broken { rule: "I9 once faults stop, everything heals", what })
    }

    fn step(&mut self) -> Result<(), Broken> {
        self.report.steps += 1;
        self.now.fetch_add(1 + self.random.below(3), Ordering::Relaxed);
        self.live_on()?;
        if self.report.steps.is_multiple_of(COMPARE_EVERY) { self.compare() } else { Ok(()) }
    }

    /// Holds what a client can read at the owner against the oracle.
    fn compare(&mut self) -> Result<(), Broken> {
        let clock = self.clock_ms();
        let Some(found) = self.read_owner() else { return Ok(()) };
        self.report.compared += 1;
        check::what_is_shown_is_what_was_written(&self.oracle, &found, clock)
    }

    /// What a client can read at the owner; nothing when it is down, or goes down over it: cold blocks are read from the disk.
    fn read_owner(&mut self) -> Option<Model> {
        let store = self.nodes[self.owner].store.clone()?;
        match visible(&store, self.clock_ms()) {
            Ok(found) => Some(found),
            Err(error) => {
                self.owner_failed(&error);
                None
            }
        }
    }

    fn has_healed(&self) -> bool {
        let Some(owner) = &self.nodes[self.owner].store else { return false };
        let follows = |index: usize| {
            let standby = self.nodes[index].store.as_ref();
            standby.is_some_and(|standby| check::is_healed(owner, standby))
                && self.sessions[index].as_ref().is_some_and(|s| s.is_consistent)
        };
        !owner.has_pending() && (0..self.nodes.len()).filter(|index| *index != self.owner).all(follows)
    }

    fn judge_the_end(&mut self) -> Result<(), Broken> {
        self.compare()?;
        let owner = self.nodes[self.owner].store.as_ref().expect("nothing breaks any more");
        for (index, node) in self.nodes.iter().enumerate().filter(|(index, _)| *index != self.owner) {
            debug_assert_ne!(index, self.owner);
            check::all_are_equal(owner, node.store.as_ref().expect("healed"), &node.name)?;
        }
        self.trace.note(self.now_ms(), "healed");
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The clock that stores see.
    fn clock_ms(&self) -> u64 {
        EPOCH_MS + self.now_ms()
    }
}
