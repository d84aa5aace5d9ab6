//! What goes on in a world beside its clients: starts, dials, messages and jobs, and how nodes go down.

use limosa_store::StoreError;
use limosa_store::disk::{MemoryDisk, Survivors};

use super::World;
use crate::check::{self, Broken};
use crate::link::Path;
use crate::point::{Point, Step, When};
use crate::session::{self, Around, Outcome, Session};

/// Longest pause before a node is started, or dials, again; microseconds.
const PAUSE_US_MAX: u64 = 300_000;
/// How many times longer a slow disk takes.
const SLOWNESS: u64 = 80;

impl World {
    pub(super) fn start(&mut self, index: usize) -> Result<(), Broken> {
        let now = self.now.us();
        self.report.starts += 1;
        if let Err(error) = self.nodes[index].start() {
            return self.start_failed(index, &error);
        }
        self.trace.note(now, format_args!("{} starts", self.nodes[index].name));
        if index == self.owner { self.owner_starts() } else { self.judge_standby(index) }
    }

    /// A start may fail for what was broken on purpose; then it is tried again, or the disk is exchanged.
    fn start_failed(&mut self, index: usize, error: &StoreError) -> Result<(), Broken> {
        let now = self.now.us();
        self.trace.note(now, format_args!("{} does not start: {}", self.nodes[index].name, error.code()));
        let back = now + 1 + self.random.below(PAUSE_US_MAX);
        match error {
            StoreError::DiskFull { .. } | StoreError::Io { .. } | StoreError::Poisoned { .. } => {
                self.nodes[index].stop(Survivors::All, back);
                Ok(())
            }
            error if check::is_typed_damage(error) && self.nodes[index].may_rot => {
                self.report.refused_damage += 1;
                self.condemn(index, back)
            }
            other => Err(Broken { rule: "what a crash leaves can be opened", what: format!("{}: {other}", self.nodes[index].name) }),
        }
    }

    /// The disk can't be used any more: the node comes back with an empty one, and if it was the owner, another one takes over.
    fn condemn(&mut self, index: usize, back_at_us: u64) -> Result<(), Broken> {
        if index == self.owner {
            let heir =
                (0..self.nodes.len()).find(|other| *other != index && self.nodes[*other].is_whole && self.nodes[*other].store.is_some());
            let Some(heir) = heir else {
                self.nodes[index].stop(Survivors::All, back_at_us); // until one is up
                return Ok(());
            };
            self.promote(heir)?;
        }
        if index != self.owner {
            self.trace.note(self.now.us(), format_args!("{} gets another disk", self.nodes[index].name));
            self.nodes[index].change_disk(MemoryDisk::new(), false, back_at_us);
            self.sent[index].agreed();
        }
        Ok(())
    }

    pub(super) fn dial(&mut self, index: usize) {
        let now = self.now.us();
        let closed = self.paths[index].closed_until_us();
        if closed > now {
            self.dials_at_us[index] = closed.min(now + 1_000_000) + self.random.below(100_000);
            return;
        }
        let Some(standby) = &self.nodes[index].store else { return };
        let sent = std::mem::take(&mut self.sent[index]);
        let session = Session::new(&self.nodes[index].name, standby.incarnation(), now, sent, &mut self.random);
        self.sessions[index] = Some(session);
        if let Some(session) = self.sessions[index].as_mut().filter(|_| self.reframed[index]) {
            session.excuse(); // what it is sent may be about fragments that it does not have any more
        }
        let ended = self.with_session(index, Session::act);
        assert!(ended.is_some_and(|ended| ended.is_none()), "a session does not end before its first message");
        self.trace.note(now, format_args!("{} dials", self.nodes[index].name));
    }

    /// Lends a session what it happens in. Nothing when it, or one of its ends, is not there.
    pub(super) fn with_session<T>(&mut self, index: usize, f: impl FnOnce(&mut Session, &mut Around<'_>) -> T) -> Option<T> {
        let slowness = (self.slowness(self.owner), self.slowness(index));
        let owner = self.nodes[self.owner].store.as_ref()?;
        let standby = self.nodes[index].store.as_ref()?;
        let session = self.sessions[index].as_mut()?;
        let path: &mut Path = &mut self.paths[index];
        let mut around = Around { now_us: self.now.us(), owner, standby, path, random: &mut self.random, slowness };
        Some(f(session, &mut around))
    }

    pub(super) fn session_turn(&mut self, index: usize, turn: session::Turn) -> Result<(), Broken> {
        let step = self.sessions[index].as_ref().and_then(|session| session.step_of(turn));
        let node = if matches!(turn, session::Turn::SourceJob) { self.owner } else { index };
        if step.is_some_and(|step| self.strikes(node, step, When::Before)) {
            return Ok(());
        }
        let before = self.nodes[index].store.as_ref().map(limosa_store::Store::horizon);
        let Some(outcome) = self.with_session(index, |session, around| session.step(turn, around)) else { return Ok(()) };
        if let Some(step) = step {
            if self.strikes(node, step, When::Behind) {
                return Ok(());
            }
            if self.strikes(node, step, When::ReplyLost) {
                self.end_session(index, "a reply is lost");
                return Ok(());
            }
        }
        self.after_turn(index, outcome)?;
        if step == Some(Step::Apply) {
            self.spring_ambush(index)?;
        }
        let after = self.nodes[index].store.as_ref().map(limosa_store::Store::horizon);
        if before == after { Ok(()) } else { self.judge_standby(index) }
    }

    fn after_turn(&mut self, index: usize, outcome: Outcome) -> Result<(), Broken> {
        let now = self.now.us();
        match outcome {
            Outcome::Goes(what, of) => {
                self.trace.note(now, format_args!("{}: {what} {of}", self.nodes[index].name));
                if self.sessions[index].as_ref().is_some_and(|session| session.is_consistent) {
                    self.nodes[index].is_whole = true;
                    self.reframed[index] = false;
                }
            }
            Outcome::Ends(why) => self.end_session(index, &why),
            Outcome::SourceFailed(error) => self.job_failed(self.owner, index, &error),
            Outcome::TargetFailed(error) if check::is_typed_damage(&error) && self.waits_in_vain(index) => {
                self.report.refused_damage += 1;
                self.end_session(index, "a damaged block that nobody has any more");
                let back = now + 1 + self.random.below(PAUSE_US_MAX);
                return self.condemn(index, back);
            }
            Outcome::TargetFailed(error) => self.job_failed(index, index, &error),
            Outcome::Broken(broken) => return Err(broken),
        }
        Ok(())
    }

    /// A standby that is behind has a damaged block, and its owner, which has written there since, can't send that one. The standby says so,
    /// and somebody must act: it gets another disk.
    fn waits_in_vain(&self, index: usize) -> bool {
        self.nodes[index].may_rot && self.sessions[index].as_ref().is_some_and(Session::waits_in_vain)
    }

    pub(super) fn job_failed(&mut self, node: usize, session: usize, error: &StoreError) {
        match error {
            StoreError::DiskFull { .. } => self.end_session(session, "no room"),
            error if check::is_typed_damage(error) => {
                self.report.refused_damage += 1;
                self.end_session(session, "a damaged block");
            }
            error => self.node_failed(node, error),
        }
    }

    pub(super) fn judge_standby(&mut self, index: usize) -> Result<(), Broken> {
        if let Some(standby) = &self.nodes[index].store {
            self.report.judged += check::every_standby_shows_a_version_of_its_owner(&self.oracle, standby)?;
        }
        Ok(())
    }

    /// Whether the armed crash point is this one; then it happens. Of a lost reply the caller takes care.
    pub(super) fn strikes(&mut self, index: usize, step: Step, when: When) -> bool {
        let Some((point, until)) = self.armed else { return false };
        if until < self.now.us() || self.is_calm {
            self.armed = None;
            return false;
        }
        if point != (Point { step, when }) {
            return false;
        }
        self.armed = None;
        *self.report.points.entry(point).or_default() += 1;
        self.trace.note(self.now.us(), format_args!("FAULT crash point: {point} ({})", self.nodes[index].name));
        if when != When::ReplyLost {
            let survivors = match self.random.below(3) {
                0 => Survivors::All,
                1 => Survivors::None,
                _ => Survivors::Some(self.random.draw()),
            };
            self.down(index, survivors);
        }
        true
    }

    pub(super) fn end_session(&mut self, index: usize, why: &str) {
        if let Some(session) = self.sessions[index].take() {
            self.sent[index] = session.end();
            self.sent[index].interrupted();
            self.report.sessions += 1;
            self.dials_at_us[index] = self.now.us() + self.random.below(PAUSE_US_MAX);
            self.trace.note(self.now.us(), format_args!("{}: connection ends: {why}", self.nodes[index].name));
        }
    }

    pub(super) fn owner_failed(&mut self, error: &StoreError) {
        self.node_failed(self.owner, error);
    }

    /// A store that failed is given up; the process comes back with what the system has of its files. A disk that went down with the
    /// power keeps less.
    pub(super) fn node_failed(&mut self, index: usize, error: &StoreError) {
        let survivors = if self.random.one_in(2) { Survivors::All } else { Survivors::Some(self.random.draw()) };
        self.trace.note(self.now.us(), format_args!("{} fails: {}", self.nodes[index].name, error.code()));
        self.down(index, survivors);
    }

    /// The node is gone for a while, and its connections with it.
    pub(super) fn down(&mut self, index: usize, survivors: Survivors) {
        let back = self.now.us() + 1 + self.random.below(PAUSE_US_MAX);
        if index == self.owner {
            (0..self.sessions.len()).for_each(|other| self.end_session(other, "the owner is gone"));
            self.flush_at_us = None;
        } else {
            self.end_session(index, "the standby is gone");
        }
        if survivors != Survivors::All {
            self.sent[index].agreed(); // what was staged may be gone with the power
        }
        self.nodes[index].stop(survivors, back);
    }

    pub(super) fn slowness(&self, index: usize) -> u64 {
        if self.nodes[index].slow_until_us > self.now.us() { SLOWNESS } else { 1 }
    }
}
