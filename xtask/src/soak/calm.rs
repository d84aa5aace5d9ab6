//! What must hold once faults have stopped: the cluster heals, every key is answered, the history has an explanation,
//! all nodes hold the same, none has broken a rule.

use std::fs;
use std::time::{Duration, Instant};

use crate::cluster::nodes::{Cell, Cluster};
use crate::history::{Judged, Operation, Recording, judge, read_all};

/// How long a cluster may take to heal: the machine may be busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Whether a fragment has its owner and every copy, and nothing moves.
pub(super) fn is_whole(cell: &Cell, standbys: usize) -> bool {
    cell.owner.is_some() && cell.sync_set.len() >= standbys && cell.moving_to.is_none()
}

/// Waits until the cluster is whole, ends the clients, reads every key, judges everything. `more` is what else was recorded.
pub(super) fn end(cluster: &Cluster, recording: Recording, more: Vec<Operation>, standbys: usize) -> Result<String, String> {
    healed(cluster, recording, more, standbys).map_err(|error| format!("{error}\n{}", told_by_nodes(cluster)))
}

fn healed(cluster: &Cluster, recording: Recording, more: Vec<Operation>, standbys: usize) -> Result<String, String> {
    cluster.wait_for(0, "whole", PATIENCE, |cell| is_whole(cell, standbys))?;
    let (start, workload) = (recording.start, recording.workload().clone());
    let mut recorded = recording.end()?;
    recorded.history.extend(more);
    read_all(&workload, start, PATIENCE, &mut recorded)?;
    let began = Instant::now();
    let judged = judge(&recorded.history)?;
    no_panics(cluster)?;
    (1..cluster.nodes.len()).try_for_each(|other| cluster.are_equal(0, other))?;
    let Judged { operations, acknowledged, unknown, old_reads } = judged;
    for text in &recorded.error_texts {
        println!("  a client saw: {text}");
    }
    Ok(format!(
        "{operations} operations ({old_reads} reads of copies), {acknowledged} writes acknowledged, {unknown} unknown {:?}, \
         {} refused and sent again, {} given up; no violation (judged in {:.1} s)",
        recorded.open,
        recorded.refused,
        recorded.given_up,
        began.elapsed().as_secs_f64(),
    ))
}

/// What each node says of itself and of the cluster, for whoever looks into a failure.
fn told_by_nodes(cluster: &Cluster) -> String {
    let ask = |node, words: &[&str]| cluster.command(node, words).unwrap_or_else(|error| format!("{error}\n"));
    (0..cluster.nodes.len()).map(|node| ask(node, &["cluster", "cells"]) + &ask(node, &["status"])).collect()
}

/// A broken rule inside of a node stops a thread or the node: its log says so, also where the node was killed afterwards.
fn no_panics(cluster: &Cluster) -> Result<(), String> {
    for log in cluster.logs() {
        let text = fs::read(&log).map_err(|error| format!("can't read {}: {error}", log.display()))?;
        let text = String::from_utf8_lossy(&text);
        if let Some(at) = text.find("panicked at") {
            let told: String = text[at..].lines().take(3).collect::<Vec<_>>().join("\n");
            return Err(format!("{}: {told}", log.display()));
        }
    }
    Ok(())
}
