//! Says in the manifest that this node is there, where it is reached, and that it lives.

use std::time::Duration;

use limosa_manifest::{Manifest, ManifestError, NodeEntry};

use crate::driver::cluster::Board;

/// Signs of life within the time that a lease lives.
const SIGNS: u32 = 3;
/// Wait after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// Registers, then gives signs of life, until it is dropped. A lease that was lost is taken anew.
pub(in crate::driver) async fn register(board: &Board, manifest: &Manifest, incarnation: u64) {
    loop {
        if let Err(error) = live(board, manifest, incarnation).await {
            board.outage("lease", Some(error.to_string()));
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Until the lease is lost, or a new data folder is to be announced.
async fn live(board: &Board, manifest: &Manifest, incarnation: u64) -> Result<(), ManifestError> {
    let options = &board.options;
    let ttl = options.lease * SIGNS; // a hint: nobody is fenced for it
    let began = async {
        let known = manifest.nodes().await?.into_iter().find(|held| held.value.name == board.me).map(|held| held.value);
        // A folder that is not the one that the manifest knows is announced only when no cell believes anything of the former one.
        let former = known.as_ref().map(|known| known.incarnation).filter(|known| *known != incarnation);
        let is_believed = *board.reborn.borrow() == Some(false);
        if !is_believed {
            board.reborn.send_replace(Some(former.is_some()));
        }
        let entry = NodeEntry {
            name: board.me.clone(),
            incarnation: former.filter(|_| !is_believed).unwrap_or(incarnation),
            peer: options.addresses.peer.clone(),
            resp: options.addresses.resp.clone(),
            http: options.addresses.http.clone(),
            zone: options.zone.clone(),
            labels: options.labels.clone(),
            leaving: known.as_ref().is_some_and(|known| known.leaving),
        };
        if known.as_ref() != Some(&entry) {
            manifest.register(&entry).await?;
        }
        let lease = manifest.store().grant(ttl).await?;
        manifest.announce(&board.me, lease).await?;
        Ok::<_, ManifestError>(lease)
    };
    let lease = began.await?;
    board.outage("lease", None);
    let is_reborn = *board.reborn.borrow() == Some(true);
    let mut reborn = board.reborn.subscribe();
    loop {
        tokio::select! {
            () = tokio::time::sleep(ttl / SIGNS / 2) => {}
            _ = reborn.wait_for(|reborn| *reborn == Some(false)), if is_reborn => {
                return Ok(());
            }
        }
        match manifest.store().keep_alive(lease).await {
            Ok(true) => board.outage("lease", None),
            Ok(false) => return Ok(()), // it ran out, or the manifest's holder was restarted: another one is taken
            Err(error) => board.outage("lease", Some(error.to_string())),
        }
    }
}
