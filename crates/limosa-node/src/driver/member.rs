//! What a member of a cluster does beside any node's work: the manifest in view, this node registered in it, its fragments driven.

use std::sync::Arc;

use limosa_manifest::Manifest;
use limosa_manifest::ratchet::Ratchet;

use super::cluster::Board;
use super::manifest;
use super::node::Shared;

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
    let manifest = Manifest::new(store, Ratchet::default());
    tokio::join!(manifest::watch(&board, &manifest, seed()), manifest::register(&board, &manifest, shared.store.incarnation()));
}
