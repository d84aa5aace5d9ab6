//! What the demo remembers of an entry, and the fingerprint of all entries together.
//!
//! It shares nothing with the nodes' digests: plain BLAKE3 over (key, value, expiry) as a client sees them, summed modulo 2^128, so that
//! the order of reading does not matter.

/// An entry without its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fact {
    /// First half of the value's BLAKE3.
    value_hash: u128,
    /// Length of the value.
    pub(super) value_bytes: u64,
    /// Milliseconds since 1970; 0: none.
    expiry_ms: u64,
}

impl Fact {
    pub(super) fn of(value: &[u8], expiry_ms: u64) -> Self {
        Self { value_hash: half(&blake3::hash(value)), value_bytes: value.len() as u64, expiry_ms }
    }

    /// The same value with another expiry.
    pub(super) fn expiring(self, expiry_ms: u64) -> Self {
        Self { expiry_ms, ..self }
    }

    /// Whether this is the value.
    pub(super) fn has(&self, value: &[u8]) -> bool {
        self.value_hash == half(&blake3::hash(value))
    }

    fn fingerprint(&self, key: &[u8]) -> u128 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key);
        hasher.update(&self.value_hash.to_le_bytes());
        hasher.update(&self.value_bytes.to_le_bytes());
        hasher.update(&self.expiry_ms.to_le_bytes());
        half(&hasher.finalize())
    }
}

fn half(hash: &blake3::Hash) -> u128 {
    let (half, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    u128::from_le_bytes(*half)
}

/// All entries together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Fingerprint {
    /// How many.
    pub(super) entries: u64,
    sum: u128,
}

impl Fingerprint {
    pub(super) fn add(&mut self, key: &[u8], fact: &Fact) {
        self.entries += 1;
        self.sum = self.sum.wrapping_add(fact.fingerprint(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(entries: &[(&str, &str, u64)]) -> Fingerprint {
        let mut all = Fingerprint::default();
        entries.iter().for_each(|(key, value, expiry)| all.add(key.as_bytes(), &Fact::of(value.as_bytes(), *expiry)));
        all
    }

    #[test]
    fn the_order_does_not_matter_and_everything_else_does() {
        let one = fingerprint(&[("a", "1", 0), ("b", "2", 7)]);
        assert_eq!(one, fingerprint(&[("b", "2", 7), ("a", "1", 0)]));
        for other in [
            vec![("a", "1", 0)],
            vec![("a", "1", 0), ("b", "2", 8)],
            vec![("a", "1", 0), ("b", "3", 7)],
            vec![("a", "2", 0), ("b", "1", 7)],
            vec![("a", "1", 0), ("bb", "2", 7)],
            vec![("a", "1", 0), ("b", "2", 7), ("b", "2", 7)],
        ] {
            assert_ne!(one, fingerprint(&other), "{other:?}");
        }
    }

    #[test]
    fn another_expiry_is_another_fact_with_the_same_value() {
        let fact = Fact::of(b"value", 0);
        assert_eq!(fact.expiring(9), Fact::of(b"value", 9));
        assert_ne!(fact.expiring(9), fact);
    }
}
