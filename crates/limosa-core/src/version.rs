//! The position of a write in its fragment's history.

use std::fmt;

/// (epoch, seq) of a write, compared in that order. A pair is given at most once per history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version {
    /// Count of ownership changes when the write was made. The first owner writes in epoch 1.
    pub epoch: u32,
    /// Dense within one epoch row; goes on at cut + 1 in the next row.
    pub seq: u64,
}

impl Version {
    /// Before every write. As the version of a tombstone in a *replace* frame it means "absent".
    pub const ZERO: Self = Self { epoch: 0, seq: 0 };

    /// The version of write `seq` in `epoch`.
    pub const fn new(epoch: u32, seq: u64) -> Self {
        Self { epoch, seq }
    }

    /// True for [`Version::ZERO`].
    pub const fn is_zero(self) -> bool {
        self.epoch == 0 && self.seq == 0
    }

    /// 12 bytes, epoch then seq, big-endian: byte order equals version order.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut out = [0; 12];
        out[..4].copy_from_slice(&self.epoch.to_be_bytes());
        out[4..].copy_from_slice(&self.seq.to_be_bytes());
        out
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_epoch_wins_over_a_higher_seq() {
        assert!(Version::new(2, 1) > Version::new(1, 100));
        assert!(Version::new(2, 1).to_bytes() > Version::new(1, 100).to_bytes());
    }
}
