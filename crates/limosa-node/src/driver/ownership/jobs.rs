//! The machine's work on the store, on a thread of its own: each answer is durable when it is given.

use std::collections::BTreeMap;

use limosa_core::{Digest, FragmentId, Version};
use limosa_engine::ownership::{Event, HeldFragment, Job};
use limosa_store::{FragmentGate, Framed, Store, StoreError};
use tokio::sync::mpsc::UnboundedSender;

use super::falling_in;

/// Under which key a fragment's fence is noted.
pub(super) const FENCES: &str = "fence/";

/// Jobs that came together, of one kind, about different fragments.
#[derive(Debug)]
pub(super) enum Batch {
    Epochs(Vec<(FragmentId, u32)>),
    Fences(Vec<(FragmentId, u32)>),
    Digests(Vec<(FragmentId, Version)>),
    Drop(FragmentId),
    FallIn(Vec<Framed>),
}

/// The store has these fragments now.
#[derive(Debug)]
pub(super) struct Fallen {
    pub(super) frames: Vec<Framed>,
    /// It has no copy of them that fits.
    pub(super) unfit: Vec<FragmentId>,
    pub(super) held: Vec<HeldFragment>,
}

/// What a batch gives back.
#[derive(Debug)]
pub(super) enum Answer {
    Event(Event),
    /// See [`Batch::FallIn`].
    Fallen(Fallen),
    /// The fragment is not at that version yet.
    NotYet(FragmentId, Version),
    /// The store failed: it is poisoned, or the disk is full.
    Failed(Batch, StoreError),
}

/// Sorts jobs into batches, in an order that keeps each fragment's.
pub(super) fn batches(jobs: Vec<Job>) -> Vec<Batch> {
    let mut out: Vec<Batch> = Vec::new();
    for job in jobs {
        match (job, out.last_mut()) {
            (Job::OpenEpoch { fragment, epoch }, Some(Batch::Epochs(all))) if all.iter().all(|(id, _)| *id != fragment) => {
                all.push((fragment, epoch));
            }
            (Job::OpenEpoch { fragment, epoch }, _) => out.push(Batch::Epochs(vec![(fragment, epoch)])),
            (Job::PersistFence { fragment, epoch }, Some(Batch::Fences(all))) => all.push((fragment, epoch)),
            (Job::PersistFence { fragment, epoch }, _) => out.push(Batch::Fences(vec![(fragment, epoch)])),
            (Job::Digest { fragment, at }, Some(Batch::Digests(all))) => all.push((fragment, at)),
            (Job::Digest { fragment, at }, _) => out.push(Batch::Digests(vec![(fragment, at)])),
            (Job::Drop { fragment }, _) => out.push(Batch::Drop(fragment)),
        }
    }
    out
}

/// Carries a batch out.
pub(super) fn carry_out(store: &Store, batch: Batch, answers: &UnboundedSender<Answer>) {
    let done = match &batch {
        Batch::Epochs(epochs) => open_epochs(store, epochs),
        Batch::Fences(fences) => persist(store, fences),
        Batch::Digests(all) => digests(store, all),
        Batch::Drop(fragment) => {
            let dropped = store.drop_fragment(*fragment);
            dropped.map(|_| vec![Answer::Event(Event::Dropped { fragment: *fragment })])
        }
        Batch::FallIn(frames) => falling_in::carry_out(store, frames).map(|fallen| vec![Answer::Fallen(fallen)]),
    };
    let said = done.unwrap_or_else(|error| vec![Answer::Failed(batch, error)]);
    said.into_iter().for_each(|answer| drop(answers.send(answer))); // the node has stopped
}

/// All rows behind one flush. Where one is refused, each is tried alone: the others are not to wait for it.
fn open_epochs(store: &Store, epochs: &[(FragmentId, u32)]) -> Result<Vec<Answer>, StoreError> {
    let bases = heads(store);
    let opened = |&(fragment, epoch): &(FragmentId, u32)| {
        let base = bases.get(&fragment).copied().unwrap_or(Version::ZERO);
        Answer::Event(Event::EpochOpened { fragment, epoch, base })
    };
    match store.open_epochs(epochs) {
        Ok(_) => Ok(epochs.iter().map(opened).collect()),
        Err(StoreError::EpochHeld { fragment, held, .. }) if epochs.len() == 1 => {
            Ok(vec![Answer::Event(Event::EpochRefused { fragment, held })])
        }
        Err(StoreError::EpochHeld { .. }) => {
            let singles = epochs.iter().map(|one| open_epochs(store, std::slice::from_ref(one)));
            singles.collect::<Result<Vec<_>, _>>().map(|answers| answers.into_iter().flatten().collect())
        }
        Err(error) => Err(error),
    }
}

fn persist(store: &Store, fences: &[(FragmentId, u32)]) -> Result<Vec<Answer>, StoreError> {
    // Order: what a session that has ended left pending is published and on the disk first, so that `held` is what this node really has;
    // then the fence, durably; only then the answer.
    store.flush()?;
    store.sync()?;
    let keys: Vec<(String, [u8; 4])> = fences.iter().map(|(id, epoch)| (fence_key(*id), epoch.to_be_bytes())).collect();
    let notes: Vec<(&str, &[u8])> = keys.iter().map(|(key, epoch)| (key.as_str(), &epoch[..])).collect();
    store.set_notes(&notes)?;
    let heads = heads(store);
    let answer = |&(fragment, epoch): &(FragmentId, u32)| {
        let held = heads.get(&fragment).copied().unwrap_or(Version::ZERO);
        Answer::Event(Event::FencePersisted { fragment, epoch, held })
    };
    Ok(fences.iter().map(answer).collect())
}

fn digests(store: &Store, all: &[(FragmentId, Version)]) -> Result<Vec<Answer>, StoreError> {
    let heads = heads(store);
    let digest = |&(fragment, at): &(FragmentId, Version)| {
        if heads.get(&fragment).is_none_or(|head| *head < at) {
            return Ok(Answer::NotYet(fragment, at));
        }
        let (version, state) = if store.gate(fragment) == Some(FragmentGate::Serving) {
            as_it_is(store, fragment)?
        } else {
            store.sealed(fragment)? // the first of them flushes for all
        };
        Ok(Answer::Event(Event::Digest { fragment, version, state }))
    };
    all.iter().map(digest).collect()
}

/// Of a fragment that is written meanwhile.
fn as_it_is(store: &Store, fragment: FragmentId) -> Result<(Version, Digest), StoreError> {
    store.flush()?;
    store.sync()?;
    let facts = store.facts().into_iter().find(|facts| facts.id == fragment);
    Ok(facts.map(|facts| (facts.head, facts.state)).unwrap_or_default())
}

fn heads(store: &Store) -> BTreeMap<FragmentId, Version> {
    store.facts().into_iter().map(|facts| (facts.id, facts.head)).collect()
}

pub(super) fn fence_key(fragment: FragmentId) -> String {
    format!("{FENCES}{:08x}", fragment.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_jobs_that_come_together_are_done_together_and_a_fragments_jobs_keep_their_order() {
        let [a, b] = [FragmentId(1), FragmentId(2)];
        let jobs = vec![
            Job::OpenEpoch { fragment: a, epoch: 3 },
            Job::OpenEpoch { fragment: b, epoch: 4 },
            Job::OpenEpoch { fragment: a, epoch: 5 },
            Job::PersistFence { fragment: a, epoch: 6 },
            Job::PersistFence { fragment: b, epoch: 6 },
            Job::Digest { fragment: a, at: Version::ZERO },
            Job::Digest { fragment: b, at: Version::ZERO },
            Job::Drop { fragment: b },
        ];
        let sizes: Vec<usize> = batches(jobs)
            .iter()
            .map(|batch| match batch {
                Batch::Epochs(all) | Batch::Fences(all) => all.len(),
                Batch::Digests(all) => all.len(),
                Batch::Drop(_) | Batch::FallIn(_) => 1,
            })
            .collect();
        assert_eq!(sizes, [2, 1, 2, 2, 1]);
    }
}
