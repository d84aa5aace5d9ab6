//! What goes on in a world when nothing breaks: starts, dials, messages, jobs, commands, flushes, checkpoints.

use limosa_store::disk::Survivors;
use limosa_store::{Durability, Position, StoreError};

use super::World;
use crate::check::{self, Broken};
use crate::session::{Outcome, Session};
use crate::workload::Command;

/// Longest pause before a node is started, or dials, again; milliseconds.
const PAUSE_MS_MAX: u64 = 60;

impl World {
    /// Does one thing that can be done.
    pub(super) fn live_on(&mut self) -> Result<(), Broken> {
        self.start_what_is_due()?;
        self.dial_what_is_due();
        match self.random.below(16) {
            0..=1 => {
                self.client();
                Ok(())
            }
            2..=3 => self.owner_flushes(),
            4 => {
                self.upkeep();
                Ok(())
            }
            _ => self.some_session(),
        }
    }

    fn start_what_is_due(&mut self) -> Result<(), Broken> {
        let now = self.now_ms();
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if node.store.is_some() || node.back_at_ms > now {
                continue;
            }
            self.report.starts += 1;
            if let Err(error) = node.start() {
                self.start_failed(index, &error)?;
                continue;
            }
            let name = node.name.clone();
            self.trace.note(now, format_args!("{name} starts"));
            if index == self.owner {
                self.owner_starts()?;
            } else {
                self.judge_standby(index)?;
            }
        }
        Ok(())
    }

    /// A start may fail for what was broken on purpose; then it is tried again.
    fn start_failed(&mut self, index: usize, error: &StoreError) -> Result<(), Broken> {
        let now = self.now_ms();
        let node = &mut self.nodes[index];
        self.trace.note(now, format_args!("{} does not start: {}", node.name, error.code()));
        match error {
            StoreError::DiskFull { .. } | StoreError::Io { .. } | StoreError::Poisoned { .. } => {
                node.stop(Survivors::All, now + 1 + self.random.below(PAUSE_MS_MAX));
                Ok(())
            }
            other => Err(Broken { rule: "what a crash leaves can be opened", what: format!("{}: {other}", node.name) }),
        }
    }

    fn owner_starts(&mut self) -> Result<(), Broken> {
        let (now, clock) = (self.now_ms(), self.clock_ms());
        let store = self.nodes[self.owner].store.clone().expect("it has started");
        let Some(found) = self.read_owner() else { return Ok(()) };
        let kept = check::nothing_acknowledged_is_lost(&mut self.oracle, &found, clock)?;
        self.trace.note(now, format_args!("{kept} unacknowledged commits were kept"));
        if let Err(error) = store.open_epoch(0) {
            self.owner_failed(&error);
            return Ok(());
        }
        self.synced = store.horizon().0;
        self.oracle.owner_shows(&store.facts()).map_err(Broken::of("I3 a version is never given twice"))
    }

    fn dial_what_is_due(&mut self) {
        let now = self.now_ms();
        let Some(_) = &self.nodes[self.owner].store else { return };
        for index in 0..self.nodes.len() {
            if index == self.owner || self.sessions[index].is_some() || self.dials_at_ms[index] > now {
                continue;
            }
            let Some(standby) = &self.nodes[index].store else { continue };
            let mut session = Session::new(&self.nodes[index].name, standby.incarnation(), now, &mut self.random);
            let ended = session.act(now, &mut self.random);
            assert!(ended.is_none(), "a session does not end before its first message");
            self.sessions[index] = Some(session);
            self.trace.note(now, format_args!("{} dials", self.nodes[index].name));
        }
    }

    fn client(&mut self) {
        if self.is_calm && self.random.below(6) > 0 {
            return; // a little goes on in calm too: healing must not need silence
        }
        let command = Command::draw(&mut self.random);
        self.carry_out(command);
    }

    pub(super) fn carry_out(&mut self, command: Command) {
        let Some(store) = self.nodes[self.owner].store.clone() else { return };
        match command.carry_out(&store, self.clock_ms()) {
            Ok(Some((position, effects))) => self.oracle.accepted(position, effects),
            Ok(None) | Err(StoreError::DiskFull { .. }) => {} // nothing to do, or refused: the client knows
            Err(error) => self.owner_failed(&error),
        }
    }

    pub(super) fn owner_flushes(&mut self) -> Result<(), Broken> {
        let (now, owner) = (self.now_ms(), self.owner);
        let Some(store) = self.nodes[owner].store.clone() else { return Ok(()) };
        if !store.has_pending() {
            return Ok(());
        }
        match store.flush() {
            Ok(Position(position)) => {
                let promised = match self.durability {
                    Durability::Commit => position,
                    Durability::Interval => self.synced,
                };
                self.oracle.settle(promised);
                self.trace.note(now, format_args!("owner flushes up to {position}"));
                self.oracle.owner_shows(&store.facts()).map_err(Broken::of("I3 a version is never given twice"))?;
                for index in 0..self.sessions.len() {
                    let ended = self.sessions[index].as_mut().and_then(|session| session.published(now, &mut self.random));
                    if let Some(why) = ended {
                        self.end_session(index, &why);
                    }
                }
            }
            Err(StoreError::DiskFull { .. }) => self.trace.note(now, "owner's disk is full"),
            Err(error) => self.owner_failed(&error),
        }
        Ok(())
    }

    /// What a node does beside serving.
    fn upkeep(&mut self) {
        let (now, clock) = (self.now_ms(), self.clock_ms());
        let index = self.random.index(self.nodes.len());
        let Some(store) = self.nodes[index].store.clone() else { return };
        let is_owner = index == self.owner;
        store.relieve();
        let done = match self.random.below(4) {
            0 => store.checkpoint().map(|_| "checkpoint"),
            1 => store.sync().map(|()| "sync"),
            2 if !is_owner && store.has_pending() => store.flush().map(|_| "flush"),
            _ if is_owner => store.expire_due(clock, 20).map(|_| "expiry"),
            _ => return,
        };
        match done {
            Ok(what) => {
                self.trace.note(now, format_args!("{}: {what}", self.nodes[index].name));
                if is_owner && what != "expiry" && self.durability == Durability::Interval {
                    self.synced = store.horizon().0; // nothing was published since the sync: steps do not overlap
                    self.oracle.settle(self.synced);
                }
            }
            Err(StoreError::DiskFull { .. }) => self.trace.note(now, format_args!("{}: no room", self.nodes[index].name)),
            Err(error) => self.node_failed(index, &error),
        }
    }

    fn some_session(&mut self) -> Result<(), Broken> {
        let now = self.now_ms();
        let Some(owner) = self.nodes[self.owner].store.clone() else { return Ok(()) };
        let live: Vec<usize> = (0..self.sessions.len()).filter(|index| self.sessions[*index].is_some()).collect();
        if live.is_empty() {
            return Ok(());
        }
        let index = live[self.random.index(live.len())];
        let Some(standby) = self.nodes[index].store.clone() else { return Ok(()) };
        let session = self.sessions[index].as_mut().expect("it is live");
        let turns = session.turns(now);
        if turns.is_empty() {
            return Ok(());
        }
        let turn = turns[self.random.index(turns.len())];
        let outcome = session.step(turn, &owner, &standby, now, &mut self.random);
        self.after_turn(index, outcome)?;
        self.judge_standby(index)
    }

    fn after_turn(&mut self, index: usize, outcome: Outcome) -> Result<(), Broken> {
        let now = self.now_ms();
        match outcome {
            Outcome::Goes(what) => self.trace.note(now, format_args!("{}: {what}", self.nodes[index].name)),
            Outcome::Ends(why) => self.end_session(index, &why),
            Outcome::SourceFailed(StoreError::DiskFull { .. }) | Outcome::TargetFailed(StoreError::DiskFull { .. }) => {
                self.end_session(index, "no room");
            }
            Outcome::SourceFailed(error) => self.owner_failed(&error),
            Outcome::TargetFailed(error) => self.node_failed(index, &error),
            Outcome::Broken(rule, what) => return Err(Broken { rule, what }),
        }
        Ok(())
    }

    fn judge_standby(&mut self, index: usize) -> Result<(), Broken> {
        if let Some(standby) = &self.nodes[index].store {
            self.report.judged += check::every_standby_shows_a_version_of_its_owner(&self.oracle, standby)?;
        }
        Ok(())
    }

    pub(super) fn end_session(&mut self, index: usize, why: &str) {
        if self.sessions[index].take().is_some() {
            self.report.sessions += 1;
            self.dials_at_ms[index] = self.now_ms() + self.random.below(PAUSE_MS_MAX);
            self.trace.note(self.now_ms(), format_args!("{}: connection ends: {why}", self.nodes[index].name));
        }
    }

    pub(super) fn owner_failed(&mut self, error: &StoreError) {
        self.node_failed(self.owner, error);
    }

    /// A store that failed is given up; the process comes back with what the system has of its files. A disk that went down with the
    /// power keeps less.
    pub(super) fn node_failed(&mut self, index: usize, error: &StoreError) {
        let survivors = if self.random.one_in(2) { Survivors::All } else { Survivors::Some(self.random.draw()) };
        self.trace.note(self.now_ms(), format_args!("{} fails: {}", self.nodes[index].name, error.code()));
        self.down(index, survivors);
    }

    /// The node is gone for a while, and its connections with it.
    pub(super) fn down(&mut self, index: usize, survivors: Survivors) {
        let back = self.now_ms() + 1 + self.random.below(PAUSE_MS_MAX);
        if index == self.owner {
            (0..self.sessions.len()).for_each(|other| self.end_session(other, "the owner is gone"));
        } else {
            self.end_session(index, "the standby is gone");
        }
        self.nodes[index].stop(survivors, back);
    }
}
