//! What the owner must hold, as the demo wrote it, and what the standby holds of each key that differs.
//!
//! "Changed" is judged here and only here: it compares (key, value, expiry) at the standby before a transfer with the owner's.

use std::collections::{HashMap, HashSet};

use super::fact::{Fact, Fingerprint};
use super::random::Random;

/// A user's key.
pub(super) type Key = Box<[u8]>;

/// Entries and bytes that differ.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Changed {
    /// Puts, re-creations and deletes.
    pub(super) entries: u64,
    /// Key and value of each put or re-creation, the key of each delete.
    pub(super) bytes: u64,
}

/// The demo's own book of the state.
#[derive(Default)]
pub(super) struct Model {
    /// `None`: the key was deleted.
    entries: HashMap<Key, Option<Fact>>,
    /// The same keys, to choose from by number.
    keys: Vec<Key>,
    /// What the standby holds of each key that either end touched since both were equal.
    apart: HashMap<Key, Option<Fact>>,
}

impl Model {
    /// The owner holds this before there is a standby.
    pub(super) fn begin(&mut self, key: Key, fact: Fact) {
        self.keys.push(key.clone());
        let before = self.entries.insert(key, Some(fact));
        assert!(before.is_none(), "each key is loaded once");
    }

    /// The owner holds `fact` under `key` now.
    pub(super) fn put(&mut self, key: &[u8], fact: Fact) {
        let before = self.entries.insert(key.into(), Some(fact));
        if before.is_none() {
            self.keys.push(key.into());
        }
        self.apart.entry(key.into()).or_insert(before.flatten());
    }

    /// The owner holds nothing under `key` now.
    pub(super) fn delete(&mut self, key: &[u8]) {
        if let Some(now) = self.entries.get_mut(key) {
            let before = now.take();
            self.apart.entry(key.into()).or_insert(before);
        }
    }

    /// The standby, while it was an owner itself, wrote this.
    pub(super) fn differ(&mut self, key: &[u8], at_standby: Option<Fact>) {
        self.apart.insert(key.into(), at_standby);
    }

    /// What the owner holds.
    pub(super) fn get(&self, key: &[u8]) -> Option<Fact> {
        self.entries.get(key).copied().flatten()
    }

    /// What the standby lacks or has too much.
    pub(super) fn changed(&self) -> Changed {
        let mut changed = Changed::default();
        for (key, before) in &self.apart {
            let now = self.get(key);
            if now != *before {
                changed.entries += 1;
                changed.bytes += key.len() as u64 + now.map_or(0, |fact| fact.value_bytes);
            }
        }
        changed
    }

    /// Both ends were found equal.
    pub(super) fn settle(&mut self) {
        self.apart = HashMap::new();
    }

    /// Everything that the owner holds.
    pub(super) fn live(&self) -> impl Iterator<Item = (&Key, Fact)> {
        self.entries.iter().filter_map(|(key, fact)| Some((key, (*fact)?)))
    }

    /// How much that is: what a full copy moves at least.
    pub(super) fn total(&self) -> Changed {
        let mut total = Changed::default();
        for (key, fact) in self.live() {
            total.entries += 1;
            total.bytes += key.len() as u64 + fact.value_bytes;
        }
        total
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut all = Fingerprint::default();
        self.live().for_each(|(key, fact)| all.add(key, &fact));
        all
    }

    /// `count` different keys of the owner's, at random; all, if there are no more.
    pub(super) fn pick(&self, random: &mut Random, count: usize) -> Vec<Key> {
        let count = count.min(self.live().count());
        let mut taken = HashSet::with_capacity(count);
        let mut picked = Vec::with_capacity(count);
        while picked.len() < count {
            let index = random.below(self.keys.len());
            let key = &self.keys[index];
            if taken.insert(index) && self.get(key).is_some() {
                picked.push(key.clone());
            }
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(value: &str) -> Fact {
        Fact::of(value.as_bytes(), 0)
    }

    fn settled(entries: &[(&str, &str)]) -> Model {
        let mut model = Model::default();
        entries.iter().for_each(|(key, value)| model.put(key.as_bytes(), fact(value)));
        model.settle();
        model
    }

    #[test]
    fn changed_bytes_are_key_and_value_of_puts_and_the_key_of_deletes() {
        let mut model = settled(&[("a", "one"), ("bb", "two"), ("ccc", "three"), ("d", "four")]);
        model.put(b"a", fact("ONE!")); // 1 + 4
        model.put(b"new", fact("12345")); // 3 + 5
        model.delete(b"bb"); // 2
        model.delete(b"ccc");
        model.put(b"ccc", fact("again")); // 3 + 5: a re-creation
        model.put(b"d", fact("four").expiring(9)); // 1 + 4: only its expiry is another
        assert_eq!(model.changed(), Changed { entries: 5, bytes: 5 + 8 + 2 + 8 + 5 });
    }

    #[test]
    fn what_came_back_to_what_it_was_is_not_changed() {
        let mut model = settled(&[("a", "one"), ("b", "two")]);
        model.put(b"a", fact("other"));
        model.put(b"a", fact("one"));
        model.delete(b"b");
        model.put(b"b", fact("two"));
        model.put(b"passing", fact("x"));
        model.delete(b"passing");
        assert_eq!(model.changed(), Changed::default());
    }

    #[test]
    fn what_only_the_standby_wrote_is_changed_back() {
        let mut model = settled(&[("a", "one"), ("b", "two"), ("c", "three")]);
        model.differ(b"a", Some(fact("its own"))); // its value comes back: 1 + 3
        model.differ(b"b", None); // comes back: 1 + 3
        model.differ(b"extra", Some(fact("its own"))); // goes: 5
        model.put(b"c", fact("3")); // 1 + 1
        assert_eq!(model.changed(), Changed { entries: 4, bytes: 4 + 4 + 5 + 2 });
        model.settle();
        assert_eq!(model.changed(), Changed::default());
        assert_eq!(model.total(), Changed { entries: 3, bytes: 4 + 4 + 2 });
    }

    #[test]
    fn picks_are_different_live_keys() {
        let mut model = settled(&[("a", "1"), ("b", "2"), ("c", "3")]);
        model.delete(b"b");
        let mut picked = model.pick(&mut Random::new(1), 9);
        picked.sort();
        assert_eq!(picked, [Box::from(&b"a"[..]), Box::from(&b"c"[..])]);
        model.settle();
        model.put(b"b", fact("2"));
        assert_eq!(model.pick(&mut Random::new(1), 9).len(), 3, "a key that was created again is one key");
    }
}
