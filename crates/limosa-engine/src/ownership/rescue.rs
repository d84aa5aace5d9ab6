//! Failover: a fence that is durable on enough members, the best of what they hold, a repair, a promotion.
//!
//! ```text
//!  FENCED(me, e) ──> own fence durable ──> enough members Fenced ──> best ≥ all that is known to be acknowledged ──> PROMOTE
//!                                             └─ too few: blocked     ├─ a member is better: collect from it first
//!                                                                     └─ none is: blocked, until an operator accepts the loss
//! ```
//!
//! # Invariants
//! - A member answers a fence only once it is durable and every lease that it lent is over: behind enough answers the former owner
//!   neither acknowledges nor serves reads.
//! - Whoever is promoted holds the highest version among enough members, and at least what any of them knows to be acknowledged.
//! - A copy that the cells do not mean, because its folder is gone, answers nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use limosa_core::{FragmentCell, NodeName, Version};
use limosa_wire::{OwnershipMessage, Purpose};

use super::action::{Action, Gate, Job};
use super::config::{Failover, Plant};
use super::report::{Blocked, Report};
use super::seat::Seat;
use super::shared::Shared;
use super::step::Wish;

/// A fence that this node raised.
#[derive(Clone, Debug)]
pub(super) struct Rescue {
    epoch: u32,
    began: Duration,
    asked_at: Option<Duration>,
    /// What each member holds, and knows to be acknowledged.
    answers: BTreeMap<NodeName, (Version, Version)>,
    /// It goes on without what it would need: only by an operator's word, and the cell stays marked.
    is_loss: bool,
}

/// A fence that another node wants answered.
#[derive(Clone, Debug, Default)]
pub(super) struct FenceCall {
    pub(super) epoch: u32,
    asker: Option<NodeName>,
    heard_at: Option<Duration>,
}

impl Seat {
    /// Another node raised the fence: this one makes it durable and says what it holds.
    pub(super) fn settle_fenced(&mut self, s: &mut Shared, cell: &FragmentCell, by: &NodeName, was: &NodeName) {
        self.set_gate(s, Gate::Closed);
        self.unfollow(s);
        self.arrival.forget();
        if self.fence_call.epoch < cell.epoch {
            self.fence_call = FenceCall { epoch: cell.epoch, asker: Some(by.clone()), heard_at: Some(s.now) };
        }
        self.answer_fence(s);
        self.settle_take_over(s, cell, was);
    }

    /// Takes over from a fence whose raiser has fallen silent, or by an order.
    fn settle_take_over(&mut self, s: &mut Shared, cell: &FragmentCell, was: &NodeName) {
        let me = s.config.node.clone();
        if let Some(order) = self.take_over {
            let next = if order.accept_loss { Ok(cell.fence_accept_loss(&me)) } else { cell.fence(&me) };
            self.wish(s, Wish::Fence, next);
            return;
        }
        let is_returning = *was == me && !self.is_unbelieved && self.holds(s, cell.committed);
        if s.config.failover == Failover::Manual || !(self.is_member(s, cell) || is_returning) {
            return;
        }
        let heard = self.fence_call.heard_at.unwrap_or(self.cell_seen_at).max(self.cell_seen_at);
        let patience = s.config.lease * 2 + self.turn(s, cell, false) + self.backoff(s);
        if s.is_past(heard, patience) {
            self.wish(s, Wish::Fence, cell.fence(&me));
        }
    }

    /// A peer says that it raised a fence. It is believed: it could not have without the manifest.
    pub(super) fn fence_called(&mut self, s: &mut Shared, from: &NodeName, epoch: u32) {
        if epoch >= self.fence_call.epoch {
            self.fence_call = FenceCall { epoch, asker: Some(from.clone()), heard_at: Some(s.now) };
        } else {
            self.answer(s, from); // it is fenced higher already: the asker reads the cell
        }
        if self.epoch() < epoch {
            s.push(Action::ReadCell(self.id));
            self.unfollow(s);
        }
    }

    /// Makes the fence durable, outlives the leases, then answers whoever asked.
    pub(super) fn answer_fence(&mut self, s: &mut Shared) {
        let wanted = self.fence_call.epoch;
        let Some(asker) = self.fence_call.asker.clone() else { return };
        if self.is_unbelieved {
            return; // the copy that the cells mean is gone
        }
        if self.fence < wanted {
            self.unfollow(s);
            if self.fence_asked < wanted {
                self.fence_asked = wanted;
                self.job(s, Job::PersistFence { fragment: self.id, epoch: wanted });
            }
            return;
        }
        if self.is_lease_over(s) {
            self.fence_call.asker = None;
            self.answer(s, &asker);
        }
    }

    fn answer(&self, s: &mut Shared, asker: &NodeName) {
        let (installed, acknowledged) = (self.held, self.acknowledged());
        s.send(asker, OwnershipMessage::Fenced { fragment: self.id, epoch: self.fence, installed, acknowledged });
    }

    pub(super) fn fence_persisted(&mut self, epoch: u32, held: Version) {
        self.fence = self.fence.max(epoch);
        self.held = held;
    }

    /// A member answered.
    pub(super) fn fenced_by(&mut self, s: &mut Shared, from: &NodeName, epoch: u32, installed: Version, acknowledged: Version) {
        let Some(rescue) = &mut self.rescue else { return };
        if epoch == rescue.epoch {
            rescue.answers.insert(from.clone(), (installed, acknowledged));
        } else if epoch > rescue.epoch {
            s.push(Action::ReadCell(self.id)); // another fence was raised over this one
        }
    }

    /// This node raised the fence.
    pub(super) fn settle_rescue(&mut self, s: &mut Shared, cell: &FragmentCell) {
        self.set_gate(s, Gate::Closed);
        if self.rescue.as_ref().is_none_or(|rescue| rescue.epoch != cell.epoch) {
            self.rescue = Some(Rescue { epoch: cell.epoch, began: s.now, asked_at: None, answers: BTreeMap::new(), is_loss: false });
            s.report(Report::Fenced { fragment: self.id, epoch: cell.epoch });
        }
        if self.following.as_ref().is_some_and(|following| following.purpose == Purpose::Follow) {
            self.unfollow(s);
        }
        if self.fence < cell.epoch {
            if self.fence_asked < cell.epoch {
                self.fence_asked = cell.epoch;
                self.job(s, Job::PersistFence { fragment: self.id, epoch: cell.epoch });
            }
            return;
        }
        self.call_members(s, cell);
        let best = match self.collected(s, cell) {
            Ok(best) => best,
            Err(why) => return self.set_blocked(s, Some(why)),
        };
        if let Some((node, _)) = best.filter(|(_, version)| *version > self.held) {
            self.set_blocked(s, None);
            return self.follow(s, &node, Purpose::Collect { epoch: cell.epoch }, cell.epoch);
        }
        self.unfollow(s);
        self.promote(s, cell);
    }

    /// Asks every member that has not answered yet; also a sign of life for them.
    fn call_members(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let again = s.config.lease / 6;
        let Some(rescue) = &mut self.rescue else { return };
        if rescue.asked_at.is_none_or(|at| s.is_past(at, again)) {
            rescue.asked_at = Some(s.now);
            s.wake_at(s.now + again);
            let me = s.config.node.clone();
            let others = cell.sync_set.iter().filter(|node| **node != me);
            for node in others {
                s.send(node, OwnershipMessage::Fence { fragment: self.id, epoch: cell.epoch });
            }
        }
    }

    /// The best of what enough members hold; `None`: this node's own. Or what keeps it from going on.
    fn collected(&mut self, s: &mut Shared, cell: &FragmentCell) -> Result<Option<(NodeName, Version)>, Blocked> {
        let is_mine = self.is_member(s, cell) && self.is_lease_over(s);
        let accepts_loss = self.take_over.is_some_and(|order| order.accept_loss);
        let Some(rescue) = &self.rescue else { return Ok(None) };
        let answered = rescue.answers.keys().filter(|node| cell.sync_set.contains(*node)).count();
        let (have, need) = (answered + usize::from(is_mine), cell.fence_quorum());
        let patience = rescue.began;
        let best = rescue.answers.iter().map(|(node, (installed, _))| (node.clone(), *installed)).max_by_key(|(_, version)| *version);
        let told = rescue.answers.values().map(|(_, acknowledged)| *acknowledged).max().unwrap_or_default();
        if s.config.has(Plant::PromotesAlone) {
            return Ok(None);
        }
        // An owner without members may have served on: nobody but itself knows what it acknowledged.
        let is_orphan = cell.sync_set.is_empty() && *cell.holder.last_served() != s.config.node;
        let is_short = have < need || is_orphan;
        if is_short && !(accepts_loss && s.is_past(patience, s.config.lease)) {
            return Err(Blocked::Quorum { have, need: need.max(1) });
        }
        let own = if self.is_unbelieved { Version::ZERO } else { self.held };
        let holds = best.as_ref().map_or(own, |(_, version)| (*version).max(own));
        let known = self.acknowledged().max(told);
        if holds < known && !accepts_loss && !s.config.has(Plant::TrustsEmptyNode) {
            return Err(Blocked::Behind { holds, known });
        }
        let is_loss = is_short || holds < known || self.is_unbelieved;
        if let Some(rescue) = &mut self.rescue {
            rescue.is_loss = is_loss && accepts_loss;
        }
        Ok(best)
    }

    fn promote(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let me = s.config.node.clone();
        let holds = self.held;
        let Some(rescue) = &self.rescue else { return };
        if self.is_unbelieved && !rescue.is_loss {
            return self.set_blocked(s, Some(Blocked::Reborn));
        }
        let is_complete = |(_, (installed, _)): &(&NodeName, &(Version, Version))| *installed == holds;
        let complete: Vec<NodeName> = rescue.answers.iter().filter(is_complete).map(|(node, _)| node.clone()).collect();
        let next = if rescue.is_loss { cell.promote_accept_loss(&me, holds, &complete) } else { cell.promote(&me, holds, &complete) };
        self.wish(s, Wish::Promote, next);
        let away = self.changing.is_away.then_some(Blocked::ManifestAway);
        self.set_blocked(s, away);
    }
}
