//! Cuts a large value at places that depend on the bytes around them, so that an insert moves boundaries only near itself.
//!
//! `FastCDC` 2020 (Xia et al., IEEE TPDS 31(9)). Both ends need not cut alike: parts are ordinary entries and travel as they are.

use fastcdc::v2020::FastCDC;
use limosa_core::limits::PART_BYTES;

/// One part's bytes, borrowed from the value.
pub(crate) type Piece<'a> = &'a [u8];

/// The pieces of `value`, in order; their concatenation is `value`.
pub(crate) fn cut(value: &[u8]) -> Vec<Piece<'_>> {
    let (min, average, max) = PART_BYTES;
    FastCDC::new(value, min, average, max).map(|chunk| &value[chunk.offset..chunk.offset + chunk.length]).collect()
}

/// Cuts bytes that arrive in pieces as [`cut`] cuts them whole.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    /// What follows the last boundary that is known.
    carry: Vec<u8>,
}

impl Cutter {
    /// Takes `bytes` and calls `part` for each part that is complete; at the end for the last one as well.
    pub(crate) fn push(&mut self, bytes: &[u8], is_last: bool, mut part: impl FnMut(&[u8])) {
        self.carry.extend_from_slice(bytes);
        let mut done = 0;
        let pieces = cut(&self.carry);
        // where the bytes end for now is no boundary: the last piece may go on
        let complete = if is_last { pieces.len() } else { pieces.len().saturating_sub(1) };
        for piece in &pieces[..complete] {
            part(piece);
            done += piece.len();
        }
        self.carry.drain(..done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::rewrite::tests::random_bytes;

    #[test]
    fn pieces_add_up_and_keep_their_bounds() {
        let value = random_bytes(3, 1 << 20);
        let pieces = cut(&value);
        assert_eq!(pieces.concat(), value);
        assert!(pieces.iter().all(|piece| piece.len() <= PART_BYTES.2));
        assert!(pieces[..pieces.len() - 1].iter().all(|piece| piece.len() >= PART_BYTES.0));
        assert!((300..900).contains(&pieces.len()), "about 2 KiB a piece: {}", pieces.len());
    }

    #[test]
    fn bytes_that_arrive_in_pieces_are_cut_as_if_they_came_at_once() {
        let value = random_bytes(5, 300_000);
        for step in [777, 16 << 10, 100_000] {
            let (mut cutter, mut parts) = (Cutter::default(), Vec::new());
            let mut keep = |piece: &[u8]| parts.push(piece.to_vec());
            value.chunks(step).for_each(|bytes| cutter.push(bytes, false, &mut keep));
            cutter.push(&[], true, &mut keep);
            assert_eq!(parts, cut(&value), "{step}");
        }
    }

    #[test]
    fn an_insert_changes_few_pieces() {
        let value = random_bytes(4, 1 << 20);
        let mut edited = value.clone();
        edited.splice(500_000..500_000, [7; 50]);
        let before: std::collections::HashSet<_> = cut(&value).into_iter().collect();
        let changed = cut(&edited).into_iter().filter(|piece| !before.contains(piece)).count();
        assert!(changed <= 3, "{changed}");
    }
}
