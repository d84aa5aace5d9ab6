//! Wishes to change a cell: one at a time, none of them forgotten before its outcome is certain.
//!
//! # Invariants
//! - A change whose outcome is unknown stays a possible state of the cell until a newer revision is seen: each change names the revision
//!   that it replaces, so none of them can be made behind it.
//! - Whatever is promised meanwhile holds under every state that is possible ([`Seat::views`]).

use std::time::Duration;

use limosa_core::cell::{Holder, Refusal};
use limosa_core::{FragmentCell, Intent, NodeName};

use super::action::{Action, Change};
use super::event::{Outcome, SeenCell};
use super::seat::Seat;
use super::shared::Shared;
use super::step::Wish;

/// First and longest pause before a change is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Losses of an owner that are remembered.
const LOSSES_KEPT: usize = 16;

#[derive(Clone, Debug, Default)]
pub(super) struct Changing {
    pending: Option<(Intent, FragmentCell)>,
    doubts: Vec<FragmentCell>,
    failures: u32,
    retry_at: Duration,
    /// The manifest did not answer the last change.
    pub(super) is_away: bool,
}

impl Changing {
    /// Whether some change of the cell may be made yet.
    pub(super) fn is_open(&self) -> bool {
        self.pending.is_some() || !self.doubts.is_empty()
    }

    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// The intent under way, for tests of the driver's answers.
    fn take(&mut self, intent: Intent) -> Option<FragmentCell> {
        match self.pending.take() {
            Some((mine, next)) if mine == intent => Some(next),
            other => {
                self.pending = other;
                None
            }
        }
    }

    fn failed(&mut self, now: Duration) {
        let pause = PAUSES.0.saturating_mul(1 << self.failures.min(8)).min(PAUSES.1);
        self.failures += 1;
        self.retry_at = now + pause;
    }
}

impl Seat {
    /// Asks for a change of the cell, unless one is under way or the manifest rests. True: it was asked for.
    pub(super) fn wish(&mut self, s: &mut Shared, wish: Wish, next: Result<FragmentCell, Refusal>) -> bool {
        let (Some(seen), Ok(next)) = (&self.cell, next) else { return false };
        if self.changing.is_pending() || next == seen.cell {
            return false;
        }
        if s.now < self.changing.retry_at {
            s.wake_at(self.changing.retry_at);
            return false;
        }
        let intent = s.intent();
        self.changing.pending = Some((intent, next.clone()));
        s.push(Action::Change(Box::new(Change { fragment: self.id, revision: seen.revision, wish, next, intent })));
        true
    }

    /// What came of a change.
    pub(super) fn changed(&mut self, s: &mut Shared, intent: Intent, outcome: Outcome) {
        let Some(next) = self.changing.take(intent) else { return };
        match outcome {
            Outcome::Made(seen) => self.settled(s, *seen),
            Outcome::Lost(Some(seen)) => self.settled(s, *seen),
            Outcome::Lost(None) => self.changing.failed(s.now), // gone, or not to be read: the watch will tell
            Outcome::Unknown => {
                self.changing.doubts.push(next);
                self.changing.failed(s.now);
                s.push(Action::ReadCell(self.id));
            }
            Outcome::Unavailable => {
                self.changing.is_away = true;
                self.changing.failed(s.now);
            }
        }
    }

    fn settled(&mut self, s: &mut Shared, seen: SeenCell) {
        self.changing.is_away = false;
        let is_news = self.cell.as_ref().is_none_or(|known| seen.revision > known.revision);
        if is_news {
            self.changing.failures = 0;
            self.absorb(s, seen);
        } else {
            self.changing.failed(s.now); // an answer without news must not make a busy loop
        }
    }

    /// Takes a cell in, if it is newer than what is known.
    pub(super) fn absorb(&mut self, s: &mut Shared, seen: SeenCell) {
        if self.cell.as_ref().is_some_and(|known| known.revision >= seen.revision) {
            return;
        }
        let me = &s.config.node;
        let before = self.cell.take().map(|known| known.cell);
        let is_owner = seen.cell.owner() == Some(me);
        match &before {
            None => {
                self.must_reopen = is_owner && !self.origin.is_of(&seen.cell);
                let is_told_of_another = s.config.reborn && !self.origin.is_believed || self.origin.is_lost;
                self.is_unbelieved = is_told_of_another && (is_owner || seen.cell.sync_set.contains(me));
            }
            Some(before) if is_owner && before.owner() != Some(me) => {
                self.must_reopen = false; // an epoch that nobody has used
                self.is_unbelieved &= seen.cell.marks.accepted_loss_epoch != seen.cell.epoch;
            }
            Some(before) if is_owner && seen.cell.epoch > before.epoch => {
                self.must_reopen = false; // raised by this life, or by somebody else: nobody has used it
            }
            Some(_) => {}
        }
        if self.is_unbelieved && !is_owner && !seen.cell.sync_set.contains(me) {
            self.is_unbelieved = false; // nothing is said of it any more: it may become complete
        }
        let epoch_before = before.as_ref().map_or(0, |cell| cell.epoch);
        if seen.cell.epoch != epoch_before {
            self.cell_seen_at = s.now;
            self.suspicion.forget();
        }
        if before.as_ref().is_some_and(|cell| seen.cell.epoch > cell.epoch) && matches!(seen.cell.holder, Holder::Fenced { .. }) {
            self.losses.push(s.now);
            let surplus = self.losses.len().saturating_sub(LOSSES_KEPT);
            self.losses.drain(..surplus);
        }
        self.changing.doubts.clear(); // they name an older revision: none of them can be made any more
        self.changing.is_away = false;
        self.cell = Some(seen);
    }

    /// Every state that the cell may be in now, as far as this node owns the fragment in it.
    pub(super) fn views(&self) -> impl Iterator<Item = &FragmentCell> {
        let known = self.cell.as_ref().map(|seen| &seen.cell);
        let owner: Option<NodeName> = known.and_then(|cell| cell.owner().cloned());
        let pending = self.changing.pending.as_ref().map(|(_, next)| next);
        let all = known.into_iter().chain(pending).chain(&self.changing.doubts);
        all.filter(move |cell| cell.owner() == owner.as_ref())
    }
}
