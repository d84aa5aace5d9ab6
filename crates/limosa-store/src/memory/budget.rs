//! Decides what is to be done about memory: the figures in, a choice out.

/// What the store holds in memory, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryUse {
    /// Blocks: exact, those that only snapshots and stages hold included. Values that two versions of a block share count twice.
    pub blocks: u64,
    /// Of those, blocks that changed since the last checkpoint, as counted a moment ago.
    pub dirty: u64,
    /// Summaries, keys and places of all blocks, in memory or not: reckoned from their number.
    pub places: u64,
    /// Writes that are not published yet, with the records that carry them: reckoned from the records' bytes.
    pub pending: u64,
    /// Recent commits kept for tails.
    pub ring: u64,
    /// What the checkpoint's page cache may take.
    pub cache: u64,
}

impl MemoryUse {
    /// All of it; `dirty` is a part of `blocks`.
    pub fn total(&self) -> u64 {
        self.blocks + self.besides()
    }

    fn besides(&self) -> u64 {
        self.places + self.pending + self.ring + self.cache
    }
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    /// There is room.
    Leave,
    /// Drop clean blocks until `bytes` less are held.
    Drop { bytes: usize },
    /// Spill blocks that no checkpoint has until `bytes` less are held: there is too little to drop.
    Spill { bytes: usize },
}

/// The least that blocks may take: a budget that the rest of the store eats up must leave room for those at hand.
const BLOCKS_MIN_SHARE: u64 = 8;
/// Relief goes on until a 64th below the budget, so that not each load begins one of its own.
const SLACK_SHARE: u64 = 64;

/// The share of their budget that blocks take, in thousandths: what the allocator needs around them is not known before it is seen.
pub(crate) const SHARE_ALL: u64 = 1000;
/// What a process begins with, so that its peak is not at the moment when memory fills for the first time.
pub(crate) const SHARE_MIN: u64 = 800;

/// The share from now on, where the process has `resident` bytes of memory. It falls at once when that is above `max`, so that the
/// allocator uses again what blocks gave back instead of asking for more, and rises slowly, while blocks fill what they may take.
pub(crate) fn share_after(share: u64, max: u64, resident: u64, is_full: bool) -> u64 {
    if resident > max.saturating_add(max / 50) {
        share.saturating_sub(20).max(SHARE_MIN)
    } else if is_full && resident < max - max / 20 {
        (share + 2).min(SHARE_ALL)
    } else {
        share
    }
}

/// What blocks may take of `max` bytes.
pub(crate) fn for_blocks(max: u64, now: &MemoryUse) -> u64 {
    max.saturating_sub(now.besides()).max(max / BLOCKS_MIN_SHARE)
}

/// Decides. Same figures, same choice.
pub(crate) fn choose(max: u64, now: &MemoryUse) -> Choice {
    let budget = for_blocks(max, now);
    if now.blocks <= budget {
        return Choice::Leave;
    }
    let bytes = usize::try_from(now.blocks - budget + budget / SLACK_SHARE).unwrap_or(usize::MAX);
    // with less than an eighth clean, dropping would take the hot set, and what is read next
    let clean = now.blocks.saturating_sub(now.dirty);
    if clean > budget / 8 { Choice::Drop { bytes } } else { Choice::Spill { bytes } }
}

/// Whether blocks that changed since the last checkpoint make up so much that one should be made now: the rest can be dropped, they can't.
pub(crate) fn wants_checkpoint(max: u64, now: &MemoryUse) -> bool {
    now.dirty > for_blocks(max, now) / 3 && now.blocks > for_blocks(max, now) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(blocks: u64, dirty: u64) -> MemoryUse {
        MemoryUse { blocks, dirty, places: 50, pending: 20, ring: 20, cache: 10 }
    }

    #[test]
    fn clean_blocks_go_first_and_dirty_ones_are_spilled_only_when_there_is_too_little_else() {
        // of 1,000 bytes, 100 are taken by the rest
        let table = [
            (now(900, 900), Choice::Leave),
            (now(901, 100), Choice::Drop { bytes: 1 + 900 / 64 }),
            (now(1_000, 887), Choice::Drop { bytes: 100 + 900 / 64 }),
            (now(1_000, 888), Choice::Spill { bytes: 100 + 900 / 64 }),
        ];
        for (now, expected) in table {
            assert_eq!(choose(1_000, &now), expected, "{now:?}");
        }
        assert_eq!(choose(u64::MAX, &now(1 << 40, 0)), Choice::Leave);
        assert_eq!(for_blocks(80, &now(0, 0)), 10, "the rest alone is too much: blocks keep an eighth");
    }

    #[test]
    fn the_share_falls_while_the_process_has_too_much_and_returns_slowly() {
        let after = |beats: usize, from, resident| (0..beats).fold(from, |share, _| share_after(share, 1_000, resident, true));
        assert_eq!(after(3, SHARE_ALL, 1_100), 940);
        assert_eq!(after(100, SHARE_ALL, 1_100), SHARE_MIN);
        assert_eq!(after(10, 940, 1_000), 940, "near enough");
        assert_eq!(after(10, 940, 900), 960);
        assert_eq!(after(1_000, 940, 0), SHARE_ALL);
        assert_eq!(share_after(SHARE_MIN, 1_000, 0, false), SHARE_MIN, "an empty process knows nothing yet");
    }

    #[test]
    fn a_checkpoint_is_wanted_when_a_third_is_dirty_and_memory_is_half_full() {
        assert!(!wants_checkpoint(1_000, &now(449, 449)));
        assert!(wants_checkpoint(1_000, &now(451, 301)));
        assert!(!wants_checkpoint(1_000, &now(900, 300)));
    }
}
