//! The source's part of a move: queue, prepare, wait for the copy, then the last step; or an end that says why.
//!
//! ```text
//!  QUEUED ─> PREPARING ─> COPYING ─> SEALING ─> VERIFYING ─> COMMITTING ─> (the cell names the target)
//!               │            │ ^         │           │            │
//!               │            │ └─ serves again ──────┘            └─ COMMIT was sent: parked until the cell tells
//!               └────────────┴─> ABORTING ─> (the cell has no move, one epoch on)
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use limosa_core::cell::Move;
use limosa_core::{FragmentCell, FragmentId, NodeName};
use limosa_wire::MoveAt;

use super::action::Action;
use super::converge::{Choice, Convergence};
use super::event::Session;
use super::report::{Blocked, MoveError, MoveView, Phase, Report};
use super::seat::Seat;
use super::shared::Shared;
use super::step::Wish;

/// Where a move stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Queued,
    Preparing,
    Copying,
    /// The flush and the digest are under way.
    Sealing {
        since: Duration,
    },
    /// The target was told of the last version; `ready_at`: it is there.
    Verifying {
        at: MoveAt,
        since: Duration,
        told_at: Option<Duration>,
        ready_at: Option<Duration>,
    },
    /// COMMIT was sent: only the cell says how it ended.
    Committing {
        at: MoveAt,
        sync_set: BTreeSet<NodeName>,
        since: Duration,
    },
    Aborting(MoveError),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Moving {
    pub(super) id: u64,
    pub(super) to: NodeName,
    pub(super) step: Step,
    pub(super) deadline: Duration,
    pub(super) tries: u32,
    pub(super) parked_since: Option<Duration>,
    /// Not before then is the last step tried again.
    pub(super) rest_until: Duration,
    pub(super) not_ready: String,
    pub(super) blocked: Option<Blocked>,
    convergence: Convergence,
    progress: (u64, u64),
}

impl Moving {
    pub(super) fn new(s: &mut Shared, to: NodeName) -> Self {
        Self {
            id: s.draw(),
            to,
            step: Step::Queued,
            deadline: s.now + s.config.move_max,
            tries: 0,
            parked_since: None,
            rest_until: Duration::ZERO,
            not_ready: "it did not answer".to_owned(),
            blocked: None,
            convergence: Convergence::default(),
            progress: (0, 0),
        }
    }

    /// Whether requests wait.
    pub(super) fn is_parked(&self) -> bool {
        matches!(self.step, Step::Sealing { .. } | Step::Verifying { .. } | Step::Committing { .. })
    }

    pub(super) fn was_committed(&self) -> bool {
        matches!(self.step, Step::Committing { .. })
    }

    fn phase(&self) -> Phase {
        match self.step {
            Step::Queued => Phase::Queued,
            Step::Preparing => Phase::Preparing,
            Step::Copying => Phase::Copying,
            Step::Sealing { .. } => Phase::Sealing,
            Step::Verifying { .. } => Phase::Verifying,
            Step::Committing { .. } => Phase::Committing,
            Step::Aborting(_) => Phase::Aborting,
        }
    }

    pub(super) fn view(&self, fragment: FragmentId) -> MoveView {
        let (done, total) = self.progress;
        let (to, blocked) = (self.to.clone(), self.blocked.clone());
        MoveView {
            fragment,
            id: self.id,
            to,
            phase: self.phase(),
            done,
            total,
            slowed_per_mille: self.convergence.slowed_per_mille(),
            blocked,
        }
    }
}

impl Seat {
    pub(super) fn settle_moving(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let Some(moving) = &mut self.moving else { return };
        s.wake_at(moving.deadline);
        if self.changing.is_away {
            moving.blocked = Some(Blocked::ManifestAway);
        }
        let is_late = s.now >= moving.deadline;
        match moving.step.clone() {
            Step::Queued if is_late => self.abort_move(s, None),
            Step::Queued => self.start_move(s, cell),
            Step::Aborting(error) => self.settle_abort(s, cell, error),
            Step::Preparing => self.settle_preparing(s, cell),
            _ if cell.running.as_ref().map(|running| running.id) != Some(moving.id) => self.lose_move(s, cell),
            Step::Copying if is_late => self.abort_move(s, None),
            Step::Copying => self.settle_copying(s, cell),
            Step::Sealing { since } => self.settle_sealing(s, since),
            Step::Verifying { at, since, told_at, ready_at } => self.settle_verifying(s, cell, at, since, (told_at, ready_at)),
            Step::Committing { at, sync_set, since } => self.settle_committing(s, cell, at, sync_set, since),
        }
    }

    /// A move begins when it is its turn: one to a complete standby copies nothing, so it waits for no other's copy.
    fn start_move(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let Some(moving) = &mut self.moving else { return };
        let copies_nothing = cell.sync_set.contains(&moving.to);
        if !copies_nothing && s.copying.len() >= s.config.moves_max {
            moving.blocked = Some(Blocked::Queued);
            return; // looked at again when one of them ends
        }
        if !copies_nothing {
            s.copying.insert(self.id);
        }
        moving.blocked = None;
        moving.step = Step::Preparing;
        let (fragment, id, to) = (self.id, moving.id, moving.to.clone());
        s.report(Report::MoveBegan { fragment, id, to });
        self.settle_preparing(s, cell);
    }

    fn settle_preparing(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let Some(moving) = &mut self.moving else { return };
        if cell.running.as_ref().is_some_and(|running| running.id == moving.id) {
            moving.step = Step::Copying;
            return self.settle_copying(s, cell);
        }
        if s.now >= moving.deadline {
            return self.abort_move(s, None);
        }
        let left = u64::try_from(moving.deadline.saturating_sub(s.now).as_millis()).unwrap_or(u64::MAX);
        let planned = Move { id: moving.id, to: moving.to.clone(), deadline_ms: s.unix_ms().saturating_add(left) };
        self.wish(s, Wish::Prepare, cell.prepare(&s.config.node.clone(), planned));
    }

    fn settle_copying(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let Some(moving) = &mut self.moving else { return };
        let follower = self.followers.get(&moving.to).copied();
        let left = match follower.map_or(Session::Absent, |follower| follower.session) {
            Session::Absent => {
                moving.convergence.pause();
                moving.blocked = Some(Blocked::TargetAway { to: moving.to.clone() });
                return;
            }
            Session::Transferring { done, total } => {
                moving.progress = (done.min(total), total);
                total.saturating_sub(done)
            }
            Session::Live { behind } => {
                moving.progress.0 = moving.progress.1;
                behind
            }
        };
        moving.blocked = None;
        let is_live = matches!(follower.map(|follower| follower.session), Some(Session::Live { .. }));
        if is_live && left <= s.config.cutover_bytes {
            return self.begin_cutover(s, cell);
        }
        self.converge(s, left);
    }

    fn converge(&mut self, s: &mut Shared, left: u64) {
        let Some(moving) = &mut self.moving else { return };
        let window = s.config.converge_window;
        s.wake_at(s.now + window);
        let time_left = moving.deadline.saturating_sub(s.now);
        let (fragment, change_bytes_per_s) = (self.id, self.write_bytes_per_s);
        match moving.convergence.observe(s.now, window, left, time_left, change_bytes_per_s) {
            Choice::Keep => {}
            Choice::Slow(share_per_mille) => s.push(Action::Slow { fragment, share_per_mille }),
            Choice::GiveUp { transfer_bytes_per_s } => {
                self.abort_move(s, Some(MoveError::Diverges { fragment, change_bytes_per_s, transfer_bytes_per_s }));
            }
        }
    }

    /// Ends the move: requests are served, and the cell is cleared.
    pub(super) fn abort_move(&mut self, s: &mut Shared, error: Option<MoveError>) {
        let fragment = self.id;
        let Some(moving) = &mut self.moving else { return };
        let waited = moving.blocked.as_ref().map_or_else(|| "it was on its way".to_owned(), ToString::to_string);
        let error = error.unwrap_or(MoveError::Deadline { fragment, blocked: waited });
        if moving.convergence.slowed_per_mille() > 0 {
            s.push(Action::Slow { fragment, share_per_mille: 0 });
            moving.convergence = Convergence::default();
        }
        moving.parked_since = None;
        moving.step = Step::Aborting(error);
        s.cutting.remove(&fragment);
        s.dirty.insert(fragment);
    }

    fn settle_abort(&mut self, s: &mut Shared, cell: &FragmentCell, error: MoveError) {
        let Some(moving) = &self.moving else { return };
        // A PREPARE may be on its way: only a cell without it, and no doubt about it, ends the move.
        let is_running = cell.running.as_ref().is_some_and(|running| running.id == moving.id);
        let may_run = self.views().any(|view| view.running.as_ref().is_some_and(|running| running.id == moving.id));
        if is_running {
            let (me, id, now_ms) = (s.config.node.clone(), moving.id, s.unix_ms());
            self.wish(s, Wish::Abort, cell.abort(&me, id, now_ms));
        } else if may_run {
            if !self.changing.is_pending() {
                let me = s.config.node.clone();
                self.wish(s, Wish::Reopen, cell.reopen(&me, 0)); // nothing else settles it when the manifest said nothing
            }
        } else {
            self.finish_move(s, error);
        }
    }

    /// The cell does not know the move any more: its deadline passed and somebody ended it.
    fn lose_move(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let (fragment, epoch) = (self.id, cell.epoch);
        self.finish_move(s, MoveError::Superseded { fragment, epoch });
    }

    fn finish_move(&mut self, s: &mut Shared, error: MoveError) {
        let Some(moving) = self.moving.take() else { return };
        self.move_failed_at = Some(s.now);
        if moving.convergence.slowed_per_mille() > 0 {
            s.push(Action::Slow { fragment: self.id, share_per_mille: 0 });
        }
        s.copying.remove(&self.id);
        s.cutting.remove(&self.id);
        s.report(Report::MoveFailed { fragment: self.id, to: moving.to, error });
    }

    /// The cell has a move that this life knows nothing of.
    pub(super) fn end_unknown_move(&mut self, s: &mut Shared, cell: &FragmentCell) {
        let Some(running) = &cell.running else { return };
        if self.moving.as_ref().is_none_or(|moving| moving.id != running.id) {
            let (me, id, now_ms) = (s.config.node.clone(), running.id, s.unix_ms());
            self.wish(s, Wish::Abort, cell.abort(&me, id, now_ms));
        }
    }
}
