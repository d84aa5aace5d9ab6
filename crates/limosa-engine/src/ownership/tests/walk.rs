//! The walks: every fault at every step of every scenario, then interleavings by depth and by seed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::scenario::{BySeed, InOrder, Scenario, all};
use super::world::{Fault, Plan, World};
use crate::ownership::Step;

/// Every fault that can come at a step.
fn faults() -> Vec<Fault> {
    let each = |make: fn(usize) -> Fault| (0..3).map(make);
    let mut faults: Vec<Fault> = vec![Fault::AnswerLost, Fault::RequestLost, Fault::MadeAndAway, Fault::MadeLate];
    faults.extend(each(Fault::DiesBefore).chain(each(Fault::DiesAfter)));
    faults.extend(each(Fault::Cut).chain(each(Fault::ManifestAway)).chain(each(Fault::Stalls)));
    faults
}

/// Steps that a fault is tried at: from the scenario's begin to its end.
fn steps(scenario: &Scenario) -> (usize, Vec<(limosa_core::NodeName, Step)>, BTreeSet<Step>) {
    let (world, result) = scenario.run(None, 0, &mut InOrder);
    if let Err(broken) = result {
        panic!("{}, without any fault: {broken}", scenario.name);
    }
    let first = world.steps_at_begin;
    (first, world.trace, world.hit)
}

#[test]
fn every_scenario_ends_well_without_a_fault() {
    let broken: Vec<String> = all()
        .iter()
        .filter_map(|scenario| scenario.run(None, 0, &mut InOrder).1.err().map(|why| format!("{}: {why}", scenario.name)))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

pub(super) fn plans(first: usize, trace: &[(limosa_core::NodeName, Step)]) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (at, (_, step)) in trace.iter().enumerate().skip(first) {
        for fault in faults() {
            let is_lost = matches!(fault, Fault::AnswerLost | Fault::RequestLost | Fault::MadeAndAway | Fault::MadeLate);
            let is_change = matches!(step, Step::Change(_) | Step::Reframe);
            let is_sent = !matches!(step, Step::Serve | Step::Park | Step::Close | Step::Follow | Step::Unfollow | Step::Count);
            if is_lost && !is_change && (fault != Fault::AnswerLost || !is_sent) {
                continue; // the same as without a fault
            }
            let dead = Duration::from_millis(if at % 2 == 0 { 300 } else { 8_000 });
            plans.push(Plan { at, fault, dead });
        }
    }
    plans
}

/// Runs `work` for each item, on as many threads as there are processors.
fn on_all_processors<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let part = items.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        let parts: Vec<_> = items.chunks(part).map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>())).collect();
        parts.into_iter().flat_map(|part| part.join().expect("a walk does not panic")).collect()
    })
}

#[test]
fn no_fault_at_any_step_breaks_a_promise() {
    let mut hit = BTreeSet::new();
    let (mut runs, mut broken) = (0, Vec::new());
    for scenario in all() {
        let (first, trace, seen) = steps(&scenario);
        hit.extend(seen);
        // Fragments meet only in the budgets: a sample of the many steps of several does.
        let stride = if scenario.fragments > 1 { 7 } else { 1 };
        let plans: Vec<Plan> = plans(first, &trace).into_iter().step_by(stride).collect();
        runs += plans.len();
        let results = on_all_processors(&plans, |plan| {
            let (world, result) = scenario.run(Some(*plan), 0, &mut InOrder);
            (world.hit, result.err().map(|why| format!("{}: {plan:?} at {:?}: {why}", scenario.name, trace[plan.at])))
        });
        for (seen, why) in results {
            hit.extend(seen);
            broken.extend(why);
        }
    }
    assert!(broken.is_empty(), "{} of {runs}: {}", broken.len(), broken[..broken.len().min(8)].join("\n"));
    let missed: Vec<&Step> = Step::ALL.iter().filter(|step| !hit.contains(step)).collect();
    assert!(missed.is_empty(), "{runs} runs never came to {missed:?}");
}

#[test]
fn no_interleaving_by_seed_breaks_a_promise() {
    let mut broken = Vec::new();
    for scenario in all() {
        let (first, trace, _) = steps(&scenario);
        let plans = plans(first, &trace);
        let seeds: Vec<u64> = (1..=40).collect();
        broken.extend(on_all_processors(&seeds, |&seed| {
            let plan = plans[usize::try_from(seed.wrapping_mul(7919)).expect("small") % plans.len()];
            let result = scenario.run(Some(plan), seed, &mut BySeed).1;
            result.err().map(|why| format!("{}: seed {seed}, {plan:?}: {why}", scenario.name))
        }));
    }
    let broken: Vec<String> = broken.into_iter().flatten().collect();
    assert!(broken.is_empty(), "{}: {}", broken.len(), broken[..broken.len().min(8)].join("\n"));
}

/// Decisions of which every outcome is followed.
const DEPTH: usize = 3;

/// Follows every order of the next `depth` things from `world` on, then goes on in order. Counts the ends; says what breaks first.
fn interleave(scenario: &Scenario, world: &World, depth: usize, ends: &mut usize) -> Result<(), String> {
    let mut world = world.clone();
    let choices = loop {
        let choices = world.choices();
        match choices.len() {
            0 => world.wait(),
            1 => world.choose(&choices[0]),
            _ => break choices,
        }
        if let Some(broken) = &world.oracle.broken {
            return Err(broken.clone());
        }
        if world.now > Duration::from_secs(40) {
            break Vec::new();
        }
    };
    if depth == 0 || choices.is_empty() {
        *ends += 1;
        return scenario.finish(&mut world, &mut InOrder);
    }
    for choice in &choices {
        let mut next = world.clone();
        next.choose(choice);
        interleave(scenario, &next, depth - 1, ends)?;
    }
    Ok(())
}

/// The world of a scenario right behind its step number `at`.
fn world_behind(scenario: &Scenario, at: usize) -> World {
    let mut world = scenario.world();
    while world.steps <= at {
        scenario.turn(&mut world, &mut InOrder);
    }
    world
}

#[test]
fn no_order_of_what_surrounds_a_commit_a_fence_or_a_promotion_breaks_a_promise() {
    let critical = [
        Step::Park,
        Step::Change(crate::ownership::Wish::Commit),
        Step::Change(crate::ownership::Wish::Fence),
        Step::Change(crate::ownership::Wish::Promote),
        Step::Change(crate::ownership::Wish::Reopen),
        Step::Reframe,
    ];
    let mut starts = Vec::new();
    for scenario in all() {
        let (first, trace, _) = steps(&scenario);
        let is_critical = |(at, (_, step)): &(usize, &(limosa_core::NodeName, Step))| *at >= first && critical.contains(step);
        let at: Vec<usize> = trace.iter().enumerate().filter(is_critical).map(|(at, _)| at).collect();
        starts.extend(at.into_iter().take(4).map(|at| (scenario.clone(), at)));
    }
    let results = on_all_processors(&starts, |(scenario, at)| {
        let mut ends = 0;
        let result = interleave(scenario, &world_behind(scenario, *at), DEPTH, &mut ends);
        (ends, result.map_err(|why| format!("{} behind step {at}: {why}", scenario.name)))
    });
    let ends: usize = results.iter().map(|(ends, _)| ends).sum();
    let broken: Vec<&String> = results.iter().filter_map(|(_, result)| result.as_ref().err()).collect();
    assert!(broken.is_empty(), "{broken:?}");
    assert!(ends > 1_000, "only {ends} orders were followed");
}
