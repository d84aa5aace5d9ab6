//! What breaks in a world, and how it is mended when calm begins.

use std::io;

use limosa_store::disk::{self, Survivors};

use super::World;
use crate::check::{self, Broken};
use crate::fault::Fault;
use crate::link::{Spoil, Way};
use crate::point::{Point, Step, When};
use crate::workload::{self, Command};

/// Longest time that something is blocked, full, slow or still, microseconds.
const SPELL_US_MAX: u64 = 3_000_000;
/// A connection that nothing comes through for so long is given up, microseconds.
const DEAD_US: u64 = 2_000_000;
/// Effects on the disk within which a fault that waits for one strikes.
const EFFECTS_AHEAD: u64 = 40;
/// How long a crash point waits for its step, microseconds.
const ARMED_US: u64 = 8_000_000;

/// What waits for a stage that is being filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ambush {
    /// A frame of an earlier session comes.
    LateFrame,
    /// Fragments are split or merged, and the connection is cut.
    Reframe {
        /// Split, or merged.
        splits: bool,
    },
}

impl World {
    /// Brings about a fault; the next one comes soon after it, or a while later.
    pub(super) fn break_something(&mut self) -> Result<(), Broken> {
        let now = self.now.us();
        self.fault_at_us = now
            + match self.random.below(10) {
                0..=3 => self.random.below(40_000),
                4..=6 => self.random.below(600_000),
                _ => self.random.below(5_000_000),
            };
        self.lift_spells();
        let fault = Fault::draw(&mut self.random);
        let index = self.random.index(self.nodes.len());
        if self.bring(fault, index)? {
            *self.report.faults.entry(fault).or_default() += 1;
            self.trace.note(now, format_args!("FAULT {fault} ({})", self.nodes[index].name));
        }
        Ok(())
    }

    /// No fault is left, and whatever was down comes back.
    pub(super) fn mend_everything(&mut self) {
        (self.armed, self.ambush) = (None, None);
        self.paths.iter_mut().for_each(crate::link::Path::mend);
        let now = self.now.us();
        for node in &mut self.nodes {
            node.disk.set_room(None);
            node.disk.fail_read(None);
            // A fault that still waits for its effect must not strike: it is put where no effect will be.
            node.disk.fault_at(u64::MAX, disk::Fault::Fail { kind: io::ErrorKind::Other, done: 0 });
            node.clock.mend();
            (node.paused_until_us, node.slow_until_us) = (0, 0);
            node.back_at_us = node.back_at_us.min(now + 1);
        }
    }

    fn bring(&mut self, fault: Fault, index: usize) -> Result<bool, Broken> {
        let (now, is_up, spell) = (self.now.us(), self.nodes[index].store.is_some(), 1 + self.random.below(SPELL_US_MAX));
        match fault {
            Fault::Kill if is_up => self.down(index, Survivors::All),
            Fault::PowerCut if is_up => {
                let survivors = if self.random.one_in(3) { Survivors::None } else { Survivors::Some(self.random.draw()) };
                self.down(index, survivors);
            }
            Fault::PowerCutAtEffect if is_up => self.fault_ahead(index, |done| disk::Fault::Crash { done }),
            Fault::CrashPoint if self.armed.is_none() => self.armed = Some((Point::draw(&mut self.random), now + ARMED_US)),
            Fault::Pause if is_up => self.nodes[index].paused_until_us = now + spell,
            Fault::CleanRestart if is_up => return Ok(self.restart(index)),
            Fault::WriteError if is_up => self.fault_ahead(index, |done| disk::Fault::Fail { kind: io::ErrorKind::Other, done }),
            Fault::ReadError if is_up => self.nodes[index].disk.fail_read(Some(self.random.below(20))),
            Fault::DiskFull => {
                let room = self.nodes[index].disk.used() + self.random.below(20_000);
                self.nodes[index].disk.set_room(Some(room));
            }
            Fault::SlowDisk => self.nodes[index].slow_until_us = now + spell,
            Fault::BitRot => return Ok(self.rot(index)),
            Fault::MisdirectedWrite => return Ok(self.misdirect(index)),
            Fault::EmptyDisk => return Ok(self.empty_disk(index)),
            Fault::OlderDisk => return Ok(self.older_disk(index)),
            Fault::ClockJump => self.jump_clock(index),
            Fault::ClockFreeze => self.nodes[index].clock.freeze(true),
            Fault::Promotion => return self.change_owner(index),
            Fault::Toggle => return self.toggle(index),
            Fault::Split | Fault::Merge if self.random.one_in(2) => self.ambush = Some(Ambush::Reframe { splits: fault == Fault::Split }),
            Fault::Split | Fault::Merge => return self.reframe(fault == Fault::Split),
            Fault::DeleteAll => self.carry_out(Command::DeleteAll),
            fault => return Ok(self.bring_to_the_network(fault, index, spell)),
        }
        let works_without_a_process = matches!(
            fault,
            Fault::DiskFull | Fault::SlowDisk | Fault::ClockJump | Fault::ClockFreeze | Fault::CrashPoint | Fault::Split | Fault::Merge
        );
        Ok(works_without_a_process || is_up)
    }

    fn bring_to_the_network(&mut self, fault: Fault, index: usize, spell: u64) -> bool {
        let until = self.now.us() + spell;
        if index == self.owner {
            return false;
        }
        match fault {
            Fault::Partition => self.block(index, &[Way::ToSource, Way::ToTarget], until),
            Fault::OneWayPartition => {
                let way = if self.random.one_in(2) { Way::ToSource } else { Way::ToTarget };
                self.block(index, &[way], until);
            }
            Fault::SlowLink => self.paths[index].slow(until, &mut self.random),
            Fault::Reset if self.sessions[index].is_some() => self.end_session(index, "reset"),
            Fault::FlippedBit | Fault::Truncation => {
                let Some(session) = &mut self.sessions[index] else { return false };
                let lane = if self.random.one_in(2) { &mut session.to_source } else { &mut session.to_target };
                lane.spoil_next(if fault == Fault::FlippedBit { Spoil::Flip } else { Spoil::Truncate });
            }
            Fault::LateFrame => self.ambush = Some(Ambush::LateFrame),
            _ => return false,
        }
        true
    }

    /// A connection whose ends hear nothing for long is given up: both ends find out about the same time.
    fn block(&mut self, index: usize, ways: &[Way], until: u64) {
        for way in ways {
            self.paths[index].hold(*way, until);
            if let Some(session) = &mut self.sessions[index] {
                match way {
                    Way::ToSource => session.to_source.hold(until),
                    Way::ToTarget => session.to_target.hold(until),
                }
            }
        }
        if until > self.now.us() + DEAD_US {
            self.end_session(index, "nothing came for too long");
        }
    }

    /// A stage is being filled: what waited for that happens.
    pub(super) fn spring_ambush(&mut self, index: usize) -> Result<(), Broken> {
        match self.ambush.take() {
            None => Ok(()),
            Some(Ambush::LateFrame) => self.late_frame(index).map(drop),
            Some(Ambush::Reframe { splits }) => {
                self.reframe(splits)?;
                self.end_session(index, "reset in the middle of a transfer");
                Ok(())
            }
        }
    }

    fn late_frame(&mut self, index: usize) -> Result<bool, Broken> {
        let (Some(session), Some(standby)) = (&self.sessions[index], &self.nodes[index].store) else { return Ok(false) };
        let which = self.random.index(8);
        let Some(frame) = session.late_frame(which) else { return Ok(false) };
        let outcome = check::a_late_frame_changes_nothing_that_is_shown(standby, frame)?;
        self.trace.note(self.now.us(), format_args!("{}: a late frame: {outcome:?}", self.nodes[index].name));
        if let Some(session) = &mut self.sessions[index] {
            session.excuse(); // the stage may be another one now: what is refused has its cause
        }
        match outcome {
            Ok(_) => Ok(true),
            Err(error) => {
                self.job_failed(index, index, &error);
                Ok(true)
            }
        }
    }

    fn fault_ahead(&mut self, index: usize, fault: impl FnOnce(usize) -> disk::Fault) {
        let done = self.random.index(300);
        let at = self.nodes[index].disk.effects() + self.random.below(EFFECTS_AHEAD);
        self.nodes[index].disk.fault_at(at, fault(done));
    }

    fn jump_clock(&mut self, index: usize) {
        let far = [1_000, 60_000, 3_600_000, 30 * 3_600_000][self.random.index(4)];
        let by = 1 + i64::try_from(self.random.below(far)).expect("hours fit");
        self.nodes[index].clock.jump(if self.random.one_in(2) { by } else { -by });
    }

    /// An operator promotes a standby while the owner lives on: their histories part, and the old owner's own tail is set aside.
    fn change_owner(&mut self, index: usize) -> Result<bool, Broken> {
        if index == self.owner || !self.sessions[index].as_ref().is_some_and(|session| session.is_consistent) {
            return Ok(false);
        }
        // The old owner goes on for a moment: what it takes now, nobody else will ever have.
        let command = Command::draw(&mut self.random);
        self.carry_out(command);
        self.promote(index)
    }

    /// As [`World::change_owner`], of a node that may be behind, or an owner that was called back before it followed anybody.
    fn toggle(&mut self, index: usize) -> Result<bool, Broken> {
        let other = self.owner;
        let is_ready = index != other && self.nodes[index].is_whole && self.nodes[other].is_whole && self.nodes[other].store.is_some();
        if !is_ready || !self.promote(index)? {
            return Ok(false);
        }
        let command = Command::draw(&mut self.random);
        self.carry_out(command);
        if self.random.one_in(2) { self.promote(other) } else { Ok(true) }
    }

    /// Makes a node the owner. What only the old one had acknowledged is given up by that, which the oracle is told.
    pub(super) fn promote(&mut self, index: usize) -> Result<bool, Broken> {
        if index == self.owner || self.nodes.iter().any(|node| node.may_rot && node.name != self.nodes[self.owner].name) {
            return Ok(false); // a node whose disk is damaged may need the others
        }
        let Some(store) = self.nodes[index].store.clone() else { return Ok(false) };
        (0..self.sessions.len()).for_each(|other| self.end_session(other, "another owner"));
        // Synced, so that a power cut behind the promotion takes nothing of what now counts. Deadlines do not count: clocks may go back.
        let flushed = store.flush().and_then(|_| store.sync()).and_then(|()| workload::visible(&store, 0));
        match flushed {
            Err(error) => {
                self.job_failed(index, index, &error);
                Ok(false)
            }
            Ok(found) => {
                self.judge_standby(index)?;
                self.owner = index;
                self.tenure += 1;
                self.flush_at_us = None;
                self.touched.clear();
                self.sent.iter_mut().for_each(check::Sent::agreed);
                self.trace.note(self.now.us(), format_args!("{} is the owner", self.nodes[index].name));
                self.oracle.adopt(found.clone());
                self.take_office(found, true)?;
                Ok(true)
            }
        }
    }

    fn restart(&mut self, index: usize) -> bool {
        let Some(store) = self.nodes[index].store.clone() else { return false };
        match store.flush().and_then(|_| store.sync()) {
            Err(error) => self.job_failed(index, index, &error),
            Ok(()) => self.down(index, Survivors::All),
        }
        true
    }

    /// The owner splits a fragment, or merges two neighbours.
    fn reframe(&mut self, splits: bool) -> Result<bool, Broken> {
        let owner = self.owner;
        let Some(store) = self.nodes[owner].store.clone() else { return Ok(false) };
        if self.strikes(owner, Step::Reframe, When::Before) {
            return Ok(true);
        }
        let facts = store.facts();
        let at = self.random.index(facts.len());
        let done = if splits && facts.len() < 12 {
            store.split_point(facts[at].id).and_then(|point| store.split(facts[at].id, &point)).map(drop)
        } else if !splits && facts.len() > 2 {
            let mut facts = facts;
            facts.sort_by(|left, right| left.range.start.cmp(&right.range.start));
            let at = at.min(facts.len() - 2);
            store.merge(facts[at].id, facts[at + 1].id).map(drop)
        } else {
            return Ok(false);
        };
        if self.strikes(owner, Step::Reframe, When::Behind) {
            return Ok(true);
        }
        self.sent.iter_mut().for_each(check::Sent::agreed);
        self.reframed.fill(true);
        for session in self.sessions.iter_mut().flatten() {
            session.restarts();
            session.excuse();
        }
        match done {
            Ok(()) => {
                self.oracle_catches_up();
                self.versions.owner_shows(&mut self.oracle, &store.facts())?;
                self.commit_soon();
                Ok(true)
            }
            Err(limosa_store::ReframeError::Store(error)) => {
                self.job_failed(owner, usize::from(owner == 0), &error);
                Ok(false)
            }
            Err(_) => Ok(false),
        }
    }

    /// A split or merge flushes what pended before it.
    fn oracle_catches_up(&mut self) {
        if self.durability == limosa_store::Durability::Commit
            && let Some(store) = &self.nodes[self.owner].store
        {
            self.oracle.settle(store.horizon().0);
        }
    }

    fn lift_spells(&mut self) {
        for node in &mut self.nodes {
            if self.random.one_in(4) {
                node.disk.set_room(None);
            }
            if self.random.one_in(6) {
                node.clock.freeze(false);
            }
        }
    }
}
