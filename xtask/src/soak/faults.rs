//! The short run of every `cargo xtask ci`: each fault of a link once, etcd restarted in the middle of a move, a full disk; then calm, then equal.

use std::path::Path;
use std::time::{Duration, Instant};

use super::world::World;
use super::{STANDBYS, calm, full};
use crate::cluster::nodes::Place;
use crate::cluster::proxy::{Direction, Fault};
use crate::workspace::Metadata;

/// How long a fault that lasts is in force: longer than the lease.
const TIME: Duration = Duration::from_millis(1_500);
/// How long a manifest is away in the middle of moves.
const AWAY: Duration = Duration::from_millis(500);

/// The step.
pub(crate) fn check(metadata: &Metadata, folder: &Path) -> Result<(), String> {
    let place = Place { program: metadata.program("limosa"), folder: folder.to_owned() };
    let mut world = World::start(&place, 1, true)?;
    for (at, fault) in Fault::ALL.into_iter().enumerate() {
        link(&world, at % 3, fault)?;
    }
    restart_of_etcd_in_moves(&mut world)?;
    let told = world.end()?;
    println!("  {}", world.counts());
    println!("  {told}");
    drop(world);
    full::check(&place)
}

/// A fault, until bytes have met it; then calm.
fn link(world: &World, node: usize, fault: Fault) -> Result<(), String> {
    let (proxy, start) = (&world.cluster.proxies[node], Instant::now());
    proxy.inject(fault, Direction::Both, None);
    while proxy.hits()[fault.kind()] == 0 {
        if start.elapsed() > calm::PATIENCE {
            return Err(format!("no bytes met {fault:?} at n{}", node + 1));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if !fault.is_once() {
        std::thread::sleep(TIME);
    }
    proxy.clear();
    world.cluster.wait_for(0, "whole again", calm::PATIENCE, |cell| calm::is_whole(cell, STANDBYS)).map(|_| ())
}

/// Everything goes to one node while the manifest goes away and comes back: each move commits or is aborted, and all of it is served.
fn restart_of_etcd_in_moves(world: &mut World) -> Result<(), String> {
    for to in ["n2", "n3"] {
        world.cluster.command_soon(0, &["move", "--slots", "0-16383", "--to", to])?;
        let Some(etcd) = &mut world.etcd else { return Err("it runs with etcd".to_owned()) };
        etcd.stop();
        std::thread::sleep(AWAY);
        etcd.resume()?;
        world.count("etcd kill");
        world.cluster.wait_for(0, "whole again", calm::PATIENCE, |cell| calm::is_whole(cell, STANDBYS))?;
    }
    Ok(())
}
