//! A node's copy of one fragment: its commits as a chain, of which a first part is on the disk.

use limosa_core::{Digest, Version};

/// One commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    pub(super) version: Version,
    /// Of this commit and all before it.
    pub(super) hash: u64,
}

/// The copy.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    pub(super) links: Vec<Link>,
    /// So many of them are on the disk.
    pub(super) durable: usize,
    /// Newest epoch row, on the disk.
    pub(super) row: u32,
    /// Fence, on the disk.
    pub(super) fence: u32,
}

impl Chain {
    /// The newest version that is on the disk.
    pub(super) fn held(&self) -> Version {
        self.durable.checked_sub(1).map_or(Version::ZERO, |last| self.links[last].version)
    }

    /// The newest version.
    pub(super) fn head(&self) -> Version {
        self.links.last().map_or(Version::ZERO, |link| link.version)
    }

    /// State digest of what is on the disk.
    pub(super) fn state(&self) -> Digest {
        Digest(self.durable.checked_sub(1).map_or(0, |last| u128::from(self.links[last].hash)))
    }

    /// Another commit.
    pub(super) fn write(&mut self, epoch: u32, value: u64) -> Link {
        let before = self.links.last().copied();
        let version = Version::new(epoch, before.map_or(0, |link| link.version.seq) + 1);
        let mixed =
            before.map_or(7, |link| link.hash).rotate_left(17) ^ value ^ version.seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(epoch);
        let link = Link { version, hash: mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9) };
        self.links.push(link);
        link
    }

    /// So many links both have in common.
    pub(super) fn common(&self, other: &[Link]) -> usize {
        let most = self.links.len().min(other.len());
        (0..=most).rev().find(|count| *count == 0 || self.links[count - 1] == other[count - 1]).unwrap_or(0)
    }

    /// Whether this commit, and so all before it, is here.
    pub(super) fn has(&self, link: &Link) -> bool {
        let at = self.links.partition_point(|held| held.version < link.version);
        self.links.get(at) == Some(link)
    }

    /// The process dies; of what was not flushed, `kept` commits are there.
    pub(super) fn crash(&mut self, kept: usize) {
        self.links.truncate(self.durable + kept);
        self.durable = self.links.len();
    }
}
