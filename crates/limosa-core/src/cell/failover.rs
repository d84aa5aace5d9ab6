//! The loss of an owner: a fence, then a promotion under it.

use crate::{Digest, NodeName, Version};

use super::{FragmentCell, Holder, Refusal};

impl FragmentCell {
    /// `by` takes the fragment away from whoever serves it, or from an earlier fence. From then on no write of an older epoch is
    /// acknowledged: the members make the fence durable before they answer. Only a member of the sync set may do this, or the target of
    /// the move under way, which may hold the sealed state.
    pub fn fence(&self, by: &NodeName) -> Result<Self, Refusal> {
        let was = self.holder.last_served();
        let is_target = self.running.as_ref().is_some_and(|running| running.to == *by);
        // The one that served may fence itself out of a fence that another one raised: it holds all that was acknowledged.
        let is_returning = self.owner().is_none() && was == by;
        if !(self.sync_set.contains(by) || is_target || is_returning) {
            return Err(Refusal::NotMember { fragment: self.id(), node: by.clone() });
        }
        Ok(self.fenced(by))
    }

    /// As [`FragmentCell::fence`], by an operator's explicit word and by any node: every complete one may be lost.
    pub fn fence_accept_loss(&self, by: &NodeName) -> Self {
        self.fenced(by)
    }

    fn fenced(&self, by: &NodeName) -> Self {
        let holder = Holder::Fenced { by: by.clone(), was: self.holder.last_served().clone() };
        Self { epoch: self.epoch + 1, holder, ..self.clone() }.after(self)
    }

    /// Whoever raised the fence serves, with what it collected from the members: at least all that is known to be committed. The move
    /// under way, if any, has ended.
    ///
    /// The other members stay in the sync set only as far as the caller says that they hold `holds` (`complete`): the others, the former
    /// owner among them, are replicas and join again.
    pub fn promote(&self, by: &NodeName, holds: Version, complete: &[NodeName]) -> Result<Self, Refusal> {
        let next = self.promoted(by, holds, complete)?;
        if holds < self.committed {
            return Err(Refusal::Behind { fragment: self.id(), node: by.clone(), holds, committed: self.committed });
        }
        Ok(next.after(self))
    }

    /// As [`FragmentCell::promote`], by an operator's explicit word that acknowledged writes may be lost. The cell stays marked.
    pub fn promote_accept_loss(&self, by: &NodeName, holds: Version, complete: &[NodeName]) -> Result<Self, Refusal> {
        let mut next = self.promoted(by, holds, complete)?;
        next.committed = holds;
        next.state = Digest::ZERO;
        next.marks.accepted_loss_epoch = self.epoch;
        Ok(next.after(self))
    }

    fn promoted(&self, node: &NodeName, holds: Version, complete: &[NodeName]) -> Result<Self, Refusal> {
        let fragment = self.id();
        let Holder::Fenced { by, was } = &self.holder else { return Err(Refusal::NotFenced { fragment }) };
        if by != node {
            return Err(Refusal::NotMember { fragment, node: node.clone() }); // another fence was raised meanwhile, or never by this node
        }
        let known = |member: &&NodeName| self.sync_set.contains(*member) || *member == was;
        let mut next = Self { holder: Holder::Serving(node.clone()), running: None, ..self.clone() };
        next.sync_set = complete.iter().filter(known).filter(|member| *member != node).cloned().collect();
        let others = self.sync_set.iter().chain(&self.replicas).chain([was]);
        next.replicas = others.filter(|other| *other != node && !next.sync_set.contains(*other)).cloned().collect();
        next.marks.shrunk = self.marks.shrunk && next.sync_set.len() < usize::from(next.flushed_min);
        if holds > next.committed {
            (next.committed, next.state) = (holds, Digest::ZERO);
        }
        Ok(next)
    }
}
