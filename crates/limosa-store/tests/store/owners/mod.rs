//! Fragments of several owners in one folder: written here, followed, staged by two sessions, installed and dropped, with a power cut at
//! every effect; in random order, see `world`.

mod world;

use std::sync::Arc;

use limosa_core::{Digest, Expiry, FragmentId, Scope, Version};
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

type Act<'a> = Box<dyn Fn(&Store) -> Result<(), StageError> + 'a>;
type Step<'a> = (&'static str, Act<'a>);

/// Each step is one record, durable behind it: a crash leaves the state before it or the one behind it.
fn script<'a>(a: &'a Store, b: &'a Store) -> Vec<Step<'a>> {
    let own = keys_in(a, F[0], 6);
    let mut steps: Vec<Step<'a>> = Vec::new();
    let mut step = |name, act: Act<'a>| steps.push((name, act));
    let local = |i: usize| {
        let key = own[i].clone();
        Box::new(move |store: &Store| Ok(write(store, &key, "local")?)) as Act<'a>
    };
    let frame = |from: &'a Store, session: u64, fragment: FragmentId, part: usize| {
        let frame = frames(from, fragment, 150).swap_remove(part);
        Box::new(move |store: &Store| {
            store.stage_apply(session, &frame, &[])?;
            Ok(store.flush().map(drop)?)
        }) as Act<'a>
    };
    let open = |session: u64, fragments: &'static [FragmentId]| {
        Box::new(move |store: &Store| {
            store.stage_open(session, &fragments.iter().map(|id| start_at(store, *id, Version::ZERO)).collect::<Vec<_>>())
        }) as Act<'a>
    };
    let install = |from: &'a Store, session: u64, fragments: &'static [FragmentId]| {
        Box::new(move |store: &Store| store.stage_install(session, &seal(from, fragments)).map(drop)) as Act<'a>
    };
    let checkpoint = || Box::new(|store: &Store| Ok(store.checkpoint().map(drop)?)) as Act<'a>;
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
    let run = |disk: &MemoryDisk, from: usize, mut each: Box<dyn FnMut(&Store) + '_>| -> Result<(), Box<(usize, StageError)>> {
        let store = node(disk, "c").map_err(|error| Box::new((from, error.into())))?;
        gates(&store);
        for (i, (_, step)) in steps.iter().enumerate().skip(from) {
            step(&store).map_err(|error| Box::new((i, error)))?;
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
        let Err(stopped) = run(&disk, 0, Box::new(|_| ())) else { continue };
        let (step, error) = *stopped;
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
            run(&disk, done, Box::new(|_| ()))
                .unwrap_or_else(|stopped| panic!("effect {effect}, on from {}: {}", steps[stopped.0].0, stopped.1));
            assert_eq!(seen(&node(&power_cut(&disk), "c").expect("sound")), last, "effect {effect}");
        }
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
