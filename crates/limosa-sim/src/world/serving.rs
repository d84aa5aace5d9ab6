//! The owner's side of a world: clients, commits, and who is the owner.

use limosa_store::{Durability, Position, StoreError};

use super::World;
use crate::check::{self, Broken};
use crate::oracle::Model;
use crate::point::{Step, When};
use crate::session::Session;
use crate::workload::{self, Command};

/// Keys that may have changed before they are compared.
const TOUCHED_MAX: usize = 24;
/// Longest time that clients are busy, microseconds.
const BUSY_US_MAX: u64 = 1_500_000;

impl World {
    pub(super) fn client(&mut self) -> Result<(), Broken> {
        let now = self.now.us();
        let is_busy = now < self.busy_until_us;
        if !is_busy && self.random.one_in(12) {
            self.busy_until_us = now + self.random.below(BUSY_US_MAX);
        }
        let most = if is_busy { 30_000 } else { 700_000 };
        self.client_at_us = now + 1 + self.random.below(if self.is_calm { 2_000_000 } else { most });
        let command = Command::draw(&mut self.random);
        self.carry_out(command);
        if self.touched.len() >= TOUCHED_MAX { self.compare(false) } else { Ok(()) }
    }

    pub(super) fn carry_out(&mut self, command: Command) {
        if self.nodes[self.owner].paused_until_us > self.now.us() {
            return;
        }
        let Some(store) = self.nodes[self.owner].store.clone() else { return };
        match command.keys() {
            Some(keys) => self.touched.extend(keys),
            None => self.touched.extend(workload::all_keys()),
        }
        match command.carry_out(&store, store.now_ms()) {
            Ok(Some((position, effects))) => {
                self.oracle.accepted(position, effects);
                self.commit_soon();
            }
            Ok(None) => {}
            Err(error) => self.client_met(&error),
        }
    }

    /// A client's command failed: refused, which it knows; or the store has failed.
    pub(super) fn client_met(&mut self, error: &StoreError) {
        match error {
            StoreError::DiskFull { .. } => {}
            error if check::is_typed_damage(error) => self.report.refused_damage += 1,
            error => self.owner_failed(error),
        }
    }

    /// Something waits at the owner for its journal.
    pub(super) fn commit_soon(&mut self) {
        if self.flush_at_us.is_none() {
            let slowness = self.slowness(self.owner);
            self.flush_at_us = Some(self.now.us() + (200 + self.random.below(3_000)) * slowness);
        }
    }

    pub(super) fn owner_flushes(&mut self) -> Result<(), Broken> {
        let (now, owner) = (self.now.us(), self.owner);
        self.flush_at_us = None;
        let Some(store) = self.nodes[owner].store.clone() else { return Ok(()) };
        if !store.has_pending() || self.strikes(owner, Step::Commit, When::Before) {
            return Ok(());
        }
        match store.flush() {
            Ok(Position(position)) => {
                if self.strikes(owner, Step::Commit, When::Behind) {
                    return Ok(());
                }
                let promised = match self.durability {
                    Durability::Commit => position,
                    Durability::Interval => self.synced,
                };
                if !self.strikes(owner, Step::Commit, When::ReplyLost) {
                    self.oracle.settle(promised);
                }
                self.trace.note(now, format_args!("owner flushes up to {position}"));
                self.versions.owner_shows(&mut self.oracle, &store.facts())?;
                self.tell_sessions();
            }
            Err(error) => self.flush_failed(owner, &error),
        }
        Ok(())
    }

    fn flush_failed(&mut self, index: usize, error: &StoreError) {
        match error {
            StoreError::DiskFull { .. } => {
                self.trace.note(self.now.us(), "owner's disk is full");
                self.commit_soon(); // again
            }
            error if check::is_typed_damage(error) => {
                self.report.refused_damage += 1;
                self.commit_soon();
            }
            error => self.node_failed(index, error),
        }
    }

    /// The owner has published.
    fn tell_sessions(&mut self) {
        for index in 0..self.sessions.len() {
            let ended = self.with_session(index, Session::published);
            if let Some(Some(why)) = ended {
                self.end_session(index, &why);
            }
        }
    }

    pub(super) fn owner_starts(&mut self) -> Result<(), Broken> {
        let now = self.now.us();
        let store = self.nodes[self.owner].store.clone().expect("it has started");
        let Some((found, unreadable)) = self.read_owner() else { return Ok(()) };
        let kept = check::nothing_acknowledged_is_lost(&mut self.oracle, &found, &unreadable, store.now_ms())?;
        self.trace.note(now, format_args!("{kept} unacknowledged commits were kept"));
        self.take_office(found, false)
    }

    /// The owner opens an epoch of its own. What `found` says is what it shows.
    pub(super) fn take_office(&mut self, found: Model, is_new: bool) -> Result<(), Broken> {
        let owner = self.owner;
        if self.strikes(owner, Step::Promote, When::Before) {
            return Ok(());
        }
        let store = self.nodes[owner].store.clone().expect("it runs");
        if let Err(error) = store.open_epoch(0) {
            self.owner_failed(&error);
            return Ok(());
        }
        if is_new {
            self.oracle.adopt(found);
        }
        if self.strikes(owner, Step::Promote, When::Behind) {
            return Ok(());
        }
        self.nodes[owner].is_whole = true;
        self.synced = store.horizon().0;
        self.versions.begin();
        self.versions.owner_shows(&mut self.oracle, &store.facts())
    }
}
