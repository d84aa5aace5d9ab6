//! Fragments of several owners in one folder: written here, followed, staged by two sessions, installed and dropped, with a power cut at
//! every effect, and in random order against an oracle.

use std::collections::BTreeMap;
use std::sync::Arc;

use limosa_core::{Digest, Expiry, FragmentId, KeyRange, Mode, Scope, Version};
use limosa_store::disk::{Fault, MemoryDisk};
use limosa_store::{Extract, FragmentGate, SealedFacts, StageError, StageStart, StageState, Store, StoreError, TailRead};

use crate::common::*;

const F: [FragmentId; 4] = [FragmentId(0), FragmentId(1), FragmentId(2), FragmentId(3)];

/// Opened with numbers drawn alike each time, so that histories can be compared.
fn node(disk: &MemoryDisk, name: &str) -> Result<Store, StoreError> {
    let mut options = options(disk, name);
    options.entropy = Arc::new(|| Ok(7));
    Store::open(options)
}

/// The first `count` user keys of a fragment.
fn keys_in(store: &Store, fragment: FragmentId, count: usize) -> Vec<String> {
    (0..).map(|i| format!("key{i}")).filter(|key| store.begin().fragment_of(key.as_bytes()) == fragment).take(count).collect()
}

fn write(store: &Store, key: &str, value: &str) -> Result<(), StoreError> {
    let mut txn = store.begin();
    txn.set(key.as_bytes(), value.as_bytes(), Expiry::NEVER)?;
    txn.commit();
    drop(txn);
    store.flush().map(drop)
}

/// An owner of everything, at `epoch`.
fn source(name: &str, epoch: u32) -> Store {
    let store = node(&MemoryDisk::new(), name).expect("a new folder");
    store.open_epoch(epoch - 1).expect("works");
    for fragment in F {
        keys_in(&store, fragment, 12).iter().for_each(|key| write(&store, key, &format!("{name} {key}")).expect("works"));
    }
    store
}

fn start_at(target: &Store, fragment: FragmentId, common: Version) -> StageStart {
    let facts = target.facts().into_iter().find(|facts| facts.id == fragment).expect("known");
    StageStart::at(fragment, facts.range, common)
}

/// Frames that bring a fragment from nothing to where `source` is.
fn frames(source: &Store, fragment: FragmentId, bytes: usize) -> Vec<limosa_core::Frame> {
    let cut = source.cut();
    let view = cut.fragment(fragment).expect("known");
    let (mut range, mut out) = (view.facts().range, Vec::new());
    loop {
        let (frame, next) = view.delta(&range, Version::ZERO, Extract::Changes, bytes).expect("readable");
        out.push(frame);
        let Some(next) = next else { return out };
        range.start = next;
    }
}

fn seal(source: &Store, fragments: &[FragmentId]) -> Vec<SealedFacts> {
    sealed(source).into_iter().filter(|facts| fragments.contains(&facts.id)).collect()
}

/// Everything of a store that must come back.
type Seen = (Vec<(FragmentId, Version, Digest)>, Vec<StageState>, Vec<u32>, Option<bytes::Bytes>, Vec<u64>);

fn seen(store: &Store) -> Seen {
    let facts = store.facts();
    let heads = facts.iter().map(|facts| (facts.id, facts.head, facts.state)).collect();
    let epochs = facts.iter().map(|facts| facts.epochs.epoch()).collect();
    // positions differ where a checkpoint was or was not made; whether there was a commit does not
    let commits = F.iter().map(|id| u64::from(store.last_commit(*id) > Some(limosa_store::Position::ZERO))).collect();
    (heads, store.stages(), epochs, store.note("fence"), commits)
}

type Step<'a> = (&'static str, Box<dyn Fn(&Store) -> Result<(), StageError> + 'a>);

/// Each step is one record, durable behind it: a crash leaves the state before it or the one behind it.
fn script<'a>(a: &'a Store, b: &'a Store) -> Vec<Step<'a>> {
    let own = keys_in(a, F[0], 6);
    let mut steps: Vec<Step<'a>> = Vec::new();
    let mut step = |name, f: Box<dyn Fn(&Store) -> Result<(), StageError> + 'a>| steps.push((name, f));
    let local = |i: usize| {
        let key = own[i].clone();
        Box::new(move |store: &Store| Ok(write(store, &key, "local")?)) as Box<dyn Fn(&Store) -> Result<(), StageError>>
    };
    let frame = |from: &'a Store, session: u64, fragment: FragmentId, part: usize| {
        let frame = frames(from, fragment, 150).swap_remove(part);
        Box::new(move |store: &Store| {
            store.stage_apply(session, &frame, &[])?;
            Ok(store.flush().map(drop)?)
        }) as Box<dyn Fn(&Store) -> Result<(), StageError>>
    };
    let open = |session: u64, fragments: &'static [FragmentId]| {
        Box::new(move |store: &Store| {
            store.stage_open(session, &fragments.iter().map(|id| start_at(store, *id, Version::ZERO)).collect::<Vec<_>>())
        }) as Box<dyn Fn(&Store) -> Result<(), StageError>>
    };
    let install = |from: &'a Store, session: u64, fragments: &'static [FragmentId]| {
        Box::new(move |store: &Store| store.stage_install(session, &seal(from, fragments)).map(drop))
            as Box<dyn Fn(&Store) -> Result<(), StageError>>
    };
    let checkpoint = || Box::new(|store: &Store| Ok(store.checkpoint().map(drop)?)) as Box<dyn Fn(&Store) -> Result<(), StageError>>;
    let parts = |from: &Store, fragment| frames(from, fragment, 150).len();
    step("own", Box::new(|store| Ok(store.open_epochs(&[(F[0], 1)]).map(drop)?)));
    step("write", local(0));
    step("open 11", open(11, &[F[1]]));
    step("open 12", open(12, &[F[2], F[3]]));
    step("frame", frame(a, 11, F[1], 0));
    step("write", local(1));
    step("frame", frame(b, 12, F[2], 0));
    step("checkpoint", checkpoint());
    (1..parts(a, F[1])).for_each(|part| step("frame", frame(a, 11, F[1], part)));
    step("install 11", install(a, 11, &[F[1]]));
    step("write", local(2));
    step("frame", frame(b, 12, F[3], 0));
    step("checkpoint", checkpoint());
    step("gather", Box::new(|store| store.stage_gather(13, &Scope::only([F[3]])).map(drop)));
    (1..parts(b, F[3])).for_each(|part| step("frame", frame(b, 13, F[3], part)));
    step("drop", Box::new(|store| Ok(store.drop_fragment(F[1]).map(drop)?)));
    step("install 13", install(b, 13, &[F[3]]));
    step("note", Box::new(|store| Ok(store.set_note("fence", b"9").map(drop)?)));
    step("open 14", open(14, &[F[1]]));
    (0..parts(a, F[1])).for_each(|part| step("frame", frame(a, 14, F[1], part)));
    step("write", local(3));
    (1..parts(b, F[2])).for_each(|part| step("frame", frame(b, 12, F[2], part)));
    step("checkpoint", checkpoint());
    step("install 12", install(b, 12, &[F[2]]));
    step(
        "abort 14",
        Box::new(|store| {
            store.stage_abort(14)?;
            Ok(store.flush().map(drop)?)
        }),
    );
    step("drop", Box::new(|store| Ok(store.drop_fragment(F[2]).map(drop)?)));
    step("take over", Box::new(|store| Ok(store.open_epochs(&[(F[3], 20)]).map(drop)?)));
    step("checkpoint", checkpoint());
    step("write", local(4));
    steps
}

/// What a driver sets at each start.
fn gates(store: &Store) {
    store.set_gates(&[(F[1], FragmentGate::Closed), (F[2], FragmentGate::Closed)]);
}

#[test]
fn a_power_cut_at_every_effect_leaves_each_fragment_and_stage_before_its_last_step_or_behind_it() {
    let (a, b) = (source("a", 5), source("b", 6));
    let steps = script(&a, &b);
    let run = |disk: &MemoryDisk, from: usize, mut each: Box<dyn FnMut(&Store) + '_>| -> Result<(), (usize, StageError)> {
        let store = node(disk, "c").map_err(|error| (from, error.into()))?;
        gates(&store);
        for (i, (_, step)) in steps.iter().enumerate().skip(from) {
            step(&store).map_err(|error| (i, error))?;
            each(&store);
        }
        Ok(())
    };
    let (calm, mut states) = (MemoryDisk::new(), Vec::new());
    states.push(seen(&node(&MemoryDisk::new(), "c").expect("new")));
    run(&calm, 0, Box::new(|store| states.push(seen(store)))).expect("works");
    let last = states.last().expect("some").clone();
    assert!(last.0[1].1.is_zero() && last.0[2].1.is_zero(), "dropped: at version zero");
    assert_eq!((last.2.as_slice(), last.1.len()), (&[1, 0, 0, 20][..], 0));
    for effect in 0..calm.effects() {
        let disk = MemoryDisk::new();
        disk.fault_at(effect, Fault::Crash { done: 11 });
        let Err((step, error)) = run(&disk, 0, Box::new(|_| ())) else { continue };
        let name = steps[step].0;
        let disk = power_cut(&disk);
        let store = node(&disk, "c").unwrap_or_else(|e| panic!("effect {effect}, {name} ({error}): {e}"));
        let found = seen(&store);
        let done = [step, step + 1].into_iter().find(|done| states[*done] == found);
        let Some(done) = done else {
            panic!("effect {effect}, {name}: {found:?} is neither {:?} nor {:?}", states[step], states[step + 1])
        };
        drop(store);
        if effect % 3 == 0 {
            let disk = power_cut(&disk);
            run(&disk, done, Box::new(|_| ())).unwrap_or_else(|(at, e)| panic!("effect {effect}, on from {}: {e}", steps[at].0));
            assert_eq!(seen(&node(&power_cut(&disk), "c").expect("sound")), last, "effect {effect}");
        }
    }
}

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

#[test]
fn a_dropped_fragment_gives_its_room_back_and_is_followed_again_from_zero() {
    let (a, disk) = (source("a", 5), MemoryDisk::new());
    let store = node(&disk, "c").expect("new");
    gates(&store);
    assert!(matches!(store.drop_fragment(F[0]), Err(StoreError::Invalid { .. })), "commands may be evaluated on it");
    for round in 0..3 {
        store.stage_open(round, &[start_at(&store, F[1], Version::ZERO)]).expect("nothing is staged");
        frames(&a, F[1], 200).iter().for_each(|frame| _ = store.stage_apply(round, frame, &[]).expect("a copy into an empty range"));
        store.stage_install(round, &seal(&a, &[F[1]])).expect("complete");
        store.checkpoint().expect("works");
        assert_eq!(store.facts()[1].state, a.facts()[1].state);
        store.drop_fragment(F[1]).expect("closed");
        assert_eq!(store.facts()[1].head, Version::ZERO);
        store.checkpoint().expect("works");
        assert_eq!(store.stats().live, 0);
    }
    drop(store);
    let store = node(&power_cut(&disk), "c").expect("its blocks are gone from the checkpoint, too");
    assert_eq!((store.stats().live, store.facts()[1].head), (0, Version::ZERO));
    let mut tail = a.tail(&[(F[1], Version::ZERO)]).expect("the ring has it all").within(Scope::only([F[1]]));
    assert!(stream(&mut tail, &store), "an absent fragment may follow from the first commit on");
    assert_eq!(store.facts()[1].state, a.facts()[1].state);
    assert_eq!(store.facts()[2].head, Version::ZERO, "and no other");
}

#[test]
fn stages_share_no_fragment_and_local_writes_leave_other_stages_alone() {
    let (a, store) = (source("a", 5), node(&MemoryDisk::new(), "c").expect("new"));
    store.open_epochs(&[(F[0], 1)]).expect("new");
    let zero = |id| start_at(&store, id, Version::ZERO);
    store.stage_open(1, &[zero(F[1]), zero(F[2])]).expect("free");
    assert!(matches!(store.stage_open(2, &[zero(F[2])]), Err(StageError::AlreadyOpen { session: 1 })));
    assert!(matches!(store.stage_open(1, &[zero(F[3])]), Err(StageError::AlreadyOpen { session: 1 })));
    store.stage_open(2, &[zero(F[3])]).expect("free");
    assert!(matches!(store.stage_apply(2, &frames(&a, F[1], usize::MAX)[0], &[]), Err(StageError::UnknownFragment { .. })));
    for id in &F[1..3] {
        store.stage_apply(1, &frames(&a, *id, usize::MAX)[0], &[]).expect("fits");
    }
    let key = &keys_in(&store, F[0], 1)[0];
    write(&store, key, "beside").expect("it is owned");
    assert!(matches!(store.stage_gather(2, &Scope::only([F[1]])), Err(StageError::AlreadyOpen { session: 2 })));
    // one fragment leaves, with what was staged of it
    assert_eq!(store.stage_gather(3, &Scope::only([F[2]])).expect("works").map(|stage| stage.fragments.len()), Some(1));
    assert_eq!(store.stages().iter().map(|stage| stage.session).collect::<Vec<_>>(), [1, 2, 3]);
    write(&store, key, "pending").expect("it is owned");
    store.stage_install(1, &seal(&a, &[F[1]])).expect("writes elsewhere are no matter");
    store.stage_install(3, &seal(&a, &[F[2]])).expect("complete");
    assert_eq!(store.facts().iter().map(|facts| facts.live).collect::<Vec<_>>(), [1, 12, 12, 0]);
    assert_eq!(get(&store, key).as_deref(), Some(&b"pending"[..]));
    // and what is written below a stage is not lost by it
    store.open_epochs(&[(F[3], 1)]).expect("its stage is dropped");
    assert!(matches!(store.stage_install(2, &seal(&a, &[F[3]])), Err(StageError::NotOpen)));
}

#[test]
fn a_tail_of_some_fragments_hands_out_their_parts_alone_from_ring_and_journal() {
    let disk = MemoryDisk::new();
    let store = node(&disk, "a").expect("new");
    store.open_epoch(0).expect("works");
    let keys = F.map(|id| keys_in(&store, id, 3));
    for round in 0..3 {
        let mut txn = store.begin();
        for keys in &keys[..=round] {
            txn.set(keys[round].as_bytes(), b"x", Expiry::NEVER).expect("owned");
        }
        txn.commit();
        drop(txn);
        store.flush().expect("works");
    }
    for store in [store.clone(), {
        drop(store);
        node(&power_cut(&disk), "a").expect("sound")
    }] {
        let target = node(&MemoryDisk::new(), "b").expect("new");
        let mut tail = store.tail_from(limosa_store::Position::ZERO).within(Scope::only([F[1], F[2]]));
        assert!(stream(&mut tail, &target));
        let same = store.facts().iter().zip(target.facts()).map(|(a, b)| (a.head, a.state) == (b.head, b.state)).collect::<Vec<_>>();
        assert_eq!(same, [false, true, true, true], "nobody wrote the fourth");
        assert_eq!(target.facts()[0].head, Version::ZERO);
        assert!(matches!(tail.next(1 << 16), Ok(TailRead::CaughtUp)));
        write(&store, &keys[0][2], "out of scope").expect("owned");
        assert!(matches!(tail.next(1 << 16), Ok(TailRead::CaughtUp)), "nobody is woken for what others write");
        assert_eq!(tail.upto(), store.horizon());
    }
}
