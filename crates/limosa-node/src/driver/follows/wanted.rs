//! What a session is to be about, and up to which epoch: changed by the driver, read by the session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use limosa_core::{FragmentId, Scope};

/// A source that lacked a fragment is asked for it again after this.
const ASK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Inner {
    fragments: BTreeMap<FragmentId, u32>,
    /// A session about these fragments is being made, or there: more can't be added.
    is_fixed: bool,
    /// What the session that goes on is about, and since when that is known: the source may not have all that was asked for.
    covered: Option<(Scope, Instant)>,
}

/// Shared by the driver and the session's task.
#[derive(Clone, Debug, Default)]
pub(in crate::driver) struct Wanted {
    inner: Arc<Mutex<Inner>>,
}

impl Wanted {
    pub(super) fn new(fragments: BTreeMap<FragmentId, u32>) -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { fragments, is_fixed: false, covered: None })) }
    }

    pub(super) fn has(&self, fragment: FragmentId) -> bool {
        self.lock().fragments.contains_key(&fragment)
    }

    pub(super) fn insert(&self, fragment: FragmentId, epoch_max: u32) {
        self.lock().fragments.insert(fragment, epoch_max);
    }

    /// Adds fragments, if no session is there yet that they would be too late for.
    pub(super) fn join(&self, more: &BTreeMap<FragmentId, u32>) -> bool {
        let mut inner = self.lock();
        let joins = !inner.is_fixed && !inner.fragments.is_empty();
        if joins {
            inner.fragments.extend(more);
        }
        joins
    }

    /// Takes fragments out; those that were there.
    pub(super) fn remove(&self, fragments: &[FragmentId]) -> Vec<FragmentId> {
        let mut inner = self.lock();
        fragments.iter().filter(|id| inner.fragments.remove(id).is_some()).copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().fragments.is_empty()
    }

    /// For a session that begins now.
    pub(super) fn fix(&self) -> Scope {
        let mut inner = self.lock();
        inner.is_fixed = true;
        Scope::only(inner.fragments.keys().copied())
    }

    /// The session has ended.
    pub(super) fn release(&self) {
        let mut inner = self.lock();
        (inner.is_fixed, inner.covered) = (false, None);
    }

    /// The session goes on, and is about this.
    pub(in crate::driver) fn cover(&self, scope: &Scope) {
        let mut inner = self.lock();
        if inner.covered.as_ref().is_none_or(|(known, _)| known != scope) {
            inner.covered = Some((scope.clone(), Instant::now()));
        }
    }

    /// Takes out what the session that goes on is not about, though it was asked for: the source did not serve it when it was asked, or
    /// serves it no longer. It needs another session.
    pub(super) fn take_missing(&self) -> BTreeMap<FragmentId, u32> {
        let mut inner = self.lock();
        let Some((scope, _)) = inner.covered.clone().filter(|(_, since)| since.elapsed() >= ASK_AGAIN) else { return BTreeMap::new() };
        let (stay, missing) = std::mem::take(&mut inner.fragments).into_iter().partition(|(id, _)| scope.has(*id));
        inner.fragments = stay;
        missing
    }

    /// Whether an epoch may be taken over. What has left is not asked for any more: its messages are dropped by the session.
    pub(in crate::driver) fn allows(&self, fragment: FragmentId, epoch: u32) -> bool {
        self.lock().fragments.get(&fragment).is_none_or(|max| epoch <= *max)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_join_a_session_until_it_is_made_and_an_epoch_above_the_wanted_one_is_not_allowed() {
        let [a, b, c] = [1, 2, 3].map(FragmentId);
        let wanted = Wanted::new(BTreeMap::from([(a, 4)]));
        assert!(wanted.join(&BTreeMap::from([(b, 7)])));
        assert_eq!(wanted.fix(), Scope::only([a, b]));
        assert!(!wanted.join(&BTreeMap::from([(c, 1)])), "a session's scope does not grow");
        assert!(wanted.allows(a, 4) && !wanted.allows(a, 5) && wanted.allows(b, 5));
        assert_eq!(wanted.remove(&[a, c]), vec![a]);
        wanted.release();
        assert!(wanted.join(&BTreeMap::from([(c, 1)])));
        wanted.remove(&[b, c]);
        assert!(wanted.take_missing().is_empty(), "no session has said what it is about");
        assert!(wanted.is_empty() && !wanted.join(&BTreeMap::from([(a, 1)])), "its task ends: others need one of their own");
    }
}
