//! The owner's care for its standbys: assign, join, require, let go. One change at a time, each safe by itself.
//!
//! # Invariants
//! - Before a member goes, or more flushes are required, the new rule is in force at this node and enough of those who stay have all that
//!   was acknowledged before: whoever fences the new sync set finds it.

use std::collections::BTreeSet;

use limosa_core::{FragmentCell, NodeName, Version};

use super::config::Plant;
use super::event::Session;
use super::placing;
use super::report::Report;
use super::seat::Seat;
use super::shared::Shared;
use super::step::Wish;

/// A member that goes.
struct Going {
    node: NodeName,
    /// It stays as a replica: its copy is gone, and it gets another one.
    is_expelled: bool,
    shrink: bool,
}

impl Seat {
    pub(super) fn settle_members(&mut self, s: &mut Shared) {
        let Some(cell) = self.cell.as_ref().map(|seen| seen.cell.clone()) else { return };
        if self.changing.is_pending() || cell.running.is_some() || self.moving.as_ref().is_some_and(|moving| moving.is_parked()) {
            return;
        }
        let going = self.choose_going(s, &cell);
        let raising = self.choose_raise(s, &cell);
        if let Some(owning) = &mut self.owning {
            owning.going = going.as_ref().map(|going| going.node.clone());
            owning.raising = raising.map_or(0, usize::from);
            owning.lost_copies.retain(|node| cell.sync_set.contains(node));
        }
        self.settle_count(s);
        let _one_at_a_time = self.let_go(s, &cell, going)
            || self.require(s, &cell, raising)
            || self.join(s, &cell)
            || self.assign(s, &cell)
            || self.unassign(s, &cell)
            || self.shrink_alone(s, &cell);
    }

    /// Complete, not to be emptied, and there.
    fn good_members<'a>(&'a self, s: &'a mut Shared, cell: &'a FragmentCell) -> BTreeSet<NodeName> {
        cell.sync_set.iter().filter(|node| !s.is_leaving(node) && !self.is_absent(s, node)).cloned().collect()
    }

    /// Whether a node has been away for longer than it may be.
    fn is_absent(&self, s: &mut Shared, node: &NodeName) -> bool {
        let (max, since_start) = (s.config.absent_max, self.cell_seen_at);
        match self.followers.get(node) {
            Some(follower) if follower.session != Session::Absent => false,
            Some(follower) => s.is_past(follower.absent_since, max),
            None => s.is_past(since_start, max),
        }
    }

    fn choose_going(&self, s: &mut Shared, cell: &FragmentCell) -> Option<Going> {
        let owning = self.owning.as_ref()?;
        if let Some(node) = cell.sync_set.iter().find(|node| owning.lost_copies.contains(*node)) {
            return Some(Going { node: node.clone(), is_expelled: true, shrink: false });
        }
        let good = self.good_members(s, cell);
        let others = s.nodes.values().filter(|node| !node.is_leaving && node.name != s.config.node).count();
        let wanted = s.config.standbys.min(others);
        for node in &cell.sync_set {
            let is_gone = !good.contains(node);
            let is_here = self.followers.get(node).is_some_and(|follower| follower.session != Session::Absent);
            let may_shrink = s.config.shrink && is_gone || self.must_shrink && !is_here;
            let is_replaced = is_gone && good.len() >= wanted;
            let leaves_enough = cell.sync_set.len() > usize::from(cell.flushed_min);
            if is_replaced && leaves_enough || may_shrink && !s.is_leaving(node) {
                return Some(Going { node: node.clone(), is_expelled: false, shrink: may_shrink });
            }
        }
        let surplus = (good.len() > s.config.standbys.max(usize::from(cell.flushed_min))).then(|| self.least_useful(s, &good)).flatten();
        surplus.map(|node| Going { node, is_expelled: false, shrink: false })
    }

    /// Which of more standbys than wanted is to go: one beside the owner, one that is not connected, the one with the most fragments.
    fn least_useful(&self, s: &Shared, good: &BTreeSet<NodeName>) -> Option<NodeName> {
        let zone = |node: &NodeName| s.nodes.get(node).map_or("", |state| state.zone.as_str());
        let own = zone(&s.config.node);
        let load = |node: &NodeName| s.nodes.get(node).map_or(0, |state| state.fragments);
        let rank = |node: &NodeName| (!own.is_empty() && zone(node) == own, !self.is_live(node), load(node));
        good.iter().max_by_key(|node| rank(node)).cloned()
    }

    fn let_go(&mut self, s: &mut Shared, cell: &FragmentCell, going: Option<Going>) -> bool {
        let Some(Going { node, is_expelled, shrink }) = going else { return false };
        let staying: BTreeSet<NodeName> = cell.sync_set.iter().filter(|member| **member != node).cloned().collect();
        let needed = usize::from(cell.flushed_min).min(staying.len());
        let Some(head) = self.owning.as_ref().and_then(|owning| owning.counted) else { return true };
        if self.holding(&staying, head).len() < needed {
            return true; // whoever stays must have what was acknowledged with the help of the one that goes
        }
        let me = s.config.node.clone();
        let (wish, next) =
            if is_expelled { (Wish::Expel, cell.expel(&me, &node, head)) } else { (Wish::Leave, cell.leave(&me, &node, head, shrink)) };
        if self.wish(s, wish, next) {
            s.report(Report::Left { fragment: self.id, node, shrunk: shrink });
        }
        true
    }

    /// How many flushes the cell should require, where that is more than it does.
    fn choose_raise(&self, s: &Shared, cell: &FragmentCell) -> Option<u8> {
        let wanted = s.config.flushed_min;
        (cell.flushed_min < wanted && cell.sync_set.len() >= usize::from(wanted)).then_some(wanted)
    }

    fn require(&mut self, s: &mut Shared, cell: &FragmentCell, raising: Option<u8>) -> bool {
        let me = s.config.node.clone();
        if cell.flushed_min > s.config.flushed_min {
            return self.wish(s, Wish::Require, cell.require(&me, s.config.flushed_min));
        }
        let Some(flushed_min) = raising else { return false };
        let Some(head) = self.owning.as_ref().and_then(|owning| owning.counted) else { return true };
        if self.holding(&cell.sync_set, head).len() < usize::from(flushed_min) {
            return true;
        }
        self.wish(s, Wish::Require, cell.require(&me, flushed_min));
        true
    }

    fn join(&mut self, s: &mut Shared, cell: &FragmentCell) -> bool {
        if self.good_members(s, cell).len() >= s.config.standbys {
            return false;
        }
        let Some(head) = self.owning.as_ref().and_then(|owning| owning.counted) else { return false };
        let ready = |node: &&NodeName| self.is_live(node) && !s.is_leaving(node) && self.has_lent(s, node);
        let held = self.holding(&cell.replicas, head);
        let Some(node) = held.iter().find(ready).cloned() else { return false };
        let is_asked = self.wish(s, Wish::Join, cell.join(&s.config.node.clone(), &node, cell.committed.max(self.acknowledged())));
        if is_asked {
            s.report(Report::Joined { fragment: self.id, node });
        }
        is_asked
    }

    /// Whether a node lends its lease: once it has joined, this node may need it.
    fn has_lent(&self, s: &Shared, node: &NodeName) -> bool {
        let lent = self.owning.as_ref().and_then(|owning| owning.lent.get(node));
        lent.is_some_and(|(at, _)| s.now < *at + s.config.lent())
    }

    fn assign(&mut self, s: &mut Shared, cell: &FragmentCell) -> bool {
        let me = s.config.node.clone();
        if let Some(node) = self.staged.iter().find(|node| !cell.sync_set.contains(*node) && !cell.replicas.contains(*node)).cloned() {
            return self.wish(s, Wish::Assign, cell.assign(&me, &node));
        }
        let coming = cell.replicas.iter().filter(|node| !s.is_leaving(node) && !self.staged.contains(*node));
        let coming: Vec<NodeName> = coming.cloned().collect();
        let coming = coming.iter().filter(|node| !self.is_absent(s, node)).count();
        if self.good_members(s, cell).len() + coming >= s.config.standbys {
            return false;
        }
        let taken = cell.sync_set.iter().chain(&cell.replicas).collect();
        let Some(node) = placing::choose(&s.nodes, &me, &taken) else { return false };
        let is_asked = self.wish(s, Wish::Assign, cell.assign(&me, &node));
        if is_asked {
            // Counted at once: of many fragments that look for a place in the same turn, not all choose the same node.
            if let Some(state) = s.nodes.get_mut(&node) {
                state.fragments += 1;
            }
            s.report(Report::Assigned { fragment: self.id, node });
        }
        is_asked
    }

    fn unassign(&mut self, s: &mut Shared, cell: &FragmentCell) -> bool {
        let me = s.config.node.clone();
        let unwanted = cell.replicas.iter().find(|node| s.is_leaving(node) && !self.staged.contains(*node)).cloned();
        unwanted.is_some_and(|node| self.wish(s, Wish::Unassign, cell.unassign(&me, &node)))
    }

    /// Nobody is left to flush, and that shall do.
    fn shrink_alone(&mut self, s: &mut Shared, cell: &FragmentCell) -> bool {
        let is_short = cell.sync_set.len() < usize::from(cell.flushed_min) && !cell.marks.shrunk;
        let may = self.must_shrink || is_short && s.config.shrink && s.is_past(self.cell_seen_at, s.config.absent_max);
        let asked = is_short && may && self.wish(s, Wish::Shrink, cell.shrink(&s.config.node.clone()));
        self.must_shrink &= is_short || cell.sync_set.iter().any(|node| !self.is_live(node));
        asked
    }

    /// Whether this copy is at least at `version`.
    pub(super) fn holds(&self, s: &Shared, version: Version) -> bool {
        self.held >= version || s.config.has(Plant::TrustsEmptyNode)
    }
}
