//! What breaks in a world, and how it is mended when calm begins.

use std::io;

use limosa_store::disk::{self, Survivors};

use super::World;
use crate::fault::Fault;
use crate::workload::{self, Command};

/// Longest time that a link is frozen or a disk full, milliseconds.
const SPELL_MS_MAX: u64 = 400;
/// Effects on the disk within which a fault that waits for one strikes.
const EFFECTS_AHEAD: u64 = 40;

impl World {
    /// Brings about a fault, once in a while.
    pub(super) fn break_something(&mut self) {
        self.lift_spells();
        let Some(fault) = Fault::draw(&mut self.random) else { return };
        let index = self.random.index(self.nodes.len());
        if self.bring(fault, index) {
            *self.report.faults.entry(fault).or_default() += 1;
            let name = &self.nodes[index].name;
            self.trace.note(self.now_ms(), format_args!("FAULT {fault} ({name})"));
        }
    }

    /// No fault is left, and whatever was down comes back.
    pub(super) fn mend_everything(&mut self) {
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            node.disk.set_room(None);
            node.full_until_ms = 0;
            // A fault that still waits for its effect must not strike: it is put where no effect will be.
            node.disk.fault_at(u64::MAX, disk::Fault::Fail { kind: io::ErrorKind::Other, done: 0 });
        }
    }

    fn bring(&mut self, fault: Fault, index: usize) -> bool {
        let is_up = self.nodes[index].store.is_some();
        match fault {
            Fault::Kill if is_up => self.down(index, Survivors::All),
            Fault::PowerCut if is_up => {
                let survivors = if self.random.one_in(3) { Survivors::None } else { Survivors::Some(self.random.draw()) };
                self.down(index, survivors);
            }
            Fault::PowerCutAtEffect if is_up => self.fault_ahead(index, |done| disk::Fault::Crash { done }),
            Fault::DiskError if is_up => self.fault_ahead(index, |done| disk::Fault::Fail { kind: io::ErrorKind::Other, done }),
            Fault::DiskFull => {
                let room = self.nodes[index].disk.used() + self.random.below(20_000);
                self.nodes[index].disk.set_room(Some(room));
                self.nodes[index].full_until_ms = self.now_ms() + self.random.below(SPELL_MS_MAX);
            }
            Fault::Reset if self.sessions[index].is_some() => self.end_session(index, "reset"),
            Fault::Freeze => return self.freeze(index),
            Fault::FlippedBit => return self.flip(index),
            Fault::Promotion => return self.promote(index),
            Fault::EmptyDisk if index != self.owner => {
                self.end_session(index, "the disk is exchanged");
                let back = self.now_ms() + 1;
                self.nodes[index].lose_disk(back);
            }
            Fault::DeleteAll => self.carry_out(Command::DeleteAll),
            Fault::CleanRestart if is_up => return self.restart(index),
            _ => return false,
        }
        true
    }

    fn fault_ahead(&mut self, index: usize, fault: impl FnOnce(usize) -> disk::Fault) {
        let done = self.random.index(300);
        let at = self.nodes[index].disk.effects() + self.random.below(EFFECTS_AHEAD);
        self.nodes[index].disk.fault_at(at, fault(done));
    }

    fn freeze(&mut self, index: usize) -> bool {
        let until = self.now_ms() + self.random.below(SPELL_MS_MAX);
        let Some(session) = &mut self.sessions[index] else { return false };
        session.to_source.freeze(until);
        session.to_target.freeze(until);
        true
    }

    fn flip(&mut self, index: usize) -> bool {
        let Some(session) = &mut self.sessions[index] else { return false };
        let lane = if self.random.one_in(2) { &mut session.to_source } else { &mut session.to_target };
        lane.flip(&mut self.random)
    }

    /// An operator promotes a standby that is consistent, while the owner lives on: their histories part, and the old owner's own tail
    /// is set aside. What only the old owner had acknowledged is given up by that, which the oracle is told.
    fn promote(&mut self, index: usize) -> bool {
        if index == self.owner || !self.sessions[index].as_ref().is_some_and(|session| session.is_consistent) {
            return false;
        }
        let Some(store) = self.nodes[index].store.clone() else { return false };
        // The old owner goes on for a moment: what it takes now, nobody else will ever have.
        let command = Command::draw(&mut self.random);
        self.carry_out(command);
        (0..self.sessions.len()).for_each(|other| self.end_session(other, "another owner"));
        let flushed = store.flush().and_then(|_| store.open_epoch(0)).and_then(|_| workload::visible(&store, self.clock_ms()));
        match flushed {
            Err(error) => {
                self.node_failed(index, &error);
                false
            }
            Ok(found) => {
                self.owner = index;
                self.synced = store.horizon().0;
                self.oracle.adopt(found);
                true
            }
        }
    }

    fn restart(&mut self, index: usize) -> bool {
        let Some(store) = self.nodes[index].store.clone() else { return false };
        if let Err(error) = store.flush().and_then(|_| store.sync()) {
            self.node_failed(index, &error);
            return true;
        }
        self.down(index, Survivors::All);
        true
    }

    fn lift_spells(&mut self) {
        let now = self.now_ms();
        for node in &mut self.nodes {
            if node.full_until_ms != 0 && node.full_until_ms <= now {
                node.disk.set_room(None);
                node.full_until_ms = 0;
            }
        }
    }
}
