//! The decision cell of a fragment: who owns it at which epoch, and the legal changes of that.
//!
//! ```text
//!              prepare                       commit: owner T, epoch + 1
//!  SERVING(S,e) ───────> SERVING(S,e)+move ──────────────────────────────> SERVING(T,e+1)
//!      │   ^                 │    └── abort: epoch + 1 ──> SERVING(S,e+1)
//!      │   │ promote         │ fence
//!      │   └─── FENCED(e+1) <┘
//!      └─ fence ──^  └─ fence again: epoch + 1
//!
//!  SERVING(S,e) ── reopen: S starts anew, a move under way has ended ──> SERVING(S,e+1)
//!  SERVING(S,e) ── split: two cells with the same members ──> SERVING(S,e+1), SERVING(S,e+1);  merge: the way back
//! ```
//! Every change is a pure function from one cell to the next; a store's compare-and-set makes it true or refuses it. COMMIT and ABORT
//! of one move are changes of the same cell, and both raise the epoch, so one of them loses.
//!
//! # Invariants
//! - A fragment has at most one owner per epoch. [`FragmentCell::check_follows`], asserted by every change and checked by every write.
//! - The epoch never falls; it grows whenever the owner changes, a fence is raised, or a move ends either way.
//! - The owner is never a member of its own sync set, and nobody is both a member and a replica.
//! - What is known to be committed never falls, unless an operator accepted the loss, which stays marked.

mod failover;
mod members;
mod moving;
mod quorum;
mod reframe;
mod refusal;
#[cfg(test)]
mod tests;
pub mod text;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use moving::{Move, Sealed};
pub use reframe::Joined;
pub use refusal::Refusal;

use crate::{Digest, FragmentId, KeyRange, NodeName, Version};

/// Names one wish to change a cell, drawn at random by whoever has it: tells after an unknown outcome whether it was carried out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Intent(#[serde(with = "text::id")] pub u64);

/// Intents that a cell remembers.
pub const INTENTS_KEPT: usize = 8;

/// Who serves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Holder {
    /// This node serves at the cell's epoch.
    Serving(#[serde(with = "text::name")] NodeName),
    /// Nobody serves until somebody is promoted.
    Fenced {
        /// Who raised the fence.
        #[serde(with = "text::name")]
        by: NodeName,
        /// Who served before it.
        #[serde(with = "text::name")]
        was: NodeName,
    },
}

impl Holder {
    /// Who serves, or served before the fence.
    pub fn last_served(&self) -> &NodeName {
        match self {
            Self::Serving(owner) | Self::Fenced { was: owner, .. } => owner,
        }
    }
}

/// What stays to be seen of a promise that was not kept in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Marks {
    /// The last epoch at which an operator accepted that acknowledged writes may be lost; 0: never.
    pub accepted_loss_epoch: u32,
    /// Fewer members than `flushed_min` are enough, by an explicit setting: as many as there are.
    pub shrunk: bool,
}

/// The cell.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FragmentCell {
    /// The space that it is of.
    pub space: String,
    /// Its number in the space's lineage, never used again.
    pub fragment: u32,
    /// Random, drawn at each creation, split and merge.
    #[serde(with = "text::id")]
    pub lineage: u64,
    /// Its keys.
    #[serde(with = "text::range")]
    pub range: KeyRange,
    /// Count of ownership changes.
    pub epoch: u32,
    /// Who serves.
    pub holder: Holder,
    /// Complete standbys: they acknowledge, and one of them is promoted when the owner is lost.
    #[serde(with = "text::names")]
    pub sync_set: BTreeSet<NodeName>,
    /// Asked to become complete: they follow the owner, neither acknowledge nor are collected or promoted, and join once they are there.
    #[serde(default, with = "text::names")]
    pub replicas: BTreeSet<NodeName>,
    /// How many members must have flushed a write before it is acknowledged (w); 0: the ack level is local.
    pub flushed_min: u8,
    /// Known to be committed: written at seals, changes of the sync set and checkpoints, never per commit.
    #[serde(with = "text::version")]
    pub committed: Version,
    /// State digest at `committed`, where a seal proved it.
    #[serde(with = "text::digest")]
    pub state: Digest,
    /// The move under way.
    pub running: Option<Move>,
    /// How it was put together, where a merge made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Joined>,
    /// Promises that were not kept in full.
    #[serde(default)]
    pub marks: Marks,
    /// The changes made last, newest at the end.
    #[serde(default)]
    pub intents: Vec<Intent>,
}

impl FragmentCell {
    /// A new fragment that `owner` serves from epoch 1 on.
    pub fn new(space: impl Into<String>, fragment: FragmentId, lineage: u64, range: KeyRange, owner: NodeName) -> Self {
        Self {
            space: space.into(),
            fragment: fragment.0,
            lineage,
            range,
            epoch: 1,
            holder: Holder::Serving(owner),
            sync_set: BTreeSet::new(),
            replicas: BTreeSet::new(),
            flushed_min: 0,
            committed: Version::ZERO,
            state: Digest::ZERO,
            running: None,
            joined: None,
            marks: Marks::default(),
            intents: Vec::new(),
        }
    }

    /// The fragment's id.
    pub fn id(&self) -> FragmentId {
        FragmentId(self.fragment)
    }

    /// Who serves, if anybody does.
    pub fn owner(&self) -> Option<&NodeName> {
        match &self.holder {
            Holder::Serving(owner) => Some(owner),
            Holder::Fenced { .. } => None,
        }
    }

    /// Whether the change named `intent` is among the last ones made.
    pub fn carried_out(&self, intent: Intent) -> bool {
        self.intents.contains(&intent)
    }

    /// The cell as it is written for the wish named `intent`.
    #[must_use]
    pub fn marked(mut self, intent: Intent) -> Self {
        self.intents.push(intent);
        let surplus = self.intents.len().saturating_sub(INTENTS_KEPT);
        self.intents.drain(..surplus);
        self
    }

    /// Whether this cell may come after `before`: the invariants of the module, whoever wrote it.
    pub fn check_follows(&self, before: &Self) -> Result<(), Refusal> {
        let broken = |rule| Err(Refusal::Illegal { fragment: self.id(), rule });
        if (self.fragment, &self.space) != (before.fragment, &before.space) {
            return broken("a cell stays its fragment's");
        }
        if self.epoch < before.epoch {
            return broken("the epoch never falls");
        }
        let (owner, former) = (self.owner(), before.owner());
        let is_promotion = former.is_none() && owner.is_some();
        if owner != former && self.epoch == before.epoch && !is_promotion {
            return broken("a new owner, or a fence, comes with a new epoch");
        }
        if owner.is_some_and(|owner| self.sync_set.contains(owner)) {
            return broken("the owner is no member of its own sync set");
        }
        if owner.is_some_and(|owner| self.replicas.contains(owner)) || !self.sync_set.is_disjoint(&self.replicas) {
            return broken("owner, members and replicas are different nodes");
        }
        if self.committed < before.committed && self.marks.accepted_loss_epoch <= before.marks.accepted_loss_epoch {
            return broken("what is committed never falls, unless a loss is accepted");
        }
        Ok(())
    }

    /// Refuses unless `node` serves.
    fn served_by(&self, node: &NodeName) -> Result<(), Refusal> {
        if self.owner() == Some(node) {
            Ok(())
        } else {
            Err(Refusal::NotOwner { fragment: self.id(), node: node.clone(), epoch: self.epoch })
        }
    }

    /// Ends a change: what it made must be legal.
    fn after(self, before: &Self) -> Self {
        if let Err(broken) = self.check_follows(before) {
            panic!("a change of a cell made an illegal one: {broken}");
        }
        self
    }
}
