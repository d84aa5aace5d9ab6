//! Two nodes that own fragments side by side, in random order: written, followed, moved, dropped and restarted, against an oracle.

use std::collections::BTreeMap;

use limosa_core::{Digest, Expiry, FragmentId, KeyRange, Mode, Scope, Version};
use limosa_store::disk::MemoryDisk;
use limosa_store::{Extract, FragmentGate, SealedFacts, StageStart, Store, StoreError, TailRead};

use super::{F, keys_in, node};
use crate::common::*;

/// Two nodes that own each other's fragments, and what every key must be.
struct World {
    disks: [MemoryDisk; 2],
    nodes: [Option<Store>; 2],
    owner: [usize; 4],
    epoch: [u32; 4],
    model: BTreeMap<String, String>,
    keys: Vec<Vec<String>>,
    session: u64,
    dice: Dice,
}

impl World {
    fn new(seed: u64) -> Self {
        let disks = [MemoryDisk::new(), MemoryDisk::new()];
        let store = node(&MemoryDisk::new(), "x").expect("new");
        let keys = F.iter().map(|id| keys_in(&store, *id, 12)).collect();
        let (model, dice) = (BTreeMap::new(), Dice(seed));
        let mut world = Self { disks, nodes: [None, None], owner: [0, 0, 1, 1], epoch: [0; 4], model, keys, session: 0, dice };
        (0..2).for_each(|at| world.start(at));
        world
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.dice.below(bound as u64)).expect("small")
    }

    fn store(&self, at: usize) -> &Store {
        self.nodes[at].as_ref().expect("running")
    }

    /// An owner's start is a failover to itself: new epochs, then the gates.
    fn start(&mut self, at: usize) {
        let mut options = options(&self.disks[at], ["a", "b"][at]);
        (options.segment_bytes, options.tail_bytes, options.ring_bytes) = (8_000, 12_000, 4_000);
        let store = Store::open(options).expect("sound");
        store.set_gates(&F.map(|id| (id, FragmentGate::Closed)));
        let own: Vec<usize> = (0..4).filter(|f| self.owner[*f] == at).collect();
        for &f in &own {
            self.epoch[f] += 1;
        }
        store.open_epochs(&own.iter().map(|f| (F[*f], self.epoch[*f])).collect::<Vec<_>>()).expect("above");
        store.set_gates(&own.iter().map(|f| (F[*f], FragmentGate::Serving)).collect::<Vec<_>>());
        self.nodes[at] = Some(store);
    }

    fn step(&mut self) {
        match self.below(100) {
            0..=54 => self.write(),
            55..=74 => {
                let at = self.below(2);
                self.follow(at);
            }
            75..=80 => {
                let at = self.below(2);
                self.store(at).checkpoint().map(drop).expect("works");
            }
            81..=84 => {
                let f = self.below(4);
                self.drop_copy(f);
            }
            85..=89 => {
                let f = self.below(4);
                self.hand_over(f);
            }
            90..=94 => {
                let at = self.below(2);
                self.keep_house(at);
            }
            _ => {
                let at = self.below(2);
                self.nodes[at] = None;
                self.disks[at] = power_cut(&self.disks[at]);
                self.start(at);
            }
        }
    }

    /// One commit on some of a node's own fragments, and one that a gate refuses.
    fn write(&mut self) {
        let at = self.below(2);
        let own: Vec<usize> = (0..4).filter(|f| self.owner[*f] == at).collect();
        let Some(&other) = (0..4).filter(|f| self.owner[*f] != at).collect::<Vec<_>>().first() else { return };
        if own.is_empty() {
            return;
        }
        let mut changes = Vec::new();
        for _ in 0..=self.below(3) {
            let (f, i, n) = (own[self.below(own.len())], self.below(12), self.below(1_000));
            let key = self.keys[f][i].clone();
            changes.push((key, (n % 4 > 0).then(|| format!("{n}"))));
        }
        let mut txn = self.store(at).begin();
        for (key, value) in &changes {
            match value {
                Some(value) => txn.set(key.as_bytes(), value.as_bytes(), Expiry::NEVER).expect("owned"),
                None => _ = txn.delete(key.as_bytes(), 0).expect("owned"),
            }
        }
        txn.commit();
        let refused = txn.set(self.keys[other][0].as_bytes(), b"x", Expiry::NEVER);
        assert!(matches!(refused, Err(StoreError::NotServed { .. })));
        drop(txn);
        self.store(at).flush().expect("works");
        for (key, value) in changes {
            match value {
                Some(value) => _ = self.model.insert(key, value),
                None => _ = self.model.remove(&key),
            }
        }
    }

    /// Node `at` catches up with the other one's fragments: by its tail where that reaches back, else by a stage, which may be left open
    /// for a while.
    fn follow(&mut self, at: usize) {
        let theirs: Vec<FragmentId> = (0..4).filter(|f| self.owner[*f] != at).map(|f| F[f]).collect();
        if theirs.is_empty() {
            return;
        }
        let (own, other) = (self.store(at).clone(), self.store(1 - at).clone());
        let since: Vec<_> = versions(&own).into_iter().filter(|(id, _)| theirs.contains(id)).collect();
        if let Some(mut tail) = other.tail(&since).map(|tail| tail.within(Scope::only(theirs.iter().copied())))
            && self.stream(&mut tail, &own, &theirs)
        {
            return;
        }
        let some = if self.below(3) == 0 { vec![theirs[self.below(theirs.len())]] } else { theirs };
        self.transfer(&other, &own, &some);
    }

    /// Whether the stream led to the end.
    fn stream(&mut self, tail: &mut limosa_store::Tail, target: &Store, theirs: &[FragmentId]) -> bool {
        loop {
            match tail.next(500).expect("readable") {
                TailRead::Batch(batch) => {
                    assert!(batch.heads.iter().all(|(id, _)| theirs.contains(id)), "nothing out of scope");
                    if target.replicate(&batch.records, &batch.epochs, &batch.checks).is_err() {
                        return false;
                    }
                    if self.below(2) == 0 {
                        target.flush().expect("works");
                    }
                }
                TailRead::CaughtUp => {
                    target.flush().expect("works");
                    return true;
                }
                TailRead::Lost => return false,
            }
        }
    }

    fn transfer(&mut self, source: &Store, target: &Store, fragments: &[FragmentId]) {
        target.flush().expect("works");
        target.stage_abort_of(&Scope::only(fragments.iter().copied())).expect("works");
        self.session += 1;
        let (cut, ours) = (source.cut(), target.facts());
        let start = |id: &FragmentId| {
            let ours = ours.iter().find(|facts| facts.id == *id).expect("known");
            let theirs = cut.fragment(*id).expect("known").facts();
            let common = ours.epochs.common_points(ours.head, &theirs.epochs, theirs.head, &ours.range)[0].1;
            // below the floor deletions can't be told: then the range is replaced
            StageStart::at(*id, ours.range.clone(), if common < theirs.floor { Version::ZERO } else { common })
        };
        let starts: Vec<StageStart> = fragments.iter().map(start).collect();
        target.stage_open(self.session, &starts).expect("nothing of it is staged");
        for start in &starts {
            let view = cut.fragment(start.fragment).expect("known");
            let common = start.common.uniform().expect("one version");
            let index = F.iter().position(|id| *id == start.fragment).expect("known");
            let own = own_keys(target, index, common);
            let what = if own.is_empty() { Extract::Changes } else { Extract::ReplaceKeys(&own) };
            if common.is_zero() && !view.head().is_zero() {
                let (frame, _) = view.delta(&start.range, common, Extract::Changes, usize::MAX).expect("readable");
                let frame = limosa_core::Frame { mode: Mode::ReplaceRange, ..frame };
                target.stage_apply(self.session, &frame, &[]).expect("it fits");
            } else if view.head() != common || !own.is_empty() {
                let (frame, _) = view.delta(&start.range, common, what, usize::MAX).expect("readable");
                target.stage_apply(self.session, &frame, &[]).expect("it fits");
            }
        }
        let sealed: Vec<SealedFacts> = cut
            .fragments()
            .iter()
            .map(limosa_store::FragmentView::facts)
            .filter(|facts| fragments.contains(&facts.id))
            .map(|facts| SealedFacts { id: facts.id, head: facts.head, state: facts.state, floor: facts.floor, epochs: facts.epochs })
            .collect();
        // left open: the next session of these fragments drops it, or a restart brings it back
        if self.below(4) > 0 {
            target.stage_install(self.session, &sealed).expect("complete");
        }
    }

    fn drop_copy(&mut self, f: usize) {
        let copy = 1 - self.owner[f];
        self.store(copy).drop_fragment(F[f]).expect("it is closed");
        let facts = &self.store(copy).facts()[f];
        assert_eq!((facts.head, facts.live, facts.state, facts.floor), (Version::ZERO, 0, Digest::ZERO, Version::ZERO));
        while self.store(copy).has_graves() {
            self.store(copy).free_some(8);
        }
    }

    /// Parked, sealed, followed to the seal, the next epoch: nothing that was acknowledged is lost.
    fn hand_over(&mut self, f: usize) {
        let (from, to) = (self.owner[f], 1 - self.owner[f]);
        let (source, target) = (self.store(from).clone(), self.store(to).clone());
        source.set_gates(&[(F[f], FragmentGate::Parked)]);
        let sealed = source.sealed(F[f]).expect("parked");
        let since: Vec<_> = versions(&target).into_iter().filter(|(id, _)| *id == F[f]).collect();
        let tail = source.tail(&since).map(|tail| tail.within(Scope::only([F[f]])));
        if !tail.is_some_and(|mut tail| self.stream(&mut tail, &target, &[F[f]])) {
            self.transfer(&source, &target, &[F[f]]);
        }
        target.stage_abort_of(&Scope::only([F[f]])).expect("works");
        let facts = &target.facts()[f];
        if (facts.head, facts.state) != sealed {
            source.set_gates(&[(F[f], FragmentGate::Serving)]); // the stage was left open: given up
            return;
        }
        self.epoch[f] += 1;
        target.open_epochs(&[(F[f], self.epoch[f])]).expect("above");
        source.set_gates(&[(F[f], FragmentGate::Closed)]);
        target.set_gates(&[(F[f], FragmentGate::Serving)]);
        self.owner[f] = to;
    }

    fn keep_house(&mut self, at: usize) {
        let own: Vec<FragmentId> = (0..4).filter(|f| self.owner[*f] == at).map(|f| F[f]).collect();
        let store = self.store(at);
        store.raise_floors(&Scope::only(own)).expect("writable");
        store.flush().expect("works");
        while store.sweep_some(4).expect("readable").is_some() {}
    }

    /// What the owners serve is the model.
    fn check(&self) {
        for (f, keys) in self.keys.iter().enumerate() {
            for key in keys {
                let found = get(self.store(self.owner[f]), key).map(|value| String::from_utf8(value).expect("text"));
                assert_eq!(found.as_ref(), self.model.get(key), "{key} of {}", F[f]);
            }
        }
    }
}

#[test]
fn fragments_of_two_owners_are_written_followed_moved_and_dropped_beside_each_other() {
    for seed in 0..12 {
        let mut world = World::new(seed);
        for step in 0..400 {
            world.step();
            if step % 20 == 0 {
                world.check();
            }
        }
        world.check();
        // calm: both follow until they agree
        for _ in 0..4 {
            (0..2).for_each(|at| world.follow(at));
        }
        for at in 0..2 {
            let (own, other) = (world.store(at).clone(), world.store(1 - at).clone());
            let theirs: Vec<FragmentId> = (0..4).filter(|f| world.owner[*f] != at).map(|f| F[f]).collect();
            own.stage_abort_of(&Scope::All).expect("works");
            for id in theirs {
                world.session += 1_000;
                while own.facts().iter().zip(other.facts()).any(|(a, b)| a.id == id && (a.head, a.state) != (b.head, b.state)) {
                    world.transfer(&other, &own, &[id]);
                }
                own.stage_abort_of(&Scope::only([id])).expect("works");
            }
        }
        assert!(facts_equal(world.store(0), world.store(1)), "seed {seed}");
        let whole = KeyRange::ALL;
        let counts =
            [0, 1].map(|at| world.store(at).cut().fragments().iter().map(|view| view.summary(&whole).expect("readable").live).sum::<u64>());
        assert_eq!(counts, [world.model.len() as u64; 2], "seed {seed}");
    }
}
