//! Small clusters, and what is planned in them.

use super::safe::to_stop;
use super::{Unplanned, World, plan};
use crate::http::api::{Cell, ClusterNode, Failover, Method, MoveTo, OfNode, Operation, OperationPlan, Slots, Version};

fn node(name: &str, zone: &str) -> ClusterNode {
    ClusterNode {
        name: name.to_owned(),
        incarnation: String::new(),
        resp: String::new(),
        peer: String::new(),
        http: String::new(),
        zone: zone.to_owned(),
        labels: std::collections::BTreeMap::new(),
        leaving: false,
        alive: true,
        owns: 0,
        copies: 0,
        bytes: 0,
    }
}

fn cell(fragment: u32, owner: &str, sync_set: &[&str], bytes: u64) -> Cell {
    let first = u16::try_from(fragment).expect("few") * 100;
    Cell {
        fragment,
        slots: Slots { first, last: first + 99 },
        epoch: 1,
        owner: Some(owner.to_owned()),
        fenced_by: None,
        sync_set: sync_set.iter().map(|&name| name.to_owned()).collect(),
        replicas: Vec::new(),
        flushed_min: u8::from(!sync_set.is_empty()),
        committed: Version::default(),
        moving_to: None,
        loss_accepted: false,
        bytes: Some(bytes),
    }
}

fn world(cells: Vec<Cell>) -> World {
    let nodes = vec![node("a", "east"), node("b", "east"), node("c", "west")];
    World { cells, nodes, standbys: 1, rate_bytes_per_s: Some(100e6), ..World::default() }
}

fn to(world: &World, operation: Operation) -> OperationPlan {
    plan(world, operation).expect("it makes sense")
}

fn steps(plan: &OperationPlan) -> Vec<(String, u32, Option<String>)> {
    plan.steps.iter().map(|step| (step.action.clone(), step.fragment, step.to.clone())).collect()
}

fn row(action: &str, fragment: u32, to: &str) -> (String, u32, Option<String>) {
    (action.to_owned(), fragment, (!to.is_empty()).then(|| to.to_owned()))
}

fn move_to(fragments: &[u32], to: &str) -> Operation {
    Operation::Move(MoveTo { fragments: fragments.to_vec(), slots: Vec::new(), to: to.to_owned() })
}

#[test]
fn a_move_to_a_complete_copy_costs_nothing_and_another_one_its_bytes() {
    let world = world(vec![cell(0, "a", &["b"], 100 << 20), cell(1, "a", &["c"], 200 << 20), cell(2, "c", &["a"], 5)]);
    let plan = to(&world, move_to(&[0, 1, 2], "c"));
    assert_eq!(steps(&plan), [row("move", 0, "c"), row("move", 1, "c")], "f2 is there already");
    assert_eq!([plan.steps[0].method, plan.steps[1].method], [Method::Copy, Method::Tail]);
    assert_eq!((plan.bytes, plan.steps[1].bytes, plan.slowing_percent), (100 << 20, 0, 50));
    assert!(plan.blocked_because.is_empty() && plan.seconds.is_some_and(|seconds| (1.0..1.2).contains(&seconds)));
    let by_slots = Operation::Move(MoveTo { fragments: vec![], slots: vec![Slots { first: 0, last: 199 }], to: "c".to_owned() });
    assert_eq!(steps(&to(&world, by_slots)).len(), 2);
}

#[test]
fn what_makes_no_sense_is_not_planned() {
    let world = world(vec![cell(0, "a", &["b"], 1)]);
    assert_eq!(plan(&world, move_to(&[7], "c")), Err(Unplanned::NoFragment(7)));
    assert_eq!(plan(&world, move_to(&[0], "x")), Err(Unplanned::NoNode("x".to_owned())));
    assert_eq!(plan(&world, move_to(&[], "c")), Err(Unplanned::Nothing));
    let half = Operation::Move(MoveTo { fragments: vec![], slots: vec![Slots { first: 50, last: 99 }], to: "c".to_owned() });
    assert_eq!(plan(&world, half), Err(Unplanned::Cut(0)));
    assert_eq!(plan(&world, Operation::Handover(OfNode { node: "x".to_owned() })), Err(Unplanned::NoNode("x".to_owned())));
}

#[test]
fn what_blocks_a_move_is_said_with_what_to_do() {
    let mut world = world(vec![cell(0, "a", &["b"], 1), cell(1, "a", &["b"], 1), cell(2, "a", &[], 1)]);
    (world.cells[0].owner, world.cells[0].fenced_by) = (None, Some("b".to_owned()));
    world.cells[1].moving_to = Some("b".to_owned());
    (world.nodes[2].alive, world.nodes[2].leaving, world.outage) = (false, true, Some("no answer".to_owned()));
    let blocked = to(&world, move_to(&[0, 1, 2], "c")).blocked_because.join("\n");
    for part in ["c was not heard of", "c is being emptied", "f0 has no owner", "f1 is on its way to b", "the manifest is away (no answer)"]
    {
        assert!(blocked.contains(part), "{part}: {blocked}");
    }
}

#[test]
fn rebalancing_prefers_who_holds_a_copy_and_ends_where_it_is_even() {
    let mut world = world((0..8).map(|id| cell(id, "a", &["b"], 10 << 20)).collect());
    world.nodes.truncate(2);
    let plan = to(&world, Operation::Rebalance);
    assert_eq!((plan.steps.len(), plan.bytes), (4, 0), "half of them, to where the copies are");
    assert!(plan.steps.iter().all(|step| step.to.as_deref() == Some("b") && step.method == Method::Tail));
    for step in &plan.steps {
        world.cells[step.fragment as usize].owner = Some("b".to_owned());
    }
    assert!(to(&world, Operation::Rebalance).steps.is_empty(), "it is even now");
    world.nodes.push(node("c", "west"));
    let third = to(&world, Operation::Rebalance);
    assert!((2..=3).contains(&third.steps.len()), "{:?}", steps(&third));
    assert!(third.steps.iter().all(|step| step.to.as_deref() == Some("c") && step.method == Method::Copy));
    world.nodes.truncate(1);
    assert_eq!(to(&world, Operation::Rebalance).blocked_because.len(), 1);
}

#[test]
fn two_empty_nodes_get_a_third_each() {
    let world = world((0..60).map(|id| cell(id, "a", &["b", "c"], 10_000 + u64::from(id % 7) * 1_000)).collect());
    let plan = to(&world, Operation::Rebalance);
    let got = |name| plan.steps.iter().filter(|step| step.to.as_deref() == Some(name)).count();
    assert!((19..=21).contains(&got("b")) && (19..=21).contains(&got("c")), "{} and {}", got("b"), got("c"));
}

#[test]
fn a_node_without_copies_gets_its_share_too() {
    let world = world((0..63).map(|id| cell(id, "a", &["b"], 0)).collect());
    let plan = to(&world, Operation::Rebalance);
    let got = |name| plan.steps.iter().filter(|step| step.to.as_deref() == Some(name)).count();
    assert!((20..=22).contains(&got("b")) && (20..=22).contains(&got("c")), "{} and {}", got("b"), got("c"));
}

#[test]
fn rebalancing_looks_at_bytes_and_not_at_counts() {
    let mut world =
        world(vec![cell(0, "a", &[], 90 << 20), cell(1, "b", &[], 10 << 20), cell(2, "b", &[], 10 << 20), cell(3, "b", &[], 10 << 20)]);
    world.nodes.truncate(2);
    assert!(to(&world, Operation::Rebalance).steps.is_empty(), "the one large fragment can't be shared out, and b would only lose");
    world.cells.push(cell(4, "a", &[], 20 << 20));
    assert_eq!(steps(&to(&world, Operation::Rebalance)), [row("move", 4, "b")]);
}

#[test]
fn a_hand_over_goes_to_complete_copies_in_turn() {
    let mut world =
        world(vec![cell(0, "a", &["b", "c"], 10), cell(1, "a", &["b", "c"], 10), cell(2, "a", &["b"], 10), cell(3, "b", &["a"], 0)]);
    let of = || Operation::Handover(OfNode { node: "a".to_owned() });
    let plan = to(&world, of());
    assert_eq!(steps(&plan), [row("move", 0, "b"), row("move", 1, "c"), row("move", 2, "b")]);
    assert_eq!((plan.bytes, plan.blocked_because.len()), (0, 0));
    world.nodes[1].alive = false;
    let plan = to(&world, of());
    assert_eq!(steps(&plan), [row("move", 0, "c"), row("move", 1, "c")]);
    assert!(plan.blocked_because[0].contains("f2 has no complete copy"), "{:?}", plan.blocked_because);
}

#[test]
fn an_emptied_node_s_copies_are_replaced_in_another_zone_first() {
    let world = world(vec![cell(0, "a", &["b"], 10), cell(1, "b", &["a"], 20), cell(2, "c", &["a"], 30)]);
    let plan = to(&world, Operation::Decommission(OfNode { node: "a".to_owned() }));
    let expected = [row("move", 0, "b"), row("stage", 1, "c"), row("leave", 1, ""), row("stage", 2, "b"), row("leave", 2, "")];
    assert_eq!(steps(&plan), expected);
    assert_eq!((plan.bytes, plan.blocked_because.len()), (50, 0));
    let mut alone = world;
    alone.nodes.truncate(1);
    assert_eq!(to(&alone, Operation::Decommission(OfNode { node: "a".to_owned() })).blocked_because.len(), 1);
}

#[test]
fn a_failover_promotes_a_complete_copy_and_nobody_else_unless_the_loss_is_accepted() {
    let mut world = world(vec![cell(0, "a", &["b"], 10), cell(1, "a", &[], 10), cell(2, "b", &["a"], 10)]);
    world.nodes[0].alive = false;
    world.cells[1].replicas = vec!["c".to_owned()];
    let lost = |accept_loss| Operation::Failover(Failover { node: Some("a".to_owned()), accept_loss, ..Failover::default() });
    let plan = to(&world, lost(false));
    assert_eq!(steps(&plan), [row("promote", 0, "b")]);
    assert!(plan.blocked_because[0].contains("--accept-loss"), "{:?}", plan.blocked_because);
    let plan = to(&world, lost(true));
    assert_eq!(steps(&plan), [row("promote", 0, "b"), row("promote", 1, "c")]);
    assert!(plan.blocked_because.is_empty() && plan.risk.contains("lost"));
}

#[test]
fn a_node_is_safe_to_stop_when_nothing_waits_for_it() {
    let mut world = world(vec![cell(0, "a", &["b", "c"], 1), cell(1, "b", &["a", "c"], 1), cell(2, "c", &["a", "b"], 1)]);
    for name in ["a", "b", "c"] {
        assert!(to_stop(&world, name).safe, "{:?}", to_stop(&world, name));
    }
    world.nodes[2].alive = false;
    let answer = to_stop(&world, "a");
    assert!(!answer.safe && answer.because.iter().any(|why| why.contains("writes to f0 need 1 copy")), "{:?}", answer.because);
    world.nodes[2].alive = true;
    world.cells[0].sync_set.clear();
    world.cells[0].flushed_min = 0;
    assert!(to_stop(&world, "a").because[0].contains("f0 has no complete copy elsewhere"));
    assert!(to_stop(&world, "b").safe, "f0 does not wait for it");
    world.cells[1].moving_to = Some("c".to_owned());
    assert!(!to_stop(&world, "b").safe && !to_stop(&world, "c").safe);
}

#[test]
fn a_plan_changes_its_id_with_owners_and_epochs_only() {
    let mut world = world(vec![cell(0, "a", &["b"], 100 << 20)]);
    let id = to(&world, move_to(&[0], "c")).id;
    world.cells[0].bytes = Some(101 << 20);
    assert!(super::id::still_holds(&id, &to(&world, move_to(&[0], "c")).id));
    world.cells[0].epoch = 2;
    assert!(!super::id::still_holds(&id, &to(&world, move_to(&[0], "c")).id));
}
