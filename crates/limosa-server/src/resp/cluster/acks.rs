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

use super::seam::{AckLevel, Acked, Cluster};

/// A read lease comes back with a beat, without a word to the front door: looked for again after this long.
const LEASE_PAUSE: Duration = Duration::from_millis(2);

/// Stint, position, and a number of the waiter's own.
type Place = (u64, u64, u64);

/// Whether a reply may leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Met {
    /// As it is.
    Yes,
    /// Not yet.
    NotYet,
    /// Never: another node took over, and what that one has is not known here.
    Unknown,
}

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

    /// Whether a reply that needs this of what it was evaluated on may leave.
    pub(crate) fn is_met(&self, of: Stint, need: Need) -> Met {
        match self.acked(of, need.position) {
            Met::Yes if need.is_read && !self.cluster.may_read(of.fragment, of.number) => {
                match self.cluster.acked(of.fragment, of.number) {
                    Acked::Unknown => Met::Unknown,
                    Acked::UpTo(_) => Met::NotYet,
                }
            }
            met => met,
        }
    }

    /// By how much writers of a fragment are to be slowed.
    pub(crate) fn slowed_per_mille(&self, fragment: FragmentId) -> u16 {
        self.cluster.slowed_per_mille(fragment)
    }

    /// Waits until [`AckGate::is_met`] says yes or never.
    pub(crate) async fn meet(&self, of: Stint, need: Need) {
        self.reach(of, need.position).await;
        while self.is_met(of, need) == Met::NotYet {
            sleep(LEASE_PAUSE).await;
        }
    }

    fn acked(&self, of: Stint, position: u64) -> Met {
        if self.level == AckLevel::Local || position == 0 {
            return Met::Yes;
        }
        match self.cluster.acked(of.fragment, of.number) {
            Acked::Unknown => Met::Unknown,
            Acked::UpTo(acked) if acked >= position => Met::Yes,
            Acked::UpTo(_) => Met::NotYet,
        }
    }

    async fn reach(&self, of: Stint, position: u64) {
        let place = (of.number, position, self.last.fetch_add(1, Ordering::Relaxed));
        let waiter = Waiter { gate: self, fragment: of.fragment, place };
        poll_fn(|context| {
            waiter.stand(context.waker().clone());
            // Looked at behind that: progress in between wakes the driver, which then finds this waiter.
            if self.acked(of, position) == Met::NotYet { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Wakes those whose position is acknowledged now, and those whose stint is over.
    fn wake(&self) {
        let mut woken = Vec::new();
        self.waiting().retain(|fragment, places| {
            let stint = self.cluster.stint(*fragment);
            let above = match self.cluster.acked(*fragment, stint) {
                Acked::UpTo(u64::MAX) | Acked::Unknown => (stint.saturating_add(1), 0, 0),
                Acked::UpTo(acked) => (stint, acked + 1, 0),
            };
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
    /// What it looked at or changed, and when.
    pub(crate) of: Stint,
    /// What of that.
    pub(crate) need: Need,
}

/// A fragment in one of the times in which this node serves it: see [`Cluster::stint`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Stint {
    /// Which fragment.
    pub(crate) fragment: FragmentId,
    /// Which time.
    pub(crate) number: u64,
}

/// What a reply needs of a fragment before it leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Need {
    /// Standbys have the commits up to here.
    pub(crate) position: u64,
    /// And nobody else has been promoted: it tells what it read.
    pub(crate) is_read: bool,
    /// It tells of a write, which may be slowed.
    pub(crate) is_write: bool,
}

impl Need {
    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            position: self.position.max(other.position),
            is_read: self.is_read || other.is_read,
            is_write: self.is_write || other.is_write,
        }
    }
}

/// What to wait for, by fragment and stint.
pub(crate) fn needs(dues: &[Due]) -> BTreeMap<Stint, Need> {
    let mut needs = BTreeMap::new();
    for due in dues {
        let need: &mut Need = needs.entry(due.of).or_default();
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
    const NOW: Stint = Stint { fragment: F, number: 0 };

    fn need(position: u64, is_read: bool) -> Need {
        Need { position, is_read, is_write: !is_read }
    }

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
        let mut waits: Vec<_> = (1..=1000).map(|position| Box::pin(gate.reach(NOW, position))).collect();
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
        assert_eq!(gate.acked(NOW, 7), Met::Yes, "a fragment whose level is local");
        script.set_acked(F, 6);
        assert_eq!((gate.acked(NOW, 6), gate.acked(NOW, 7)), (Met::Yes, Met::NotYet));
        let waker = Waker::from(Arc::new(Count::default()));
        assert!(pin!(gate.reach(NOW, 6)).poll(&mut Context::from_waker(&waker)).is_ready());
    }

    #[test]
    fn a_fragment_that_left_and_came_back_acknowledges_nothing_of_before_unless_it_was_given() {
        for is_given in [false, true] {
            let script = Script::new(&[("one", 1)], 1);
            script.set_acked(F, 5);
            let gate = AckGate::new(script.node(0), AckLevel::Standby, Duration::from_secs(1));
            let count = Arc::new(Count::default());
            let waker = Waker::from(count.clone());
            let mut waits = Box::pin(gate.reach(NOW, 7));
            assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            script.end_stint(F, is_given);
            script.set_acked(F, 100); // of the next stint
            gate.wake();
            assert_eq!(count.0.load(Ordering::SeqCst), 1, "it learns that at once");
            assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            let met = [need(7, false), need(3, true)].map(|need| gate.is_met(NOW, need));
            assert_eq!(met, [if is_given { Met::Yes } else { Met::Unknown }; 2]);
            assert_eq!(gate.is_met(Stint { number: 1, ..NOW }, need(7, true)), Met::Yes);
        }
    }

    #[test]
    fn a_batch_waits_once_for_each_fragment_and_stint() {
        let of = |fragment, number| Stint { fragment: FragmentId(fragment), number };
        let due = |of, position, is_read| Due { start: 0, end: 1, of, need: need(position, is_read) };
        let dues =
            [due(of(1, 1), 5, true), due(of(2, 1), 7, false), due(of(1, 1), 9, false), due(of(1, 1), 8, false), due(of(1, 2), 9, true)];
        let expected = [(of(1, 1), Need { is_write: true, ..need(9, true) }), (of(1, 2), need(9, true)), (of(2, 1), need(7, false))];
        assert_eq!(needs(&dues), BTreeMap::from(expected));
    }
}
