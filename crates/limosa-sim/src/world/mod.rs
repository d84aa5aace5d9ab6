//! One world: nodes, clients, connections and what breaks, event by event, chosen by one seed.

mod agenda;
mod breaking;
mod damaging;
mod living;
mod serving;
mod upkeep;

use std::collections::BTreeSet;

use limosa_store::Durability;

use crate::check::{self, Broken, Sent, Versions};
use crate::clock::Now;
use crate::link::Path;
use crate::node::{Habits, Node};
use crate::oracle::{Model, Oracle};
use crate::point::Point;
use crate::random::Random;
use crate::report::Report;
use crate::session::Session;
use crate::trace::Trace;

/// How long chaos lasts, microseconds.
const CHAOS_US: u64 = 200_000_000;
/// Time within which everything must heal, microseconds.
const CALM_US: u64 = 600_000_000;

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
    /// What happened until then, if the world's story was kept.
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
    /// How many owners there were before it.
    tenure: u64,
    /// By standby: its connection to the owner.
    sessions: Vec<Option<Session>>,
    /// By standby: what its transfer has brought so far.
    sent: Vec<Sent>,
    /// By standby: the network between it and the owner.
    paths: Vec<Path>,
    /// By standby: fragments were split or merged since it was last consistent.
    reframed: Vec<bool>,
    /// By standby: when it dials again.
    dials_at_us: Vec<u64>,
    /// When the owner's flush of what clients committed is done.
    flush_at_us: Option<u64>,
    client_at_us: u64,
    /// Until when clients are busy.
    busy_until_us: u64,
    upkeep_at_us: u64,
    fault_at_us: u64,
    /// A crash point that waits for its step, and until when.
    armed: Option<(Point, u64)>,
    /// Something that waits for a stage that is being filled.
    ambush: Option<breaking::Ambush>,
    oracle: Oracle,
    versions: Versions,
    /// Keys that changed since they were last compared.
    touched: BTreeSet<Vec<u8>>,
    trace: Trace,
    report: Report,
    is_calm: bool,
    /// What the oracle knows to be promised under interval durability: up to the last sync.
    synced: u64,
}

impl World {
    /// The world of `seed`. With `is_told` its story is kept.
    pub fn new(seed: u64, is_told: bool) -> Self {
        let mut random = Random::new(seed);
        let now = Now::default();
        now.jump_to(1);
        let durability = if random.one_in(3) { Durability::Interval } else { Durability::Commit };
        let standbys = 1 + random.index(2);
        let habits = Habits { durability, memory_max: if random.one_in(2) { SCARCE_BYTES } else { u64::MAX } };
        let names = ["a", "b", "c"];
        let nodes = names[..=standbys].iter().map(|name| Node::new(name, &now, habits, random.draw())).collect();
        Self {
            seed,
            random,
            now,
            durability,
            nodes,
            owner: 0,
            tenure: 0,
            sessions: (0..=standbys).map(|_| None).collect(),
            sent: (0..=standbys).map(|_| Sent::default()).collect(),
            paths: (0..=standbys).map(|_| Path::default()).collect(),
            reframed: vec![false; standbys + 1],
            dials_at_us: vec![0; standbys + 1],
            flush_at_us: None,
            client_at_us: 0,
            busy_until_us: 0,
            upkeep_at_us: 0,
            fault_at_us: 0,
            armed: None,
            ambush: None,
            oracle: Oracle::default(),
            versions: Versions::default(),
            touched: BTreeSet::new(),
            trace: Trace::new(is_told),
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
        self.report.simulated_us = self.now.us();
        match lived {
            Ok(()) => Ok((self.report, self.trace.hash())),
            Err(broken) => Err(Box::new(Failure { seed: self.seed, step: self.report.steps, broken, story: self.trace.take_lines() })),
        }
    }

    fn live(&mut self) -> Result<(), Broken> {
        while self.now.us() < CHAOS_US {
            self.step()?;
        }
        self.trace.note(self.now.us(), "calm");
        self.is_calm = true;
        self.mend_everything();
        let (mut looks_at, end) = (self.now.us(), self.now.us() + CALM_US);
        while self.now.us() < end {
            self.step()?;
            if self.now.us() >= looks_at {
                looks_at = self.now.us() + 50_000;
                if self.has_healed()? {
                    return self.judge_the_end();
                }
            }
        }
        let down: Vec<&str> = self.nodes.iter().filter(|node| node.store.is_none()).map(|node| node.name.as_str()).collect();
        let consistent = self.sessions.iter().flatten().filter(|session| session.is_consistent).count();
        let damaged = self.nodes.iter().filter(|node| node.may_rot).count();
        let what =
            format!("owner {}; down: {down:?}; {consistent} consistent sessions; {damaged} may be damaged", self.nodes[self.owner].name);
        Err(Broken { rule: "I9 once faults stop, everything heals", what })
    }

    /// Holds what a client can read at the owner of what changed, and of some other keys, against the oracle.
    fn compare(&mut self, everything: bool) -> Result<(), Broken> {
        let Some(store) = self.nodes[self.owner].store.clone() else { return Ok(()) };
        let clock = store.now_ms();
        let mut keys: Vec<Vec<u8>> = std::mem::take(&mut self.touched).into_iter().collect();
        if everything {
            keys = crate::workload::all_keys();
        }
        match crate::workload::visible_of(&store, &keys, clock) {
            Ok(found) => {
                self.report.compared += keys.len() as u64;
                check::what_is_shown_is_what_was_written(&self.oracle, &keys, &found, clock)
            }
            Err(error) => {
                self.touched.extend(keys);
                self.client_met(&error);
                Ok(())
            }
        }
    }

    /// What a client can read at the owner, and which keys it can't for damage; nothing when the owner is down, or goes down over it.
    fn read_owner(&mut self) -> Option<(Model, Vec<Vec<u8>>)> {
        let store = self.nodes[self.owner].store.clone()?;
        let (mut found, mut unreadable) = (Model::new(), Vec::new());
        for key in crate::workload::all_keys() {
            match crate::workload::visible_of(&store, std::slice::from_ref(&key), store.now_ms()) {
                Ok(value) => found.extend(value),
                Err(error) if check::is_typed_damage(&error) => unreadable.push(key),
                Err(error) => {
                    self.owner_failed(&error);
                    return None;
                }
            }
        }
        self.touched.extend(unreadable.iter().cloned());
        Some((found, unreadable))
    }

    fn has_healed(&mut self) -> Result<bool, Broken> {
        let Some(owner) = &self.nodes[self.owner].store else { return Ok(false) };
        let follows = |index: usize| {
            let standby = self.nodes[index].store.as_ref();
            standby.is_some_and(|standby| check::is_healed(owner, standby))
                && self.sessions[index].as_ref().is_some_and(|s| s.is_consistent)
        };
        if owner.has_pending() || !(0..self.nodes.len()).filter(|index| *index != self.owner).all(follows) {
            return Ok(false);
        }
        for node in &mut self.nodes {
            if node.may_rot {
                node.may_rot = !check::all_is_sound(node.store.as_ref().expect("all are up"), &node.name)?;
            }
        }
        Ok(!self.nodes.iter().any(|node| node.may_rot))
    }

    fn judge_the_end(&mut self) -> Result<(), Broken> {
        self.compare(true)?;
        let owner = self.nodes[self.owner].store.as_ref().expect("nothing breaks any more");
        for (_, node) in self.nodes.iter().enumerate().filter(|(index, _)| *index != self.owner) {
            check::all_are_equal(owner, node.store.as_ref().expect("healed"), &node.name)?;
        }
        self.trace.note(self.now.us(), "healed");
        Ok(())
    }
}
