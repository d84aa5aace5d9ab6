//! Suspicion: an owner that is silent for a lease is fenced by a member, once enough of the members find it silent.
//!
//! # Invariants
//! - Nobody is fenced whom a lease quorum still hears: those who must agree are as many as those who must be fenced.
//! - Owners that change again and again are taken over later and later.

use std::collections::BTreeSet;
use std::time::Duration;

use limosa_core::{FragmentCell, NodeName};

use super::config::{Failover, Plant};
use super::report::{Blocked, Report};
use super::seat::Seat;
use super::shared::Shared;
use super::step::Wish;

/// Losses within so many leases count for the back-off.
const FLAP_LEASES: u32 = 200;
/// Losses that are taken as they come, and the longest back-off, in leases.
const LOSSES_FREE: usize = 3;
const BACKOFF_LEASES_MAX: u32 = 16;
/// Members take turns, this share of a lease apart.
const TURN: u32 = 20;

#[derive(Clone, Debug, Default)]
pub(super) struct Suspicion {
    /// Members that find the owner silent, too.
    agreed: BTreeSet<NodeName>,
    asked_at: Option<Duration>,
    is_reported: bool,
}

impl Suspicion {
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Seat {
    pub(super) fn settle_suspicion(&mut self, s: &mut Shared, cell: &FragmentCell, owner: &NodeName) {
        let me = s.config.node.clone();
        if let Some(order) = self.take_over {
            let next = if order.accept_loss { Ok(cell.fence_accept_loss(&me)) } else { cell.fence(&me) };
            if next.is_err() {
                self.take_over = None; // it is no member: an order that can't be carried out
            }
            self.wish(s, Wish::Fence, next);
            return;
        }
        let is_ready = self.arrival.is_ready(cell);
        let may = s.config.failover == Failover::Auto && (self.is_member(s, cell) || is_ready);
        if !may || cell.sync_set.is_empty() || !self.is_overdue(s, cell, is_ready) {
            return self.end_overdue_move(s, cell);
        }
        if !self.suspicion.is_reported {
            self.suspicion.is_reported = true;
            s.report(Report::Suspects { fragment: self.id, owner: owner.clone() });
        }
        if self.is_agreed(s, cell) {
            let is_asked = self.wish(s, Wish::Fence, cell.fence(&me));
            let away = self.changing.is_away.then_some(Blocked::ManifestAway);
            self.set_blocked(s, away);
            if is_asked {
                self.suspicion.asked_at = None;
            }
        }
    }

    /// Whether the owner has been silent for a lease, and it is this member's turn.
    fn is_overdue(&mut self, s: &mut Shared, cell: &FragmentCell, is_ready: bool) -> bool {
        let patience = s.config.lease + self.turn(s, cell, is_ready) + self.backoff(s);
        s.is_past(self.silent_since(s), patience)
    }

    /// The target of a move goes first: it may hold the sealed state. Then the members, beginning with another one for each fragment.
    pub(super) fn turn(&self, s: &Shared, cell: &FragmentCell, is_ready: bool) -> Duration {
        let members = cell.sync_set.len().max(1);
        let place = cell.sync_set.iter().position(|node| *node == s.config.node).unwrap_or(members);
        let first = self.id.0 as usize % members;
        let rank = if is_ready { 0 } else { (place + members - first) % members + usize::from(place == members) * members };
        s.config.lease / TURN * u32::try_from(rank).unwrap_or(u32::MAX)
    }

    /// Grows with each loss beyond the first few of the last minutes.
    pub(super) fn backoff(&mut self, s: &mut Shared) -> Duration {
        let window = s.config.lease * FLAP_LEASES;
        let losses = self.losses.iter().filter(|at| s.now.saturating_sub(**at) <= window).count();
        let Some(beyond) = losses.checked_sub(LOSSES_FREE) else { return Duration::ZERO };
        let leases = (1u32 << beyond.min(8)).min(BACKOFF_LEASES_MAX);
        s.config.lease * leases
    }

    /// Whether enough members find the owner silent, this one among them; asks the others if not.
    fn is_agreed(&mut self, s: &mut Shared, cell: &FragmentCell) -> bool {
        let mine = usize::from(self.is_member(s, cell));
        let agreed = self.suspicion.agreed.iter().filter(|node| cell.sync_set.contains(*node)).count();
        let (have, need) = (agreed + mine, cell.fence_quorum());
        if have >= need || s.config.has(Plant::PromotesAlone) {
            return true;
        }
        let again = s.config.lease / 6;
        if self.suspicion.asked_at.is_none_or(|at| s.is_past(at, again)) {
            self.suspicion.asked_at = Some(s.now);
            self.suspicion.agreed.clear();
            let me = s.config.node.clone();
            for node in cell.sync_set.iter().filter(|node| **node != me) {
                s.doubt(node, self.id, cell.epoch);
            }
            s.wake_at(s.now + again);
        }
        false
    }

    /// A member asks whether the owner is silent here, too.
    pub(super) fn doubted_by(&mut self, s: &mut Shared, asker: &NodeName, epoch: u32) {
        let Some(seen) = self.cell.as_ref().filter(|seen| seen.cell.epoch == epoch) else { return };
        let cell = &seen.cell;
        let is_silent = s.now >= self.silent_since(s) + s.config.lease;
        if is_silent && cell.owner().is_some() && self.is_member(s, cell) {
            s.agree(asker, self.id, epoch);
        }
    }

    pub(super) fn agreed_by(&mut self, node: &NodeName, epoch: u32) {
        if self.epoch() == epoch && self.suspicion.is_reported {
            self.suspicion.agreed.insert(node.clone());
        }
    }

    /// The target ends a move whose deadline has passed, when its source does not.
    fn end_overdue_move(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let Some(running) = &cell.running else { return };
        let me = s.config.node.clone();
        if running.to != me {
            return;
        }
        let now_ms = s.unix_ms();
        let grace = u64::try_from(s.config.lease.as_millis()).unwrap_or(u64::MAX);
        let due_ms = running.deadline_ms.saturating_add(grace);
        if now_ms >= due_ms {
            self.wish(s, Wish::Abort, cell.abort(&me, running.id, now_ms));
        } else {
            s.wake_at(s.now + Duration::from_millis(due_ms - now_ms));
        }
    }
}
