//! A world of two nodes on virtual time: real fragments in memory, a journal that forgets what was not flushed, a wire that can be cut.

#![allow(unreachable_pub, dead_code)] // one crate for each test file: nothing here is reachable from outside, and each uses its own part

pub mod node;
pub mod pair;

/// A small deterministic generator (SplitMix64): one seed, one world.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
