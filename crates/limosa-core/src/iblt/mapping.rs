//! Which symbols an id lies in, and its check: both follow from the id and the session's salt.

use super::symbol::Symbol;

/// One id and the next symbol that it lies in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) check: u32,
    random: u64,
    next: u64,
}

impl Member {
    /// The id at symbol 0, where every id lies.
    pub(super) fn new(id: u64, salt: u64) -> Self {
        let seed = mix(id ^ mix(salt));
        Self { id, check: (mix(seed ^ CHECK) >> 32) as u32, random: seed, next: 0 }
    }

    /// Adds the id `times` (1 or -1) to each of its symbols in `cells`, from where the last call stopped; `cells[0]` is symbol 0.
    pub(super) fn cover(&mut self, cells: &mut [Symbol], times: i64) {
        self.cover_each(cells, times, |_, _| ());
    }

    /// As [`Member::cover`]; `seen` is called with each symbol after it changed.
    #[allow(clippy::cast_possible_truncation)] // below the length of a slice
    pub(super) fn cover_each(&mut self, cells: &mut [Symbol], times: i64, mut seen: impl FnMut(usize, &Symbol)) {
        while self.next < cells.len() as u64 {
            let index = self.next as usize;
            cells[index].toggle(self.id, self.check, times);
            seen(index, &cells[index]);
            self.advance();
        }
    }

    /// Goes to the next symbol. With u uniform in (0, 1], the gap ⌈(i + 3/2)(1/√u − 1)⌉ gives density 1/(1 + i/2)
    /// (the paper's approximation: a few per cent low at i < 4, exact behind).
    ///
    /// IEEE 754 rounds `sqrt`, `/`, `*` and `-` exactly, so every machine computes the same gaps.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn advance(&mut self) {
        self.random = self.random.wrapping_add(GOLDEN);
        let uniform = ((mix(self.random) >> 11) + 1) as f64 * (1.0 / (1u64 << 53) as f64);
        let gap = (self.next as f64 + 1.5) * (1.0 / uniform.sqrt() - 1.0);
        self.next = self.next.saturating_add((gap.ceil() as u64).max(1)); // u = 1 would give a gap of 0: the same symbol again
    }
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const CHECK: u64 = 0x6C69_6D6F_7361_2E63; // keeps the check apart from the seed that it is made of

/// The finaliser of `SplitMix64` (Steele, Lea, Flood 2014): a bijection that lets every input bit reach every output bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(GOLDEN);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_lies_in_symbol_i_with_the_density_of_the_paper() {
        const IDS: u32 = 20_000;
        let mut cells = vec![Symbol::ZERO; 1024];
        for id in 0..IDS {
            Member::new(u64::from(id), 3).cover(&mut cells, 1);
        }
        assert_eq!(cells[0].count(), i64::from(IDS));
        for (range, off_max) in [(1..4, 0.04), (4..16, 0.02), (16..128, 0.01), (128..1024, 0.02)] {
            let expected: f64 = range.clone().map(|i: u32| f64::from(IDS) / (1.0 + f64::from(i) / 2.0)).sum();
            let found: i64 = cells[range.start as usize..range.end as usize].iter().map(Symbol::count).sum();
            #[allow(clippy::cast_precision_loss)]
            let off = (found as f64 / expected - 1.0).abs();
            assert!(off < off_max, "{range:?}: {found} ids where {expected} are expected");
        }
    }

    #[test]
    fn an_id_lies_at_most_once_in_a_symbol() {
        for id in 0..2_000 {
            let mut cells = vec![Symbol::ZERO; 256];
            Member::new(id, id).cover(&mut cells, 1);
            assert!(cells.iter().all(|cell| cell.count() == 0 || (cell.count() == 1 && cell.id() == id)));
        }
    }

    #[test]
    fn covering_in_pieces_equals_covering_at_once() {
        let (mut whole, mut pieces) = (vec![Symbol::ZERO; 512], vec![Symbol::ZERO; 512]);
        Member::new(9, 1).cover(&mut whole, 1);
        let mut member = Member::new(9, 1);
        for end in [0, 1, 2, 50, 50, 511, 512] {
            member.cover(&mut pieces[..end], 1);
        }
        assert_eq!(whole, pieces);
    }
}
