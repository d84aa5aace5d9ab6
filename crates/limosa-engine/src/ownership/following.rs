//! A standby's part: whom it follows, and what it gives up.

use limosa_core::{FragmentCell, NodeName, Version};
use limosa_wire::Purpose;

use super::action::{Action, Gate, Job};
use super::event::Session;
use super::seat::Seat;
use super::shared::Shared;

/// Sessions that the driver was asked to keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Following {
    pub(super) from: NodeName,
    pub(super) purpose: Purpose,
    /// The newest epoch that may be taken over.
    epoch_max: u32,
    pub(super) session: Session,
}

impl Seat {
    pub(super) fn settle_member(&mut self, s: &mut Shared, cell: &FragmentCell, owner: &NodeName) {
        self.set_gate(s, Gate::Closed);
        match self.epoch_to_follow(s, cell, owner) {
            Some(epoch_max) => self.follow(s, owner, Purpose::Follow, epoch_max),
            None => self.unfollow(s),
        }
        self.answer_fence(s);
        self.settle_arrival(s, cell, owner);
        self.settle_suspicion(s, cell, owner);
        self.settle_surplus(s, cell);
    }

    /// The newest epoch that may be taken from `owner`; `None`: it is not to be followed, or not yet.
    fn epoch_to_follow(&self, s: &Shared, cell: &FragmentCell, owner: &NodeName) -> Option<u32> {
        let me = &s.config.node;
        if cell.epoch < self.fence.max(self.fence_call.epoch) {
            return None; // a newer owner is being made
        }
        if self.is_member(s, cell) {
            if self.lender.trusted >= cell.epoch {
                return Some(self.lender.trusted);
            }
            // The same life of the same owner, whose move was aborted: its live session goes on.
            let kept = self.following.as_ref().filter(|following| following.from == *owner);
            return kept.filter(|following| matches!(following.session, Session::Live { .. })).map(|following| following.epoch_max);
        }
        let is_target = cell.running.as_ref().is_some_and(|running| running.to == *me);
        let is_asked = is_target || cell.replicas.contains(me) || cell.sync_set.contains(me);
        is_asked.then_some(u32::MAX)
    }

    pub(super) fn follow(&mut self, s: &mut Shared, from: &NodeName, purpose: Purpose, epoch_max: u32) {
        if let Some(following) = self.following.as_mut().filter(|following| following.from == *from && following.purpose == purpose) {
            if following.epoch_max == epoch_max {
                return;
            }
            following.epoch_max = epoch_max;
        } else {
            self.unfollow(s);
            self.following = Some(Following { from: from.clone(), purpose, epoch_max, session: Session::Absent });
        }
        s.push(Action::Follow { from: from.clone(), purpose, fragments: vec![(self.id, epoch_max)] });
    }

    pub(super) fn unfollow(&mut self, s: &mut Shared) {
        if let Some(following) = self.following.take() {
            s.push(Action::Unfollow { from: following.from, fragments: vec![self.id] });
        }
    }

    /// How the session stands that this node follows.
    pub(super) fn session(&mut self, from: &NodeName, session: Session, held: Version) {
        self.held = held;
        if let Some(following) = self.following.as_mut().filter(|following| following.from == *from) {
            following.session = session;
        }
    }

    /// A copy that no cell asks for is given up after a while; at once when this node is to be emptied.
    fn settle_surplus(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let me = &s.config.node;
        let is_target = cell.running.as_ref().is_some_and(|running| running.to == *me);
        let is_listed = is_target || cell.sync_set.contains(me) || cell.replicas.contains(me);
        let has_enough = cell.sync_set.len() >= cell.flushes_needed();
        if is_listed || self.held.is_zero() || !has_enough {
            self.unlisted_since = None;
            return;
        }
        let since = *self.unlisted_since.get_or_insert(s.now);
        let is_due = s.is_leaving(&s.config.node.clone()) || s.is_past(since, s.config.retain);
        if is_due && !self.is_dropping {
            self.is_dropping = true;
            self.job(s, Job::Drop { fragment: self.id });
        }
    }

    pub(super) fn dropped(&mut self) {
        self.is_dropping = false;
        self.held = Version::ZERO;
        self.row = 0;
        self.arrival.forget();
    }
}
