//! Makes hostile inputs of valid ones: flips, cuts, splices, repeats, and numbers that are too large. One seed, one sequence.

/// What is put over bytes where a number may stand: the edges of every width, as varint and as fixed bytes.
const NUMBERS: &[&[u8]] = &[
    &[0],
    &[0x7F],
    &[0x80],
    &[0xFF],
    &[0xFF, 0x7F],
    &[0xFF, 0xFF],
    &[0xFF, 0xFF, 0xFF, 0x7F],
    &[0xFF, 0xFF, 0xFF, 0xFF],
    &[0, 0, 0, 0x80],
    &[0x80, 0, 0, 0],
    &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F],
    &[0x80, 0x80, 0x80, 0x80, 0x10],
    &[0xFF; 8],
    &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
    &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
    &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
];
/// The same for formats of text.
const TEXTS: &[&[u8]] =
    &[b"-1", b"99999999999999999999", b"4294967296", b"1e999", b"\xFF\xFE", b"\0", b"\"", b"{", b"[", b"\r\n", b"null", b":", b"="];
/// Inputs grow no longer than this.
const BYTES_MAX: usize = 4 << 10;

/// A source of inputs.
#[derive(Clone, Debug)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number (SplitMix64, Steele and others, OOPSLA 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.state ^ self.state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`; 0 where that is 0.
    fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from(self.next() % bound).expect("below a usize")
    }

    /// An input made of one or two of `inputs`, which is not empty.
    pub fn make(&mut self, inputs: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut made = inputs[self.below(inputs.len())].1.clone();
        for _ in 0..=self.below(4) {
            match self.below(8) {
                0 => self.flip(&mut made),
                1 => self.set(&mut made),
                2 => made.truncate(self.below(made.len() + 1)),
                3 => {
                    let other = &inputs[self.below(inputs.len())].1;
                    self.splice(&mut made, other);
                }
                4 => self.repeat(&mut made),
                5 => self.insert(&mut made, NUMBERS),
                6 => self.insert(&mut made, TEXTS),
                _ => self.overwrite(&mut made),
            }
            made.truncate(BYTES_MAX.max(inputs[0].1.len()));
        }
        made
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << self.below(8);
        }
    }

    fn set(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        if let Some(byte) = bytes.get_mut(at) {
            *byte = self.next().to_le_bytes()[0];
        }
    }

    /// The rest of another input from some place on, behind a part of this one.
    fn splice(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        bytes.truncate(self.below(bytes.len() + 1));
        bytes.extend_from_slice(&other[self.below(other.len() + 1)..]);
    }

    /// A stretch several times.
    fn repeat(&mut self, bytes: &mut Vec<u8>) {
        let from = self.below(bytes.len());
        let to = (from + 1 + self.below(32)).min(bytes.len());
        let stretch = bytes[from.min(to)..to].repeat(1 + self.below(40));
        bytes.splice(from..from, stretch);
    }

    fn insert(&mut self, bytes: &mut Vec<u8>, what: &[&[u8]]) {
        let at = self.below(bytes.len() + 1);
        bytes.splice(at..at, what[self.below(what.len())].iter().copied());
    }

    fn overwrite(&mut self, bytes: &mut [u8]) {
        let (at, number) = (self.below(bytes.len()), NUMBERS[self.below(NUMBERS.len())]);
        bytes[at..].iter_mut().zip(number).for_each(|(byte, new)| *byte = *new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_makes_one_sequence_and_empty_inputs_are_no_trouble() {
        let inputs = [("a".to_owned(), vec![1, 2, 3]), ("b".to_owned(), vec![])];
        let made = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..1000).map(|_| mutator.make(&inputs)).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        assert!(made(3).iter().any(|input| input.len() > 100) && made(3).iter().all(|input| input.len() <= BYTES_MAX));
    }
}
