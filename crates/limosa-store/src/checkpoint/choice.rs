//! Decides how a changed block is written, and which extent files are cleared out. Reads facts, answers a choice; the writer executes it.

use super::place::Shape;

/// Most patches of a block: a cold block is read in this many pieces and one.
const PATCHES_MAX: usize = 16;
/// Files smaller than this are joined when there are many of them.
const SMALL_FILE_BYTES: u64 = 1 << 20;
/// Small files that may lie about.
const SMALL_FILES_MAX: usize = 32;
/// Bytes that are not worth clearing.
const SLACK_BYTES: u64 = 4 << 20;

/// How a changed block is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writing {
    /// All of it; what lay of it on the disk is not needed any more.
    Whole,
    /// What changed, beside what lies there.
    Patch,
}

impl Writing {
    /// For a block that lies on the disk as `stored` and of which `patch_bytes` changed. Patches are folded into a whole block as soon as
    /// they would have half of its bytes: that bounds what is written for a change to about 3 times its bytes, and what is read and held
    /// to 1.5 times the block.
    pub fn choose(stored: Option<Shape>, patch_bytes: u64) -> Self {
        let fits = |stored: &Shape| stored.patches < PATCHES_MAX && 2 * (stored.patch_bytes + patch_bytes) < stored.whole_bytes;
        if stored.as_ref().is_some_and(fits) { Self::Patch } else { Self::Whole }
    }
}

/// An extent file, as the checkpoint knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtentFacts {
    /// Its number.
    pub number: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes of the records that are still named by a summary.
    pub live_bytes: u64,
    pub(super) index_offset: u64,
    pub(super) index_bytes: u32,
}

/// Which of `files` are to be cleared, so that all files together have at most twice the bytes that are still needed; those with the least
/// to move first. `written_bytes` more are new.
pub(super) fn victims(files: &[ExtentFacts], written_bytes: u64) -> Vec<u64> {
    let live: u64 = files.iter().map(|file| file.live_bytes).sum::<u64>() + written_bytes;
    let mut total: u64 = files.iter().filter(|file| file.live_bytes > 0).map(|file| file.bytes).sum::<u64>() + written_bytes;
    let mut by_share: Vec<&ExtentFacts> = files.iter().filter(|file| file.live_bytes > 0).collect();
    by_share.sort_by(|a, b| share(a).total_cmp(&share(b)).then(a.number.cmp(&b.number)));
    let mut out = Vec::new();
    for file in by_share {
        if total <= 2 * live + SLACK_BYTES || share(file) > 0.9 {
            break;
        }
        out.push(file.number);
        total -= file.bytes - file.live_bytes;
    }
    let small: Vec<u64> =
        files.iter().filter(|file| file.bytes < SMALL_FILE_BYTES && file.live_bytes > 0).map(|file| file.number).collect();
    if small.len() > SMALL_FILES_MAX {
        out.extend(small);
        out.sort_unstable();
        out.dedup();
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "a share, to compare with others")]
fn share(file: &ExtentFacts) -> f64 {
    file.live_bytes as f64 / file.bytes.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_folded_at_half_of_the_block_and_at_a_number() {
        let stored = |patch_bytes, patches| Some(Shape { whole_bytes: 1_000, patch_bytes, patches });
        let cases = [
            (None, 1, Writing::Whole),
            (stored(0, 0), 499, Writing::Patch),
            (stored(0, 0), 500, Writing::Whole),
            (stored(300, 2), 199, Writing::Patch),
            (stored(300, 2), 200, Writing::Whole),
            (stored(10, PATCHES_MAX - 1), 1, Writing::Patch),
            (stored(10, PATCHES_MAX), 1, Writing::Whole),
        ];
        for (stored, patch_bytes, expected) in cases {
            assert_eq!(Writing::choose(stored, patch_bytes), expected, "{stored:?} {patch_bytes}");
        }
    }

    #[test]
    fn the_emptiest_files_are_cleared_until_half_of_all_bytes_is_needed() {
        let mib = |n: u64| n << 20;
        let file = |number, live| ExtentFacts { number, bytes: mib(100), live_bytes: mib(live), index_offset: 0, index_bytes: 0 };
        assert_eq!(victims(&[file(1, 60), file(2, 50)], mib(10)), Vec::<u64>::new());
        assert_eq!(victims(&[file(1, 30), file(2, 10), file(3, 0), file(4, 40)], 0), [2, 1]);
        let small = |number| ExtentFacts { number, bytes: 5_000, live_bytes: 4_000, index_offset: 0, index_bytes: 0 };
        let many: Vec<_> = (0..40).map(small).collect();
        assert_eq!(victims(&many, 0).len(), 40);
        assert_eq!(victims(&many[..SMALL_FILES_MAX], 0), Vec::<u64>::new());
    }
}
