//! What a node tells of its sessions is so.

use limosa_core::Version;
use limosa_node::driver::{Method, PeerRole};

use crate::common::{places, wait};

#[test]
fn an_owner_knows_of_each_fragment_what_its_standby_has_and_counts_what_it_sent() {
    let root = tempfile::tempdir().expect("a folder");
    let (a, b) = places(root.path());
    let owner = a.start(None);
    owner.set((0..200).map(|i| format!("k{i}")), b"value");
    let standby = b.start(Some(&owner));
    owner.wait_until_followed_by(&standby);
    let heads = || owner.node.store().facts().into_iter().map(|facts| (facts.id, facts.head)).collect::<Vec<_>>();
    let held = || owner.peer().held.iter().map(|(id, version)| (*id, *version)).collect::<Vec<_>>();
    assert_eq!(held(), heads(), "behind the seal");

    // One fragment moves on; the other's version is known all the same.
    owner.set(["k1".to_owned()], b"again");
    owner.wait_until_followed_by(&standby);
    assert_eq!(held(), heads(), "behind commits of the live stream");

    assert_eq!(standby.get("k1").expect("readable").as_deref(), Some(&b"again"[..]));
    let (sent, received) = (owner.node.registry().totals(), standby.node.registry().totals());
    assert!(sent.frames_sent > 0);
    assert_eq!(sent.frames_sent, received.frames_received);
    assert_eq!((sent.of(Method::Copy).transfers, sent.of(Method::Copy).entries), (1, 200));
    assert_eq!((sent.transfers_cut, sent.refusals, sent.stale_frames, sent.sent_again_bytes), (0, 0, 0, 0));

    let plan = owner.peer();
    assert_eq!((plan.role, plan.plan.len()), (PeerRole::Standby, plan.alternatives.len()));
    for others in plan.alternatives.iter() {
        assert_eq!(others.len(), 4);
        assert!(others.iter().all(|other| other.method != Method::Copy && !other.why_not.is_empty()));
    }

    // What a standby that is gone had is still known, and how far it is behind, in bytes too.
    drop(standby);
    wait("the owner has seen it go", || !owner.peer().connected);
    let before = held();
    owner.set(["k2".to_owned()], &[7; 1000]);
    assert_eq!(held(), before);
    assert!(before.iter().all(|(_, version)| *version > Version::ZERO));
    let behind = owner.node.store().bytes_behind(limosa_store::Position(owner.peer().acknowledged));
    assert!((1000..1200).contains(&behind), "{behind}");
}
