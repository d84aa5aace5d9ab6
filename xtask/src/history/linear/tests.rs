//! The linearizability checker against true histories, planted faults, and every order of small ones.

use super::super::made;
use super::*;

fn operation(what: What, invoked: u64, returned: u64) -> Operation {
    Operation { key: 1, what, invoked, returned: Some(returned), seen: None, node: 0, may_be_old: false }
}

fn write(value: u64, invoked: u64, returned: u64) -> Operation {
    operation(What::Write(value), invoked, returned)
}

fn read(value: u64, invoked: u64, returned: u64) -> Operation {
    operation(What::Read(Some(value)), invoked, returned)
}

fn unknown(value: u64, invoked: u64) -> Operation {
    Operation { returned: None, ..write(value, invoked, 0) }
}

fn is_linear(history: &[Operation]) -> bool {
    check(history).is_empty()
}

#[test]
fn true_histories_of_many_seeds_pass() {
    for seed in 0..60 {
        let history = made::history(seed, 8, 4, 3_000);
        assert!(is_linear(&history), "seed {seed}: {:?}", check(&history));
    }
}

#[test]
fn stale_reads_lost_writes_and_values_from_nowhere_are_found() {
    assert!(is_linear(&[write(1, 0, 1), write(2, 2, 3), read(2, 4, 5)]));
    assert!(!is_linear(&[write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)]), "stale, or lost");
    assert!(is_linear(&[write(1, 0, 1), write(2, 2, 6), read(1, 3, 4), read(2, 4, 5)]), "the write happens in between");
    assert!(!is_linear(&[write(1, 0, 1), write(2, 2, 6), read(2, 3, 4), read(1, 5, 7)]), "a read goes back");
    assert!(!is_linear(&[write(1, 0, 1), read(9, 2, 3)]), "from nowhere");
    assert!(!is_linear(&[write(1, 0, 1), operation(What::Read(None), 2, 3)]), "nothing is there any more");
    assert!(!is_linear(&[read(1, 0, 1), write(1, 2, 3)]), "from the future");
}

#[test]
fn two_owners_that_take_turns_are_found() {
    // Each answers by what it wrote itself, as two owners of one key would.
    let history = [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5), read(2, 6, 7)];
    assert!(!is_linear(&history));
}

#[test]
fn a_write_of_unknown_outcome_may_happen_late_or_never_but_once() {
    assert!(is_linear(&[unknown(1, 0), operation(What::Read(None), 1, 2), read(1, 3, 4)]), "late");
    assert!(is_linear(&[unknown(1, 0), operation(What::Read(None), 1, 2)]), "never");
    assert!(!is_linear(&[unknown(1, 0), read(1, 1, 2), write(2, 3, 4), read(1, 5, 6)]), "twice");
    let copy = Operation { may_be_old: true, ..read(7, 0, 1) };
    assert!(is_linear(&[copy]), "a copy's read is not for this checker");
}

#[test]
fn a_long_history_with_one_false_read_is_refused() {
    for seed in 0..20 {
        let mut history = made::history(seed, 8, 4, 2_000);
        let last = history.iter().rposition(|operation| matches!(operation.what, What::Read(Some(_)))).expect("there are reads");
        history[last].what = What::Read(Some(u64::MAX));
        assert!(!is_linear(&history), "seed {seed}");
    }
}

/// Whether some order of everything explains `history`: by trying them all.
fn by_force(history: &[Operation], value: Option<u64>) -> bool {
    if history.is_empty() {
        return true;
    }
    (0..history.len()).any(|at| {
        let (first, mut rest) = (history[at], history.to_vec());
        rest.remove(at);
        let comes_first = rest.iter().all(|other| other.returned.is_none_or(|returned| returned >= first.invoked));
        let can_be_left_out = first.returned.is_none() && by_force(&rest, value);
        let happens = comes_first
            && match first.what {
                What::Write(new) => by_force(&rest, Some(new)),
                What::Read(found) => found == value && by_force(&rest, value),
            };
        can_be_left_out || happens
    })
}

#[test]
fn small_histories_are_judged_as_trying_every_order_judges_them() {
    let mut random = crate::resp::Random(5);
    let (mut linear, mut not) = (0, 0);
    for round in 0..4_000 {
        let count = 2 + random.next() % 5;
        let history: Vec<Operation> = (0..count)
            .map(|number| {
                let invoked = random.next() % 12;
                let returned = invoked + 1 + random.next() % 6;
                let value = random.next() % count;
                match random.next() % 5 {
                    0 => unknown(number, invoked),
                    1 | 2 => write(number, invoked, returned),
                    3 if value == 0 => operation(What::Read(None), invoked, returned),
                    _ => read(value, invoked, returned),
                }
            })
            .collect();
        let expected = by_force(&history, None);
        assert_eq!(is_linear(&history), expected, "round {round}: {history:#?}");
        if expected { linear += 1 } else { not += 1 }
    }
    assert!(linear > 200 && not > 200, "both kinds were tried: {linear} and {not}");
}
