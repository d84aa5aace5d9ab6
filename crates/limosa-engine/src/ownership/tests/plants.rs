//! Bugs planted on purpose: the walks must find each of them, or they would not find one made by mistake.

use super::scenario::{BySeed, InOrder, Scenario, all};
use super::walk::plans;
use crate::ownership::config::Plant;

/// What the first walk that breaks says; scenarios without the fault first, then every fault at every step, then seeds.
fn first_break(plant: Plant, shown_by: &str) -> Option<String> {
    let planted = |mut scenario: Scenario| {
        scenario.plant = Some(plant);
        scenario
    };
    let (first, others): (Vec<Scenario>, Vec<Scenario>) = all().into_iter().partition(|scenario| scenario.name == shown_by);
    assert_eq!(first.len(), 1, "{shown_by} is no scenario");
    for scenario in first.into_iter().chain(others).map(planted) {
        let (world, result) = scenario.run(None, 0, &mut InOrder);
        if let Err(why) = result {
            return Some(format!("{}: {why}", scenario.name));
        }
        for plan in plans(world.steps_at_begin, &world.trace) {
            if let (_, Err(why)) = scenario.run(Some(plan), 0, &mut InOrder) {
                return Some(format!("{}: {plan:?}: {why}", scenario.name));
            }
        }
        for seed in 1..20 {
            if let (_, Err(why)) = scenario.run(None, seed, &mut BySeed) {
                return Some(format!("{}: seed {seed}: {why}", scenario.name));
            }
        }
    }
    None
}

#[test]
fn the_walks_find_every_planted_bug() {
    // The invariant that breaks, and a scenario in whose walk it does: looked at first, for it is found there soon.
    let plants = [
        (Plant::UnsealsAfterCommit, "I", "a move to a node that has nothing"),
        (Plant::ServesBeforeRow, "I2", "standbys are assigned and join"),
        (Plant::TrustsEmptyNode, "I1", "the owner loses its disk"),
        (Plant::FencesUnderLease, "I2", "an order to take over from a healthy owner"),
        (Plant::IgnoresLease, "I2", "a move to a node that has nothing"),
        (Plant::PromotesAlone, "I1", "standbys are assigned and join"),
        (Plant::ServesInDoubt, "I2", "a split"),
        (Plant::SkipsReopen, "I9", "standbys are assigned and join"),
    ];
    let mut missed = Vec::new();
    for (plant, invariant, shown_by) in plants {
        let found = first_break(plant, shown_by);
        let found_text = found.clone().unwrap_or_default();
        if !found.is_some_and(|found| found.contains(&format!(": {invariant}"))) {
            missed.push((plant, found_text));
        }
    }
    assert!(missed.is_empty(), "the walks do not find {missed:?}, or not as what they break");
}
