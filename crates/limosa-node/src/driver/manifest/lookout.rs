//! Keeps the view: lists everything, watches from there, and lists again when the watch can't go on.

use std::collections::BTreeMap;

use limosa_manifest::{Manifest, ManifestError, News};

use crate::driver::cluster::{Board, NodeFacts};
use crate::transport::Backoff;

/// Longest wait before it tries again: everything waits for the manifest.
const RETRY_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// Keeps the view until it is dropped.
pub(in crate::driver) async fn watch(board: &Board, manifest: &Manifest, seed: u64) {
    let mut backoff = Backoff::new(seed);
    loop {
        let error = look(board, manifest, &mut backoff).await;
        if let ManifestError::Compacted { .. } = error {
            continue; // list again: nothing is wrong with the store
        }
        tracing::warn!(code = error.code(), "blocked because the manifest is away: {error}");
        board.outage("watch", Some(error.to_string()));
        tokio::time::sleep(backoff.next_wait().min(RETRY_MAX)).await;
    }
}

/// Until the store fails.
async fn look(board: &Board, manifest: &Manifest, backoff: &mut Backoff) -> ManifestError {
    let revision = match list(board, manifest).await {
        Ok(revision) => revision,
        Err(error) => return error,
    };
    let mut watch = match manifest.watch_all(revision).await {
        Ok(watch) => watch,
        Err(error) => return error,
    };
    board.outage("watch", None);
    backoff.reset();
    loop {
        let events = match watch.next().await {
            Ok(events) => events,
            Err(error) => return error,
        };
        let news: Result<Vec<_>, _> = events.iter().map(|event| manifest.news(event)).collect();
        match news {
            Ok(news) => board.hear(news.into_iter().flatten().collect()),
            Err(error) => return error,
        }
    }
}

/// Everything there is. The oldest revision of the lists: where a watch goes on, so that nothing between them is missed.
async fn list(board: &Board, manifest: &Manifest) -> Result<u64, ManifestError> {
    let (cells, revision) = manifest.cells().await?;
    let entries = manifest.nodes().await?;
    let alive = manifest.alive().await?;
    let facts = |entry: limosa_manifest::NodeEntry| {
        let alive = alive.contains(&entry.name);
        (entry.name.clone(), NodeFacts { entry, alive })
    };
    let nodes: BTreeMap<_, _> = entries.into_iter().map(|held| facts(held.value)).collect();
    board.listed(cells, nodes, revision);
    Ok(revision)
}

/// What the board does with news of nodes.
pub(in crate::driver) fn apply_to_nodes(nodes: &mut BTreeMap<limosa_core::NodeName, NodeFacts>, news: &News) {
    match news {
        News::Node(entry) => {
            let alive = nodes.get(&entry.name).is_some_and(|facts| facts.alive);
            nodes.insert(entry.name.clone(), NodeFacts { entry: entry.clone(), alive });
        }
        News::NodeGone(name) => drop(nodes.remove(name)),
        News::Alive(name) | News::Silent(name) => {
            if let Some(facts) = nodes.get_mut(name) {
                facts.alive = matches!(news, News::Alive(_));
            }
        }
        News::Cell(_) | News::CellGone(_) => {}
    }
}
