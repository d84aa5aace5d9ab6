//! The owner's part: start, epoch row, then serve while the lease holds.
//!
//! ```text
//!  cell names me ──> believed? ──> reopen (only after a start) ──> epoch row durable ──> lease ──> serves
//! ```
//!
//! # Invariants
//! - Nothing is served before the row of the cell's epoch is durable: no (epoch, seq) is given twice, whatever a former life gave.
//! - Nothing is served without a lease, where anybody could fence this node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use limosa_core::{FragmentCell, NodeName, Version};
use limosa_wire::Renewal;

use super::action::{Action, Count, Gate, Job};
use super::config::Plant;
use super::moving::Moving;
use super::report::{Blocked, Report};
use super::seat::Seat;
use super::shared::Shared;
use super::step::Wish;

/// An epoch row that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Open {
    pub(super) epoch: u32,
    pub(super) base: Version,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Owning {
    /// The epoch whose row was asked for; 0: none is under way.
    asked: u32,
    pub(super) open: Option<Open>,
    /// It began with a disk that may lack what was acknowledged: so many members must believe it first.
    must_be_confirmed: bool,
    /// When the newest beat was sent that this member answered, and the epoch of that beat.
    pub(super) lent: BTreeMap<NodeName, (Duration, u32)>,
    pub(super) disbelieved_by: Option<NodeName>,
    /// Who counts, and the head when that came into force.
    pub(super) count: Option<Count>,
    pub(super) counted: Option<Version>,
    pub(super) has_served: bool,
    /// Members whose copy is gone, by their own word.
    pub(super) lost_copies: BTreeSet<NodeName>,
    /// A member that is about to leave counts no more.
    pub(super) going: Option<NodeName>,
    /// So many flushes are needed from now on, though the cell says fewer.
    pub(super) raising: usize,
}

/// Until when an owner may serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lease {
    /// Nobody can fence it.
    Free,
    /// Until then.
    Until(Duration),
    /// Too few have answered at all.
    Missing { have: usize, need: usize },
}

impl Seat {
    pub(super) fn settle_owner(&mut self, s: &mut Shared, cell: &FragmentCell) {
        self.unfollow(s);
        if self.rescue.take().is_some() {
            let (epoch, accepted_loss) = (cell.epoch, cell.marks.accepted_loss_epoch == cell.epoch);
            s.report(Report::Promoted { fragment: self.id, epoch, holds: self.held, accepted_loss });
        }
        self.arrival.forget();
        self.unlisted_since = None;
        if self.owning.is_none() {
            let must_be_confirmed = self.must_reopen && !s.config.durable;
            let lent = std::mem::take(&mut self.origin.lent);
            self.owning = Some(Owning { must_be_confirmed, lent, ..Owning::default() });
        }
        let trusts_anything = s.config.has(Plant::TrustsEmptyNode);
        if (self.is_unbelieved || self.held < cell.committed) && self.open_epoch().is_none() && !trusts_anything {
            let behind = Blocked::Behind { holds: self.held, known: cell.committed };
            self.set_blocked(s, Some(if self.is_unbelieved { Blocked::Reborn } else { behind }));
            self.set_gate(s, Gate::Closed);
            return self.take_over_own(s, cell);
        }
        if self.must_reopen && !s.config.has(Plant::SkipsReopen) {
            self.wish(s, Wish::Reopen, cell.reopen(&s.config.node.clone(), self.row));
            let away = self.changing.is_away.then_some(Blocked::ManifestAway);
            self.set_blocked(s, away);
            return self.set_gate(s, Gate::Parked);
        }
        self.open_row(s, cell.epoch);
        self.take_over = None;
        self.end_unknown_move(s, cell);
        if self.open_epoch() == Some(cell.epoch) && self.hold.is_none() {
            self.leave_if_emptied(s, cell);
            self.settle_moving(s, cell);
            self.settle_members(s);
        }
        self.settle_count(s);
        self.settle_gate(s);
        self.court(s);
        self.settle_hold(s);
    }

    /// An order to serve though this node, the owner, is behind what is known: only by an explicit word.
    fn take_over_own(&mut self, s: &mut Shared, cell: &FragmentCell) {
        if self.take_over.is_some_and(|order| order.accept_loss) {
            self.wish(s, Wish::Fence, Ok(cell.fence_accept_loss(&s.config.node)));
        }
    }

    /// The epoch at which this node may write.
    pub(super) fn open_epoch(&self) -> Option<u32> {
        self.owning.as_ref().and_then(|owning| owning.open).map(|open| open.epoch)
    }

    fn open_row(&mut self, s: &mut Shared, epoch: u32) {
        let Some(owning) = &mut self.owning else { return };
        if owning.open.is_some_and(|open| open.epoch == epoch) || owning.asked == epoch {
            return;
        }
        owning.asked = epoch;
        s.push(Action::Job(Job::OpenEpoch { fragment: self.id, epoch }));
    }

    /// The row is durable.
    pub(super) fn epoch_opened(&mut self, s: &mut Shared, epoch: u32, base: Version) {
        self.row = self.row.max(epoch);
        self.held = self.held.max(base);
        if let Some(owning) = self.owning.as_mut().filter(|owning| owning.asked == epoch) {
            owning.asked = 0;
            owning.open = Some(Open { epoch, base });
            self.beat(s);
        }
    }

    /// The store has such a row: the next epoch lies above it.
    pub(super) fn epoch_refused(&mut self, held: u32) {
        self.row = self.row.max(held);
        if let Some(owning) = &mut self.owning {
            owning.asked = 0;
            self.must_reopen = true;
        }
    }

    fn settle_gate(&mut self, s: &mut Shared) {
        let gate = self.owner_gate(s);
        self.set_gate(s, gate);
        let Some(owning) = &mut self.owning else { return };
        let epoch = owning.open.map_or(0, |open| open.epoch);
        if gate == Gate::Serving && !owning.has_served {
            owning.has_served = true;
            s.report(Report::Serves { fragment: self.id, epoch });
        }
    }

    fn owner_gate(&mut self, s: &mut Shared) -> Gate {
        let Some(owning) = &self.owning else { return Gate::Closed };
        if let Some(by) = &owning.disbelieved_by {
            let why = Blocked::Disbelieved { by: by.clone() };
            self.set_blocked(s, Some(why));
            return Gate::Closed;
        }
        if owning.open.is_none() && !s.config.has(Plant::ServesBeforeRow) {
            return Gate::Parked;
        }
        if self.hold.is_some() || self.moving.as_ref().is_some_and(Moving::is_parked) {
            return Gate::Parked;
        }
        let lease = self.lease(s);
        let was_serving = self.gate == Gate::Serving;
        match lease {
            Lease::Free => {}
            Lease::Until(end) if s.now < end => s.wake_at(end),
            _ if s.config.has(Plant::IgnoresLease) => {}
            lease => {
                let (have, need) = if let Lease::Missing { have, need } = lease { (have, need) } else { (0, 1) };
                self.set_blocked(s, Some(Blocked::Quorum { have, need }));
                if was_serving {
                    s.report(Report::LeaseEnded { fragment: self.id });
                }
                return Gate::Parked;
            }
        }
        self.set_blocked(s, None);
        Gate::Serving
    }

    /// Until when this node may serve: under each state that the cell may be in, enough members have answered a beat.
    pub(super) fn lease(&self, s: &Shared) -> Lease {
        let Some(owning) = &self.owning else { return Lease::Missing { have: 0, need: 1 } };
        let confirmed = |node: &&NodeName| owning.lent.get(*node).is_some_and(|(_, epoch)| Some(*epoch) == self.open_epoch());
        let mut lease = Lease::Free;
        for cell in self.views() {
            if owning.must_be_confirmed {
                let (have, need) = (cell.sync_set.iter().filter(confirmed).count(), cell.fence_quorum());
                if have < need {
                    return Lease::Missing { have, need };
                }
            }
            let need = cell.lease_quorum();
            if need == 0 {
                continue;
            }
            let mut sent: Vec<Duration> = cell.sync_set.iter().filter_map(|node| owning.lent.get(node)).map(|(at, _)| *at).collect();
            sent.sort_unstable_by(|a, b| b.cmp(a));
            let Some(at) = sent.get(need - 1) else { return Lease::Missing { have: sent.len(), need } };
            let end = *at + s.config.lent();
            lease = match lease {
                Lease::Until(earlier) => Lease::Until(earlier.min(end)),
                _ => Lease::Until(end),
            };
        }
        lease
    }

    /// Sends a sign of life to all who lend a lease, or are to.
    pub(super) fn beat(&self, s: &mut Shared) {
        let Some(owning) = &self.owning else { return };
        let Some(open) = owning.open.filter(|_| owning.disbelieved_by.is_none()) else { return };
        let acknowledged = self.known_acknowledged();
        let renewal = Renewal { fragment: self.id, epoch: open.epoch, base: open.base, acknowledged };
        let me = s.config.node.clone();
        for node in self.courted().into_iter().filter(|node| *node != me) {
            s.renew(&node, renewal);
        }
    }

    /// Members under any view, and replicas that may join soon.
    fn courted(&self) -> Vec<NodeName> {
        let mut nodes: Vec<NodeName> = self.views().flat_map(|cell| &cell.sync_set).cloned().collect();
        let replicas = self.cell.iter().flat_map(|seen| &seen.cell.replicas);
        nodes.extend(replicas.filter(|node| self.is_live(node)).cloned());
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// What at least w members have; with w = 0 nothing is promised of them.
    fn known_acknowledged(&self) -> Version {
        let Some(seen) = &self.cell else { return Version::ZERO };
        let needed = seen.cell.flushes_needed();
        if needed == 0 {
            return seen.cell.committed;
        }
        let mut held: Vec<Version> =
            seen.cell.sync_set.iter().filter_map(|node| self.followers.get(node)).map(|follower| follower.held).collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.get(needed - 1).copied().unwrap_or_default().max(seen.cell.committed)
    }

    /// A member answered a beat that was sent at `sent_at` for `epoch`; `refused`: the epoch that it knows instead.
    pub(super) fn renewed(&mut self, s: &mut Shared, node: &NodeName, sent_at: Duration, epoch: u32, refused: Option<u32>) {
        let Some(owning) = self.owning.as_mut().filter(|owning| owning.open.is_some_and(|open| open.epoch == epoch)) else { return };
        match refused {
            None => {
                let lent = owning.lent.entry(node.clone()).or_insert((sent_at, epoch));
                *lent = (*lent).max((sent_at, epoch));
            }
            Some(newer) if newer > epoch => s.push(Action::ReadCell(self.id)),
            Some(0) => owning.lost_copies.extend([node.clone()]),
            Some(_) => owning.disbelieved_by = Some(node.clone()),
        }
    }

    /// Who counts for acknowledgements: under every state that the cell may be in.
    pub(super) fn settle_count(&mut self, s: &mut Shared) {
        let mut views = self.views();
        let Some(first) = views.next() else { return };
        let (mut members, mut needed) = (first.sync_set.clone(), first.flushes_needed());
        for cell in views {
            members.retain(|node| cell.sync_set.contains(node));
            needed = needed.max(cell.flushes_needed());
        }
        let Some(owning) = &mut self.owning else { return };
        members.retain(|node| !owning.lost_copies.contains(node) && owning.going.as_ref() != Some(node));
        let count = Count { fragment: self.id, members, needed: needed.max(owning.raising) };
        if owning.count.as_ref() != Some(&count) {
            owning.count = Some(count.clone());
            owning.counted = None;
            s.push(Action::Count(count));
        }
    }
}
