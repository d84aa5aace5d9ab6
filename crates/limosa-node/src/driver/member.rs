//! What a member of a cluster does beside any node's work: the manifest in view, this node registered in it, its fragments driven.

use std::sync::Arc;
use std::time::Duration;

use limosa_manifest::Manifest;
use limosa_manifest::ratchet::Ratchet;

use super::cluster::Board;
use super::control::{Greeting, Lanes};
use super::manifest;
use super::node::Shared;
use super::ownership;

/// Runs for as long as the node runs.
pub(super) async fn run(shared: Arc<Shared>, board: Arc<Board>) {
    let seed = || shared.random().unwrap_or(1);
    let store = match manifest::store(&board.options.manifest, board.embedded.as_ref(), &shared.tls, seed()) {
        Ok(store) => store,
        Err(error) => {
            tracing::error!(code = error.code(), "this node can't reach the manifest: {error}");
            board.outage("config", Some(error.to_string()));
            return std::future::pending().await; // nothing but other settings helps; what needs no manifest goes on
        }
    };
    let manifest = Manifest::new(store, ratchet(&shared));
    let greeting = Greeting { cluster: shared.cluster(), node: board.me.clone(), incarnation: shared.store.incarnation(), start: seed() };
    let (lanes, heard) = Lanes::new(greeting, shared.tls.clone());
    let _ = (board.manifest.set(manifest.clone()), board.lanes.set(lanes.clone())); // a node that runs a second time goes on with these
    let drive = ownership::run(shared.clone(), board.clone(), manifest.clone(), lanes, heard);
    tokio::join!(
        drive,
        remember(&shared, &board, &manifest),
        manifest::watch(&board, &manifest, seed()),
        manifest::register(&board, &manifest, shared.store.incarnation())
    );
}

/// Under which key the store notes what was seen of the manifest.
const RATCHET: &str = "manifest/ratchet";
/// Shortest time between two notes: a manifest that was put back is told by the last second of it, too, from the epochs in the store.
const NOTE_EVERY: Duration = Duration::from_millis(500);

/// What this node has seen of the manifest: its note, and the epochs of its own history, which are never ahead of the cells.
fn ratchet(shared: &Shared) -> Ratchet {
    let noted = shared.store.note(RATCHET).map(|bytes| Ratchet::from_bytes(&bytes));
    match noted {
        Some(Ok(ratchet)) => ratchet,
        Some(Err(error)) => {
            tracing::warn!("what was noted of the manifest can't be read and is begun anew: {error}");
            Ratchet::default()
        }
        None => Ratchet::default(),
    }
}

/// Notes what was seen, behind each change of the view.
async fn remember(shared: &Arc<Shared>, board: &Board, manifest: &Manifest) {
    let mut changed = board.view.subscribe();
    let mut noted = Ratchet::default();
    while changed.changed().await.is_ok() {
        let seen = manifest.ratchet();
        if seen == noted {
            continue;
        }
        let store = shared.store.clone();
        let bytes = seen.to_bytes();
        let written = tokio::task::spawn_blocking(move || store.set_note(RATCHET, &bytes)).await;
        match written {
            Ok(Ok(_)) => noted = seen,
            Ok(Err(error)) => tracing::warn!(code = error.code(), "what was seen of the manifest can't be noted: {error}"),
            Err(error) => tracing::warn!("what was seen of the manifest can't be noted: {error}"),
        }
        tokio::time::sleep(NOTE_EVERY).await;
    }
}
