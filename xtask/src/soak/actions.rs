//! What a soak does to its world: each action is one thing that goes wrong, or one order of an operator.

use std::time::Duration;

use super::VALUE_BYTES;
use super::world::{Broken, NODES, World};
use crate::cluster::proxy::{Direction, Fault};
use crate::history::Probe;

type Action = fn(&mut World) -> Result<(), String>;

/// Each with its weight.
const ACTIONS: &[(u32, Action)] = &[
    (5, kill),
    (4, pause),
    (2, terminate),
    (10, link),
    (4, isolate),
    (6, movement),
    (3, |world| order(world, &["rebalance"])),
    (2, handover),
    (2, failover),
    (1, |world| order(world, &["cancel", "all"])),
    (2, stage),
    (4, etcd),
];

/// Fragments that a move names at most.
const MOVED_MAX: usize = 4;
/// How long a node may take to stop: it hands over first, as far as the others are there.
const STOP_MAX: Duration = Duration::from_secs(60);

impl World {
    /// One of them.
    pub(super) fn act(&mut self) -> Result<(), String> {
        let weights: u32 = ACTIONS.iter().map(|(weight, _)| weight).sum();
        let mut left = u32::try_from(self.random.next() % u64::from(weights)).expect("below");
        for (weight, action) in ACTIONS {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return action(self),
            }
        }
        unreachable!("the weights add up")
    }

    /// A node that runs.
    fn a_node(&mut self) -> Option<usize> {
        let first = self.below(NODES);
        (0..NODES).map(|step| (first + step) % NODES).find(|node| self.is_up(*node))
    }

    /// How many run.
    fn running(&self) -> usize {
        (0..NODES).filter(|node| self.is_up(*node)).count()
    }

    fn a_fragment(&mut self) -> String {
        self.below(12).to_string()
    }
}

fn name(node: usize) -> String {
    format!("n{}", node + 1)
}

fn kill(world: &mut World) -> Result<(), String> {
    let Some(node) = world.a_node().filter(|_| world.running() > 1) else { return Ok(()) };
    let time = world.time(0, 4_000);
    world.note(&format!("{} is killed", name(node)));
    world.count("kill");
    world.cluster.kill(node);
    world.breaks(Broken::Dead(node), time);
    Ok(())
}

fn pause(world: &mut World) -> Result<(), String> {
    let Some(node) = world.a_node().filter(|_| world.running() > 1) else { return Ok(()) };
    let time = world.long_time(200, 4_000);
    let Some(start) = world.recording.as_ref().map(|recording| recording.start) else { return Ok(()) };
    let round = world.random.next() % (1 << 19);
    let Ok(probe) = Probe::open(world.cluster.nodes[node].resp, 0..6, start, round, VALUE_BYTES) else { return Ok(()) };
    world.note(&format!("{} is paused for {} ms", name(node), time.as_millis()));
    world.count("pause");
    world.cluster.signal(node, "STOP")?;
    world.breaks(Broken::Paused(node, Box::new(probe)), time);
    Ok(())
}

fn terminate(world: &mut World) -> Result<(), String> {
    let Some(node) = world.a_node() else { return Ok(()) };
    world.note(&format!("{} is asked to stop", name(node)));
    world.count("stop");
    let Some(server) = world.cluster.nodes[node].server.take() else { return Ok(()) };
    server.stop(STOP_MAX)?;
    world.breaks(Broken::Dead(node), Duration::ZERO);
    Ok(())
}

fn link(world: &mut World) -> Result<(), String> {
    let fault = Fault::ALL[world.below(Fault::KINDS)];
    let fault = if let Fault::Delay(_) = fault { Fault::Delay(world.time(1, 300)) } else { fault };
    let direction = [Direction::Towards, Direction::Back, Direction::Both][world.below(3)];
    let (to, from) = (world.below(NODES), world.below(NODES + 1));
    let dialer = Some(name(from)).filter(|_| from < NODES && from != to);
    let time = world.long_time(300, 5_000);
    let who = dialer.as_deref().unwrap_or("everybody");
    world.note(&format!("{fault:?} of {direction:?} between {} and {who} for {} ms", name(to), time.as_millis()));
    world.count(Fault::NAMES[fault.kind()]);
    let number = world.cluster.proxies[to].inject(fault, direction, dialer.as_deref());
    world.breaks(Broken::Links(vec![(to, number)]), time);
    Ok(())
}

/// A node and the others do not hear each other; or it hears and is not heard; or the other way round.
fn isolate(world: &mut World) -> Result<(), String> {
    let (node, time) = (world.below(NODES), world.long_time(300, 6_000));
    let (in_to, out_of) = [(true, true), (true, false), (false, true)][world.below(3)];
    let fault = [Fault::Hold, Fault::Drop][world.below(2)];
    let alone = name(node);
    world.note(&format!("{alone} is alone ({fault:?}; in {in_to}, out {out_of}) for {} ms", time.as_millis()));
    world.count("isolate");
    // Bytes into the node: towards it where others dialled, back to it where it did.
    let mut faults = Vec::new();
    for (at, proxy) in world.proxies().enumerate() {
        let dialer = Some(alone.as_str()).filter(|_| at != node);
        let (enters, leaves) = if at == node { (Direction::Towards, Direction::Back) } else { (Direction::Back, Direction::Towards) };
        let directions = [(in_to, enters), (out_of, leaves)].into_iter().filter(|(is_meant, _)| *is_meant);
        faults.extend(directions.map(|(_, direction)| (at, proxy.inject(fault, direction, dialer))));
    }
    world.breaks(Broken::Links(faults), time);
    Ok(())
}

fn movement(world: &mut World) -> Result<(), String> {
    let (to, count) = (name(world.below(NODES)), 1 + world.below(MOVED_MAX));
    let fragments: Vec<String> = (0..count).map(|_| world.a_fragment()).collect();
    let words: Vec<&str> = ["move"].into_iter().chain(fragments.iter().map(String::as_str)).chain(["--to", &to]).collect();
    order(world, &words)
}

fn handover(world: &mut World) -> Result<(), String> {
    let node = name(world.below(NODES));
    order(world, &["handover", &node])
}

fn failover(world: &mut World) -> Result<(), String> {
    let fragment = world.a_fragment();
    order(world, &["failover", &fragment])
}

fn stage(world: &mut World) -> Result<(), String> {
    let (fragment, node) = (world.a_fragment(), name(world.below(NODES)));
    order(world, &["stage", &fragment, "--to", &node])
}

/// An order to a node that runs; the cluster may refuse it.
fn order(world: &mut World, words: &[&str]) -> Result<(), String> {
    let Some(node) = world.a_node() else { return Ok(()) };
    let outcome = world.cluster.command(node, words);
    let told = outcome.as_ref().err().map_or("done", |error| error.lines().next().unwrap_or("refused"));
    world.note(&format!("{} at {}: {told}", words.join(" "), name(node)));
    world.count(&format!("{} {}", words[0], if outcome.is_ok() { "taken" } else { "refused" }));
    Ok(())
}

fn etcd(world: &mut World) -> Result<(), String> {
    let (is_killed, time) = (world.below(2) == 0, world.time(200, 5_000));
    if !world.is_etcd_up() {
        return Ok(());
    }
    let Some(etcd) = &mut world.etcd else { return Ok(()) };
    if is_killed {
        etcd.stop();
    } else {
        etcd.pause(true)?;
    }
    world.note(&format!("etcd is {} for {} ms", if is_killed { "killed" } else { "paused" }, time.as_millis()));
    world.count(if is_killed { "etcd kill" } else { "etcd pause" });
    world.breaks(if is_killed { Broken::EtcdDead } else { Broken::EtcdPaused }, time);
    Ok(())
}
