//! One fragment as this node sees it: what its store holds, what the cell says, and the part that the node plays in it.
//!
//! Everything is derived anew from these on each turn ([`Seat::settle`]): events only change facts, so no order of them leaves a seat
//! waiting for one that will not come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use limosa_core::cell::Holder;
use limosa_core::{FragmentCell, FragmentId, NodeName, Version};

use super::action::{Action, Gate, Job};
use super::changing::Changing;
use super::config::HeldFragment;
use super::cutover::Arrival;
use super::event::{SeenCell, Session};
use super::following::Following;
use super::lender::Lender;
use super::moving::Moving;
use super::owning::Owning;
use super::reframing::{Hold, Origin};
use super::report::{Blocked, MoveError, Report};
use super::rescue::{FenceCall, Rescue};
use super::shared::Shared;
use super::suspect::Suspicion;

/// What is known of a node that follows this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Follower {
    pub(super) session: Session,
    pub(super) held: Version,
    /// Since when it has been absent; meaningless while it is there.
    pub(super) absent_since: Duration,
}

/// A wish to become the owner whatever the owner says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TakeOver {
    pub(super) accept_loss: bool,
    /// When it was given: one that could not be carried out for a while is forgotten, lest it unseat a later owner.
    pub(super) given_at: Duration,
}

/// Leases for which an order to take over stands until its fence is raised.
const ORDER_LEASES: u32 = 20;

#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) id: FragmentId,
    // ---- What the store has.
    pub(super) held: Version,
    /// The newest epoch that it has a row of.
    pub(super) row: u32,
    /// The durable fence.
    pub(super) fence: u32,
    pub(super) gate: Gate,
    // ---- What the manifest says, and what was wished of it.
    pub(super) cell: Option<SeenCell>,
    pub(super) cell_seen_at: Duration,
    pub(super) changing: Changing,
    /// The cell named this node the owner when the machine began: its epoch may have been used up by a former life.
    pub(super) must_reopen: bool,
    /// What the cells say of this node's copy is of a folder that is gone.
    pub(super) is_unbelieved: bool,
    /// When this node began to know it: with its start, or with a split or merge. Leases may have been lent right before.
    pub(super) began_at: Duration,
    pub(super) origin: Origin,
    // ---- As an owner.
    /// A split or merge holds it back.
    pub(super) hold: Option<Hold>,
    pub(super) owning: Option<Owning>,
    pub(super) followers: BTreeMap<NodeName, Follower>,
    pub(super) moving: Option<Moving>,
    pub(super) move_failed_at: Option<Duration>,
    pub(super) staged: BTreeSet<NodeName>,
    pub(super) write_bytes_per_s: u64,
    pub(super) must_shrink: bool,
    // ---- As a member, a replica, the target of a move.
    pub(super) following: Option<Following>,
    pub(super) lender: Lender,
    pub(super) suspicion: Suspicion,
    pub(super) arrival: Arrival,
    pub(super) fence_call: FenceCall,
    /// The epoch of the fence that the store was asked to persist.
    pub(super) fence_asked: u32,
    pub(super) unlisted_since: Option<Duration>,
    pub(super) is_dropping: bool,
    // ---- Taking over.
    pub(super) rescue: Option<Rescue>,
    pub(super) take_over: Option<TakeOver>,
    pub(super) losses: Vec<Duration>,
    pub(super) blocked: Option<Blocked>,
}

impl Seat {
    pub(super) fn new(id: FragmentId, s: &Shared) -> Self {
        Self {
            id,
            held: Version::ZERO,
            row: 0,
            fence: 0,
            gate: Gate::Closed,
            cell: None,
            cell_seen_at: s.now,
            changing: Changing::default(),
            must_reopen: false,
            is_unbelieved: false,
            began_at: s.now,
            origin: Origin::default(),
            hold: None,
            owning: None,
            followers: BTreeMap::new(),
            moving: None,
            move_failed_at: None,
            staged: BTreeSet::new(),
            write_bytes_per_s: 0,
            must_shrink: false,
            following: None,
            lender: Lender::default(),
            suspicion: Suspicion::default(),
            arrival: Arrival::default(),
            fence_call: FenceCall::default(),
            fence_asked: 0,
            unlisted_since: None,
            is_dropping: false,
            rescue: None,
            take_over: None,
            losses: Vec::new(),
            blocked: None,
        }
    }

    pub(super) fn of(held: &HeldFragment, s: &Shared) -> Self {
        Self { held: held.version, row: held.epoch, fence: held.fence, fence_asked: held.fence, ..Self::new(held.fragment, s) }
    }

    /// Brings about what the facts ask for.
    pub(super) fn settle(&mut self, s: &mut Shared) {
        let Some(seen) = &self.cell else {
            self.give_up_ownership(s, 0);
            self.unfollow(s);
            self.set_gate(s, Gate::Closed);
            return;
        };
        let cell = seen.cell.clone();
        self.forget_old_order(s, &cell);
        let is_me = |node: &NodeName| *node == s.config.node;
        match &cell.holder {
            Holder::Serving(owner) if is_me(owner) => self.settle_owner(s, &cell),
            Holder::Serving(owner) => {
                self.give_up_ownership(s, cell.epoch);
                self.rescue = None;
                self.settle_member(s, &cell, owner);
            }
            Holder::Fenced { by, .. } if is_me(by) => {
                self.give_up_ownership(s, cell.epoch);
                self.settle_rescue(s, &cell);
            }
            Holder::Fenced { by, was } => {
                self.give_up_ownership(s, cell.epoch);
                self.rescue = None;
                self.settle_fenced(s, &cell, by, was);
            }
        }
    }

    fn forget_old_order(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let is_raised = matches!(&cell.holder, Holder::Fenced { by, .. } if *by == s.config.node);
        if self.take_over.is_some_and(|order| !is_raised && s.is_past(order.given_at, s.config.lease * ORDER_LEASES)) {
            self.take_over = None;
        }
    }

    /// Another node owns the fragment now, or nobody does.
    fn give_up_ownership(&mut self, s: &mut Shared, epoch: u32) {
        self.hold = None;
        if self.owning.take().is_none() {
            return;
        }
        self.set_gate(s, Gate::Closed);
        self.followers.clear();
        self.staged.clear();
        self.end_move_superseded(s, epoch);
        s.report(Report::Lost { fragment: self.id, epoch });
    }

    fn end_move_superseded(&mut self, s: &mut Shared, epoch: u32) {
        let Some(moving) = self.moving.take() else { return };
        let (fragment, to) = (self.id, moving.to.clone());
        let owner = self.cell.as_ref().and_then(|seen| seen.cell.owner());
        s.copying.remove(&fragment);
        s.cutting.remove(&fragment);
        if moving.was_committed() && owner == Some(&to) {
            let parked = moving.parked_since.map_or(Duration::ZERO, |since| s.now.saturating_sub(since));
            self.lender.trusted = epoch; // both stood at the sealed version with equal digests
            self.tell_committed(s, &to);
            s.report(Report::MoveDone { fragment, id: moving.id, to, parked });
        } else {
            s.report(Report::MoveFailed { fragment, to, error: MoveError::Superseded { fragment, epoch } });
        }
    }

    pub(super) fn set_gate(&mut self, s: &mut Shared, gate: Gate) {
        if self.gate != gate {
            self.gate = gate;
            s.push(Action::SetGate { fragment: self.id, gate });
        }
    }

    pub(super) fn job(&self, s: &mut Shared, job: Job) {
        s.push(Action::Job(job));
    }

    /// Says why it can't go on, once for each cause.
    pub(super) fn set_blocked(&mut self, s: &mut Shared, blocked: Option<Blocked>) {
        if self.blocked != blocked {
            if let Some(why) = &blocked {
                s.report(Report::Blocked { fragment: self.id, why: why.clone() });
            }
            self.blocked = blocked;
        }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.cell.as_ref().map_or(0, |seen| seen.cell.epoch)
    }

    /// The highest version of which this node knows that it was acknowledged.
    pub(super) fn acknowledged(&self) -> Version {
        let committed = self.cell.as_ref().map_or(Version::ZERO, |seen| seen.cell.committed);
        self.lender.acknowledged.max(committed)
    }

    /// Whether this node is a complete copy of the fragment, as the cell says and as its folder allows.
    pub(super) fn is_member(&self, s: &Shared, cell: &FragmentCell) -> bool {
        cell.sync_set.contains(&s.config.node) && !self.is_unbelieved
    }

    pub(super) fn note_follower(&mut self, s: &Shared, node: &NodeName, session: Session, held: Version) {
        let before = self.followers.get(node);
        let absent_since = match before {
            Some(before) if before.session == Session::Absent => before.absent_since,
            _ => s.now,
        };
        self.followers.insert(node.clone(), Follower { session, held, absent_since });
    }

    pub(super) fn is_live(&self, node: &NodeName) -> bool {
        self.followers.get(node).is_some_and(|follower| matches!(follower.session, Session::Live { .. }))
    }

    /// Members of `of` that have everything up to `version`, durably.
    pub(super) fn holding(&self, of: &BTreeSet<NodeName>, version: Version) -> BTreeSet<NodeName> {
        let holds = |node: &&NodeName| self.followers.get(*node).is_some_and(|follower| follower.held >= version);
        of.iter().filter(holds).cloned().collect()
    }
}
