//! What must be there: the state that was acknowledged, and the digest of every version that an owner has shown.

use std::collections::{BTreeMap, VecDeque};

use limosa_core::{Digest, FragmentFacts, FragmentId, Version};

/// A key's value and its deadline in milliseconds; `u64::MAX`: none.
pub type Value = (Vec<u8>, u64);
/// What users see.
pub type Model = BTreeMap<Vec<u8>, Value>;

/// What one commit does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The key has this value.
    Set(Vec<u8>, Value),
    /// The key is gone.
    Delete(Vec<u8>),
    /// Everything is gone.
    DeleteAll,
}

/// Names one version of one history.
type At = (FragmentId, Version, u64);

/// The oracle of one world.
#[derive(Clone, Default)]
pub struct Oracle {
    /// State at `acknowledged`.
    settled: Model,
    /// State with what nobody was promised yet.
    shown: Model,
    /// Commits that nobody was promised yet: (journal position, effects).
    open: VecDeque<(u64, Vec<Effect>)>,
    /// Keys that lay in a damaged block when the owner started, while commits on them were unacknowledged: whether those were kept, nobody
    /// can see before the block is mended. Each with all that it may be in `settled`.
    doubtful: BTreeMap<Vec<u8>, Vec<Option<Value>>>,
    /// What an owner showed at each version of each history.
    digests: BTreeMap<At, Digest>,
    /// Commits that were acknowledged.
    pub acknowledged: u64,
}

impl Oracle {
    /// An owner has accepted a commit; it is promised only when [`Oracle::settle`] reaches its position.
    pub fn accepted(&mut self, position: u64, effects: Vec<Effect>) {
        apply(&mut self.shown, &effects);
        self.open.push_back((position, effects));
    }

    /// Everything up to `position` was acknowledged.
    pub fn settle(&mut self, position: u64) {
        while let Some((_, effects)) = self.open.pop_front_if(|(at, _)| *at <= position) {
            self.acknowledged += 1;
            self.doubtful.retain(|key, _| last_of(key, &effects).is_none());
            apply(&mut self.settled, &effects);
        }
    }

    /// After a crash: `found` must be the acknowledged state and some first part of the commits behind it. Takes it as the truth.
    /// Deadlines up to `now_ms` have passed: such keys may be there or not. Of `unreadable` keys nobody knows: they lie in damaged blocks.
    pub fn recovered(&mut self, found: &Model, unreadable: &[Vec<u8>], now_ms: u64) -> Result<u64, String> {
        let fitting: Vec<usize> = (0..=self.open.len()).filter(|kept| self.fits(*kept, found, unreadable, now_ms)).collect();
        let Some(kept) = fitting.last().copied() else {
            return Err(difference(&unexpired(&self.settled, now_ms), &unexpired(found, now_ms)));
        };
        let mut doubtful = BTreeMap::new();
        for key in unreadable {
            let mut values: Vec<Option<Value>> = Vec::new();
            for value in fitting.iter().flat_map(|kept| self.values(*kept, key)) {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            if values.len() > 1 {
                doubtful.insert(key.clone(), values);
            }
        }
        let mut state = self.state(kept);
        for key in self.doubtful.keys().filter(|key| !unreadable.contains(key)) {
            match found.get(key) {
                Some(value) => drop(state.insert(key.clone(), value.clone())),
                None => drop(state.remove(key)),
            }
        }
        self.adopt(state);
        self.doubtful = doubtful;
        Ok(kept as u64)
    }

    /// Whether `found` is what there is when the first `kept` of the commits that nobody was promised were kept.
    fn fits(&self, kept: usize, found: &Model, unreadable: &[Vec<u8>], now_ms: u64) -> bool {
        let (mut state, mut found_known) = (self.state(kept), found.clone());
        let unsure: Vec<&Vec<u8>> = self.doubtful.keys().chain(unreadable).collect();
        for key in &unsure {
            state.remove(*key);
            found_known.remove(*key);
        }
        let may_be =
            |key: &Vec<u8>| self.values(kept, key).iter().any(|value| alive(value.as_ref(), now_ms) == alive(found.get(key), now_ms));
        is_same(&state, &found_known, now_ms) && self.doubtful.keys().filter(|key| !unreadable.contains(key)).all(may_be)
    }

    /// The state behind the first `kept` commits that nobody was promised.
    fn state(&self, kept: usize) -> Model {
        let mut state = self.settled.clone();
        self.open.iter().take(kept).for_each(|(_, effects)| apply(&mut state, effects));
        state
    }

    /// All that `key` may be behind the first `kept` of those commits.
    fn values(&self, kept: usize, key: &[u8]) -> Vec<Option<Value>> {
        let last = self.open.iter().take(kept).rev().find_map(|(_, effects)| last_of(key, effects));
        match (last, self.doubtful.get(key)) {
            (Some(Left::Value(value)), _) => vec![Some(value)],
            (Some(Left::Nothing), _) => vec![None],
            (None, Some(values)) => values.clone(),
            (None, None) => vec![self.settled.get(key).cloned()],
        }
    }

    /// Another node's history counts from now on.
    pub fn adopt(&mut self, found: Model) {
        self.shown.clone_from(&found);
        self.settled = found;
        self.open.clear();
        self.doubtful.clear();
    }

    /// What was shown stays known: an older state of the same world counts again.
    pub fn restore(&mut self, older: Self) {
        let digests = std::mem::take(&mut self.digests);
        *self = Self { digests, acknowledged: self.acknowledged, ..older };
    }

    /// An owner shows these facts. A version of a history never has two digests.
    pub fn owner_shows(&mut self, facts: &[FragmentFacts]) -> Result<(), String> {
        for fact in facts {
            let first = *self.digests.entry(at(fact)).or_insert(fact.state);
            if first != fact.state {
                return Err(format!("{} at {}: an owner showed {first} and now {}", fact.id, fact.head, fact.state));
            }
        }
        Ok(())
    }

    /// A standby shows these facts: where an owner showed the same version, it was the same state. Answers how many could be judged.
    pub fn standby_shows(&self, facts: &[FragmentFacts]) -> Result<u64, String> {
        let mut judged = 0;
        for fact in facts.iter().filter(|fact| !fact.head.is_zero()) {
            let Some(owners) = self.digests.get(&at(fact)) else { continue };
            if *owners != fact.state {
                return Err(format!("{} at {}: the owner showed {owners}, the standby shows {}", fact.id, fact.head, fact.state));
            }
            judged += 1;
        }
        Ok(judged)
    }

    /// Compares what an owner shows of `keys` with what it must.
    pub fn compare(&self, keys: &[Vec<u8>], found: &Model, now_ms: u64) -> Result<(), String> {
        let may_be = |key: &[u8], value: Option<&Value>| match self.doubtful.get(key) {
            Some(_) => self.values(self.open.len(), key).iter().any(|one| alive(one.as_ref(), now_ms) == alive(value, now_ms)),
            None => alive(self.shown.get(key), now_ms) == alive(value, now_ms),
        };
        let differs = |key: &&Vec<u8>| !may_be(key, found.get(*key));
        let Some(key) = keys.iter().find(differs) else { return Ok(()) };
        let only = |model: &Model| model.get(key).map(|value| (key.clone(), value.clone())).into_iter().collect();
        Err(difference(&only(&self.shown), &only(found)))
    }
}

/// A value whose deadline has not passed.
fn alive(value: Option<&Value>, now_ms: u64) -> Option<&Value> {
    value.filter(|(_, deadline)| *deadline > now_ms)
}

/// What a commit leaves of a key that it touches.
enum Left {
    Value(Value),
    Nothing,
}

/// What a commit makes of a key; `None`: it leaves it as it is.
fn last_of(key: &[u8], effects: &[Effect]) -> Option<Left> {
    effects.iter().rev().find_map(|effect| match effect {
        Effect::Set(set, value) => (set == key).then(|| Left::Value(value.clone())),
        Effect::Delete(gone) => (gone == key).then_some(Left::Nothing),
        Effect::DeleteAll => Some(Left::Nothing),
    })
}

fn is_same(state: &Model, found: &Model, now_ms: u64) -> bool {
    let alive = |model: &Model| model.iter().filter(|(_, (_, deadline))| *deadline > now_ms).count();
    let has = |(key, value): (&Vec<u8>, &Value)| value.1 <= now_ms || state.get(key) == Some(value);
    alive(state) == alive(found) && found.iter().all(has)
}

fn at(facts: &FragmentFacts) -> At {
    let row = facts.epochs.rows().iter().find(|row| row.epoch == facts.head.epoch);
    (facts.id, facts.head, row.map_or(0, |row| row.opener))
}

fn apply(model: &mut Model, effects: &[Effect]) {
    for effect in effects {
        match effect {
            Effect::Set(key, value) => drop(model.insert(key.clone(), value.clone())),
            Effect::Delete(key) => drop(model.remove(key)),
            Effect::DeleteAll => model.clear(),
        }
    }
}

fn unexpired(model: &Model, now_ms: u64) -> Model {
    model.iter().filter(|(_, (_, deadline))| *deadline > now_ms).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn difference(expected: &Model, found: &Model) -> String {
    let shown = |value: Option<&Value>| {
        value.map_or("nothing".to_owned(), |(bytes, deadline)| {
            format!("{} bytes {:02x?}.. until {deadline}", bytes.len(), &bytes[..bytes.len().min(4)])
        })
    };
    let keys: std::collections::BTreeSet<&Vec<u8>> = expected.keys().chain(found.keys()).collect();
    let differ: Vec<&Vec<u8>> = keys.into_iter().filter(|key| expected.get(*key) != found.get(*key)).collect();
    let first = differ
        .first()
        .map(|key| format!("{}: expected {}, found {}", String::from_utf8_lossy(key), shown(expected.get(*key)), shown(found.get(*key))));
    format!("{} keys differ from everything that could be there; {}", differ.len(), first.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str, value: &str) -> Vec<Effect> {
        vec![Effect::Set(key.into(), (value.into(), u64::MAX))]
    }

    fn model(rows: &[(&str, &str)]) -> Model {
        rows.iter().map(|(key, value)| ((*key).into(), ((*value).into(), u64::MAX))).collect()
    }

    #[test]
    fn after_a_crash_a_first_part_of_what_was_not_promised_may_be_there_and_nothing_else() {
        let oracle = || {
            let mut oracle = Oracle::default();
            oracle.accepted(1, set("a", "1"));
            oracle.settle(1);
            oracle.accepted(2, set("b", "2"));
            oracle.accepted(3, vec![Effect::Delete("a".into())]);
            oracle
        };
        for (found, kept) in [(model(&[("a", "1")]), 0), (model(&[("a", "1"), ("b", "2")]), 1), (model(&[("b", "2")]), 2)] {
            assert_eq!(oracle().recovered(&found, &[], 0), Ok(kept));
        }
        for lost in [model(&[]), model(&[("b", "3")]), model(&[("a", "1"), ("c", "2")])] {
            oracle().recovered(&lost, &[], 0).expect_err("this was never there");
        }
    }

    /// Found by the simulator (stores, seed 66): the oracle took a commit for kept that no readable key spoke against, and later took the
    /// right answer for a lost write.
    #[test]
    fn of_a_key_in_a_damaged_block_an_unacknowledged_commit_may_be_kept_or_not() {
        let (key, unreadable) = ([b"a".to_vec()], [b"a".to_vec()]);
        let damaged = || {
            let mut oracle = Oracle::default();
            oracle.accepted(1, set("a", "1"));
            oracle.settle(1);
            oracle.accepted(2, set("a", "2"));
            oracle.recovered(&model(&[]), &unreadable, 0).expect("nothing can be seen");
            oracle
        };
        for right in ["1", "2"] {
            damaged().compare(&key, &model(&[("a", right)]), 0).expect("it was there");
            let mut oracle = damaged();
            oracle.recovered(&model(&[("a", right)]), &[], 0).expect("a second start, with a block that is whole");
            oracle.compare(&key, &model(&[("a", right)]), 0).expect("it is known now");
            oracle.compare(&key, &model(&[("a", if right == "1" { "2" } else { "1" })]), 0).expect_err("and nothing else can be there");
        }
        for wrong in [model(&[]), model(&[("a", "3")])] {
            damaged().compare(&key, &wrong, 0).expect_err("this was never there");
            damaged().recovered(&wrong, &[], 0).expect_err("this was never there");
        }
        let mut written = damaged();
        written.accepted(3, set("a", "3"));
        written.compare(&key, &model(&[("a", "1")]), 0).expect_err("it was overwritten");
        written.settle(3);
        written.recovered(&model(&[("a", "1")]), &[], 0).expect_err("and that was promised");
    }

    #[test]
    fn a_key_whose_deadline_has_passed_may_be_there_or_not() {
        let mut oracle = Oracle::default();
        oracle.accepted(1, vec![Effect::Set("a".into(), ("1".into(), 50))]);
        oracle.settle(1);
        let keys = [b"a".to_vec()];
        oracle.compare(&keys, &Model::new(), 49).expect_err("its time has not come");
        oracle.compare(&keys, &Model::new(), 50).expect("it has");
    }
}
