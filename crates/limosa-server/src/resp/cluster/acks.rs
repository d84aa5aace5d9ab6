//! Where replies wait until standbys have what they saw, beside the flush gate.
//!
//! A reply is due on a fragment at a position. Those that wait stand in the order of their positions, so that one step of progress wakes
//! exactly the connections whose last due is covered by it, however many wait.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use limosa_core::FragmentId;
use tokio::time::sleep;

use super::seam::{AckLevel, Cluster};

/// A read lease comes back with a beat, without a word to the front door: looked for again after this long.
const LEASE_PAUSE: Duration = Duration::from_millis(2);

/// Position, and a number of the waiter's own.
type Place = (u64, u64);

/// Holds replies back until they are at the space's ack level.
pub(crate) struct AckGate {
    cluster: Arc<dyn Cluster>,
    level: AckLevel,
    /// Longest wait.
    pub(crate) timeout: Duration,
    waiting: Mutex<BTreeMap<FragmentId, BTreeMap<Place, Waker>>>,
    last: AtomicU64,
}

impl AckGate {
    pub(crate) fn new(cluster: Arc<dyn Cluster>, level: AckLevel, timeout: Duration) -> Self {
        Self { cluster, level, timeout, waiting: Mutex::default(), last: AtomicU64::new(0) }
    }

    /// Whether a reply that needs this of `fragment` may leave.
    pub(crate) fn is_met(&self, fragment: FragmentId, need: Need) -> bool {
        self.is_open(fragment, need.position) && (!need.is_read || self.cluster.may_read(fragment))
    }

    /// Waits until [`AckGate::is_met`].
    pub(crate) async fn meet(&self, fragment: FragmentId, need: Need) {
        self.reach(fragment, need.position).await;
        while !self.is_met(fragment, need) {
            sleep(LEASE_PAUSE).await;
        }
    }

    fn is_open(&self, fragment: FragmentId, position: u64) -> bool {
        self.level == AckLevel::Local || position == 0 || self.cluster.acked(fragment) >= position
    }

    async fn reach(&self, fragment: FragmentId, position: u64) {
        let waiter = Waiter { gate: self, fragment, place: (position, self.last.fetch_add(1, Ordering::Relaxed)) };
        poll_fn(|context| {
            waiter.stand(context.waker().clone());
            // Looked at behind that: progress in between wakes the driver, which then finds this waiter.
            if self.is_open(fragment, position) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Wakes those whose position is acknowledged now.
    fn wake(&self) {
        let mut woken = Vec::new();
        self.waiting().retain(|fragment, places| {
            let above = (self.cluster.acked(*fragment).saturating_add(1), 0);
            let still = places.split_off(&above);
            woken.extend(std::mem::replace(places, still).into_values());
            !places.is_empty()
        });
        woken.into_iter().for_each(Waker::wake);
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<FragmentId, BTreeMap<Place, Waker>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves the gate when its wait ends, in whatever way.
struct Waiter<'a> {
    gate: &'a AckGate,
    fragment: FragmentId,
    place: Place,
}

impl Waiter<'_> {
    fn stand(&self, waker: Waker) {
        self.gate.waiting().entry(self.fragment).or_default().insert(self.place, waker);
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.gate.waiting();
        let is_last = waiting.get_mut(&self.fragment).is_some_and(|places| {
            places.remove(&self.place);
            places.is_empty()
        });
        if is_last {
            waiting.remove(&self.fragment);
        }
    }
}

/// Wakes waiters as standbys make progress. Runs until its task is dropped.
pub(crate) async fn drive(gate: Arc<AckGate>) {
    let mut progress = gate.cluster.ack_progress();
    while progress.changed().await.is_ok() {
        gate.wake();
    }
    tracing::debug!("the node tells of no more acknowledgements");
}

/// One reply of the output, and what it saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    /// Its first byte in the output.
    pub(crate) start: usize,
    /// Where it ends.
    pub(crate) end: usize,
    /// What it looked at or changed.
    pub(crate) fragment: FragmentId,
    /// What of that.
    pub(crate) need: Need,
}

/// What a reply needs of a fragment before it leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Need {
    /// Standbys have the commits up to here.
    pub(crate) position: u64,
    /// And nobody else has been promoted: it tells what it read.
    pub(crate) is_read: bool,
}

impl Need {
    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { position: self.position.max(other.position), is_read: self.is_read || other.is_read }
    }
}

/// What to wait for, by fragment.
pub(crate) fn needs(dues: &[Due]) -> BTreeMap<FragmentId, Need> {
    let mut needs = BTreeMap::new();
    for due in dues {
        let need: &mut Need = needs.entry(due.fragment).or_default();
        *need = need.and(due.need);
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::super::scripted::Script;
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Wake};

    const F: FragmentId = FragmentId(0);

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn one_step_of_progress_wakes_those_that_it_covers_and_nobody_else() {
        let script = Script::new(&[("one", 1)], 1);
        script.set_acked(F, 0);
        let gate = AckGate::new(script.node(0), AckLevel::Standby, Duration::from_secs(1));
        let count = Arc::new(Count::default());
        let (waker, woken) = (Waker::from(count.clone()), || count.0.load(Ordering::SeqCst));
        let mut waits: Vec<_> = (1..=1000).map(|position| Box::pin(gate.reach(F, position))).collect();
        let mut poll = |index: usize| waits[index].as_mut().poll(&mut Context::from_waker(&waker));
        assert!((0..1000).all(|index| poll(index).is_pending()));
        script.set_acked(F, 600);
        gate.wake();
        assert_eq!(woken(), 600);
        assert!(poll(599).is_ready() && poll(600).is_pending());
        gate.wake();
        assert_eq!(woken(), 600);
        drop(waits);
        assert!(gate.waiting().is_empty(), "who gives up leaves nothing behind");
    }

    #[test]
    fn what_is_acknowledged_does_not_wait() {
        let script = Script::new(&[("one", 1)], 1);
        let gate = AckGate::new(script.node(0), AckLevel::Standby, Duration::from_secs(1));
        assert!(gate.is_open(F, 7), "a fragment whose level is local");
        script.set_acked(F, 6);
        assert!(gate.is_open(F, 6) && !gate.is_open(F, 7));
        let waker = Waker::from(Arc::new(Count::default()));
        assert!(pin!(gate.reach(F, 6)).poll(&mut Context::from_waker(&waker)).is_ready());
    }

    #[test]
    fn a_batch_waits_once_for_each_fragment() {
        let need = |position, is_read| Need { position, is_read };
        let due = |fragment, position, is_read| Due { start: 0, end: 1, fragment: FragmentId(fragment), need: need(position, is_read) };
        let dues = [due(1, 5, true), due(2, 7, false), due(1, 9, false), due(1, 8, false)];
        assert_eq!(needs(&dues), BTreeMap::from([(FragmentId(1), need(9, true)), (FragmentId(2), need(7, false))]));
    }
}
