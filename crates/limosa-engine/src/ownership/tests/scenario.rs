//! What happens in a walk beside the fault: orders, deaths, lost disks, at their times; then calm, in which everything must heal.

use std::time::Duration;

use limosa_core::{FragmentId, NodeName};

use super::disk::Disk;
use super::world::{Choice, F, Plan, World, name};
use crate::ownership::config::Plant;
use crate::ownership::{Config, Event, Order};

/// One thing that is said or done to the world.
#[derive(Clone, Debug)]
pub(super) enum Say {
    /// To whoever serves the fragment then.
    ToOwner(Order),
    To(&'static str, Order),
    Kill(&'static str, Duration),
    /// It dies, and comes back with an empty disk.
    LosesDisk(&'static str),
    Leaves(&'static str),
    Cut(&'static str, Duration),
    ManifestAway(&'static str, Duration),
    /// Its next so many digests are wrong.
    WrongDigests(&'static str, usize),
    /// Nothing: from here on faults are tried.
    Begin,
}

#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) standbys: usize,
    pub(super) flushed_min: u8,
    pub(super) fragments: u32,
    pub(super) tune: fn(&mut Config),
    pub(super) script: Vec<(Duration, Say)>,
    pub(super) plant: Option<Plant>,
    /// Standbys that there must be in the end.
    pub(super) standbys_after: usize,
}

/// How the next thing is chosen.
pub(super) trait Pick {
    fn pick(&mut self, world: &mut World, choices: &[Choice]) -> usize;
}

/// The first that is possible: as a quiet world goes.
pub(super) struct InOrder;

impl Pick for InOrder {
    fn pick(&mut self, _: &mut World, _: &[Choice]) -> usize {
        0
    }
}

/// By the world's seed.
pub(super) struct BySeed;

impl Pick for BySeed {
    fn pick(&mut self, world: &mut World, choices: &[Choice]) -> usize {
        usize::try_from(world.draw()).expect("small") % choices.len()
    }
}

/// Longest time in which a world must heal once faults have stopped.
const HEALS_WITHIN: Duration = Duration::from_secs(150);
const STEPS_MAX: usize = 400_000;

impl Scenario {
    pub(super) fn world(&self) -> World {
        let config = |node: NodeName| {
            let seed = u64::from(node.as_str().as_bytes()[0]);
            let mut config = Config::new(node, seed, self.standbys, self.flushed_min);
            config.absent_max = Duration::from_secs(20);
            config.move_max = Duration::from_secs(15);
            (self.tune)(&mut config);
            config.planted = self.plant;
            config
        };
        World::new(self.fragments, config)
    }

    /// Runs to the end; what did not hold, as a sentence.
    pub(super) fn run(&self, plan: Option<Plan>, seed: u64, pick: &mut dyn Pick) -> (World, Result<(), String>) {
        let mut world = self.world();
        world.plan = plan;
        world.seed(seed);
        let result = self.finish(&mut world, pick);
        (world, result)
    }

    /// Goes on from where `world` is.
    pub(super) fn finish(&self, world: &mut World, pick: &mut dyn Pick) -> Result<(), String> {
        let end = self.script.last().map_or(Duration::ZERO, |(at, _)| *at) + Duration::from_secs(9);
        let mut calm_from: Option<(Duration, usize)> = None;
        let mut turns = 0;
        loop {
            turns += 1;
            let is_quiet = self.turn(world, pick);
            if let Some(broken) = &world.oracle.broken {
                return Err(format!("{broken} (at {:?}, step {})", world.now, world.steps));
            }
            if world.now < end {
                continue;
            }
            let (since, acknowledged) =
                *calm_from.get_or_insert_with(|| (world.now, world.cells.keys().map(|id| world.oracle.acknowledged(*id)).sum()));
            if is_quiet {
                match self.is_healed(world, acknowledged) {
                    Ok(()) => return Ok(()),
                    Err(why) if world.now > since + HEALS_WITHIN => return Err(format!("I9: {why}")),
                    Err(_) => {}
                }
            }
            if turns > STEPS_MAX {
                return Err("I9: it never comes to rest".to_owned());
            }
        }
    }

    /// One thing happens, or time passes. True: nothing else was to be done.
    pub(super) fn turn(&self, world: &mut World, pick: &mut dyn Pick) -> bool {
        self.say_due(world);
        let choices = world.choices();
        if choices.is_empty() {
            world.wait();
        } else {
            let index = pick.pick(world, &choices);
            world.choose(&choices[index]);
        }
        choices.is_empty()
    }

    fn say_due(&self, world: &mut World) {
        while let Some((at, say)) = self.script.get(world.said).filter(|(at, _)| *at <= world.now) {
            let _due = at;
            if world.said == 0 {
                world.steps_at_begin = world.steps;
            }
            world.said += 1;
            world.happened_at = world.now;
            world.next_write = world.now;
            Self::say(world, say.clone());
        }
    }

    fn say(world: &mut World, say: Say) {
        match say {
            Say::Begin => {}
            Say::ToOwner(order) => {
                let owner = world.cells.values().next().expect("a cell").cell.holder.last_served().clone();
                world.tell(&owner, Event::Order(order));
            }
            Say::To(node, order) => {
                if matches!(order, Order::FailOver { accept_loss: true, .. }) {
                    world.oracle.accept_loss();
                }
                world.tell(&name(node), Event::Order(order));
            }
            Say::Kill(node, dead) => world.kill(&name(node), dead),
            Say::LosesDisk(node) => {
                world.kill(&name(node), Duration::from_secs(1));
                let node = world.nodes.get_mut(&name(node)).expect("a node");
                node.disk = Disk::default();
                node.config.reborn = true;
            }
            Say::Leaves(node) => {
                world.leaving.insert(name(node));
                let states = world.node_states();
                for node in world.names.clone() {
                    world.tell(&node, Event::Nodes(states.clone()));
                }
            }
            Say::WrongDigests(node, count) => world.wrong_digests = (name(node), count),
            Say::Cut(node, long) => world.cut(&name(node), long),
            Say::ManifestAway(node, long) => {
                let until = world.now + long;
                world.nodes.get_mut(&name(node)).expect("a node").manifest_away_until = until;
            }
        }
    }

    /// An order to a node by name.
    pub(super) fn order(world: &mut World, node: &'static str, order: Order) {
        Self::say(world, Say::To(node, order));
    }

    /// Whether everything is as it should be in a quiet world; else what is not.
    fn is_healed(&self, world: &World, acknowledged_before: usize) -> Result<(), String> {
        let mut acknowledged = 0;
        for (fragment, seen) in &world.cells {
            let cell = &seen.cell;
            let serving: Vec<&NodeName> = world.names.iter().filter(|name| world.nodes[*name].serves(*fragment, world.now)).collect();
            if serving.len() != 1 || cell.owner() != serving.first().copied() {
                let blocked: Vec<_> =
                    world.nodes.iter().map(|(name, node)| (name, node.process.as_ref().map(|p| p.machine.blocked()))).collect();
                return Err(format!("{serving:?} serve {fragment} in the end: {cell:?}, blocked {blocked:?}"));
            }
            if cell.running.is_some() {
                return Err(format!("a move of {fragment} has not ended: {cell:?}"));
            }
            if cell.sync_set.len() != self.standbys_after {
                return Err(format!("{fragment} has {:?} as standbys, not {}: {cell:?}", cell.sync_set, self.standbys_after));
            }
            acknowledged += world.oracle.acknowledged(*fragment);
        }
        for (name, node) in &world.nodes {
            let moves = node.process.as_ref().map(|process| process.machine.moves()).unwrap_or_default();
            if !moves.is_empty() {
                return Err(format!("{name} still moves: {moves:?}"));
            }
        }
        if self.flushed_min > 0 && self.standbys_after > 0 && acknowledged <= acknowledged_before {
            return Err("no write was acknowledged in calm".to_owned());
        }
        Ok(())
    }
}

pub(super) fn split() -> Order {
    let (left, right) = ((FragmentId(10), 100), (FragmentId(11), 101));
    Order::Split { fragment: F, at: bytes::Bytes::from_static(b"m"), left, right }
}

fn order_split() -> Say {
    Say::ToOwner(split())
}

fn order_merge() -> Say {
    Say::ToOwner(Order::Merge { left: FragmentId(10), right: FragmentId(11), made: (FragmentId(12), 102) })
}

fn order_move(to: &'static str) -> Say {
    Say::ToOwner(Order::Move { fragments: vec![F], to: name(to) })
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every scenario of the walks.
pub(super) fn all() -> Vec<Scenario> {
    let base = |name, standbys, flushed_min, script| Scenario {
        name,
        standbys,
        flushed_min,
        fragments: 1,
        tune: |_| {},
        plant: None,
        script,
        standbys_after: standbys,
    };
    vec![
        base("standbys are assigned and join", 2, 1, vec![(s(0), Say::Begin)]),
        base("a move to a node that has nothing", 1, 1, vec![(s(6), order_move("c"))]),
        base("a hand-over to a complete standby", 2, 1, vec![(s(6), Say::ToOwner(Order::HandOver))]),
        base("a move without standbys", 0, 0, vec![(s(4), order_move("b"))]),
        base("the owner dies and returns", 2, 1, vec![(s(6), Say::Kill("a", s(20)))]),
        base("the owner of a fragment with one standby dies", 1, 1, vec![(s(6), Say::Kill("a", s(20)))]),
        base("the owner loses its disk", 2, 1, vec![(s(6), Say::LosesDisk("a"))]),
        base("a member loses its disk", 2, 1, vec![(s(6), Say::LosesDisk("b"))]),
        base("the owner dies in a move", 2, 1, vec![(s(6), order_move("c")), (s(6) + Duration::from_millis(2), Say::Kill("a", s(15)))]),
        base(
            "an order to take over from a healthy owner",
            2,
            1,
            vec![(s(6), Say::To("b", Order::FailOver { fragments: vec![F], accept_loss: false }))],
        ),
        base("the owner is cut off", 2, 1, vec![(s(6), Say::Cut("a", s(12)))]),
        base("the manifest is away for everybody in a move", 2, 1, {
            let away = |node| (s(6), Say::ManifestAway(node, s(10)));
            vec![(s(6), order_move("b")), away("a"), away("b"), away("c")]
        }),
        Scenario { standbys_after: 1, ..base("a node is emptied", 2, 1, vec![(s(6), Say::Leaves("b"))]) },
        Scenario { standbys_after: 1, ..base("the owner is emptied", 2, 1, vec![(s(6), Say::Leaves("a"))]) },
        Scenario {
            tune: |config| config.shrink = true,
            ..base("a lost standby is let go by an explicit setting", 1, 1, vec![(s(6), Say::Kill("b", s(120)))])
        },
        Scenario {
            tune: |config| config.shrink = true,
            ..base("an owner without anybody left serves by an explicit setting", 1, 1, {
                vec![(s(6), Say::Kill("c", s(60))), (s(6), Say::Kill("a", s(60)))]
            })
        },
        base("a target that is unequal twice, then equal", 1, 1, vec![(s(6), Say::WrongDigests("c", 2)), (s(6), order_move("c"))]),
        base("a target that is never equal", 1, 1, vec![(s(6), Say::WrongDigests("c", 99)), (s(6), order_move("c"))]),
        Scenario {
            tune: |config| config.durable = false,
            ..base("an owner that may not believe its own disk restarts", 2, 1, vec![(s(6), Say::Kill("a", Duration::from_millis(300)))])
        },
        base("a split", 2, 1, vec![(s(6), order_split())]),
        base("a split without standbys, and a merge", 0, 0, vec![(s(4), order_split()), (s(5), order_merge())]),
        base("a split and a merge", 1, 1, vec![(s(6), order_split()), (s(8), order_merge())]),
        base("the owner dies in a split", 1, 1, {
            vec![(s(6), order_split()), (s(6) + Duration::from_millis(4), Say::Kill("a", s(15))), (s(20), order_merge())]
        }),
        base("one half goes elsewhere", 2, 1, {
            let right = Order::Move { fragments: vec![FragmentId(11)], to: name("c") };
            vec![(s(6), order_split()), (s(8), Say::To("a", right)), (s(11), order_merge())]
        }),
        Scenario {
            fragments: 3,
            tune: |config| config.moves_max = 1,
            ..base("several moves at once, one after the other", 1, 1, {
                let fragments: Vec<FragmentId> = (0..3).map(FragmentId).collect();
                vec![(s(6), Say::ToOwner(Order::Move { fragments, to: name("c") }))]
            })
        },
    ]
}
