//! What nodes do beside serving: checkpoints, syncs, expiry, floors, scrubs; and what an operator copies.

use limosa_core::Scope;
use limosa_store::disk::Survivors;
use limosa_store::{Durability, Store, StoreError};

use super::World;
use crate::check::{self, Broken};
use crate::node::Copied;
use crate::point::{Step, When};

/// Longest time between two of these, over all nodes, microseconds.
const EVERY_US_MAX: u64 = 300_000;
/// Blocks swept at once.
const SWEPT_BLOCKS: usize = 4;
/// Keys that expire at once.
const EXPIRED_KEYS: usize = 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Chore {
    Checkpoint,
    Sync,
    Flush,
    Expiry,
    Floors,
    Sweep,
    Scrub,
    Copy,
}

impl World {
    pub(super) fn upkeep(&mut self) -> Result<(), Broken> {
        let now = self.now.us();
        self.upkeep_at_us = now + 1 + self.random.below(EVERY_US_MAX);
        let index = self.random.index(self.nodes.len());
        let is_owner = index == self.owner;
        let Some(store) = self.nodes[index].store.clone().filter(|_| self.nodes[index].paused_until_us <= now) else { return Ok(()) };
        store.relieve();
        let chore = self.chore(is_owner, &store);
        let step = step_of(chore);
        if step.is_some_and(|step| self.strikes(index, step, When::Before)) {
            return Ok(());
        }
        let done = match chore {
            Chore::Checkpoint => store.checkpoint().map(drop),
            Chore::Sync => store.sync(),
            Chore::Flush => store.flush().map(drop),
            Chore::Expiry => store.expire_due(store.now_ms(), EXPIRED_KEYS).map(drop),
            Chore::Floors => store.raise_floors(&Scope::All).map(drop),
            Chore::Sweep => store.sweep_some(SWEPT_BLOCKS).map(drop),
            Chore::Scrub => return self.scrub(index, &store),
            Chore::Copy => {
                self.copy(index);
                Ok(())
            }
        };
        if step.is_some_and(|step| self.strikes(index, step, When::Behind)) {
            return Ok(());
        }
        match done {
            Ok(()) => self.chore_done(index, chore, &store),
            Err(StoreError::DiskFull { .. }) => self.trace.note(now, format_args!("{}: no room", self.nodes[index].name)),
            Err(error) if check::is_typed_damage(&error) => self.report.refused_damage += 1,
            Err(error) => self.node_failed(index, &error),
        }
        if is_owner { Ok(()) } else { self.judge_standby(index) }
    }

    fn chore(&mut self, is_owner: bool, store: &Store) -> Chore {
        match self.random.below(16) {
            0..=3 => Chore::Checkpoint,
            4..=6 => Chore::Sync,
            7..=8 if !is_owner && store.has_pending() => Chore::Flush,
            7..=8 if is_owner => Chore::Expiry,
            9..=11 if is_owner => Chore::Floors,
            14 => Chore::Scrub,
            15 if !self.is_calm => Chore::Copy,
            _ => Chore::Sweep,
        }
    }

    fn chore_done(&mut self, index: usize, chore: Chore, store: &Store) {
        self.trace.note(self.now.us(), format_args!("{}: {chore:?}", self.nodes[index].name));
        if index != self.owner {
            return;
        }
        if matches!(chore, Chore::Checkpoint | Chore::Sync) && self.durability == Durability::Interval {
            self.synced = store.horizon().0; // nothing was published since the sync: events do not overlap
            self.oracle.settle(self.synced);
        }
        if store.has_pending() {
            self.commit_soon();
        }
    }

    /// Reads everything again.
    fn scrub(&mut self, index: usize, store: &Store) -> Result<(), Broken> {
        if self.nodes[index].may_rot {
            let is_sound = check::all_is_sound(store, &self.nodes[index].name)?;
            self.trace.note(
                self.now.us(),
                format_args!("{}: scrub finds {}", self.nodes[index].name, if is_sound { "nothing" } else { "damage" }),
            );
        }
        Ok(())
    }

    /// Somebody copies the disk, as it would be after a crash.
    fn copy(&mut self, index: usize) {
        if self.random.one_in(4) && !self.nodes[index].may_rot {
            let disk = self.nodes[index].disk.restart(Survivors::None);
            let copied = Copied { disk, oracle: self.oracle.clone(), tenure: self.tenure, is_whole: self.nodes[index].is_whole };
            self.nodes[index].copy = Some(copied);
        }
    }
}

fn step_of(chore: Chore) -> Option<Step> {
    match chore {
        Chore::Checkpoint => Some(Step::Checkpoint),
        Chore::Sync => Some(Step::Sync),
        Chore::Floors | Chore::Sweep => Some(Step::House),
        _ => None,
    }
}
