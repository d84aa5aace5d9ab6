//! Wishes of the machine to change cells, carried to the manifest together and answered one by one.

use std::sync::Arc;

use limosa_core::FragmentId;
use limosa_engine::ownership::{Change, Event, Outcome, Reframe, Reframing, SeenCell};
use limosa_manifest::{FragmentCell, Held, Manifest, ManifestError};
use tokio::sync::mpsc::UnboundedSender;

use crate::driver::cluster::Board;
use crate::driver::manifest::{self, Wish};

/// Carries changes that came together to the manifest; each is answered by one event. Returns at once.
pub(super) fn change(board: &Arc<Board>, manifest: &Manifest, changes: Vec<Change>, events: &UnboundedSender<Event>) {
    let (board, manifest, events) = (board.clone(), manifest.clone(), events.clone());
    tokio::spawn(async move {
        let mut wishes = Vec::new();
        for change in changes {
            let held = board.view.borrow().cells.get(&change.fragment).cloned();
            match held.filter(|held| held.revision == change.revision) {
                Some(held) => wishes.push(Wish { held: (*held).clone(), next: change.next, intent: change.intent }),
                // The view has moved on: the change could only lose.
                None => {
                    let now = board.view.borrow().cells.get(&change.fragment).map(|held| Box::new(seen(&held.clone())));
                    let outcome = Outcome::Lost(now);
                    let _ = events.send(Event::Changed { fragment: change.fragment, intent: change.intent, outcome });
                }
            }
        }
        let intents: Vec<_> = wishes.iter().map(|wish| (wish.next.id(), wish.intent)).collect();
        for (outcome, (fragment, intent)) in manifest::change(&manifest, wishes).await.into_iter().zip(intents) {
            let outcome = match outcome {
                manifest::Outcome::Made(held) => {
                    let made = seen(&held);
                    board.learn([held]);
                    Outcome::Made(Box::new(made))
                }
                manifest::Outcome::Lost(now) => {
                    let seen = now.as_ref().map(|held| Box::new(seen(held)));
                    board.learn(now);
                    Outcome::Lost(seen)
                }
                manifest::Outcome::Failed(error) => failed(fragment, &error),
            };
            let _ = events.send(Event::Changed { fragment, intent, outcome }); // the node stops
        }
    });
}

/// Carries a split or merge to the manifest; one event answers it. Returns at once.
pub(super) fn reframe(board: &Arc<Board>, manifest: &Manifest, reframe: Reframe, events: &UnboundedSender<Event>) {
    let (board, manifest, events) = (board.clone(), manifest.clone(), events.clone());
    tokio::spawn(async move {
        let first = reframe.first();
        let outcome = replace(&board, &manifest, &reframe).await.unwrap_or_else(|error| match failed(first, &error) {
            Outcome::Unavailable => Reframing::Unavailable,
            _ => Reframing::Unknown,
        });
        let _ = events.send(Event::ReframeAnswered { first, outcome }); // the node stops
    });
}

async fn replace(board: &Board, manifest: &Manifest, reframe: &Reframe) -> Result<Reframing, ManifestError> {
    let mut gone = Vec::with_capacity(reframe.gone.len());
    for (id, revision) in &reframe.gone {
        let held = board.view.borrow().cells.get(id).cloned();
        match held {
            Some(held) if held.revision == *revision => gone.push((*held).clone()),
            Some(_) => return Ok(Reframing::Lost), // the view has moved on: the change could only lose
            None => return Ok(Reframing::Made),    // nobody but this node could have taken the cell out: an earlier try did
        }
    }
    if manifest.reframe(&gone, &reframe.made).await? {
        let mut made = Vec::with_capacity(reframe.made.len());
        for cell in &reframe.made {
            made.extend(manifest.cell(cell.id()).await.ok().flatten()); // else the watch tells
        }
        if made.len() == reframe.made.len() {
            board.reframed(&reframe.gone.iter().map(|(id, _)| *id).collect::<Vec<_>>(), made);
        }
        return Ok(Reframing::Made);
    }
    for (id, _) in &reframe.gone {
        match manifest.cell(*id).await? {
            Some(now) => board.learn([now]),
            None => return Ok(Reframing::Made),
        }
    }
    Ok(Reframing::Lost)
}

fn failed(fragment: FragmentId, error: &ManifestError) -> Outcome {
    tracing::warn!(%fragment, code = error.code(), "a change of its cell was not made: {error}");
    match error {
        ManifestError::Unavailable { .. }
        | ManifestError::Refused(_)
        | ManifestError::Limit { .. }
        | ManifestError::Denied { .. }
        | ManifestError::Config { .. } => Outcome::Unavailable,
        _ => Outcome::Unknown,
    }
}

/// Reads a cell now; what it says comes through the board.
pub(super) fn read(board: &Arc<Board>, manifest: &Manifest, fragment: FragmentId) {
    let (board, manifest) = (board.clone(), manifest.clone());
    tokio::spawn(async move {
        match manifest.cell(fragment).await {
            Ok(held) => board.learn(held),
            Err(error) => tracing::debug!(%fragment, code = error.code(), "its cell can't be read: {error}"),
        }
    });
}

pub(super) fn seen(held: &Held<FragmentCell>) -> SeenCell {
    SeenCell { cell: held.value.clone(), revision: held.revision }
}
