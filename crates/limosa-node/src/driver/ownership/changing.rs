//! Wishes of the machine to change cells, carried to the manifest together and answered one by one.

use std::sync::Arc;

use limosa_core::FragmentId;
use limosa_engine::ownership::{Change, Event, Outcome, SeenCell};
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
