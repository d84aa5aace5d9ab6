//! The member's answer to a beat: it believes the owner for another lease, or says why not.
//!
//! # Invariants
//! - A lease that was lent is outlived before a fence is answered ([`Seat::is_lease_over`]): the owner counts from the moment at which it
//!   sent the beat, this node from the one at which it answered.
//! - An owner is trusted at an epoch, and followed, only if this member holds nothing of older epochs that the owner lacks: all that a
//!   member holds may have been acknowledged.

use std::time::Duration;

use limosa_core::{NodeName, Version};
use limosa_wire::Renewal;

use super::action::Action;
use super::config::Plant;
use super::seat::Seat;
use super::shared::Shared;

#[derive(Clone, Debug, Default)]
pub(super) struct Lender {
    /// When the owner's last believable beat came.
    pub(super) heard_at: Option<Duration>,
    /// When this node last lent its lease.
    renewed_at: Option<Duration>,
    /// The newest epoch whose owner may be followed by this member.
    pub(super) trusted: u32,
    /// Known to be acknowledged, from beats and fences.
    pub(super) acknowledged: Version,
}

impl Seat {
    /// `None`: believed. Else the epoch that this node knows: the beat's own, when the owner is behind; 0: this node's copy is gone.
    /// An `Err` says nothing at all: this node knows too little.
    pub(super) fn judge(&mut self, s: &mut Shared, from: &NodeName, beat: Renewal) -> Result<Option<u32>, ()> {
        let Some(seen) = &self.cell else {
            s.push(Action::ReadCell(self.id));
            return Err(());
        };
        let cell = &seen.cell;
        let known = cell.epoch.max(self.fence_call.epoch).max(self.fence);
        if known > beat.epoch {
            return Ok(Some(known));
        }
        if cell.sync_set.contains(&s.config.node) && self.is_unbelieved {
            return Ok(Some(0));
        }
        let is_ahead = self.held.epoch < beat.epoch && self.held > beat.base;
        if self.is_member(s, cell) && is_ahead && !s.config.has(Plant::TrustsEmptyNode) {
            return Ok(Some(beat.epoch));
        }
        if cell.epoch < beat.epoch {
            s.push(Action::ReadCell(self.id));
        } else if cell.owner() != Some(from) {
            return Ok(Some(cell.epoch + 1)); // at this epoch somebody else serves: it must read the cell
        }
        self.lender.trusted = self.lender.trusted.max(beat.epoch);
        self.lender.acknowledged = self.lender.acknowledged.max(beat.acknowledged);
        self.lender.heard_at = Some(s.now);
        self.lender.renewed_at = Some(s.now);
        self.suspicion.forget();
        Ok(None)
    }

    /// Whether every lease that this node lent is over: in this life or the one before, of this fragment or those that it came out of.
    pub(super) fn is_lease_over(&self, s: &mut Shared) -> bool {
        if s.config.has(Plant::FencesUnderLease) {
            return true;
        }
        let since = self.lender.renewed_at.unwrap_or(self.began_at);
        s.is_past(since, s.config.lease)
    }

    /// How long the owner has been silent for this node: since its last beat, since its cell was seen, since this node began.
    pub(super) fn silent_since(&self, s: &Shared) -> Duration {
        self.lender.heard_at.unwrap_or(s.started_at).max(self.cell_seen_at)
    }
}
