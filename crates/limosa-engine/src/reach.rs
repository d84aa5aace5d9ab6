//! Which fragments a session is about, by name and by place, and which of them have left it.
//!
//! Splits and merges give fragments new names while a session runs: what lies where its fragments lay belongs to it.
//!
//! # Invariants
//! - A fragment that left does not come back: [`Reach::take_in`].

use std::collections::{BTreeMap, BTreeSet};

use limosa_core::{FragmentFacts, FragmentId, KeyRange, Scope};

/// The reach of a session, at one end of it.
#[derive(Debug)]
pub(crate) struct Reach {
    scope: Scope,
    /// Where its fragments lie; empty until they were looked at.
    places: BTreeMap<FragmentId, KeyRange>,
    /// Names that splits and merges gave since then.
    made: BTreeSet<FragmentId>,
    left: BTreeSet<FragmentId>,
    /// Places that left, under whatever name.
    left_places: Vec<KeyRange>,
}

impl Reach {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope, places: BTreeMap::new(), made: BTreeSet::new(), left: BTreeSet::new(), left_places: Vec::new() }
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What both ends want, before anything was looked at.
    pub(crate) fn narrow(&mut self, scope: &Scope) {
        self.scope = scope.clone();
        if !self.scope.is_all() {
            let left: Vec<FragmentId> = self.left.iter().copied().collect();
            self.scope.remove(&left);
        }
    }

    /// Nothing is left of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.scope.is_empty()
    }

    pub(crate) fn has(&self, fragment: FragmentId) -> bool {
        self.scope.has(fragment) && !self.left.contains(&fragment)
    }

    /// Whether the fragment was part of the session and is no more: what still comes of it is ignored.
    pub(crate) fn has_left(&self, fragment: FragmentId) -> bool {
        self.left.contains(&fragment)
    }

    /// Whether a fragment of this name and place belongs to the session.
    pub(crate) fn covers(&self, id: FragmentId, range: &KeyRange) -> bool {
        if self.left.contains(&id) || self.left_places.iter().any(|left| left.covers(range)) {
            return false;
        }
        self.scope.has(id) || covered(&self.places, range)
    }

    /// Of all fragments of this end those that belong to the session. From here on it goes by their names.
    pub(crate) fn take_in(&mut self, mut facts: Vec<FragmentFacts>) -> Vec<FragmentFacts> {
        facts.retain(|facts| self.covers(facts.id, &facts.range));
        self.places = facts.iter().map(|facts| (facts.id, facts.range.clone())).collect();
        self.made.clear();
        if !self.scope.is_all() || !self.left.is_empty() {
            self.scope = Scope::only(self.places.keys().copied());
        }
        facts
    }

    /// Takes fragments out; those that belonged to it.
    pub(crate) fn leave(&mut self, fragments: &[FragmentId]) -> Vec<FragmentId> {
        let leaving: Vec<FragmentId> = fragments.iter().copied().filter(|id| self.has(*id)).collect();
        if leaving.is_empty() {
            return leaving; // a session about everything stays one: it must not be bound to the names of this moment
        }
        for id in &leaving {
            self.left.insert(*id);
            self.left_places.extend(self.places.remove(id));
        }
        if !self.scope.is_all() {
            self.scope.remove(&leaving);
        } else if self.is_looked_at() {
            self.scope = Scope::only(self.places.keys().chain(&self.made).filter(|id| !self.left.contains(id)).copied());
        }
        leaving
    }

    /// Fragments of the session have become these.
    pub(crate) fn add(&mut self, made: &[FragmentId]) {
        self.made.extend(made);
        self.scope.add(made);
    }

    fn is_looked_at(&self) -> bool {
        !self.places.is_empty() || !self.left_places.is_empty()
    }
}

/// Whether the places together hold all of `range`.
fn covered(places: &BTreeMap<FragmentId, KeyRange>, range: &KeyRange) -> bool {
    let mut inside: Vec<KeyRange> = places.values().filter_map(|place| place.intersect(range)).collect();
    inside.sort_by(|a, b| a.start.cmp(&b.start));
    let starts = inside.first().is_some_and(|first| first.start == range.start);
    let ends = inside.last().is_some_and(|last| last.end == range.end);
    starts && ends && inside.windows(2).all(|pair| pair[0].end.as_ref() == Some(&pair[1].start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use limosa_core::{Digest, History, Version};

    fn facts(id: u32, start: &'static str, end: Option<&'static str>) -> FragmentFacts {
        let range = KeyRange::new(start, end.map(|end| Bytes::from_static(end.as_bytes())));
        let zero = Version::ZERO;
        FragmentFacts {
            id: FragmentId(id),
            range,
            head: zero,
            state: Digest::ZERO,
            content: Digest::ZERO,
            live: 0,
            live_bytes: 0,
            tombstones: 0,
            floor: zero,
            epochs: History::default(),
        }
    }

    fn three() -> Vec<FragmentFacts> {
        vec![facts(1, "", Some("g")), facts(2, "g", Some("n")), facts(3, "n", None)]
    }

    /// Found by the simulator: an offer from which nothing was missing bound a session about everything to the names of that moment, and
    /// commits on a fragment that was made of others were refused for ever.
    #[test]
    fn nothing_that_leaves_binds_a_session_about_everything_to_no_names() {
        let mut reach = Reach::new(Scope::All);
        reach.take_in(three());
        assert!(reach.leave(&[]).is_empty());
        assert!(reach.scope().is_all() && reach.has(FragmentId(9)));
    }

    fn ids(facts: &[FragmentFacts]) -> Vec<u32> {
        facts.iter().map(|facts| facts.id.0).collect()
    }

    #[test]
    fn a_scope_takes_in_what_it_names_and_what_that_becomes() {
        let mut reach = Reach::new(Scope::only([FragmentId(1), FragmentId(2)]));
        assert_eq!(ids(&reach.take_in(three())), [1, 2]);
        let split = vec![facts(4, "", Some("c")), facts(5, "c", Some("g")), facts(2, "g", Some("n")), facts(3, "n", None)];
        assert_eq!(ids(&reach.take_in(split)), [4, 5, 2]);
        assert!(reach.has(FragmentId(5)) && !reach.has(FragmentId(1)));
        let merged = vec![facts(4, "", Some("c")), facts(6, "c", Some("n")), facts(3, "n", None)];
        assert_eq!(ids(&reach.take_in(merged)), [4, 6], "of neighbours that both belong to it");
        let beyond = vec![facts(4, "", Some("c")), facts(7, "c", None)];
        assert_eq!(ids(&reach.take_in(beyond)), [4], "merged with one that does not");
    }

    #[test]
    fn what_left_does_not_come_back_under_another_name() {
        for scope in [Scope::All, Scope::only([1, 2, 3].map(FragmentId))] {
            let mut reach = Reach::new(scope);
            reach.take_in(three());
            assert_eq!(reach.leave(&[FragmentId(2)]), [FragmentId(2)]);
            assert!(reach.has_left(FragmentId(2)) && !reach.has(FragmentId(2)) && reach.has(FragmentId(3)));
            let split = vec![facts(1, "", Some("g")), facts(4, "g", Some("k")), facts(5, "k", Some("n")), facts(3, "n", None)];
            assert_eq!(ids(&reach.take_in(split)), [1, 3]);
            assert!(reach.leave(&[FragmentId(2)]).is_empty());
            reach.leave(&[FragmentId(1), FragmentId(3)]);
            assert!(reach.is_empty());
        }
    }

    #[test]
    fn what_a_fragment_became_can_leave_too() {
        for scope in [Scope::All, Scope::only([1, 2, 3].map(FragmentId))] {
            let mut reach = Reach::new(scope);
            reach.take_in(three());
            reach.add(&[FragmentId(4), FragmentId(5)]);
            assert_eq!(reach.leave(&[FragmentId(3)]), [FragmentId(3)]);
            assert!(reach.has(FragmentId(5)));
            assert_eq!(reach.leave(&[FragmentId(5), FragmentId(3)]), [FragmentId(5)]);
            assert!(reach.has(FragmentId(4)) && !reach.has(FragmentId(5)));
        }
    }

    #[test]
    fn what_leaves_before_anything_was_looked_at_is_left_out() {
        let mut reach = Reach::new(Scope::All);
        reach.leave(&[FragmentId(2)]);
        assert_eq!(ids(&reach.take_in(three())), [1, 3]);
        assert!(!reach.scope().is_all());
    }
}
