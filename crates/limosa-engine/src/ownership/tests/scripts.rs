//! Single promises by name, each a short script.

use std::time::Duration;

use limosa_core::{FragmentId, NodeName};

use super::scenario::{InOrder, Say, Scenario, all};
use super::world::{F, Fault, Plan, World, name};
use crate::ownership::{Event, MoveError, Order, Report, Session, Standing};

fn scenario(name: &str) -> Scenario {
    all().into_iter().find(|scenario| scenario.name == name).expect("such a scenario")
}

fn reports(world: &World, pick: impl Fn(&Report) -> bool) -> Vec<(NodeName, Report)> {
    world.reports.iter().filter(|(_, report)| pick(report)).cloned().collect()
}

#[test]
fn a_target_that_is_never_equal_ends_the_move_typed_and_its_source_serves() {
    let (world, result) = scenario("a target that is never equal").run(None, 0, &mut InOrder);
    result.expect("it heals");
    let failed = reports(&world, |report| matches!(report, Report::MoveFailed { .. }));
    let [(node, Report::MoveFailed { error, .. })] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!((node.as_str(), error.code()), ("a", "move.not_ready"));
    assert!(world.nodes[&name("a")].serves(F, world.now), "the source serves on");
}

#[test]
fn a_killed_owner_is_replaced_within_its_lease_and_half_a_second() {
    let (world, result) = scenario("the owner dies and returns").run(None, 0, &mut InOrder);
    result.expect("it heals");
    let killed = Duration::from_secs(6);
    let served = world.served_at.iter().find(|(at, node)| *at > killed && node.as_str() != "a").expect("somebody takes over").0;
    assert!(served - killed <= Duration::from_millis(3_500), "it took {:?}", served - killed);
}

#[test]
fn an_owner_that_hears_nobody_parks_before_its_lease_could_be_outlived() {
    let scenario = scenario("the owner is cut off");
    let mut world = scenario.world();
    while world.now < Duration::from_secs(9) + Duration::from_millis(50) {
        scenario.turn(&mut world, &mut InOrder);
    }
    assert!(!world.nodes[&name("a")].serves(F, world.now), "its lease is over");
    let standing = world.process(&name("a")).map(|process| process.machine.standing(F));
    assert!(matches!(standing, Some(Standing::Parked | Standing::Nobody { .. } | Standing::Elsewhere { .. })), "{standing:?}");
}

#[test]
fn moves_beyond_the_budget_wait_in_a_queue_that_people_see() {
    let scenario = scenario("several moves at once, one after the other");
    let mut world = scenario.world();
    let mut most = 0;
    while world.now < Duration::from_secs(8) {
        scenario.turn(&mut world, &mut InOrder);
        let moves = world.process(&name("a")).map(|process| process.machine.moves()).unwrap_or_default();
        most = most.max(moves.len());
        let running =
            moves.iter().filter(|view| view.blocked.as_ref().map(crate::ownership::Blocked::code) != Some("ownership.queued")).count();
        let queued = moves.iter().filter(|view| view.phase == crate::ownership::Phase::Queued && view.blocked.is_some()).count();
        assert!(running <= 1 || queued == 0 || running + queued == moves.len(), "{moves:?}");
    }
    assert_eq!(most, 3);
    assert_eq!(reports(&world, |report| matches!(report, Report::MoveDone { .. })).len(), 3);
}

#[test]
fn a_move_that_writes_outrun_slows_them_twice_then_ends_with_the_rates() {
    let mut scenario = scenario("a move to a node that has nothing");
    scenario.tune = |config| config.move_max = Duration::from_secs(60);
    let mut world = scenario.world();
    let mut slowed = Vec::new();
    while world.now < Duration::from_secs(30) {
        if !scenario.turn(&mut world, &mut InOrder) {
            continue;
        }
        world.tell(&name("a"), Event::Load { fragment: F, write_bytes_per_s: 5_000_000 });
        // Its stream never gets nearer than some megabytes, whatever it does.
        let behind = Session::Live { behind: 4 << 20 };
        world.falsify_follower("c", behind);
        let views = world.process(&name("a")).map(|process| process.machine.moves()).unwrap_or_default();
        slowed.extend(views.iter().map(|view| view.slowed_per_mille));
    }
    slowed.dedup();
    assert_eq!(slowed, [0, 250, 500, 0], "never by more than half, and given back in the end");
    let failed = reports(&world, |report| matches!(report, Report::MoveFailed { error: MoveError::Diverges { .. }, .. }));
    assert_eq!(failed.len(), 1, "{:?}", world.reports);
    assert!(world.nodes[&name("a")].serves(F, world.now));
}

#[test]
fn a_takeover_by_an_operators_word_needs_nobody_and_stays_marked() {
    let mut scenario = scenario("a move without standbys");
    let order = Order::FailOver { fragments: vec![F], accept_loss: true };
    scenario.script =
        vec![(Duration::from_secs(4), Say::Kill("a", Duration::from_secs(30))), (Duration::from_secs(5), Say::To("b", order))];
    let (world, result) = scenario.run(None, 0, &mut InOrder);
    result.expect("it heals");
    let cell = &world.cells[&FragmentId(0)].cell;
    assert_eq!(cell.owner(), Some(&name("b")));
    assert!(cell.marks.accepted_loss_epoch > 0, "{cell:?}");
}

#[test]
fn a_commit_whose_outcome_is_unknown_keeps_its_source_parked_until_the_cell_is_seen() {
    let scenario = scenario("a move to a node that has nothing");
    let (clean, result) = scenario.run(None, 0, &mut InOrder);
    result.expect("it heals");
    let is_commit =
        |(_, step): &(NodeName, crate::ownership::Step)| *step == crate::ownership::Step::Change(crate::ownership::Wish::Commit);
    let at = clean.trace.iter().position(is_commit).expect("it commits");
    for fault in [Fault::MadeAndAway, Fault::MadeLate] {
        let mut world = scenario.world();
        world.plan = Some(Plan { at, fault, dead: Duration::ZERO });
        while world.now < Duration::from_secs(12) {
            scenario.turn(&mut world, &mut InOrder);
            let is_behind = world.steps > at;
            assert!(!is_behind || !world.nodes[&name("a")].serves(F, world.now), "{fault:?}: it serves at {:?}", world.now);
        }
    }
}

#[test]
fn an_order_to_take_over_that_could_not_be_carried_out_is_forgotten() {
    let mut scenario = scenario("the owner dies and returns");
    let order = Order::FailOver { fragments: vec![F], accept_loss: false };
    let away = Duration::from_secs(70);
    scenario.script = vec![(Duration::from_secs(6), Say::ManifestAway("c", away)), (Duration::from_secs(7), Say::To("c", order))];
    let mut world = scenario.world();
    while world.now < Duration::from_secs(80) {
        scenario.turn(&mut world, &mut InOrder);
    }
    assert_eq!(world.cells[&F].cell.owner(), Some(&name("a")), "nobody unseats it when the manifest is back");
}
