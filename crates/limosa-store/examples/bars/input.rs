//! Keys and values by number: the same for the store and for those it is compared with (`bench/peers`).

/// `key:` and twelve digits, as `redis-benchmark` has it.
pub(crate) fn key(i: u64) -> [u8; 16] {
    let (mut out, mut rest) = (*b"key:000000000000", i);
    for digit in out[4..].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out
}

/// Every number below `n` once, in no order.
pub(crate) fn shuffled(n: u64) -> impl Fn(u64) -> u64 {
    const PRIME: u64 = 2_654_435_761; // coprime to every n below it
    move |i| (i % n).wrapping_mul(PRIME) % n
}

/// Random bytes, of which values are slices: a value costs nothing to make and does not compress.
pub(crate) struct Pool(Vec<u8>);

impl Pool {
    pub(crate) fn new() -> Self {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        Self((0..1 << 17).flat_map(|_| random.next().to_le_bytes()).collect())
    }

    pub(crate) fn value(&self, i: u64, bytes: usize) -> &[u8] {
        let at = (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) as usize % (self.0.len() - bytes);
        &self.0[at..at + bytes]
    }
}

/// xorshift64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
