//! The last step of a move, at both ends: park, seal, verify, COMMIT.
//!
//! # Invariants
//! - COMMIT is sent only for a version and digest that the target has said to be its own, durably, while the source is parked there.
//! - Before COMMIT was sent the source may serve on by itself. From then on it is parked until a newer cell than the one that COMMIT
//!   names is seen: no timer ends that.

use std::collections::BTreeSet;
use std::time::Duration;

use limosa_core::cell::Sealed;
use limosa_core::{Digest, FragmentCell, NodeName, Version};
use limosa_wire::{MoveAt, OwnershipMessage};

use super::action::{Action, Gate, Job};
use super::config::Plant;
use super::moving::Step;
use super::report::{Blocked, MoveError};
use super::seat::Seat;
use super::shared::Shared;
use super::step::Wish;

/// How often the target is told of the seal again, and how long stragglers among the members are waited for: shares of the longest park.
const TELL_AGAIN: u32 = 10;
const STRAGGLERS: u32 = 20;

/// The target's side: a seal that it was told of, and one that it stands at.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrival {
    seal: Option<MoveAt>,
    ready: Option<MoveAt>,
    is_asked: bool,
}

impl Arrival {
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether this node stood at the sealed version of the move under way.
    pub(super) fn is_ready(&self, cell: &FragmentCell) -> bool {
        let running = cell.running.as_ref().map(|running| running.id);
        self.ready.is_some_and(|ready| Some(ready.move_id) == running && ready.epoch == cell.epoch)
    }
}

impl Seat {
    // ---- The source.

    pub(super) fn begin_cutover(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let Some(moving) = &mut self.moving else { return };
        if s.now < moving.rest_until {
            return s.wake_at(moving.rest_until);
        }
        if s.cutting.len() >= s.config.cutovers_max {
            moving.blocked = Some(Blocked::Queued);
            return s.wake_at(s.now + s.config.seal_max / TELL_AGAIN);
        }
        // The source stays as a member; with the others that are there, enough must hold the last version.
        let others = cell.sync_set.iter().filter(|node| **node != moving.to).cloned().collect::<BTreeSet<_>>();
        let need = usize::from(cell.flushed_min);
        let have = 1 + others.len();
        if have < need {
            moving.blocked = Some(Blocked::Members { have, need });
            return;
        }
        moving.blocked = None;
        moving.tries += 1;
        moving.parked_since = Some(s.now);
        moving.step = Step::Sealing { since: s.now };
        s.cutting.insert(self.id);
        s.wake_at(s.now + s.config.seal_max);
        self.set_gate(s, Gate::Parked);
        self.job(s, Job::Digest { fragment: self.id, at: Version::ZERO });
    }

    pub(super) fn settle_sealing(&mut self, s: &mut Shared, since: Duration) {
        if s.is_past(since, s.config.seal_max) {
            self.unseal(s, "the flush took too long");
        }
    }

    /// The source's last version is flushed.
    fn sealed(&mut self, version: Version, state: Digest) {
        let (fragment, epoch) = (self.id, self.epoch());
        let Some(moving) = &mut self.moving else { return };
        let Step::Sealing { since } = moving.step else { return };
        let at = MoveAt { move_id: moving.id, fragment, epoch, version, state };
        moving.step = Step::Verifying { at, since, told_at: None, ready_at: None };
    }

    pub(super) fn settle_verifying(
        &mut self,
        s: &mut Shared,
        cell: &FragmentCell,
        at: MoveAt,
        since: Duration,
        (told_at, ready_at): (Option<Duration>, Option<Duration>),
    ) {
        let tell_again = s.config.seal_max / TELL_AGAIN;
        if ready_at.is_none() && told_at.is_none_or(|told| s.is_past(told, tell_again)) {
            let Some(moving) = &mut self.moving else { return };
            moving.step = Step::Verifying { at, since, told_at: Some(s.now), ready_at };
            let to = moving.to.clone();
            s.send(&to, OwnershipMessage::Seal(at));
            s.wake_at(s.now + tell_again);
        }
        let complete = ready_at.and_then(|ready_at| self.complete_at(s, cell, at.version, ready_at));
        if let Some(sync_set) = complete {
            return self.commit(s, cell, at, sync_set);
        }
        if s.is_past(since, s.config.seal_max) {
            let why = self.moving.as_ref().map_or_else(String::new, |moving| moving.not_ready.clone());
            self.unseal(s, &why);
        }
    }

    /// The new sync set, once enough hold the last version, and all of those who are about to.
    fn complete_at(&self, s: &mut Shared, cell: &FragmentCell, version: Version, ready_at: Duration) -> Option<BTreeSet<NodeName>> {
        let to = &self.moving.as_ref()?.to;
        let others: BTreeSet<NodeName> = cell.sync_set.iter().filter(|node| *node != to).cloned().collect();
        let mut complete = self.holding(&others, version);
        // A member that is away is not waited for: everybody is parked meanwhile.
        let is_all = others.iter().all(|node| complete.contains(node) || !self.is_live(node));
        complete.insert(s.config.node.clone());
        let is_enough = complete.len() >= usize::from(cell.flushed_min);
        let has_waited = is_all || s.is_past(ready_at, s.config.seal_max / STRAGGLERS);
        (is_enough && has_waited).then_some(complete)
    }

    fn commit(&mut self, s: &mut Shared, cell: &FragmentCell, at: MoveAt, sync_set: BTreeSet<NodeName>) {
        let Some(moving) = &mut self.moving else { return };
        moving.step = Step::Committing { at, sync_set: sync_set.clone(), since: s.now };
        self.settle_committing(s, cell, at, sync_set, s.now);
    }

    pub(super) fn settle_committing(
        &mut self,
        s: &mut Shared,
        cell: &FragmentCell,
        at: MoveAt,
        sync_set: BTreeSet<NodeName>,
        since: Duration,
    ) {
        let me = s.config.node.clone();
        let sealed = Sealed { version: at.version, state: at.state, sync_set };
        if self.moving.as_ref().is_some_and(|moving| s.now >= moving.deadline) {
            // Either this or the COMMIT that may be on its way is made, never both: the cell tells.
            self.wish(s, Wish::Abort, cell.abort(&me, at.move_id, s.unix_ms()));
        } else {
            self.wish(s, Wish::Commit, cell.commit(&me, at.move_id, sealed));
        }
        if s.config.has(Plant::UnsealsAfterCommit) && s.is_past(since, s.config.seal_max) {
            self.unseal(s, "planted");
        }
    }

    /// Serves on: COMMIT was not sent. The move goes on, or ends when that happened too often.
    fn unseal(&mut self, s: &mut Shared, why: &str) {
        let fragment = self.id;
        let Some(moving) = &mut self.moving else { return };
        let (move_id, to, tries) = (moving.id, moving.to.clone(), moving.tries);
        moving.parked_since = None;
        moving.step = Step::Copying;
        moving.rest_until = s.now + s.config.seal_max / TELL_AGAIN * tries;
        s.wake_at(moving.rest_until);
        s.cutting.remove(&fragment);
        s.send(&to, OwnershipMessage::Unsealed { move_id, fragment });
        if tries >= s.config.seals_max {
            self.abort_move(s, Some(MoveError::NotReady { fragment, to, tries, why: why.to_owned() }));
        }
    }

    /// The target answered a seal.
    pub(super) fn ready(&mut self, s: &Shared, from: &NodeName, said: MoveAt) {
        let Some(moving) = self.moving.as_mut().filter(|moving| moving.to == *from) else { return };
        match &mut moving.step {
            Step::Verifying { at, ready_at, .. } if *at == said => *ready_at = ready_at.or(Some(s.now)),
            _ => {}
        }
    }

    pub(super) fn not_ready(&mut self, s: &mut Shared, from: &NodeName, move_id: u64, why: String) {
        let Some(moving) = self.moving.as_mut().filter(|moving| moving.to == *from && moving.id == move_id) else { return };
        if matches!(moving.step, Step::Verifying { ready_at: None, .. }) {
            moving.not_ready.clone_from(&why);
            self.unseal(s, &why);
        }
    }

    /// The move is done: whoever follows hears it at once.
    pub(super) fn tell_committed(&self, s: &mut Shared, to: &NodeName) {
        let Some(seen) = &self.cell else { return };
        let me = s.config.node.clone();
        let (fragment, epoch, revision) = (self.id, seen.cell.epoch, seen.revision);
        for node in seen.cell.sync_set.iter().chain(&seen.cell.replicas).chain([to]).filter(|node| **node != me) {
            s.send(node, OwnershipMessage::Committed { fragment, epoch, revision });
        }
    }

    // ---- The target.

    /// The source told the last version.
    pub(super) fn told_seal(&mut self, s: &mut Shared, from: &NodeName, at: MoveAt) {
        let is_known = self.cell.as_ref().is_some_and(|seen| {
            let running = seen.cell.running.as_ref().map(|running| running.id);
            seen.cell.owner() == Some(from) && seen.cell.epoch == at.epoch && running == Some(at.move_id)
        });
        if !is_known {
            return s.push(Action::ReadCell(self.id)); // told again soon
        }
        if self.arrival.ready == Some(at) {
            return s.send(from, OwnershipMessage::Ready(at));
        }
        if self.arrival.seal != Some(at) {
            self.arrival = Arrival { seal: Some(at), ..Arrival::default() };
        }
    }

    pub(super) fn told_unsealed(&mut self, move_id: u64) {
        if self.arrival.seal.is_some_and(|seal| seal.move_id == move_id) {
            self.arrival.forget();
        }
    }

    pub(super) fn settle_arrival(&mut self, s: &mut Shared, cell: &FragmentCell, owner: &NodeName) {
        let Some(seal) = self.arrival.seal else { return };
        let running = cell.running.as_ref().map(|running| running.id);
        let is_followed = self.following.as_ref().is_some_and(|following| following.from == *owner);
        if seal.epoch != cell.epoch || running != Some(seal.move_id) || !is_followed {
            return self.arrival.forget();
        }
        if !self.arrival.is_asked {
            self.arrival.is_asked = true;
            self.job(s, Job::Digest { fragment: self.id, at: seal.version });
        }
    }

    /// What the store says of its version and digest, at either end.
    pub(super) fn digest(&mut self, s: &mut Shared, version: Version, state: Digest) {
        self.held = self.held.max(version);
        self.hold_sealed(version);
        self.sealed(version, state);
        let Some(cell) = self.cell.as_ref().map(|seen| &seen.cell) else { return };
        let (Some(seal), Some(owner)) = (self.arrival.seal, cell.owner().cloned()) else { return };
        if owner == s.config.node || self.arrival.ready.is_some() {
            return;
        }
        if version == seal.version && state == seal.state {
            self.arrival.ready = Some(seal);
            s.send(&owner, OwnershipMessage::Ready(seal));
        } else if version >= seal.version {
            self.arrival.forget();
            let why = format!("it stands at {version} with digest {state:?}, the seal at {} with {:?}", seal.version, seal.state);
            s.send(&owner, OwnershipMessage::NotReady { move_id: seal.move_id, fragment: self.id, why });
        } else {
            self.arrival.is_asked = false; // an answer to an earlier question
        }
    }
}
