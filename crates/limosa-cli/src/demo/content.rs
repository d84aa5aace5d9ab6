//! Where keys and values come from: random bytes, or the records of a file.

use std::collections::HashMap;

use super::input::Records;
use super::model::Key;
use super::random::Random;

/// 2100-01-01, milliseconds since 1970: expiries lie behind it, so that none passes during a demo.
const FAR_MS: u64 = 4_102_444_800_000;
/// One put in so many has an expiry.
const EXPIRING: u64 = 16;

/// A put that is to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Put {
    pub(super) key: Key,
    pub(super) value: Vec<u8>,
    /// Milliseconds since 1970; 0: none.
    pub(super) expiry_ms: u64,
}

enum Kind {
    Random { value_bytes: usize },
    Records(HashMap<Key, Box<[u8]>>),
}

/// Gives keys and values.
pub(super) struct Content {
    kind: Kind,
    random: Random,
    created: u64,
    revisions: u64,
}

impl Content {
    /// Values of random bytes.
    pub(super) fn random(value_bytes: u64, random: Random) -> Self {
        let value_bytes = usize::try_from(value_bytes).expect("at most a megabyte");
        Self { kind: Kind::Random { value_bytes }, random, created: 0, revisions: 0 }
    }

    /// Records as values; a changed one is the record with a count of revisions in front.
    pub(super) fn records(records: Records, random: Random) -> Self {
        Self { kind: Kind::Records(records.into_iter().collect()), random, created: 0, revisions: 0 }
    }

    /// The keys to begin with; `entries` counts where values are random.
    pub(super) fn first_keys(&self, entries: u64) -> Vec<Key> {
        match &self.kind {
            Kind::Random { .. } => (0..entries).map(|index| format!("user:{index:09}").into_bytes().into()).collect(),
            Kind::Records(records) => {
                let mut keys: Vec<Key> = records.keys().cloned().collect();
                keys.sort(); // the map's own order is another one each time
                keys
            }
        }
    }

    /// The first value of a key.
    pub(super) fn first(&mut self, key: &[u8]) -> Put {
        let value = match &self.kind {
            Kind::Random { .. } => self.fresh(key),
            Kind::Records(records) => records.get(key).expect("a key of the file").to_vec(),
        };
        self.put(key.into(), value)
    }

    /// Another value for a key.
    pub(super) fn next(&mut self, key: &[u8]) -> Put {
        let value = self.fresh(key);
        self.put(key.into(), value)
    }

    /// A key that was never there.
    pub(super) fn create(&mut self) -> Put {
        self.created += 1;
        let key: Key = match &self.kind {
            Kind::Random { .. } => format!("user:new:{:06}", self.created).into_bytes().into(),
            Kind::Records(_) => format!("limosa:new:{:06}", self.created).into_bytes().into(),
        };
        self.next(&key)
    }

    /// An expiry that does not pass during a demo.
    pub(super) fn expiry(&mut self) -> u64 {
        FAR_MS + self.random.next() % 1_000_000_000
    }

    fn put(&mut self, key: Key, value: Vec<u8>) -> Put {
        let expiry_ms = if self.random.one_in(EXPIRING) { self.expiry() } else { 0 };
        Put { key, value, expiry_ms }
    }

    fn fresh(&mut self, key: &[u8]) -> Vec<u8> {
        match &self.kind {
            Kind::Random { value_bytes } => {
                let mut value = vec![0; *value_bytes];
                self.random.fill(&mut value);
                value
            }
            Kind::Records(records) => {
                self.revisions += 1;
                revised(records.get(key).map_or(&b"{}"[..], |record| record), self.revisions)
            }
        }
    }
}

/// The record with `"limosa_revision"` as its first field.
fn revised(record: &[u8], revision: u64) -> Vec<u8> {
    let rest = record.strip_prefix(b"{").expect("records are JSON objects").trim_ascii_start();
    let comma = if rest.starts_with(b"}") { "" } else { "," };
    let mut out = format!("{{\"limosa_revision\":{revision}{comma}").into_bytes();
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_values_have_their_size_and_differ() {
        let mut content = Content::random(21, Random::new(1));
        assert_eq!(&*content.first_keys(2)[1], b"user:000000001");
        let (one, two) = (content.first(b"k"), content.next(b"k"));
        assert_eq!((one.value.len(), two.value.len()), (21, 21));
        assert_ne!(one.value, two.value);
        assert_ne!(content.create().key, content.create().key);
    }

    #[test]
    fn some_puts_expire_in_another_century() {
        let mut content = Content::random(8, Random::new(1));
        let expiring: Vec<u64> = (0..1000).map(|_| content.next(b"k").expiry_ms).filter(|expiry| *expiry > 0).collect();
        assert!((30..100).contains(&expiring.len()), "{}", expiring.len());
        assert!(expiring.iter().all(|expiry| *expiry >= FAR_MS));
    }

    #[test]
    fn a_changed_record_is_still_json() {
        for record in ["{}", "{ }", r#"{"a":1}"#, r#"{ "a" : {} }"#] {
            let changed: serde_json::Value = serde_json::from_slice(&revised(record.as_bytes(), 7)).expect(record);
            assert_eq!(changed["limosa_revision"], 7, "{record}");
        }
        let records = vec![(Key::from(&b"bash"[..]), Box::from(&br#"{"Package":"bash"}"#[..]))];
        let mut content = Content::records(records, Random::new(1));
        assert_eq!(content.first(b"bash").value, br#"{"Package":"bash"}"#);
        assert_eq!(content.next(b"bash").value, br#"{"limosa_revision":1,"Package":"bash"}"#);
        assert_eq!(content.create().value, br#"{"limosa_revision":2}"#);
    }
}
