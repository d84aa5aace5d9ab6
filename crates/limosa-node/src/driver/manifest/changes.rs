//! Changes of cells: those that are due at once go in one change of the manifest, and one by one where that loses.

use limosa_manifest::store::CHANGE_OPS_MAX;
use limosa_manifest::{Changed, FragmentCell, Held, Intent, Manifest, ManifestError};

/// Cells in one change: each is one guard and one write, and etcd counts both.
const GROUP_MAX: usize = CHANGE_OPS_MAX / 2;

/// A wish to replace a cell.
#[derive(Clone, Debug)]
pub(in crate::driver) struct Wish {
    /// The cell that it replaces.
    pub(in crate::driver) held: Held<FragmentCell>,
    /// By what.
    pub(in crate::driver) next: FragmentCell,
    /// Random: recognises the wish after an unknown outcome.
    pub(in crate::driver) intent: Intent,
}

/// What became of a wish. Certain, but for an error.
#[derive(Debug)]
pub(in crate::driver) enum Outcome {
    /// The cell is this one.
    Made(Held<FragmentCell>),
    /// Somebody was faster; the cell as it is, if it is there.
    Lost(Option<Held<FragmentCell>>),
    /// The manifest did not say; whether it was made, the cell tells when it can be read.
    Failed(ManifestError),
}

/// Carries wishes out, at most one a cell; the outcomes are in the order of the wishes.
pub(in crate::driver) async fn change(manifest: &Manifest, wishes: Vec<Wish>) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(wishes.len());
    for group in wishes.chunks(GROUP_MAX) {
        let together = if group.len() > 1 { all(manifest, group).await } else { None };
        match together {
            Some(made) => outcomes.extend(made.into_iter().map(Outcome::Made)),
            None => {
                for wish in group {
                    outcomes.push(one(manifest, wish).await);
                }
            }
        }
    }
    outcomes
}

async fn all(manifest: &Manifest, group: &[Wish]) -> Option<Vec<Held<FragmentCell>>> {
    let changes: Vec<_> = group.iter().map(|wish| (wish.held.clone(), wish.next.clone(), wish.intent)).collect();
    // A failure of the group is not the last word: each wish is tried alone and gets its own, which recognises what the group made.
    manifest.change_all(&changes).await.ok().flatten()
}

async fn one(manifest: &Manifest, wish: &Wish) -> Outcome {
    match manifest.change(&wish.held, wish.next.clone(), wish.intent).await {
        Ok(Changed::Made(held)) => Outcome::Made(held),
        Ok(Changed::Lost(now)) => Outcome::Lost(now),
        Err(error) => Outcome::Failed(error),
    }
}
