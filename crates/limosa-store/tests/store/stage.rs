//! Stages: what a target takes, what survives a crash, what is refused, and what the repair does to a diverged tail.

use limosa_core::{Expiry, Frame, KeyRange, Mode, Version};
use limosa_store::disk::{Fault, MemoryDisk};
use limosa_store::{Extract, StageError, Store, StoreError};

use crate::common::*;

/// Frames of about `bytes` that bring everything from nothing to `source`'s head.
fn copy_frames(source: &Store, bytes: usize) -> Vec<Frame> {
    let cut = source.cut();
    let mut frames = Vec::new();
    for view in cut.fragments() {
        let mut range = view.facts().range;
        loop {
            let (frame, next) = view.delta(&range, Version::ZERO, Extract::Changes, bytes).expect("readable");
            frames.push(frame);
            let Some(next) = next else { break };
            range.start = next;
        }
    }
    frames
}

fn filled(disk: &MemoryDisk, node: &str, keys: usize) -> Store {
    let store = owner(disk, node);
    let mut dice = Dice(3);
    for i in 0..keys {
        set(&store, &format!("k{i}"), dice.bytes(50));
    }
    store.flush().expect("works");
    store
}

#[test]
fn an_empty_target_becomes_the_source_and_serves_its_old_state_until_then() {
    let (source, disk) = (filled(&MemoryDisk::new(), "a", 500), MemoryDisk::new());
    let target = open(&disk, "b");
    target.stage_open(7, &starts(&source, &target)).expect("none is open");
    for frame in copy_frames(&source, 3_000) {
        let applied = target.stage_apply(7, &frame, &[]).expect("fits");
        assert!(target.flush().expect("works") >= applied.position);
        assert!(published(&target).is_empty());
    }
    target.stage_install(7, &sealed(&source)).expect("complete");
    assert!(facts_equal(&source, &target));
    assert_eq!(published(&source), published(&target));
    assert!(target.stage(7).is_none());
    // behind a power cut, and behind a checkpoint
    drop(target);
    let disk = power_cut(&disk);
    let target = open(&disk, "b");
    assert!(facts_equal(&source, &target));
    target.checkpoint().expect("works");
    drop(target);
    let target = open(&power_cut(&disk), "b");
    assert!(facts_equal(&source, &target));
    assert_eq!(published(&source), published(&target));
    // and the stream goes on from there
    let mut tail = source.tail_from(source.cut().position());
    set(&source, "new", "one");
    source.flush().expect("works");
    assert!(stream(&mut tail, &target));
    assert!(facts_equal(&source, &target));
}

#[test]
fn a_stage_that_a_crash_cut_goes_on_with_the_map_that_was_durable() {
    let (source, disk) = (filled(&MemoryDisk::new(), "a", 400), MemoryDisk::new());
    let frames = copy_frames(&source, 2_000);
    let target = open(&disk, "b");
    target.stage_open(7, &starts(&source, &target)).expect("none is open");
    let half = frames.len() / 2;
    for frame in &frames[..half] {
        target.stage_apply(7, frame, &[]).expect("fits");
    }
    target.flush().expect("works");
    let durable = target.stage(7).expect("open");
    target.stage_apply(7, &frames[half], &[]).expect("fits"); // and is lost
    target.checkpoint().expect("does not hold the stage, and keeps its journal");
    drop(target);
    let disk = power_cut(&disk);
    let target = open(&disk, "b");
    // the checkpoint flushed the journal, but the last frame had not been written into it
    assert_eq!(target.stage(7).expect("still open"), durable);
    assert!(matches!(target.stage_apply(7, &frames[0], &[]), Err(StageError::Stale { .. })));
    assert_eq!(target.stage_gather(8, &limosa_core::Scope::All).expect("works").expect("open").session, 8);
    for frame in &frames[half..] {
        target.stage_apply(8, frame, &[]).expect("fits");
    }
    target.flush().expect("works");
    drop(target);
    let target = open(&power_cut(&disk), "b");
    assert_eq!(target.stage(8).expect("still open").session, 8);
    target.stage_install(8, &sealed(&source)).expect("complete");
    assert!(facts_equal(&source, &target));
}

#[test]
fn a_crash_at_every_effect_of_a_transfer_leaves_the_old_state_or_the_new_one() {
    let source = filled(&MemoryDisk::new(), "a", 60);
    let frames = copy_frames(&source, 1_000);
    let run = |disk: &MemoryDisk| -> Result<(), StageError> {
        let target = Store::open(options(disk, "b"))?;
        target.stage_open(7, &starts(&source, &target))?;
        for (i, frame) in frames.iter().enumerate() {
            target.stage_apply(7, frame, &[])?;
            target.flush()?;
            if i == 5 {
                target.checkpoint()?;
            }
        }
        target.stage_install(7, &sealed(&source)).map(drop)
    };
    let calm = MemoryDisk::new();
    run(&calm).expect("works");
    for effect in 0..calm.effects() {
        let disk = MemoryDisk::new();
        disk.fault_at(effect, Fault::Crash { done: 11 });
        let installed = run(&disk).is_ok();
        let target = open(&power_cut(&disk), "b");
        let count = published(&target).len();
        assert!(count == 60 || (count == 0 && !installed), "effect {effect}: {count}");
        let staged = target.stage(7).is_some();
        assert!(!(staged && count == 60), "effect {effect}: a stage behind its install");
        if count == 0 {
            if !staged {
                target.stage_open(7, &starts(&source, &target)).expect("none is open");
            }
            for frame in &frames {
                match target.stage_apply(7, frame, &[]) {
                    Ok(_) | Err(StageError::Stale { .. }) => {}
                    Err(error) => panic!("effect {effect}: {error}"),
                }
            }
            target.stage_install(7, &sealed(&source)).expect("complete");
        }
        assert!(facts_equal(&source, &target), "effect {effect}");
    }
}

#[test]
fn frames_out_of_place_are_refused_and_change_nothing() {
    let source = filled(&MemoryDisk::new(), "a", 100);
    let target = open(&MemoryDisk::new(), "b");
    let frames = copy_frames(&source, 1_000);
    assert!(matches!(target.stage_apply(7, &frames[0], &[]), Err(StageError::NotOpen)));
    target.stage_open(7, &starts(&source, &target)).expect("none is open");
    assert!(matches!(target.stage_open(7, &[]), Err(StageError::AlreadyOpen { session: 7 })));
    let mut early = frames[0].clone();
    early.from = Version::new(1, 3);
    assert!(matches!(target.stage_apply(7, &early, &[]), Err(StageError::Gap { .. })));
    let mut wrong = frames[0].clone();
    wrong.digest.0 ^= 1;
    assert_eq!(target.stage_apply(7, &wrong, &[]).map_err(|e| e.code()), Err("tree.frame_digest"));
    assert!(matches!(target.stage_install(7, &sealed(&source)), Err(StageError::Incomplete { .. })));
    frames.iter().for_each(|frame| _ = target.stage_apply(7, frame, &[]).expect("fits"));
    assert!(matches!(target.stage_apply(7, &frames[0], &[]), Err(StageError::Stale { .. })));
    let mut other = sealed(&source);
    other[1].state.0 ^= 1;
    assert!(matches!(target.stage_install(7, &other), Err(StageError::Digest { .. })));
    target.stage_abort(7).expect("works");
    assert!(matches!(target.stage_install(7, &sealed(&source)), Err(StageError::NotOpen)));
    transfer(&source, &target);
    assert!(facts_equal(&source, &target));
}

#[test]
fn a_key_created_in_a_diverged_tail_is_gone_after_the_repair() {
    let (source_disk, target_disk) = (MemoryDisk::new(), MemoryDisk::new());
    let source = filled(&source_disk, "a", 100);
    let target = open(&target_disk, "b");
    transfer(&source, &target);
    // the target is promoted and written to; the source goes on, unaware
    target.open_epoch(1).expect("works");
    set(&target, "only in the tail", "x");
    set(&target, "k3", "tail");
    del(&target, "k4");
    target.flush().expect("works");
    set(&source, "k5", "source");
    source.flush().expect("works");
    // the source's history must end above the target's before it may replace it
    assert!(matches!(try_transfer(&source, &target), Err(StageError::Epoch { held: 2, sealed: 1, .. })));
    target.stage_abort(1).expect("works");
    source.open_epoch(2).expect("works");
    set(&source, "k6", "source");
    source.flush().expect("works");
    let own = own_key_entries(&target);
    assert_eq!(own, 3);
    transfer(&source, &target);
    assert!(facts_equal(&source, &target));
    assert_eq!(get(&target, "only in the tail"), None);
    assert_eq!(published(&source), published(&target));
    drop(target);
    let target = open(&power_cut(&target_disk), "b");
    assert!(facts_equal(&source, &target));
    assert_eq!(get(&target, "only in the tail"), None);
}

fn own_key_entries(target: &Store) -> usize {
    (0..4).map(|index| own_keys(target, index, Version::new(1, u64::MAX)).len()).sum()
}

fn try_transfer(source: &Store, target: &Store) -> Result<(), StageError> {
    let starts = starts(source, target);
    target.stage_open(1, &starts)?;
    let cut = source.cut();
    for (index, start) in starts.iter().enumerate() {
        let common = start.common.uniform().expect("one version");
        let own = own_keys(target, index, common);
        let what = Extract::ReplaceKeys(&own);
        let (frame, _) = cut.fragments()[index].delta(&start.range, common, what, usize::MAX)?;
        if cut.fragments()[index].head() != common || !own.is_empty() {
            target.stage_apply(1, &frame, &[])?;
        }
    }
    target.stage_install(1, &sealed(source)).map(drop)
}

#[test]
fn entries_that_reconciling_found_too_much_are_dropped_by_their_short_ids() {
    let disk = MemoryDisk::new();
    let source = filled(&MemoryDisk::new(), "a", 100);
    let target = owner(&disk, "b");
    for i in 0..100 {
        set(&target, &format!("k{i}"), "foreign");
        set(&target, &format!("foreign{i}"), "x");
    }
    target.flush().expect("works");
    source.open_epoch(5).expect("works");
    target.stage_open(77, &starts(&source, &target)).expect("none is open");
    let forks = target.stage_fragments(77);
    for (view, fork) in source.cut().fragments().iter().zip(&forks) {
        let range = view.facts().range;
        let theirs: std::collections::HashSet<u64> =
            view.entry_ids(std::slice::from_ref(&range), 77).expect("readable").into_iter().map(|(id, _)| id).collect();
        let ours = fork.entry_ids(std::slice::from_ref(&range), 77).expect("readable");
        let drops: Vec<u64> = ours.into_iter().map(|(id, _)| id).filter(|id| !theirs.contains(id)).collect();
        let (frame, _) = view.delta(&range, Version::ZERO, Extract::Changes, usize::MAX).expect("readable");
        let frame = Frame { mode: Mode::ReplaceKeys, ..frame };
        assert!(!drops.is_empty());
        target.stage_apply(77, &frame, &drops).expect("exactly the source's then");
    }
    target.flush().expect("works");
    drop(target);
    let target = open(&power_cut(&disk), "b");
    target.stage_install(77, &sealed(&source)).expect("replayed drops resolve to the same keys");
    assert!(facts_equal(&source, &target));
    assert_eq!(published(&source), published(&target));
}

#[test]
fn late_frames_after_tombstones_were_collected_are_refused() {
    let source = filled(&MemoryDisk::new(), "a", 50);
    let target = open(&MemoryDisk::new(), "b");
    let late = copy_frames(&source, usize::MAX);
    transfer(&source, &target);
    let since = versions(&source);
    (0..50).for_each(|i| _ = del(&source, &format!("k{i}")));
    source.flush().expect("works");
    transfer(&source, &target);
    for store in [&source, &target] {
        assert_eq!(collect(store, &versions(store)), 50);
        assert_eq!(store.stats().tombstones, 0);
    }
    assert!(source.facts().iter().zip(&since).all(|(facts, (_, since))| facts.floor > *since), "a peer there must reconcile");
    target.stage_open(9, &starts(&source, &target)).expect("none is open");
    for frame in &late {
        assert!(matches!(target.stage_apply(9, frame, &[]), Err(StageError::Stale { .. })), "a deleted key never comes back");
    }
    assert!(published(&target).is_empty());
}

#[test]
fn a_stage_of_a_state_that_moved_on_is_not_installed() {
    let source = filled(&MemoryDisk::new(), "a", 50);
    let target = owner(&MemoryDisk::new(), "b");
    target.stage_open(1, &starts(&source, &target)).expect("none is open");
    copy_frames(&source, usize::MAX).iter().for_each(|frame| _ = target.stage_apply(1, frame, &[]).expect("fits"));
    set(&target, "acknowledged here", "x");
    target.flush().expect("works");
    assert!(matches!(target.stage_install(1, &sealed(&source)), Err(StageError::Moved)));
    assert_eq!(get(&target, "acknowledged here").as_deref(), Some(&b"x"[..]));
}

/// Found by the simulator (stores, seed 26): the owner had started again while a stage was open that lacked nothing. Its epoch row, which
/// changes no entry, came first; and the stage was opened again and again, and never installed.
#[test]
fn an_epoch_row_of_the_source_does_not_keep_a_stage_from_being_installed() {
    let (source, disk) = (filled(&MemoryDisk::new(), "a", 50), MemoryDisk::new());
    let target = open(&disk, "b");
    transfer(&source, &target);
    target.stage_open(7, &starts(&source, &target)).expect("none is open");
    source.open_epoch(0).expect("works");
    let newest = |facts: limosa_core::FragmentFacts| {
        let row = *facts.epochs.rows().last().expect("just opened");
        (facts.id, limosa_core::EpochTable::from_rows(vec![row]).expect("one row is in order"))
    };
    let rows: Vec<_> = source.facts().into_iter().map(newest).collect();
    target.replicate(&[], &rows, &[]).expect("it follows");
    target.flush().expect("works");
    target.stage_install(7, &sealed(&source)).expect("nothing was written here meanwhile");
    assert!(facts_equal(&source, &target));
    drop(target);
    let target = open(&power_cut(&disk), "b");
    assert_eq!(published(&source), published(&target));
    assert!(target.facts().iter().zip(source.facts()).all(|(ours, theirs)| ours.epochs == theirs.epochs));
}

/// Found by the simulator (stores, seeds 144 and 211): a standby was promoted, wrote nothing, and followed its old owner again, which had
/// opened the same epoch: what it was sent was refused for ever.
#[test]
fn an_opening_of_an_epoch_under_which_nothing_was_written_gives_way_to_another_one() {
    let source = filled(&MemoryDisk::new(), "a", 50);
    let (idle, busy) = (open(&MemoryDisk::new(), "b"), open(&MemoryDisk::new(), "c"));
    for target in [&idle, &busy] {
        transfer(&source, target);
        target.open_epoch(0).expect("works");
    }
    (0..50).for_each(|i| _ = set(&busy, &format!("k{i}"), format!("{i}")));
    busy.flush().expect("works");
    source.open_epoch(0).expect("works");
    set(&source, "new", "one");
    source.flush().expect("works");
    let newest = |store: &Store| *store.facts()[0].epochs.rows().last().expect("opened");
    assert_eq!(newest(&source).epoch, newest(&idle).epoch);
    assert_ne!(newest(&source).opener, newest(&idle).opener);
    assert!(matches!(try_transfer(&source, &busy), Err(StageError::Epoch { .. })), "what was written there could have been promised");
    transfer(&source, &idle);
    assert!(facts_equal(&source, &idle));
}

/// Found by simulation: a standby was promoted while a stage was open; the next start replayed its frames onto what was written since.
#[test]
fn an_owner_has_no_stage() {
    let (source, disk) = (filled(&MemoryDisk::new(), "a", 50), MemoryDisk::new());
    let target = open(&disk, "b");
    target.stage_open(1, &starts(&source, &target)).expect("none is open");
    let frames = copy_frames(&source, 500);
    target.stage_apply(1, &frames[0], &[]).expect("fits");
    target.open_epoch(0).expect("works");
    assert!(matches!(target.stage_apply(1, &frames[1], &[]), Err(StageError::NotOpen)));
    set(&target, "acknowledged here", "x");
    target.flush().expect("works");
    target.checkpoint().expect("works");
    drop(target);
    let target = open(&power_cut(&disk), "b");
    assert_eq!(get(&target, "acknowledged here").as_deref(), Some(&b"x"[..]));
}

#[test]
fn what_lost_is_set_aside_readable_before_it_is_replaced() {
    let disk = MemoryDisk::new();
    let store = owner(&disk, "a");
    let mut txn = store.begin();
    txn.set(b"text", b"va\"lue", Expiry::at(5)).expect("writable");
    txn.set(&[0xFF, 0xFE], &[0, 159], Expiry::NEVER).expect("writable");
    txn.commit();
    drop(txn);
    store.flush().expect("works");
    let cut = store.cut();
    let mut keys = Vec::new();
    cut.scan(&KeyRange::ALL, |entry| {
        keys.push(entry.key.to_vec());
        std::ops::ControlFlow::Continue(())
    })
    .map(drop)
    .expect("readable");
    let holder = |key: &[u8]| cut.fragments().iter().find(|view| view.tree().range().contains(key)).expect("every key has a place");
    let entries = keys.iter().filter_map(|key| holder(key).get(key).transpose()).map(|entry| Ok((entry?, Some(Version::new(1, 0)))));
    let path = store.quarantine("local", entries).expect("works");
    let text = String::from_utf8(power_cut(&disk).read(&path).expect("on the disk")).expect("text");
    assert_eq!(text.lines().count(), 2);
    assert!(
        text.contains(r#""key":"text","value":"va\"lue","kind":"string","expiry_ms":5,"version":"1.1","promised":"local","based_on":"1.0","deleted":false"#),
        "{text}"
    );
    assert!(text.contains(r#""key_base64":"//4=""#), "{text}");
}

#[test]
fn errors_of_a_stage_have_codes_and_say_what_to_do() {
    assert_eq!(StageError::Moved.code(), "stage.moved");
    assert_eq!(StageError::from(StoreError::Poisoned { why: String::new() }).code(), "store.poisoned");
}

/// Found by simulation: the install's record was published by whoever tried the waiting group again, the stage stayed, and a frame written
/// onto it made a journal that no start could read.
#[test]
fn a_stage_whose_install_waited_for_room_is_none_any_more() {
    let (source, disk) = (filled(&MemoryDisk::new(), "a", 200), MemoryDisk::new());
    let target = open(&disk, "b");
    target.stage_open(7, &starts(&source, &target)).expect("none is open");
    for frame in copy_frames(&source, 3_000) {
        target.stage_apply(7, &frame, &[]).expect("fits");
    }
    target.flush().expect("works");
    disk.set_room(Some(disk.used() + 60));
    assert!(matches!(target.stage_install(7, &sealed(&source)), Err(StageError::Store(StoreError::DiskFull { .. }))));
    assert!(target.has_pending(), "somebody must try again");
    disk.set_room(None);
    target.flush().expect("there is room");
    assert!(facts_equal(&source, &target));
    assert!(target.stage(7).is_none());
    let refused = target.stage_apply(7, &copy_frames(&source, 3_000)[0], &[]);
    assert!(matches!(refused, Err(StageError::NotOpen)), "{refused:?}");
    drop(target);
    assert!(facts_equal(&source, &open(&power_cut(&disk), "b")));
}

/// Found by simulation: forks were made before the trees' generations were levelled. Where another fragment had been written more often,
/// what frames brought counted as older than the checkpoint that was made meanwhile, and no later one wrote it.
#[test]
fn a_checkpoint_behind_an_install_holds_what_frames_brought_however_often_others_were_written() {
    let (source, disk) = (filled(&MemoryDisk::new(), "a", 200), MemoryDisk::new());
    let target = open(&disk, "b");
    transfer(&source, &target);
    target.checkpoint().expect("works");
    let mut tail = source.tail_from(source.cut().position());
    for i in 0..50 {
        set(&source, "k0", format!("{i}"));
        source.flush().expect("works");
        assert!(stream(&mut tail, &target));
    }
    (0..200).for_each(|i| _ = set(&source, &format!("k{i}"), "new"));
    source.flush().expect("works");
    let starts = starts(&source, &target);
    target.stage_open(7, &starts).expect("none is open");
    for (view, start) in source.cut().fragments().iter().zip(&starts) {
        let common = start.common.uniform().expect("one version");
        let (frame, _) = view.delta(&start.range, common, Extract::Changes, usize::MAX).expect("readable");
        target.stage_apply(7, &frame, &[]).expect("fits");
    }
    target.checkpoint().expect("does not hold the stage");
    target.stage_install(7, &sealed(&source)).expect("complete");
    target.checkpoint().expect("works");
    drop(target);
    let target = Store::open(options(&power_cut(&disk), "b")).expect("the checkpoint holds every block");
    assert!(facts_equal(&source, &target));
    assert_eq!(published(&source), published(&target));
}
