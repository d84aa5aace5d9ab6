//! Two members that own half of the fragments each and follow the other's half: what a kill and a return cost.

use limosa_core::FragmentId;
use limosa_node::driver::cluster::{Failover, MemberOptions, Order};

use crate::common::wait;
use crate::members::{FRAGMENTS, Member, places, set_somewhere, wait_until_complete, wait_until_equal};

const KEYS: usize = 4_000;
const VALUE_BYTES: usize = 1_000;

fn all() -> Vec<FragmentId> {
    (0..u32::from(FRAGMENTS)).map(FragmentId).collect()
}

/// Bytes that do not shrink.
fn noise(seed: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..VALUE_BYTES).map(|_| next()).collect()
}

/// Socket bytes of this member's connections, handshakes apart.
fn moved(member: &Member) -> u64 {
    let all = member.running.node.registry().peers();
    all.iter().map(|peer| peer.socket_bytes()).map(|(inward, outward, handshakes)| inward + outward - handshakes).sum()
}

#[test]
fn owners_of_one_half_each_follow_the_other_s_and_a_return_costs_what_changed() {
    let root = tempfile::tempdir().expect("a folder");
    let [a_place, b_place, _] = places(root.path());
    let manual = |options: &mut MemberOptions| (options.standbys, options.failover) = (1, Failover::Manual);
    let a = a_place.member(None, manual);
    let holder = a.running.address.clone();
    a.init();
    wait("the owner serves", || a.serves(&all()));
    (0..KEYS).for_each(|i| set_somewhere(&[&a], &format!("k{i}"), &noise(i)));
    let b = b_place.member(Some(&holder), manual);
    wait_until_complete(&[&a], 1);
    let every = all();
    let (rest, half) = every.split_at(usize::from(FRAGMENTS) / 2);
    let ordered = a.order(Order::Move { fragments: half.to_vec(), to: b.name() });
    assert_eq!(ordered.refused, vec![]);
    wait("half is served by the other", || b.serves(half) && a.serves(rest));
    wait_until_complete(&[&a, &b], 1);
    wait_until_equal(&[&a, &b], &all());

    // Both write while both follow: no stream holds the other up.
    let changed = change(&[&a, &b], 1);
    wait_until_equal(&[&a, &b], &all());
    assert!(changed > 0);

    let address = b.running.address.clone();
    drop(b);
    let away = change(&[&a], 2);
    let b = b_place.member_at(&address, Some(&holder), manual);
    wait("it serves its half again", || b.serves(half));
    let changed = away + change(&[&b], 3);
    wait_until_equal(&[&a, &b], &all());
    let ratio = moved(&b) as f64 / changed as f64;
    assert!(ratio < 1.2, "{ratio} of {changed} bytes");
}

/// Writes one key in a hundred of those that these members serve; the bytes of keys and values.
fn change(members: &[&Member], round: usize) -> u64 {
    let taken =
        (0..KEYS).step_by(100).filter(|i| members.iter().any(|member| member.try_set(&format!("k{i}"), &noise(KEYS * round + i)).is_ok()));
    taken.map(|i| (format!("k{i}").len() + VALUE_BYTES) as u64).sum()
}
