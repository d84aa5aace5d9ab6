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
    fn an_insert_changes_few_pieces() {
        let value = random_bytes(4, 1 << 20);
        let mut edited = value.clone();
        edited.splice(500_000..500_000, [7; 50]);
        let before: std::collections::HashSet<_> = cut(&value).into_iter().collect();
        let changed = cut(&edited).into_iter().filter(|piece| !before.contains(piece)).count();
        assert!(changed <= 3, "{changed}");
    }
}
