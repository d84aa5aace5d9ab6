//! What goes wrong in a cluster, and what its operator does.

use std::fmt;

use limosa_core::FragmentId;
use limosa_engine::ownership::{Order, Step};

use super::world::ClusterWorld;
use crate::point::When;

/// Longest spell of something bad, microseconds.
const SPELL_US_MAX: u64 = 9_000_000;
/// How long a crash point waits, microseconds.
const ARMED_US: u64 = 20_000_000;

/// A kind of trouble.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Trouble {
    /// A process dies.
    Crash,
    /// A process dies, or an answer is lost, at a named step.
    CrashPoint,
    /// A process stands still.
    Pause,
    /// Two nodes do not reach each other.
    Partition,
    /// One node reaches no other.
    Isolation,
    /// The manifest does not answer.
    ManifestOutage,
    /// The manifest does what is asked and its replies are lost.
    LostReplies,
    /// Watchers hear of changes late.
    StaleWatch,
    /// A node comes back with an empty disk.
    LostDisk,
    /// A clock goes faster or slower, within its bound.
    Skew,
    /// An operator moves fragments.
    Move,
    /// An operator asks a node to keep a copy, or to keep it no longer.
    Stage,
    /// An operator lets members go that are away.
    Shrink,
    /// An operator ends moves.
    Cancel,
    /// A node hands over everything.
    HandOver,
    /// An operator makes a node the owner.
    FailOver,
}

const WEIGHTS: &[(Trouble, u64)] = &[
    (Trouble::Crash, 20),
    (Trouble::CrashPoint, 60),
    (Trouble::Pause, 12),
    (Trouble::Partition, 14),
    (Trouble::Isolation, 8),
    (Trouble::ManifestOutage, 8),
    (Trouble::LostReplies, 10),
    (Trouble::StaleWatch, 10),
    (Trouble::LostDisk, 4),
    (Trouble::Skew, 4),
    (Trouble::Move, 50),
    (Trouble::Stage, 12),
    (Trouble::Shrink, 4),
    (Trouble::Cancel, 8),
    (Trouble::HandOver, 6),
    (Trouble::FailOver, 8),
];

impl Trouble {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        WEIGHTS.iter().map(|(trouble, _)| *trouble)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{self:?}");
        for (at, letter) in text.char_indices() {
            let gap = if at > 0 && letter.is_uppercase() { " " } else { "" };
            write!(f, "{gap}{}", letter.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

impl ClusterWorld {
    pub(super) fn make_trouble(&mut self) {
        let mut at = self.random.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        let kind = WEIGHTS.iter().find(|(_, weight)| match at.checked_sub(*weight) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        });
        let kind = kind.expect("a number below the sum lies within one of them").0;
        let node = self.random.index(self.members.len());
        if self.bring(kind, node) {
            *self.tally.troubles.entry(kind).or_default() += 1;
            self.trace.note(self.now_us, format_args!("FAULT {kind} ({})", self.members[node].name));
        }
    }

    fn bring(&mut self, kind: Trouble, node: usize) -> bool {
        let until = self.now_us + 1 + self.random.below(SPELL_US_MAX);
        let is_up = self.members[node].life.is_some();
        match kind {
            Trouble::Crash if is_up => self.down(node),
            Trouble::CrashPoint => {
                let step = Step::ALL[self.random.index(Step::ALL.len())];
                let when = [When::Before, When::Behind, When::ReplyLost][self.random.index(3)];
                self.armed = Some((step, when, self.now_us + ARMED_US));
            }
            Trouble::Pause if is_up => self.members[node].paused_until_us = until,
            Trouble::Partition => self.part(node, (node + 1) % self.members.len(), until),
            Trouble::Isolation => (0..self.members.len()).filter(|other| *other != node).for_each(|other| self.part(node, other, until)),
            Trouble::ManifestOutage => self.manifest.away_until_us = until,
            Trouble::LostReplies => self.manifest.lossy_until_us = until,
            Trouble::StaleWatch => self.manifest.stale_until_us = until,
            Trouble::LostDisk => return self.lose_disk(node),
            Trouble::Skew if is_up => return false,
            Trouble::Skew => {
                let skew = i64::try_from(self.random.below(20_000)).expect("it fits") - 10_000;
                self.members[node].skew_ppm = skew;
            }
            Trouble::Move | Trouble::Stage | Trouble::Shrink | Trouble::Cancel | Trouble::HandOver | Trouble::FailOver if is_up => {
                self.order(kind, node);
            }
            _ => return false,
        }
        true
    }

    fn part(&mut self, one: usize, other: usize, until_us: u64) {
        self.parted.insert((one.min(other), one.max(other)), until_us);
        self.connect_later(one, other);
    }

    /// Only where the others have everything: what all have lost nobody brings back.
    fn lose_disk(&mut self, node: usize) -> bool {
        let is_safe = self
            .manifest
            .cells
            .values()
            .all(|seen| seen.cell.owner().is_some() && seen.cell.sync_set.len() >= self.standbys && seen.cell.running.is_none())
            && self.members.iter().all(|member| member.life.is_some() && !member.is_reborn);
        if !is_safe || self.now_us < self.disk_lost_at_us + 60_000_000 {
            return false;
        }
        self.disk_lost_at_us = self.now_us;
        self.down(node);
        let member = &mut self.members[node];
        member.is_reborn = true;
        member.chains.values_mut().for_each(|chain| *chain = super::chain::Chain::default());
        true
    }

    fn order(&mut self, kind: Trouble, node: usize) {
        let fragment = FragmentId(u32::try_from(self.random.below(self.manifest.cells.len() as u64)).expect("few"));
        let other = (node + 1 + self.random.index(self.members.len() - 1)) % self.members.len();
        let to = self.members[other].name.clone();
        let owner =
            self.manifest.cells[&fragment].cell.owner().and_then(|owner| self.members.iter().position(|member| member.name == *owner));
        let (at, order) = match kind {
            Trouble::Move => (owner.unwrap_or(node), Order::Move { fragments: vec![fragment], to }),
            Trouble::Stage if self.random.one_in(2) => (owner.unwrap_or(node), Order::Stage { fragments: vec![fragment], to }),
            Trouble::Stage => (owner.unwrap_or(node), Order::Unstage { fragments: vec![fragment], to }),
            Trouble::Shrink => (owner.unwrap_or(node), Order::Shrink { fragments: vec![fragment] }),
            Trouble::Cancel => (owner.unwrap_or(node), Order::Cancel { fragments: vec![fragment] }),
            Trouble::HandOver => (node, Order::HandOver),
            _ => (node, Order::FailOver { fragments: vec![fragment], accept_loss: false }),
        };
        self.tell(at, limosa_engine::ownership::Event::Order(order));
    }
}
