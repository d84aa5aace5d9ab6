//! Two nodes that own half of the fragments each and follow the other's half, over real stores.

mod common;

use common::{Node, Session, assert_equal, some};
use limosa_core::{FragmentId, Scope, Version};
use limosa_wire::Method;

const KEYS: u32 = 3_000;

struct Two {
    a: Node,
    b: Node,
    /// `a` follows `b` in the right half, `b` follows `a` in the left one.
    sessions: Option<(Session, Session)>,
    next: u64,
}

fn left() -> Scope {
    some(0, 4)
}

fn right() -> Scope {
    some(4, 8)
}

impl Two {
    fn new() -> Self {
        Self { a: Node::new("a", &left(), 1), b: Node::new("b", &right(), 2), sessions: None, next: 10 }
    }

    fn connect(&mut self) {
        self.next += 10;
        let of_b = Session::new(&self.b, &self.a, right(), self.next);
        let of_a = Session::new(&self.a, &self.b, left(), self.next + 5);
        self.sessions = Some((of_b, of_a));
    }

    /// One step of either session, in turn.
    fn step(&mut self) -> bool {
        let (of_b, of_a) = self.sessions.as_mut().expect("connected");
        of_b.step(&self.b, &self.a) | of_a.step(&self.a, &self.b)
    }

    fn settle(&mut self) {
        for session in [0, 1] {
            let (of_b, of_a) = self.sessions.as_mut().expect("connected");
            [of_b, of_a][session].published();
        }
        while self.step() {}
        let (of_b, of_a) = self.sessions.as_ref().expect("connected");
        assert_eq!((&of_b.ended, &of_a.ended), (&None, &None));
        assert!(of_b.consistent && of_a.consistent);
        assert_equal(&self.a, &self.b, &Scope::All);
    }

    fn moved(&self) -> u64 {
        self.sessions.as_ref().map_or(0, |(of_b, of_a)| of_b.wire_bytes + of_a.wire_bytes)
    }

    fn methods(&self) -> Vec<Method> {
        self.sessions.as_ref().map_or_else(Vec::new, |(of_b, of_a)| [&of_b.methods[..], &of_a.methods[..]].concat())
    }
}

fn filled() -> Two {
    let mut two = Two::new();
    let bytes = two.a.fill(KEYS, 1, "first") + two.b.fill(KEYS, 1, "first");
    assert!(bytes > 250_000, "each key has one owner: {bytes}");
    two.connect();
    two.settle();
    two
}

#[test]
fn each_follows_the_other_s_half_and_serves_its_own_meanwhile() {
    let mut two = Two::new();
    two.a.fill(KEYS, 1, "first");
    two.b.fill(KEYS, 1, "first");
    two.connect();
    let mut rounds = 0;
    while two.step() {
        rounds += 1;
        if rounds % 3 == 0 && rounds < 600 {
            // Both are the target of a stage and the source of another one.
            two.a.set(&format!("key:{rounds}"), "written meanwhile");
            two.b.set(&format!("key:{rounds}"), "written meanwhile");
        }
    }
    assert!(rounds > 30, "{rounds}");
    two.a.fill(KEYS, 50, "behind");
    two.b.fill(KEYS, 50, "behind");
    two.settle();
}

#[test]
fn a_killed_owner_that_returns_costs_what_changed() {
    // Some keys once; others so often that neither ring nor journal has all of it.
    for (step, times, expected) in [(100, 1, Method::Tail), (4, 9, Method::Delta)] {
        let mut two = filled();
        two.sessions = None;
        two.a.store.sync().expect("the disk takes it");
        two.b.store.sync().expect("the disk takes it");
        two.a.kill_and_return();
        let mut changed = 0;
        for time in 0..times {
            let word = "again".repeat(time); // another value each time
            changed = two.b.fill(KEYS, step, &word) + two.a.fill(KEYS, step, &word);
        }
        two.connect();
        two.settle();
        assert!(two.methods().iter().all(|method| *method == expected), "{:?}", two.methods());
        let ratio = two.moved() as f64 / changed as f64;
        assert!(ratio < 1.5, "{ratio} of {changed} bytes with {expected:?}: one exchange of small entries"); // keys of 8, values of 100 bytes
    }
}

#[test]
fn a_killed_owner_in_the_middle_of_a_copy_goes_on_with_what_was_staged() {
    let mut two = Two::new();
    let bytes = two.a.fill(KEYS, 1, "first") + two.b.fill(KEYS, 1, "first");
    two.connect();
    let mut steps = 0;
    while two.moved() < bytes / 2 {
        assert!(two.step());
        steps += 1;
    }
    assert!(steps > 4, "{steps}");
    let (first, _) = (two.moved(), two.sessions.take());
    two.a.store.sync().expect("the disk takes it");
    two.a.kill_and_return();
    two.connect();
    two.settle();
    let again = (first + two.moved()).saturating_sub(bytes * 5 / 4);
    assert!(again < 160 << 10, "{again} bytes beyond one copy"); // two windows of 24 KiB with what was not flushed
    assert!(two.a.store.stages().is_empty() && two.b.store.stages().is_empty());
}

#[test]
fn fragments_that_leave_are_neither_staged_nor_streamed_on() {
    for steps in [3, 20, 60, 200, 500, 5_000] {
        let two = Two::new();
        two.b.fill(KEYS, 1, "first");
        let gone = [FragmentId(5), FragmentId(6)];
        let mut session = Session::new(&two.b, &two.a, right(), 100);
        for _ in 0..steps {
            session.step(&two.b, &two.a);
        }
        session.leave(&gone);
        // As a node that becomes their owner: nothing of the other owner comes behind this.
        while session.step(&two.b, &two.a) {}
        let then = two.a.facts_in(&Scope::only(gone));
        let epochs: Vec<_> = gone.iter().map(|id| (*id, 7)).collect();
        two.a.store.open_epochs(&epochs).expect("above what it has");
        two.b.fill(KEYS, 1, "changed");
        session.published();
        while session.step(&two.b, &two.a) {}
        assert_eq!(session.ended, None, "{steps}");
        assert!(session.consistent, "{steps}");
        assert_equal(&two.a, &two.b, &Scope::only([FragmentId(4), FragmentId(7)]));
        for (then, now) in then.iter().zip(two.a.facts_in(&Scope::only(gone))) {
            assert_eq!((then.head, then.state), (now.head, now.state), "{steps}: {}", then.id);
        }
        assert!(two.a.store.stages().is_empty());
        assert!(two.a.facts_in(&left()).iter().all(|facts| facts.head == Version::ZERO));
    }
}
