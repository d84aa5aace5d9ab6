//! A move of ownership, as the cell sees it: prepared, then committed or aborted.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{FragmentCell, Holder, Refusal, text};
use crate::{Digest, NodeName, Version};

/// A move under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// Random, drawn when it was prepared; frames and acks carry it.
    #[serde(with = "text::id")]
    pub id: u64,
    /// Where to.
    #[serde(with = "text::name")]
    pub to: NodeName,
    /// From then on any node may abort it, milliseconds since the Unix epoch. A hint: an early abort costs a move, nothing else.
    pub deadline_ms: u64,
}

/// What source and target agreed on at the end of a move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// The last version of the old epoch.
    pub version: Version,
    /// State digest there, equal at both ends.
    pub state: Digest,
    /// Who is complete at that version beside the target: the source, or the target's own standbys.
    pub sync_set: BTreeSet<NodeName>,
}

impl FragmentCell {
    /// The owner `by` announces a move. Nothing changes for clients.
    pub fn prepare(&self, by: &NodeName, planned: Move) -> Result<Self, Refusal> {
        self.served_by(by)?;
        let fragment = self.id();
        if let Some(running) = &self.running {
            return Err(Refusal::Moving { fragment, to: running.to.clone() });
        }
        if planned.to == *by {
            return Err(Refusal::AlreadyThere { fragment, node: planned.to });
        }
        Ok(Self { running: Some(planned), ..self.clone() }.after(self))
    }

    /// The owner `by` hands the fragment over: the target serves at the next epoch. Only the source sends this, after the target said
    /// that it is durably ready and both digests were equal at the sealed version. Members that are not complete there become replicas.
    pub fn commit(&self, by: &NodeName, id: u64, sealed: Sealed) -> Result<Self, Refusal> {
        self.served_by(by)?;
        let target = self.running_move(id)?.to.clone();
        if sealed.version < self.committed {
            return Err(Refusal::Behind { fragment: self.id(), node: target, holds: sealed.version, committed: self.committed });
        }
        let sync_set: BTreeSet<NodeName> = sealed.sync_set.into_iter().filter(|member| *member != target).collect();
        self.enough(sync_set.len())?;
        let behind = |member: &&NodeName| !sync_set.contains(*member) && **member != target;
        let replicas = self.replicas.union(&self.sync_set).filter(behind).cloned().collect();
        let next = Self {
            epoch: self.epoch + 1,
            holder: Holder::Serving(target),
            sync_set,
            replicas,
            committed: sealed.version,
            state: sealed.state,
            running: None,
            ..self.clone()
        };
        Ok(next.after(self))
    }

    /// Ends a move without a change of owner. The epoch grows: a COMMIT that is still on its way loses. Before the deadline only the
    /// owner may do this.
    pub fn abort(&self, by: &NodeName, id: u64, now_ms: u64) -> Result<Self, Refusal> {
        let running = self.running_move(id)?;
        if self.owner().is_none() {
            return Err(Refusal::Fenced { fragment: self.id(), epoch: self.epoch }); // whoever is promoted ends it
        }
        if self.owner() != Some(by) && now_ms < running.deadline_ms {
            return Err(Refusal::NotDue { fragment: self.id() });
        }
        Ok(Self { epoch: self.epoch + 1, running: None, ..self.clone() }.after(self))
    }

    /// The owner `by` starts anew: whatever it had sent before loses, and a move under way has ended. Nothing is served at the new epoch
    /// before the store has opened exactly this one, which lies above `held`, the highest one that the store has a row of.
    pub fn reopen(&self, by: &NodeName, held: u32) -> Result<Self, Refusal> {
        self.served_by(by)?;
        Ok(Self { epoch: self.epoch.max(held) + 1, running: None, ..self.clone() }.after(self))
    }

    fn running_move(&self, id: u64) -> Result<&Move, Refusal> {
        let fragment = self.id();
        self.running.as_ref().filter(|running| running.id == id).ok_or(Refusal::NoSuchMove { fragment })
    }
}
