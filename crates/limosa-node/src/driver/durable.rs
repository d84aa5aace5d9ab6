//! How much of each fragment survives a power cut, where not every published commit does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use limosa_core::{FragmentId, Version};

/// Versions by fragment.
type Heads = BTreeMap<FragmentId, Version>;

/// What the last sync of everything covered, and what was flushed by itself since.
#[derive(Debug, Default)]
pub(super) struct DurableHeads(Mutex<Heads>);

impl DurableHeads {
    pub(super) fn all(&self) -> Heads {
        self.lock().clone()
    }

    /// One fragment was flushed up to `version`, or stands there durably for another reason: it was dropped, say.
    pub(super) fn note(&self, fragment: FragmentId, version: Version) {
        self.lock().insert(fragment, version);
    }

    /// A sync has ended that began when this was `before` and the store's heads were `heads`. What was noted meanwhile is newer, and stays.
    pub(super) fn synced(&self, before: &Heads, heads: Heads) {
        let mut now = self.lock();
        now.retain(|id, _| heads.contains_key(id));
        for (id, head) in heads {
            if now.get(&id) == before.get(&id) {
                now.insert(id, head);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F: [FragmentId; 3] = [FragmentId(0), FragmentId(1), FragmentId(2)];

    fn v(seq: u64) -> Version {
        Version { epoch: 1, seq }
    }

    #[test]
    fn what_was_flushed_by_itself_counts_at_once_and_a_sync_that_began_before_does_not_take_it_back() {
        let durable = DurableHeads::default();
        let before = durable.all();
        durable.note(F[0], v(7));
        assert_eq!(durable.all(), Heads::from([(F[0], v(7))]));
        durable.synced(&before, Heads::from([(F[0], v(3)), (F[1], v(4))]));
        assert_eq!(durable.all(), Heads::from([(F[0], v(7)), (F[1], v(4))]));
    }

    #[test]
    fn a_sync_moves_everything_to_its_heads_and_forgets_fragments_that_are_gone() {
        let durable = DurableHeads::default();
        durable.note(F[0], v(7));
        durable.note(F[2], v(1));
        let before = durable.all();
        durable.synced(&before, Heads::from([(F[0], v(9)), (F[1], v(4))]));
        assert_eq!(durable.all(), Heads::from([(F[0], v(9)), (F[1], v(4))]));
    }
}
