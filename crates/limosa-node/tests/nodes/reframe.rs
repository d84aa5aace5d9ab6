//! Splits and merges in a cluster of three: writes go on, standbys follow without a copy, halves go apart and come together, and a node that was
//! away falls in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use limosa_core::{FragmentId, key};
use limosa_manifest::FragmentCell;
use limosa_node::driver::cluster::{Order, OrderError};

use crate::common::wait;
use crate::members::{FRAGMENTS, Member, get_somewhere, places, set_somewhere};

fn all() -> Vec<FragmentId> {
    (0..u32::from(FRAGMENTS)).map(FragmentId).collect()
}

fn slot(slot: u16) -> Bytes {
    Bytes::copy_from_slice(&key::slot_start(slot))
}

fn split(member: &Member, fragment: FragmentId, at: u16) -> Result<(FragmentId, FragmentId), OrderError> {
    member.running.runtime.block_on(member.running.node.split_in_cluster(fragment, slot(at)))
}

fn merge(member: &Member, left: FragmentId, right: FragmentId) -> Result<FragmentId, OrderError> {
    member.running.runtime.block_on(member.running.node.merge_in_cluster(left, right))
}

/// Until the fragment's cell is as wished by everybody's view.
fn wait_for_cell(members: &[&Member], id: FragmentId, what: &str, is: impl Fn(&FragmentCell) -> bool) {
    wait(what, || members.iter().all(|member| member.cluster().cells().get(&id).is_some_and(&is)));
}

/// Until both standbys have exactly what the owner has.
fn wait_until_equal(members: &[&Member]) {
    wait("everybody has the same", || {
        let states = |member: &&Member| {
            let facts = member.running.node.store().facts();
            facts.iter().map(|facts| (facts.id, facts.range.clone(), facts.head, facts.state)).collect::<Vec<_>>()
        };
        let first = states(&members[0]);
        members.iter().all(|member| states(member) == first)
    });
}

fn moved_bytes(member: &Member) -> u64 {
    member.running.node.registry().transfers().iter().map(|transfer| transfer.moved_bytes).sum()
}

/// Writes wherever the keys are served until told to stop.
fn write_all_along(members: &[&Member], prefix: &str, stop: &AtomicBool) -> usize {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        set_somewhere(members, &format!("{prefix}{count}"), format!("{prefix} {count}").as_bytes());
        count += 1;
    }
    count
}

/// Does `f` while a client writes; how much it wrote.
fn under_writes<T>(members: &[&Member], prefix: &str, f: impl FnOnce() -> T) -> (T, usize) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_all_along(members, prefix, &stop));
        let done = f();
        stop.store(true, Ordering::Relaxed);
        (done, writer.join().expect("no panic"))
    })
}

fn check_written(members: &[&Member], written: &BTreeMap<&str, usize>) {
    for (prefix, count) in written {
        for i in 0..*count {
            let found = get_somewhere(members, &format!("{prefix}{i}"));
            assert_eq!(found.as_deref(), Some(format!("{prefix} {i}").as_bytes()), "{prefix}{i}");
        }
    }
}

#[test]
fn a_fragment_is_split_under_writes_its_half_goes_away_comes_back_and_is_merged() {
    let root = tempfile::tempdir().expect("a folder");
    let [a, b, c] = places(root.path());
    let a = a.member(None, |options| options.standbys = 2);
    let holder = a.running.address.clone();
    let [b, c] = [b, c].map(|place| place.member(Some(&holder), |options| options.standbys = 2));
    let members = [&a, &b, &c];
    b.init();
    wait("the owner serves", || b.serves(&all()));
    for i in 0..1_000 {
        set_somewhere(&members, &format!("k{i}"), &[b'x'; 1_000]);
    }
    for id in all() {
        wait_for_cell(&members, id, "it has its standbys", |cell| cell.sync_set.len() == 2 && cell.flushed_min > 0);
    }
    wait_until_equal(&members);
    let copied = moved_bytes(&a) + moved_bytes(&c);

    let whole = FragmentId(3); // slots 6,144 to 8,191
    let ((left, right), first) = under_writes(&members, "split", || split(&b, whole, 7_000).expect("everybody is there"));
    wait("both halves are served", || b.serves(&[left, right]));
    for id in [left, right] {
        wait_for_cell(&members, id, "its standbys stay", |cell| cell.owner() == Some(&b.name()) && cell.sync_set.len() == 2);
    }
    wait_until_equal(&members);
    let sent = moved_bytes(&a) + moved_bytes(&c) - copied;
    assert!(sent < 300_000 + 400 * first as u64, "{sent} bytes for {first} small writes: nothing was copied");

    // The right half to one of its standbys, and back.
    let ordered = b.order(Order::Move { fragments: vec![right], to: c.name() });
    assert_eq!(ordered.taken, [right]);
    wait("it is served there", || c.serves(&[right]));
    wait_for_cell(&members, right, "everybody knows", |cell| cell.owner() == Some(&c.name()) && cell.running.is_none());
    let refused = merge(&b, left, right).expect_err("of two owners");
    assert_eq!(refused.code(), "reframe.not_owner", "{refused}");
    wait_for_cell(&members, right, "it has its standbys", |cell| cell.sync_set.len() == 2);
    let (_, second) = under_writes(&members, "back", || {
        assert_eq!(c.order(Order::Move { fragments: vec![right], to: b.name() }).taken, [right]);
        wait("it is served here again", || b.serves(&[right]));
    });
    wait_for_cell(&members, right, "it is whole again", |cell| {
        cell.owner() == Some(&b.name()) && cell.running.is_none() && cell.sync_set.len() == 2
    });
    wait_for_cell(&members, left, "the other one, too", |cell| cell.sync_set.len() == 2);
    let mut merged = None;
    let (_, third) = under_writes(&members, "merge", || {
        // Its former owner may still be on its way back among the standbys.
        wait("they are merged", || match merge(&b, left, right) {
            Ok(id) => merged.replace(id).is_none(),
            Err(error) if error.retry() == limosa_core::Retry::Later => false,
            Err(error) => panic!("{error}"),
        });
    });
    let merged = merged.expect("just made");
    wait_for_cell(&members, merged, "its standbys stay", |cell| cell.owner() == Some(&b.name()) && cell.sync_set.len() == 2);
    wait_until_equal(&members);
    assert_eq!(a.cells().len(), usize::from(FRAGMENTS));
    check_written(&members, &BTreeMap::from([("split", first), ("back", second), ("merge", third)]));
    (0..1_000).step_by(7).for_each(|i| assert_eq!(get_somewhere(&members, &format!("k{i}")).as_deref(), Some(&[b'x'; 1_000][..])));
}

#[test]
fn a_standby_that_is_away_keeps_fragments_whole_and_every_node_falls_in_behind_a_restart() {
    let root = tempfile::tempdir().expect("a folder");
    let [a, b, c] = places(root.path());
    let a = a.member(None, |options| options.standbys = 2);
    let holder = a.running.address.clone();
    let member = |place: &crate::common::Place| place.member(Some(&holder), |options| options.standbys = 2);
    let (owner, standby) = (member(&b), member(&c));
    owner.init();
    wait("the owner serves", || owner.serves(&all()));
    for i in 0..200 {
        set_somewhere(&[&owner], &format!("k{i}"), b"first");
    }
    let everybody = [&a, &owner, &standby];
    for id in all() {
        wait_for_cell(&everybody, id, "it has its standbys", |cell| cell.sync_set.len() == 2 && cell.flushed_min > 0);
    }
    let whole = FragmentId(3); // slots 6,144 to 8,191
    drop(standby);
    (0..100).for_each(|i| set_somewhere(&[&owner], &format!("m{i}"), b"without it"));
    wait("the owner misses it", || match split(&owner, whole, 7_000) {
        Err(error) => error.code() == "reframe.members",
        Ok(made) => panic!("{made:?} was made though a member may be behind"),
    });
    wait("it is served as before", || owner.serves(&[whole]));
    let standby = member(&c);
    let mut made = None;
    wait("everybody is there again", || {
        made = Some(split(&owner, whole, 7_000));
        matches!(made, Some(Ok(_)))
    });
    let (left, right) = made.expect("it was tried").expect("it was done");
    wait_for_cell(&[&a, &owner, &standby], left, "it keeps its standby", |cell| cell.sync_set.contains(&standby.name()));
    let has_both = |member: &&Member| [left, right].iter().all(|id| member.running.node.store().gate(*id).is_some());
    wait("every store has fallen in", || [&a, &owner, &standby].iter().all(has_both));
    // Both start anew: what they have are the new fragments, and their cells say so.
    drop((owner, standby));
    let (owner, standby) = (member(&b), member(&c));
    let members = [&a, &owner, &standby];
    (0..200).for_each(|i| assert_eq!(get_somewhere(&members, &format!("k{i}")).as_deref(), Some(&b"first"[..]), "k{i}"));
}
