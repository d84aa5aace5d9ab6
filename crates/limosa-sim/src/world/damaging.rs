//! Disks that lie: rot, misdirected writes, an empty disk or an older one in place of the right one.

use limosa_store::disk::MemoryDisk;

use super::World;

/// Bytes of a write that went to another place.
const MISDIRECTED_BYTES: usize = 512;

impl World {
    /// Bits of some checkpointed block change.
    pub(super) fn rot(&mut self, index: usize) -> bool {
        self.damage(index, |bytes, random| {
            let at = random.index(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        })
    }

    /// Bytes that belong elsewhere in the file lie over a block.
    pub(super) fn misdirect(&mut self, index: usize) -> bool {
        self.damage(index, |bytes, random| {
            let length = MISDIRECTED_BYTES.min(bytes.len() / 2);
            let (from, to) = (random.index(bytes.len() - length), random.index(bytes.len() - length));
            bytes.copy_within(from..from + length, to);
        })
    }

    /// One node at a time, while the others have everything: what all of them have lost nobody can bring back.
    fn damage(&mut self, index: usize, damage: impl FnOnce(&mut Vec<u8>, &mut crate::random::Random)) -> bool {
        let is_one = self.nodes.iter().enumerate().all(|(other, node)| other == index || (node.is_whole && !node.may_rot));
        let extents = self.nodes[index].extents();
        if !is_one || extents.is_empty() {
            return false;
        }
        let path = &extents[self.random.index(extents.len())];
        let Ok(mut bytes) = self.nodes[index].disk.read(path) else { return false };
        if bytes.len() < 64 {
            return false;
        }
        damage(&mut bytes, &mut self.random);
        self.nodes[index].disk.overwrite(path, bytes);
        self.nodes[index].may_rot = true;
        true
    }

    /// Of a standby; not while a damaged node may need what it has.
    pub(super) fn empty_disk(&mut self, index: usize) -> bool {
        if index == self.owner || self.nodes.iter().any(|node| node.may_rot) {
            return false;
        }
        self.end_session(index, "the disk is exchanged");
        self.sent[index].agreed();
        let back = self.now.us() + 1;
        self.nodes[index].change_disk(MemoryDisk::new(), false, back);
        true
    }

    /// Of an owner that has been one since the copy: then what it shows must be what was acknowledged at that time.
    pub(super) fn older_disk(&mut self, index: usize) -> bool {
        let is_owner = index == self.owner;
        let is_right = |copied: &crate::node::Copied| !is_owner || copied.tenure == self.tenure;
        if self.nodes.iter().any(|node| node.may_rot) || !self.nodes[index].copy.as_ref().is_some_and(is_right) {
            return false;
        }
        let copied = self.nodes[index].copy.take().expect("looked at above");
        if is_owner {
            (0..self.sessions.len()).for_each(|other| self.end_session(other, "the owner's disk is exchanged"));
            self.flush_at_us = None;
            self.touched.clear();
            self.oracle.restore(copied.oracle);
        } else {
            self.end_session(index, "the disk is exchanged");
        }
        self.sent[index].agreed();
        let back = self.now.us() + 1;
        self.nodes[index].change_disk(copied.disk, copied.is_whole, back);
        true
    }
}
