//! Finds the item of a node that a key belongs into, by eight bytes of each item's first key that lie side by side.
//!
//! First keys lie all over memory; bisecting them misses the cache at each step. What tells the keys of one node apart is mostly two
//! bytes (in a hashed space the slot) and, behind something that all of them share, a few more:
//!
//! ```text
//! common[..before] | head (2 bytes) | common[before..] | tail (6 bytes) | the rest, looked at only where head and tail are equal
//! ```
//!
//! # Invariants
//! - Every key but the first has the common bytes, so that order by head and tail is never against the order of keys. The first one
//!   has no part in it: it may be the start of the fragment's range, which resembles no key.

use super::Labelled;

const HEAD_BYTES: usize = 2;
const TAIL_BYTES: usize = 6;
/// Room for common bytes. Longer ones are cut: then more keys have equal heads and tails, and are compared whole.
const COMMON_BYTES_MAX: usize = 38;

/// Heads and tails of a node's first keys.
#[derive(Clone)]
pub(super) struct Starts {
    /// Head and tail of each key, big-endian; 0 for the first.
    features: Vec<u64>,
    common: [u8; COMMON_BYTES_MAX],
    /// Common bytes before the head.
    before: u8,
    /// Common bytes between head and tail.
    between: u8,
}

impl Starts {
    pub(super) fn new<T: Labelled>(items: &[T]) -> Self {
        let keys = || items.iter().skip(1).map(|item| &**item.first_key());
        let mut starts = Self { features: Vec::new(), common: [0; COMMON_BYTES_MAX], before: 0, between: 0 };
        if let (Some(first), Some(last)) = (keys().next(), keys().last()) {
            let before = common_len(first, last).min(COMMON_BYTES_MAX / 2); // of the first and the last key: of all between them too
            let rest = |key| behind(key, before + HEAD_BYTES);
            let between =
                keys().fold(COMMON_BYTES_MAX - before, |len, key| common_len(&rest(first)[..len.min(rest(first).len())], rest(key)));
            starts.common[..before].copy_from_slice(&first[..before]);
            starts.common[before..before + between].copy_from_slice(&rest(first)[..between]);
            (starts.before, starts.between) = (to_u8(before), to_u8(between));
        }
        let mut features = Vec::with_capacity(items.len());
        features.extend(items.first().map(|_| 0));
        features.extend(keys().map(|key| starts.feature(key).expect("all keys but the first share the common bytes")));
        Self { features, ..starts }
    }

    /// How many of `items` start before `key`, or at it where `or_at` says so.
    pub(super) fn count<T: Labelled>(&self, items: &[T], key: &[u8], or_at: bool) -> usize {
        debug_assert_eq!(items.len(), self.features.len());
        let counts = |item: &T| if or_at { **item.first_key() <= *key } else { **item.first_key() < *key };
        let Some(feature) = self.feature(key) else { return items.partition_point(counts) };
        let from = self.features.partition_point(|held| *held < feature);
        let equal = self.features[from..].iter().take_while(|held| **held == feature).count();
        match from + items[from..from + equal].partition_point(counts) {
            0 | 1 => usize::from(items.first().is_some_and(counts)), // the first one's feature says nothing
            count => count,
        }
    }

    /// Takes note of an item put in front of item `i`; `items` are those that result.
    pub(super) fn insert<T: Labelled>(&mut self, i: usize, items: &[T]) {
        match self.feature(items[i].first_key()) {
            Some(feature) if i > 0 => {
                if self.features.len() == self.features.capacity() {
                    self.features.reserve_exact(4);
                }
                self.features.insert(i, feature);
            }
            _ => *self = Self::new(items),
        }
    }

    /// Takes note that item `i` is gone.
    pub(super) fn remove(&mut self, i: usize) {
        self.features.remove(i);
        if let Some(first) = self.features.first_mut() {
            *first = 0;
        }
    }

    /// Head and tail of `key`; `None` when it does not have the common bytes.
    fn feature(&self, key: &[u8]) -> Option<u64> {
        let (before, between) = self.common[..usize::from(self.before) + usize::from(self.between)].split_at(usize::from(self.before));
        let rest = key.strip_prefix(before)?;
        let tail = behind(rest, HEAD_BYTES).strip_prefix(between)?;
        Some(leading(rest) >> (64 - 8 * HEAD_BYTES) << (8 * TAIL_BYTES) | leading(tail) >> (64 - 8 * TAIL_BYTES))
    }
}

/// The first eight bytes, big-endian; zeros behind the end.
fn leading(bytes: &[u8]) -> u64 {
    if let Some(bytes) = bytes.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    let mut out = [0; 8];
    out[..bytes.len()].copy_from_slice(bytes);
    u64::from_be_bytes(out)
}

fn behind(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn to_u8(len: usize) -> u8 {
    u8::try_from(len).expect("common bytes are bounded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::Summary;
    use crate::tree::Key;
    use proptest::prelude::*;

    struct Item(Key);

    impl Labelled for Item {
        fn first_key(&self) -> &Key {
            &self.0
        }
        fn summary(&self) -> &Summary {
            unreachable!("no search looks at it")
        }
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        // few different bytes, so that keys share beginnings, middles and ends; some far longer than what is held of them
        let piece = proptest::collection::vec(0u8..3, 0..5);
        (piece.clone(), prop_oneof![Just(0usize), Just(3), Just(60)], piece).prop_map(|(a, n, b)| [a, vec![1; n], b].concat())
    }

    fn check(starts: &Starts, items: &[Item], key: &[u8]) {
        for or_at in [false, true] {
            let expected = items.iter().filter(|item| *item.0 < *key || (or_at && *item.0 == *key)).count();
            assert_eq!(starts.count(items, key, or_at), expected, "{key:?} or_at {or_at}");
        }
    }

    proptest! {
        #[test]
        fn a_search_by_features_equals_one_by_keys(mut keys in proptest::collection::vec(bytes(), 0..40), others in proptest::collection::vec(bytes(), 0..20)) {
            keys.sort();
            keys.dedup();
            let items: Vec<Item> = keys.iter().map(|key| Item(Key::from(&key[..]))).collect();
            let starts = Starts::new(&items);
            for key in keys.iter().chain(&others) {
                check(&starts, &items, key);
            }
        }

        #[test]
        fn keys_that_come_and_go_one_by_one_are_found_like_all_at_once(changes in proptest::collection::vec((bytes(), any::<bool>()), 0..40)) {
            let mut items: Vec<Item> = Vec::new();
            let mut starts = Starts::new(&items);
            for (key, add) in &changes {
                match items.binary_search_by(|item| (*item.0).cmp(key)) {
                    Err(i) if *add => {
                        items.insert(i, Item(Key::from(&key[..])));
                        starts.insert(i, &items);
                    }
                    Ok(i) if !add => {
                        items.remove(i);
                        starts.remove(i);
                    }
                    _ => {}
                }
                for (key, _) in &changes {
                    check(&starts, &items, key);
                }
            }
        }
    }

    #[test]
    fn keys_of_a_hashed_space_differ_in_their_features() {
        let mut keys: Vec<Vec<u8>> =
            (0..64).map(|i: u64| limosa_core::key::stored(format!("customer:{:012}", i * 37).as_bytes())).collect();
        keys.sort();
        let items: Vec<Item> = keys.iter().map(|key| Item(Key::from(&key[..]))).collect();
        let starts = Starts::new(&items);
        assert!(starts.features.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(usize::from(starts.between), "customer:00000000".len());
    }
}
