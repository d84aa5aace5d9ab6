//! Keyed BLAKE3 of many short inputs at once, one input in each lane of the vector unit.
//!
//! A hash of one short input uses one lane: its blocks depend on each other. Entries are short and come by the thousand, so here lanes
//! take different inputs; with sixteen lanes a 1 KB input costs about a fifth. The tree over an input's chunks is BLAKE3's own, so the
//! hashes are those of [`blake3::keyed_hash`] (a test compares every length around the borders).
//!
//! The primitive is the crate's undocumented `platform` module: `docs/decisions` says why, and `Cargo.toml` pins the crate's version.

use blake3::platform::{Platform, le_bytes_from_words_32, words_from_le_bytes_32};
use blake3::{BLOCK_LEN, CHUNK_LEN, IncrementCounter, OUT_LEN};

const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const PARENT: u8 = 4;
const ROOT: u8 = 8;
const KEYED_HASH: u8 = 16;
/// Inputs handed to the vector unit together.
const LANES: usize = 16;
const BLOCKS_PER_CHUNK: usize = CHUNK_LEN / BLOCK_LEN;

type Hash = [u8; OUT_LEN];

/// Collects inputs, then hashes all of them. The buffers are kept for the next ones.
pub(crate) struct ManyHasher {
    platform: Platform,
    key: [u32; 8],
    /// The inputs, one behind another, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    chunks: Vec<Chunk>,
    /// Indices into `chunks`, those of equal shape together.
    order: Vec<u32>,
    /// Chaining values of `chunks`.
    values: Vec<Hash>,
}

/// One chunk of one input.
struct Chunk {
    from: usize,
    len: usize,
    /// Which of its input's chunks.
    index: u64,
    /// It is its input's only one.
    is_root: bool,
}

impl Chunk {
    /// Blocks that every lane can take alike. The last block of an input's last chunk may be short, and carries other flags.
    fn even_blocks(&self) -> usize {
        if self.len == CHUNK_LEN && !self.is_root { BLOCKS_PER_CHUNK } else { (self.len - 1) / BLOCK_LEN }
    }

    fn shape(&self) -> (usize, u64) {
        (self.even_blocks(), self.index)
    }
}

impl ManyHasher {
    pub(crate) fn new(key: &Hash) -> Self {
        Self {
            platform: Platform::detect(),
            key: words_from_le_bytes_32(key),
            bytes: Vec::new(),
            ends: Vec::new(),
            chunks: Vec::new(),
            order: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Adds an input, given in pieces, of one byte at least.
    pub(crate) fn push(&mut self, pieces: &[&[u8]]) {
        let from = self.bytes.len();
        pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        let end = self.bytes.len();
        assert!(end > from, "an empty input has no chunk here");
        self.ends.push(end);
        let count = (end - from).div_ceil(CHUNK_LEN);
        self.chunks.extend((0..count).map(|i| {
            let start = from + i * CHUNK_LEN;
            Chunk { from: start, len: CHUNK_LEN.min(end - start), index: i as u64, is_root: count == 1 }
        }));
    }

    /// Bytes of the inputs so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Gives each input's hash to `take`, in order, and forgets the inputs.
    pub(crate) fn finish(&mut self, mut take: impl FnMut(&Hash)) {
        self.hash_chunks();
        let (mut from, mut first) = (0, 0);
        for &end in &self.ends {
            let count = (end - from).div_ceil(CHUNK_LEN);
            take(&self.tree(&self.values[first..first + count], ROOT));
            (from, first) = (end, first + count);
        }
        self.bytes.clear();
        self.ends.clear();
        self.chunks.clear();
    }

    fn hash_chunks(&mut self) {
        self.values.clear();
        self.values.resize(self.chunks.len(), [0; OUT_LEN]);
        self.order.clear();
        for (i, chunk) in self.chunks.iter().enumerate() {
            if chunk.even_blocks() == 0 {
                self.values[i] = self.close(chunk, &le_bytes_from_words_32(&self.key)); // one block: nothing to share
            } else {
                self.order.push(u32::try_from(i).expect("a batch is bounded far below 4 GiB"));
            }
        }
        self.order.sort_by_key(|&i| self.chunks[i as usize].shape());
        let mut lanes = [0; LANES * OUT_LEN];
        for alike in self.order.chunk_by(|&a, &b| self.chunks[a as usize].shape() == self.chunks[b as usize].shape()) {
            for group in alike.chunks(LANES) {
                self.even_part(group, &mut lanes);
                for (&i, lane) in group.iter().zip(lanes.as_chunks::<OUT_LEN>().0) {
                    self.values[i as usize] = self.close(&self.chunks[i as usize], lane);
                }
            }
        }
    }

    /// The chaining values behind the even blocks of chunks of one shape.
    fn even_part(&self, group: &[u32], lanes: &mut [u8; LANES * OUT_LEN]) {
        match self.chunks[group[0] as usize].even_blocks() {
            1 => self.lanes::<{ BLOCK_LEN }>(group, 0, lanes),
            2 => self.lanes::<{ 2 * BLOCK_LEN }>(group, 0, lanes),
            3 => self.lanes::<{ 3 * BLOCK_LEN }>(group, 0, lanes),
            4 => self.lanes::<{ 4 * BLOCK_LEN }>(group, 0, lanes),
            5 => self.lanes::<{ 5 * BLOCK_LEN }>(group, 0, lanes),
            6 => self.lanes::<{ 6 * BLOCK_LEN }>(group, 0, lanes),
            7 => self.lanes::<{ 7 * BLOCK_LEN }>(group, 0, lanes),
            8 => self.lanes::<{ 8 * BLOCK_LEN }>(group, 0, lanes),
            9 => self.lanes::<{ 9 * BLOCK_LEN }>(group, 0, lanes),
            10 => self.lanes::<{ 10 * BLOCK_LEN }>(group, 0, lanes),
            11 => self.lanes::<{ 11 * BLOCK_LEN }>(group, 0, lanes),
            12 => self.lanes::<{ 12 * BLOCK_LEN }>(group, 0, lanes),
            13 => self.lanes::<{ 13 * BLOCK_LEN }>(group, 0, lanes),
            14 => self.lanes::<{ 14 * BLOCK_LEN }>(group, 0, lanes),
            15 => self.lanes::<{ 15 * BLOCK_LEN }>(group, 0, lanes),
            BLOCKS_PER_CHUNK => self.lanes::<CHUNK_LEN>(group, CHUNK_END, lanes),
            blocks => unreachable!("a chunk has 1 to {BLOCKS_PER_CHUNK} even blocks here, not {blocks}"),
        }
    }

    fn lanes<const N: usize>(&self, group: &[u32], flags_end: u8, lanes: &mut [u8; LANES * OUT_LEN]) {
        let input = |i: u32| self.bytes[self.chunks[i as usize].from..].first_chunk::<N>().expect("even blocks lie inside the chunk");
        let mut inputs = [input(group[0]); LANES];
        inputs.iter_mut().zip(group).for_each(|(slot, &i)| *slot = input(i));
        let index = self.chunks[group[0] as usize].index;
        let (inputs, out) = (&inputs[..group.len()], &mut lanes[..group.len() * OUT_LEN]);
        self.platform.hash_many(inputs, &self.key, index, IncrementCounter::No, KEYED_HASH, CHUNK_START, flags_end, out);
    }

    /// Takes a chunk's last block, if the even ones did not reach it.
    fn close(&self, chunk: &Chunk, even: &Hash) -> Hash {
        let blocks = chunk.even_blocks();
        if blocks == BLOCKS_PER_CHUNK {
            return *even;
        }
        let rest = &self.bytes[chunk.from + blocks * BLOCK_LEN..chunk.from + chunk.len];
        let mut block = [0; BLOCK_LEN];
        block[..rest.len()].copy_from_slice(rest);
        let start = if blocks == 0 { CHUNK_START } else { 0 };
        let root = if chunk.is_root { ROOT } else { 0 };
        let len = u8::try_from(rest.len()).expect("a block has 64 bytes");
        self.compress(even, &block, len, chunk.index, KEYED_HASH | start | CHUNK_END | root)
    }

    /// Joins the chaining values of one input's chunks: the left side is the largest power of two that leaves something to the right.
    fn tree(&self, values: &[Hash], root: u8) -> Hash {
        let [only] = values else {
            let (left, right) = values.split_at(values.len().next_power_of_two() / 2);
            let mut block = [0; BLOCK_LEN];
            block[..OUT_LEN].copy_from_slice(&self.tree(left, 0));
            block[OUT_LEN..].copy_from_slice(&self.tree(right, 0));
            return self.compress(&le_bytes_from_words_32(&self.key), &block, 64, 0, KEYED_HASH | PARENT | root);
        };
        *only
    }

    fn compress(&self, value: &Hash, block: &[u8; BLOCK_LEN], len: u8, counter: u64, flags: u8) -> Hash {
        let mut words = words_from_le_bytes_32(value);
        self.platform.compress_in_place(&mut words, block, len, counter, flags);
        le_bytes_from_words_32(&words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        };
        (0..len).map(|_| next()).collect()
    }

    fn check(lens: impl Iterator<Item = usize>) {
        let key = [7; 32];
        let inputs: Vec<Vec<u8>> = lens.enumerate().map(|(i, len)| noise(len, i as u64 + 1)).collect();
        let mut many = ManyHasher::new(&key);
        for input in &inputs {
            let (left, right) = input.split_at(input.len() / 3);
            many.push(&[left, right]);
        }
        let mut got = Vec::new();
        many.finish(|hash| got.push(*hash));
        let expected: Vec<Hash> = inputs.iter().map(|input| *blake3::keyed_hash(&key, input).as_bytes()).collect();
        assert!(got == expected, "hashes differ from BLAKE3's own");
    }

    #[test]
    fn the_hashes_are_those_of_blake3_for_every_length_around_blocks_and_chunks() {
        check(1..=2 * CHUNK_LEN + 2);
    }

    #[test]
    fn the_hashes_are_those_of_blake3_for_trees_of_many_chunks() {
        let borders = [2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 130].map(|chunks| chunks * CHUNK_LEN);
        check(borders.into_iter().flat_map(|len| [len - 1, len, len + 1]));
    }

    #[test]
    fn lanes_of_equal_and_mixed_lengths_and_a_second_batch_agree() {
        check(std::iter::repeat_n(1063, 100));
        check((0..300).map(|i| 1 + i * 37 % 1500));
        let mut many = ManyHasher::new(&[1; 32]);
        for round in 0..3u8 {
            many.push(&[&[round; 70]]);
            many.finish(|hash| assert_eq!(*hash, *blake3::keyed_hash(&[1; 32], &[round; 70]).as_bytes()));
        }
        many.finish(|_| panic!("nothing was pushed"));
    }
}
