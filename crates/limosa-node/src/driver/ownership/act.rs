//! Carries out what the machine asks for, in order.

use limosa_core::FragmentId;
use limosa_engine::ownership::{Action, Change, Count, Event, Gate, Job};
use limosa_store::FragmentGate;

use super::changing;
use super::driver::Driver;
use super::jobs::{self, Batch};
use crate::driver::pulse::heads;

impl Driver {
    /// Until the machine wants nothing more. What may be done together is gathered: changes for one transaction of the manifest, jobs for
    /// one flush, gates for one turn of the store's lock.
    pub(super) fn act(&mut self) {
        let (mut changes, mut jobs) = (Vec::new(), Vec::new());
        loop {
            let counted = self.drain(&mut changes, &mut jobs);
            if counted.is_empty() {
                break;
            }
            // Behind the changes: whatever was acknowledged under the rules before them is at or below these heads.
            let heads = heads(&self.shared.store);
            for fragment in counted {
                self.handle(Event::Counted { fragment, head: heads.get(&fragment).copied().unwrap_or_default() });
            }
        }
        self.flush(changes, jobs);
    }

    /// Carries out what is to be done at once and gathers the rest. Fragments whose acknowledgements count by another rule now.
    fn drain(&mut self, changes: &mut Vec<Change>, jobs: &mut Vec<Job>) -> Vec<FragmentId> {
        let (mut gates, mut counted) = (Vec::new(), Vec::new());
        loop {
            let next = self.machine.poll();
            // A gate is in force before anything else is begun.
            if !matches!(next, Some(Action::SetGate { .. })) && !gates.is_empty() {
                self.set_gates(std::mem::take(&mut gates));
            }
            let Some(action) = next else { return counted };
            match action {
                Action::Change(change) => changes.push(*change),
                Action::Reframe(reframe) => changing::reframe(&self.board, &self.manifest, *reframe, &self.events),
                Action::Job(job) => self.job(job, jobs),
                Action::SetGate { fragment, gate } => gates.push((fragment, gate)),
                Action::ReadCell(fragment) => changing::read(&self.board, &self.manifest, fragment),
                Action::Send { to, message } => self.lanes.send(&to, message),
                Action::Follow { from, purpose, fragments } => self.following.follow(&from, purpose, &fragments),
                Action::Unfollow { from, fragments } => self.following.unfollow(&from, &fragments),
                Action::Count(count) => {
                    counted.push(count.fragment);
                    self.count(count);
                }
                Action::Slow { fragment, share_per_mille } => self.slow(fragment, share_per_mille),
                Action::Report(report) => self.report(&report),
            }
        }
    }

    fn flush(&mut self, changes: Vec<Change>, jobs: Vec<Job>) {
        self.following.begin();
        if !jobs.is_empty() {
            self.work(jobs);
        }
        if !changes.is_empty() {
            changing::change(&self.board, &self.manifest, changes, &self.events);
        }
    }

    fn work(&mut self, jobs: Vec<Job>) {
        self.work_on(jobs::batches(jobs));
    }

    pub(super) fn work_on(&mut self, batches: Vec<Batch>) {
        // Order: what was to leave a session has left it before the store is asked what it has, or an epoch is opened.
        let Some(settled) = self.following.settled() else {
            return batches.into_iter().for_each(|batch| self.jobs.push(batch));
        };
        let jobs = self.jobs.sender();
        tokio::spawn(async move {
            settled.await;
            batches.into_iter().for_each(|batch| jobs.push(batch));
        });
    }

    fn job(&mut self, job: Job, jobs: &mut Vec<Job>) {
        if let Job::Digest { fragment, .. } = job {
            self.digests.remove(&fragment); // the later one replaces it
            jobs.retain(|other| !matches!(other, Job::Digest { fragment: of, .. } if *of == fragment));
        }
        jobs.push(job);
    }

    fn set_gates(&mut self, gates: Vec<(FragmentId, Gate)>) {
        let to_store = |&(fragment, gate): &(FragmentId, Gate)| {
            let gate = match gate {
                Gate::Serving => FragmentGate::Serving,
                Gate::Parked => FragmentGate::Parked,
                Gate::Closed => FragmentGate::Closed,
            };
            (fragment, gate)
        };
        {
            // Order: what is evaluated behind the opening of a gate belongs to the stint that begins here.
            let mut fast = self.board.fast();
            gates.iter().for_each(|&(fragment, gate)| fast.stints.before(fragment, gate));
        }
        // Order: the store's gate first, so that nobody who sees the board finds the store behind it; what pends by then is flushed by the
        // digest that follows a seal.
        self.shared.store.set_gates(&gates.iter().map(to_store).collect::<Vec<_>>());
        let mut fast = self.board.fast();
        for (fragment, gate) in gates {
            fast.gates.insert(fragment, gate);
            fast.stints.behind(fragment, gate);
            if gate != Gate::Closed {
                fast.fresh_at.remove(&fragment); // it is no copy any more
            }
        }
        drop(fast);
        self.board.touch();
    }

    fn count(&mut self, count: Count) {
        self.board.fast().counts.insert(count.fragment, count);
        self.board.progress.send_modify(|changes| *changes += 1);
    }

    fn slow(&mut self, fragment: FragmentId, share_per_mille: u16) {
        let mut fast = self.board.fast();
        if share_per_mille == 0 {
            fast.slowed.remove(&fragment);
        } else {
            fast.slowed.insert(fragment, share_per_mille);
        }
    }
}
