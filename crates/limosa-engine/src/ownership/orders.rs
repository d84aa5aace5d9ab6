//! Operators' words: each becomes a fact of the fragments concerned, or a report of why not.

use std::collections::BTreeSet;

use limosa_core::{FragmentCell, FragmentId, NodeName};

use super::event::Order;
use super::machine::Ownership;
use super::moving::{Moving, Step};
use super::placing;
use super::report::{MoveError, Report};
use super::seat::{Seat, TakeOver};
use super::shared::Shared;
use super::step::Wish;

impl Ownership {
    pub(super) fn order(&mut self, order: Order) {
        match order {
            Order::Move { fragments, to } => self.on_each(&fragments, |seat, s| seat.order_move(s, &to)),
            Order::Stage { fragments, to } => self.on_each(&fragments, |seat, _| seat.staged.extend([to.clone()])),
            Order::Unstage { fragments, to } => self.on_each(&fragments, |seat, s| seat.order_unstage(s, &to)),
            Order::Cancel { fragments } => self.on_each(&fragments, Seat::order_cancel),
            Order::Split { .. } | Order::Merge { .. } => self.order_reframe(order),
            Order::HandOver => self.on_each(&self.owned(), |seat, s| seat.order_hand_over(s)),
            Order::FailOver { fragments, accept_loss } => {
                self.on_each(&fragments, |seat, s| seat.take_over = Some(TakeOver { accept_loss, given_at: s.now }));
            }
            Order::Shrink { fragments } => self.on_each(&fragments, |seat, _| seat.must_shrink = true),
        }
    }

    /// Fragments that this node owns.
    fn owned(&self) -> Vec<FragmentId> {
        self.seats.values().filter(|seat| seat.owning.is_some()).map(|seat| seat.id).collect()
    }

    fn on_each(&mut self, fragments: &[FragmentId], act: impl Fn(&mut Seat, &mut Shared)) {
        for fragment in fragments {
            let seat = self.seats.entry(*fragment).or_insert_with(|| Seat::new(*fragment, &self.shared));
            act(seat, &mut self.shared);
            self.shared.dirty.insert(*fragment);
        }
    }
}

impl Seat {
    /// A node that is to be emptied hands over what it owns: to a complete standby, or else to where there is room.
    pub(super) fn leave_if_emptied(&mut self, s: &mut Shared, cell: &FragmentCell) {
        if self.moving.is_some() || cell.running.is_some() || !s.is_leaving(&s.config.node) {
            return;
        }
        if self.move_failed_at.is_some_and(|at| !s.is_past(at, s.config.lease)) {
            return; // it rests before the next try
        }
        let to = self.best_standby(s).or_else(|| placing::choose(&s.nodes, &s.config.node, &BTreeSet::new()));
        self.moving = to.map(|to| Moving::new(s, to));
    }

    fn order_move(&mut self, s: &mut Shared, to: &NodeName) {
        let fragment = self.id;
        let refuse = |s: &mut Shared, error| s.report(Report::MoveFailed { fragment, to: to.clone(), error });
        if self.owning.is_none() {
            return refuse(s, MoveError::NotOwner { fragment });
        }
        let why = if *to == s.config.node {
            Some("it is there already")
        } else if s.is_leaving(to) {
            Some("it is to be emptied")
        } else if !s.nodes.contains_key(to) {
            Some("no such node is known")
        } else {
            None
        };
        if let Some(why) = why {
            return refuse(s, MoveError::Target { fragment, to: to.clone(), why });
        }
        if self.moving.is_some() || self.hold.is_some() {
            return refuse(s, MoveError::Moving { fragment });
        }
        self.moving = Some(Moving::new(s, to.clone()));
    }

    fn order_hand_over(&mut self, s: &mut Shared) {
        let fragment = self.id;
        if self.moving.is_some() || self.hold.is_some() {
            return; // it leaves already, or is another one soon
        }
        match self.best_standby(s) {
            Some(to) => self.moving = Some(Moving::new(s, to)),
            None => s.report(Report::MoveFailed { fragment, to: s.config.node.clone(), error: MoveError::NoStandby { fragment } }),
        }
    }

    /// The connected complete standby with the fewest fragments.
    fn best_standby(&self, s: &Shared) -> Option<NodeName> {
        let members = self.cell.iter().flat_map(|seen| &seen.cell.sync_set);
        let fit = members.filter(|node| self.is_live(node) && !s.is_leaving(node));
        let load = |node: &NodeName| s.nodes.get(node).map_or(0, |state| state.fragments);
        let turn = |node: &NodeName| (load(node), u64::from(self.id.0).wrapping_mul(node.as_str().len() as u64 + 1) % 7);
        fit.min_by_key(|node| (turn(node), (*node).clone())).cloned()
    }

    fn order_unstage(&mut self, s: &mut Shared, to: &NodeName) {
        self.staged.remove(to);
        let Some(seen) = &self.cell else { return };
        let next = seen.cell.unassign(&s.config.node, to);
        self.wish(s, Wish::Unassign, next);
    }

    fn order_cancel(&mut self, s: &mut Shared) {
        let fragment = self.id;
        let Some(moving) = &self.moving else { return };
        // COMMIT was sent: it ends as the cell says, within moments.
        if !matches!(moving.step, Step::Committing { .. } | Step::Aborting(_)) {
            self.abort_move(s, Some(MoveError::Cancelled { fragment }));
        }
    }
}
