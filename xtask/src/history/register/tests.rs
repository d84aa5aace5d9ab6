//! The register checker finds nothing in true histories, and each planted fault in false ones.

use super::super::made;
use super::super::operation::{Operation, Seen, What};
use super::*;

fn operation(what: What, invoked: u64, returned: u64, seq: u64, node: u16) -> Operation {
    let seen = Some(Seen { fragment: 0, version: (1, seq) });
    Operation { key: 1, what, invoked, returned: Some(returned), seen, node, may_be_old: false }
}

fn write(value: u64, invoked: u64, returned: u64, seq: u64) -> Operation {
    operation(What::Write(value), invoked, returned, seq, 7000)
}

fn read(value: u64, invoked: u64, returned: u64, seq: u64) -> Operation {
    operation(What::Read(Some(value)), invoked, returned, seq, 7000)
}

fn faults(history: &[Operation]) -> Vec<Fault> {
    check(history).into_iter().map(|violation| violation.fault).collect()
}

#[test]
fn true_histories_of_many_seeds_pass() {
    for seed in 0..60 {
        let history = made::history(seed, 12, 16, 4_000);
        assert!(check(&history).is_empty(), "seed {seed}: {:?}", check(&history));
    }
}

#[test]
fn a_million_operations_are_judged() {
    let history = made::history(1, 16, 1_000, 1_000_000);
    assert!(history.len() > 900_000 && check(&history).is_empty());
}

#[test]
fn a_stale_read_is_found() {
    // As a paused owner would answer: an old value at an old version, behind an answer about a newer one.
    let stale = [write(1, 0, 1, 1), write(2, 2, 3, 2), read(1, 4, 5, 1)];
    assert_eq!(faults(&stale), [Fault::WentBack]);
    // And where the version is told as new: what was there until version 1 is there at 2.
    let dressed = [write(1, 0, 1, 1), write(2, 2, 3, 2), read(1, 4, 5, 2)];
    assert_eq!(faults(&dressed), [Fault::Overlap]);
    let overlapping = [write(1, 0, 1, 1), write(2, 2, 6, 2), read(1, 4, 5, 1)];
    assert!(faults(&overlapping).is_empty(), "the write was not answered yet");
}

#[test]
fn a_read_that_names_what_was_then_lost_on_another_key_sets_no_bound() {
    let lost = Operation { returned: None, seen: None, key: 2, ..write(2, 2, 3, 2) };
    assert!(faults(&[write(1, 0, 1, 1), lost, read(1, 3, 4, 2), read(1, 5, 6, 1)]).is_empty());
}

#[test]
fn a_copy_may_be_old_but_not_inconsistent() {
    let old = |seq| Operation { may_be_old: true, node: 7001, ..read(1, 4, 5, seq) };
    assert!(faults(&[write(1, 0, 1, 1), write(2, 2, 3, 2), old(1)]).is_empty());
    assert_eq!(faults(&[write(1, 0, 1, 1), write(2, 2, 3, 2), old(2)]), [Fault::Overlap], "it shows version 2 without its write");
}

#[test]
fn a_lost_write_is_found() {
    let lost = [write(1, 0, 1, 1), write(2, 2, 3, 2), read(1, 4, 5, 3)];
    assert_eq!(faults(&lost), [Fault::Overlap]);
    let first = [write(1, 0, 1, 1), Operation { what: What::Read(None), ..read(0, 4, 5, 3) }];
    assert_eq!(faults(&first), [Fault::Overlap], "nothing is there though a write was acknowledged");
}

#[test]
fn a_value_that_comes_and_goes_and_comes_is_found_also_where_its_write_is_unknown() {
    let unknown = |value, invoked| Operation { returned: None, seen: None, ..write(value, invoked, 0, 0) };
    let history = [write(1, 0, 1, 1), unknown(2, 2), read(2, 3, 4, 2), read(1, 5, 6, 3)];
    assert_eq!(faults(&history), [Fault::Overlap]);
    let fine = [write(1, 0, 1, 1), unknown(2, 2), read(1, 3, 4, 1), read(2, 5, 6, 2)];
    assert!(faults(&fine).is_empty(), "it happened late");
}

#[test]
fn a_value_from_nowhere_is_found() {
    assert_eq!(faults(&[write(1, 0, 1, 1), read(9, 2, 3, 1)]), [Fault::FromNowhere]);
    let elsewhere = Operation { key: 2, ..write(9, 0, 1, 2) };
    assert_eq!(faults(&[write(1, 0, 1, 1), elsewhere, read(9, 2, 3, 2)]), [Fault::FromNowhere], "another key's value");
    assert_eq!(faults(&[read(1, 0, 1, 1), write(1, 2, 3, 2)]), [Fault::FromNowhere], "read before it was sent");
}

#[test]
fn two_owners_are_found() {
    let other = Operation { node: 7001, ..write(2, 0, 3, 2) };
    assert_eq!(faults(&[write(1, 0, 1, 1), other]), [Fault::TwoOwners], "one epoch, two nodes");
    let same = Operation { node: 7001, key: 2, ..write(2, 0, 3, 1) };
    assert_eq!(faults(&[write(1, 0, 1, 1), same]), [Fault::GivenTwice, Fault::TwoOwners], "one version, two writes");
    let mut later = write(3, 4, 5, 1);
    later.seen = Some(Seen { fragment: 0, version: (2, 2) });
    let fenced = write(4, 6, 7, 9);
    assert_eq!(faults(&[write(1, 0, 1, 1), later, fenced]), [Fault::WentBack], "an old epoch's answer behind a new one's");
}

#[test]
fn each_fault_is_found_in_a_long_history() {
    for seed in 0..20 {
        let history = made::history(seed, 12, 16, 3_000);
        let victim = history.iter().rposition(|operation| matches!(operation.what, What::Read(Some(_)))).expect("there are reads");
        let with = |what| {
            let mut planted = history.clone();
            planted[victim].what = what;
            check(&planted)
        };
        assert!(!with(What::Read(Some(u64::MAX))).is_empty(), "seed {seed}: from nowhere");
        assert!(!with(What::Read(None)).is_empty(), "seed {seed}: a lost write");
        let mut twice = history.clone();
        let mut writes = twice.iter_mut().filter(|operation| matches!(operation.what, What::Write(_)) && operation.seen.is_some());
        let (first, second) = (writes.next().expect("one"), writes.next().expect("another"));
        second.seen = first.seen;
        assert!(!check(&twice).is_empty(), "seed {seed}: a version given twice");
    }
}
