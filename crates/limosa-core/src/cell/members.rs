//! Who acknowledges: changes of the sync set, each made before the first acknowledgement that counts under it.

use crate::{Digest, NodeName, Version};

use super::{FragmentCell, Refusal};

impl FragmentCell {
    /// The owner `by` takes a replica in that has installed one consistent version and streams contiguously from it.
    pub fn join(&self, by: &NodeName, member: &NodeName, committed: Version) -> Result<Self, Refusal> {
        self.served_by(by)?;
        if member == by {
            return Err(Refusal::AlreadyThere { fragment: self.id(), node: member.clone() });
        }
        let mut next = self.noted(committed);
        next.replicas.remove(member);
        next.sync_set.insert(member.clone());
        next.marks.shrunk = next.marks.shrunk && next.sync_set.len() < usize::from(next.flushed_min);
        Ok(next.after(self))
    }

    /// The owner `by` asks a node to become complete. It follows from then on; nothing is promised of it before it has joined.
    pub fn assign(&self, by: &NodeName, node: &NodeName) -> Result<Self, Refusal> {
        self.served_by(by)?;
        if node == by || self.sync_set.contains(node) || self.replicas.contains(node) {
            return Err(Refusal::AlreadyThere { fragment: self.id(), node: node.clone() });
        }
        let mut next = self.clone();
        next.replicas.insert(node.clone());
        Ok(next.after(self))
    }

    /// The owner `by` needs a replica no longer: it may give its copy up.
    pub fn unassign(&self, by: &NodeName, node: &NodeName) -> Result<Self, Refusal> {
        self.served_by(by)?;
        let mut next = self.clone();
        if !next.replicas.remove(node) {
            return Err(Refusal::NotMember { fragment: self.id(), node: node.clone() });
        }
        Ok(next.after(self))
    }

    /// The owner `by` is told by an explicit setting that as many members as there are shall do. The cell is marked until enough have
    /// joined.
    pub fn shrink(&self, by: &NodeName) -> Result<Self, Refusal> {
        self.served_by(by)?;
        let mut next = self.clone();
        next.marks.shrunk = next.sync_set.len() < usize::from(next.flushed_min);
        Ok(next.after(self))
    }

    /// The owner `by` lets a member go. Where fewer would be left than must flush each write, only with `shrink`, and the cell is
    /// marked: from then on fewer copies are promised.
    pub fn leave(&self, by: &NodeName, member: &NodeName, committed: Version, shrink: bool) -> Result<Self, Refusal> {
        self.served_by(by)?;
        let mut next = self.noted(committed);
        if !next.sync_set.remove(member) {
            return Err(Refusal::NotMember { fragment: self.id(), node: member.clone() });
        }
        if let Err(refusal) = self.enough(next.sync_set.len()) {
            if !shrink {
                return Err(refusal);
            }
            next.marks.shrunk = true;
        }
        Ok(next.after(self))
    }

    /// The owner `by` takes a member out whose copy is gone: it stays as a replica, to get another one. Nothing is marked: where fewer are
    /// left than must flush, writes wait.
    pub fn expel(&self, by: &NodeName, member: &NodeName, committed: Version) -> Result<Self, Refusal> {
        self.served_by(by)?;
        let mut next = self.noted(committed);
        if !next.sync_set.remove(member) {
            return Err(Refusal::NotMember { fragment: self.id(), node: member.clone() });
        }
        next.replicas.insert(member.clone());
        Ok(next.after(self))
    }

    /// The owner `by` sets how many members must flush each write before it is acknowledged.
    pub fn require(&self, by: &NodeName, flushed_min: u8) -> Result<Self, Refusal> {
        self.served_by(by)?;
        let next = Self { flushed_min, ..self.clone() };
        next.enough(next.sync_set.len())?;
        Ok(next.after(self))
    }

    /// The owner `by` writes down what is committed: at checkpoints, so that an empty or older node is not believed.
    pub fn note(&self, by: &NodeName, committed: Version) -> Result<Self, Refusal> {
        self.served_by(by)?;
        Ok(self.noted(committed).after(self))
    }

    /// With at least `committed`; a digest holds for the version that it was proved at, and for no later one.
    fn noted(&self, committed: Version) -> Self {
        let mut next = self.clone();
        if committed > next.committed {
            (next.committed, next.state) = (committed, Digest::ZERO);
        }
        next
    }

    /// Refuses when `left` members can't flush what each write needs.
    pub(super) fn enough(&self, left: usize) -> Result<(), Refusal> {
        let needed = self.flushed_min;
        if left >= usize::from(needed) { Ok(()) } else { Err(Refusal::TooFewMembers { fragment: self.id(), needed, left }) }
    }
}
