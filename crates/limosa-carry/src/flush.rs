//! Makes durable what a target's jobs appended, and tells the machine how far that is.

use limosa_core::KeyRange;
use limosa_core::planted::{self, Bug};
use limosa_engine::target::Event;
use limosa_store::{Drift, Position, Store, StoreError};

/// Whether the job with this answer appended to the journal: a [`flush`] must follow, at once or together with later ones.
pub fn wants_flush(answer: &Event) -> bool {
    matches!(answer, Event::Staged(_) | Event::Replicated(_) | Event::Reframed { .. })
}

/// Flushes the journal. For the machine: how far it is durable, and, where the digest of a fragment is not its owner's, that.
pub fn flush(store: &Store) -> Result<(Position, Vec<Event>), StoreError> {
    if planted::has(Bug::ExpireAtStandby) {
        store.expire_due(store.now_ms(), 20)?;
    }
    let position = store.flush()?;
    let drift = store.drift().map(|drift| drifted(store, &drift));
    Ok((position, [Event::Durable(position.0)].into_iter().chain(drift).collect()))
}

fn drifted(store: &Store, drift: &Drift) -> Event {
    let range = store.facts().into_iter().find(|facts| facts.id == drift.fragment).map_or(KeyRange::ALL, |facts| facts.range);
    let detail = format!("at {} the state digest is {}, the owner's {}", drift.version, drift.ours, drift.owners);
    Event::Drifted { fragment: drift.fragment, range, detail }
}
