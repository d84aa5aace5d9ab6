//! Decides when a checkpoint is due. Reads figures, answers a reason; the caller makes the checkpoint.
//!
//! A start replays the journal behind the checkpoint, at 200 MB/s or more: the tail bounds how long it takes. The longer the tail, the more
//! changes of one block are written together, and the fewer bytes are written for each: `docs/format.md` has the formula.

/// Journal bytes that a clean stop leaves to replay: a quarter of a second.
const TAIL_AT_STOP_BYTES_MAX: u64 = 48 << 20;

/// What the choice is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Load {
    /// Record bytes of the journal that the last checkpoint does not hold.
    pub(crate) tail_bytes: u64,
    /// The journal waits for room on the disk.
    pub(crate) is_full: bool,
    /// A checkpoint was tried since there was no room, and found none either.
    pub(crate) tried_full: bool,
    /// Memory is full of blocks that the checkpoint does not have.
    pub(crate) is_memory_full: bool,
}

/// Why a checkpoint is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// A start would have this much to replay.
    Tail {
        /// Record bytes of the journal behind the checkpoint.
        bytes: u64,
    },
    /// The disk is full: a checkpoint lets journal go.
    Full,
    /// Memory is full of changes: what a checkpoint holds can be dropped.
    Memory,
}

/// Chooses for a store whose tail may have `checkpoint_bytes`.
pub(crate) fn choose(load: Load, checkpoint_bytes: u64) -> Option<Due> {
    if load.is_full && !load.tried_full && load.tail_bytes > 0 {
        return Some(Due::Full);
    }
    if load.tail_bytes >= checkpoint_bytes {
        return Some(Due::Tail { bytes: load.tail_bytes });
    }
    load.is_memory_full.then_some(Due::Memory)
}

/// Chooses when the store is to be closed, so that the next start is a fast one.
pub(crate) fn choose_at_stop(load: Load) -> Option<Due> {
    (load.tail_bytes > TAIL_AT_STOP_BYTES_MAX).then_some(Due::Tail { bytes: load.tail_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_tail_is_due_and_a_full_disk_is_once() {
        let load = |tail_bytes, is_full, tried_full| Load { tail_bytes, is_full, tried_full, is_memory_full: false };
        let cases = [
            (load(99, false, false), None),
            (load(100, false, false), Some(Due::Tail { bytes: 100 })),
            (load(1, true, false), Some(Due::Full)),
            (load(1, true, true), None),
            (load(0, true, false), None),
            (load(100, true, true), Some(Due::Tail { bytes: 100 })),
        ];
        for (load, expected) in cases {
            assert_eq!(choose(load, 100), expected, "{load:?}");
        }
        assert_eq!(choose(Load { is_memory_full: true, ..load(1, false, false) }, 100), Some(Due::Memory));
        assert_eq!(choose_at_stop(load(1 << 20, false, false)), None);
        assert!(choose_at_stop(load(1 << 30, false, false)).is_some());
    }
}
