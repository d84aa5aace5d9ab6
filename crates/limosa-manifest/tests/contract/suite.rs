//! What every store must do, whatever keeps its bytes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use limosa_core::{Digest, FragmentId, KeyRange, NodeName, Version};
use limosa_manifest::cell::{Move, Sealed};
use limosa_manifest::ratchet::Ratchet;
use limosa_manifest::{
    Change, Changed, FragmentCell, Guard, Held, Intent, LeaseId, Manifest, ManifestError, ManifestStore, NodeEntry, Watch, Write,
};

/// Long enough for a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn name(text: &str) -> NodeName {
    text.parse().expect("a good name")
}

pub(crate) fn cell(id: u32, owner: &str) -> FragmentCell {
    FragmentCell::new("main", FragmentId(id), 1, KeyRange::ALL, name(owner))
}

fn put(key: &str, value: &str) -> Write {
    Write::Put { key: key.to_owned(), value: Bytes::copy_from_slice(value.as_bytes()), lease: None }
}

fn guard(key: &str, revision: Option<u64>) -> Guard {
    Guard { key: key.to_owned(), revision }
}

async fn value(store: &dyn ManifestStore, key: &str) -> Option<String> {
    let reading = store.read(key).await.expect("the store answers");
    reading.entries.first().map(|stored| String::from_utf8(stored.value.to_vec()).expect("text"))
}

pub(crate) async fn next(watch: &mut dyn Watch) -> Vec<(String, Option<String>)> {
    let events = tokio::time::timeout(PATIENCE, watch.next()).await.expect("an event comes").expect("the watch goes on");
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("text");
    events.into_iter().map(|event| (event.key, event.value.map(text))).collect()
}

/// Everything, one after the other, on an empty store.
pub(crate) async fn all(store: Arc<dyn ManifestStore>) {
    a_change_is_made_whole_or_not_at_all(&*store).await;
    every_change_has_a_revision_of_its_own(&*store).await;
    a_list_shows_what_begins_with_its_prefix_however_much(&*store).await;
    a_watch_tells_every_change_in_order(&*store).await;
    an_entry_goes_with_its_lease_and_not_before(&*store).await;
    too_large_a_change_is_refused(&*store).await;
    of_many_at_once_one_wins(Arc::clone(&store)).await;
    let manifest = Manifest::new(store, Ratchet::default());
    cells_are_created_once(&manifest).await;
    a_move_ends_once(&manifest).await;
    a_wish_that_was_carried_out_is_recognised(&manifest).await;
    a_split_replaces_its_cell_whole(&manifest).await;
    nodes_are_known_and_their_life_is_a_hint(&manifest).await;
}

async fn a_change_is_made_whole_or_not_at_all(store: &dyn ManifestStore) {
    let made =
        store.commit(Change { guards: vec![guard("t/a", None)], writes: vec![put("t/a", "1"), put("t/b", "1")] }).await.expect("answers");
    assert!(made.done);
    let twice =
        Change { guards: vec![guard("t/b", Some(made.revision)), guard("t/a", None)], writes: vec![put("t/b", "2"), put("t/c", "2")] };
    assert!(!store.commit(twice).await.expect("answers").done, "one of its guards does not hold");
    assert_eq!((value(store, "t/b").await, value(store, "t/c").await), (Some("1".into()), None));
    let third =
        Change { guards: vec![guard("t/b", Some(made.revision))], writes: vec![Write::Delete { key: "t/a".into() }, put("t/b", "3")] };
    assert!(store.commit(third).await.expect("answers").done);
    assert_eq!((value(store, "t/a").await, value(store, "t/b").await), (None, Some("3".into())));
}

async fn every_change_has_a_revision_of_its_own(store: &dyn ManifestStore) {
    let mut revisions = BTreeSet::new();
    for i in 0..10 {
        let made = store.commit(Change { guards: vec![], writes: vec![put("t/r", &i.to_string())] }).await.expect("answers");
        assert!(revisions.last().is_none_or(|last| made.revision > *last));
        revisions.insert(made.revision);
        let reading = store.read("t/r").await.expect("answers");
        assert_eq!(reading.entries[0].revision, made.revision, "a read behind a change sees it");
        assert!(reading.revision >= made.revision);
        assert_eq!(reading.store, made.store);
    }
}

async fn a_list_shows_what_begins_with_its_prefix_however_much(store: &dyn ManifestStore) {
    for start in (0..1200).step_by(100) {
        let writes = (start..start + 100).map(|i| put(&format!("l/{i:04}"), "x")).collect();
        assert!(store.commit(Change { guards: vec![], writes }).await.expect("answers").done);
    }
    store.commit(Change { guards: vec![], writes: vec![put("l0", "behind"), put("k/z", "before")] }).await.expect("answers");
    let reading = store.list("l/").await.expect("answers");
    assert_eq!(reading.entries.len(), 1200);
    assert!(reading.entries.windows(2).all(|pair| pair[0].key < pair[1].key));
    assert!(store.list("nothing/").await.expect("answers").entries.is_empty());
}

async fn a_watch_tells_every_change_in_order(store: &dyn ManifestStore) {
    let start = store.list("w/").await.expect("answers").revision;
    let mut watch = store.watch("w/", start).await.expect("answers");
    store.commit(Change { guards: vec![], writes: vec![put("w/a", "1"), put("elsewhere", "1")] }).await.expect("answers");
    assert_eq!(next(&mut *watch).await, vec![("w/a".into(), Some("1".into()))]);
    let both = Change { guards: vec![], writes: vec![put("w/a", "2"), put("w/b", "2")] };
    store.commit(both).await.expect("answers");
    store.commit(Change { guards: vec![], writes: vec![Write::Delete { key: "w/a".into() }] }).await.expect("answers");
    let mut told = Vec::new();
    while told.len() < 3 {
        told.extend(next(&mut *watch).await);
    }
    assert_eq!(told, vec![("w/a".into(), Some("2".into())), ("w/b".into(), Some("2".into())), ("w/a".into(), None)]);
    // A watch that begins in the past tells what it missed.
    let mut late = store.watch("w/", start).await.expect("answers");
    assert_eq!(next(&mut *late).await[0], ("w/a".into(), Some("1".into())));
}

async fn an_entry_goes_with_its_lease_and_not_before(store: &dyn ManifestStore) {
    let lease = store.grant(Duration::from_secs(2)).await.expect("answers");
    let bound = Write::Put { key: "x/a".into(), value: Bytes::from_static(b"1"), lease: Some(lease) };
    assert!(store.commit(Change { guards: vec![], writes: vec![bound] }).await.expect("answers").done);
    for _ in 0..5 {
        assert!(store.keep_alive(lease).await.expect("answers"), "a lease that is kept alive lives");
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(value(store, "x/a").await.is_some());
    }
    let deadline = Instant::now() + PATIENCE;
    while value(store, "x/a").await.is_some() {
        assert!(Instant::now() < deadline, "a lease that nobody keeps alive goes");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!store.keep_alive(lease).await.expect("answers"), "it does not come back");
    let second = store.grant(Duration::from_secs(60)).await.expect("answers");
    let bound = Write::Put { key: "x/b".into(), value: Bytes::from_static(b"1"), lease: Some(second) };
    store.commit(Change { guards: vec![], writes: vec![bound.clone()] }).await.expect("answers");
    store.revoke(second).await.expect("answers");
    assert_eq!(value(store, "x/b").await, None);
    store.revoke(second).await.expect("ending what has ended is fine");
    let refused = store.commit(Change { guards: vec![], writes: vec![bound] }).await.expect_err("the lease has gone");
    assert_eq!(refused.code(), "manifest.config");
    assert!(!store.keep_alive(LeaseId(424_242)).await.expect("answers"));
}

async fn too_large_a_change_is_refused(store: &dyn ManifestStore) {
    let writes = (0..200).map(|i| put(&format!("big/{i}"), "x")).collect();
    let refused = store.commit(Change { guards: vec![], writes }).await.expect_err("above the limit");
    assert_eq!(refused.code(), "manifest.limit");
}

async fn of_many_at_once_one_wins(store: Arc<dyn ManifestStore>) {
    let made = store.commit(Change { guards: vec![], writes: vec![put("race", "0")] }).await.expect("answers");
    let racers = (0..16).map(|i| {
        let (store, revision) = (Arc::clone(&store), made.revision);
        tokio::spawn(async move {
            let change = Change { guards: vec![guard("race", Some(revision))], writes: vec![put("race", &i.to_string())] };
            store.commit(change).await.expect("answers").done
        })
    });
    let mut winners = 0;
    for racer in racers.collect::<Vec<_>>() {
        winners += u32::from(racer.await.expect("no panic"));
    }
    assert_eq!(winners, 1);
}

async fn held(manifest: &Manifest, id: u32) -> Held<FragmentCell> {
    manifest.cell(FragmentId(id)).await.expect("answers").expect("it is there")
}

async fn cells_are_created_once(manifest: &Manifest) {
    let cells: Vec<FragmentCell> = (0..3).map(|id| cell(id, "a")).collect();
    assert!(manifest.create(&cells).await.expect("answers"));
    assert!(manifest.create(&cells).await.expect("answers"), "the same cells again are the same wish");
    let others: Vec<FragmentCell> = (2..4).map(|id| FragmentCell { lineage: 9, ..cell(id, "b") }).collect();
    assert!(!manifest.create(&others).await.expect("answers"), "one of them is there");
    assert!(manifest.cell(FragmentId(3)).await.expect("answers").is_none(), "none was made");
    let (listed, revision) = manifest.cells().await.expect("answers");
    assert_eq!(listed.iter().map(|held| held.value.clone()).collect::<Vec<_>>(), cells);
    let mut watch = manifest.watch_cells(revision).await.expect("answers");
    let first = held(manifest, 0).await;
    let joined = first.value.join(&name("a"), &name("b"), Version::new(1, 5)).expect("the owner asks");
    assert!(matches!(manifest.change(&first, joined, Intent(1)).await.expect("answers"), Changed::Made(_)));
    assert_eq!(next(&mut *watch).await[0].0, "fragment/00000000");
}

async fn a_move_ends_once(manifest: &Manifest) {
    let start = held(manifest, 0).await;
    let planned = Move { id: 5, to: name("b"), deadline_ms: 0 };
    let prepared = start.value.prepare(&name("a"), planned).expect("at rest");
    let Changed::Made(prepared) = manifest.change(&start, prepared, Intent(2)).await.expect("answers") else {
        panic!("nobody else is here")
    };
    let sealed = Sealed { version: Version::new(1, 9), state: Digest(7), sync_set: BTreeSet::from([name("a")]) };
    let committed = prepared.value.commit(&name("a"), 5, sealed).expect("the source may");
    let aborted = prepared.value.abort(&name("c"), 5, 1).expect("it is due");
    // Both were decided on the same state: whoever comes second loses, and sees why.
    let (first, second) = tokio::join!(manifest.change(&prepared, committed, Intent(3)), manifest.change(&prepared, aborted, Intent(4)));
    let outcomes = [first.expect("answers"), second.expect("answers")];
    let made = outcomes.iter().filter(|outcome| matches!(outcome, Changed::Made(_))).count();
    assert_eq!(made, 1, "{outcomes:?}");
    let now = held(manifest, 0).await.value;
    assert_eq!((now.epoch, now.running.is_none()), (2, true));
    let lost = outcomes.iter().find_map(|outcome| if let Changed::Lost(now) = outcome { now.clone() } else { None });
    assert_eq!(lost.expect("the loser sees the cell").value, now);
}

async fn a_wish_that_was_carried_out_is_recognised(manifest: &Manifest) {
    let before = held(manifest, 1).await;
    let joined = before.value.join(&name("a"), &name("b"), Version::ZERO).expect("the owner asks");
    let first = manifest.change(&before, joined.clone(), Intent(77)).await.expect("answers");
    // The same wish again, as after an answer that was lost: it is not made twice, and it is known to have been made.
    let again = manifest.change(&before, joined.clone(), Intent(77)).await.expect("answers");
    assert_eq!(first, again);
    let other = manifest.change(&before, joined, Intent(78)).await.expect("answers");
    assert!(matches!(other, Changed::Lost(Some(_))), "another wish on the same state has lost");
}

async fn a_split_replaces_its_cell_whole(manifest: &Manifest) {
    let whole = held(manifest, 2).await;
    let [one, other] = manifest.take_ids::<2>().await.expect("answers");
    assert!(one.0 >= 3 && other.0 == one.0 + 1, "above what is there: {one} {other}");
    let at = whole.value.committed;
    let (left, right) = whole.value.split(b"m", (one, 200), (other, 201), at).expect("inside");
    assert!(manifest.reframe(std::slice::from_ref(&whole), &[left.clone(), right.clone()]).await.expect("answers"));
    assert!(manifest.reframe(std::slice::from_ref(&whole), &[left, right]).await.expect("answers"), "the same wish again");
    assert!(manifest.cell(FragmentId(2)).await.expect("answers").is_none());
    assert_eq!(held(manifest, other.0).await.value.range.start, &b"m"[..]);
    let [third, fourth] = manifest.take_ids::<2>().await.expect("answers");
    assert!(third.0 > other.0, "no id is given twice");
    let (left, half) = whole.value.split(b"q", (third, 202), (fourth, 203), at).expect("inside");
    assert!(!manifest.reframe(&[whole], &[left, half]).await.expect("answers"), "the cell that it replaces has gone");
    assert!(manifest.cell(third).await.expect("answers").is_none());
    let (one, two) = tokio::join!(manifest.take_ids::<1>(), manifest.take_ids::<1>());
    assert_ne!(one.expect("answers"), two.expect("answers"));
}

async fn nodes_are_known_and_their_life_is_a_hint(manifest: &Manifest) {
    let address = || "localhost:1".to_owned();
    let node = NodeEntry {
        name: name("n1"),
        incarnation: u64::MAX,
        peer: address(),
        resp: address(),
        http: address(),
        zone: "z1".into(),
        labels: [("disk".to_owned(), "fast".to_owned())].into(),
        leaving: false,
    };
    manifest.register(&node).await.expect("answers");
    let nodes = manifest.nodes().await.expect("answers"); // whoever serves the store may be one, too
    assert_eq!(nodes.into_iter().map(|held| held.value).find(|known| known.name == node.name), Some(node.clone()));
    let lease = manifest.store().grant(Duration::from_secs(60)).await.expect("answers");
    manifest.announce(&node.name, lease).await.expect("answers");
    assert!(manifest.alive().await.expect("answers").contains(&node.name));
    manifest.store().revoke(lease).await.expect("answers");
    assert!(!manifest.alive().await.expect("answers").contains(&node.name));
}

/// A foreign or damaged entry is a typed error that names it.
pub(crate) async fn damage_is_named(store: Arc<dyn ManifestStore>) {
    let manifest = Manifest::new(Arc::clone(&store), Ratchet::default());
    for (key, text) in [("fragment/00000063", "nonsense"), ("fragment/zz", "nonsense")] {
        store.commit(Change { guards: vec![], writes: vec![put(key, text)] }).await.expect("answers");
        let refused = manifest.cells().await.expect_err("damaged");
        assert!(matches!(&refused, ManifestError::Damaged { key: named, .. } if named == key), "{refused}");
        store.commit(Change { guards: vec![], writes: vec![Write::Delete { key: key.into() }] }).await.expect("answers");
    }
}
