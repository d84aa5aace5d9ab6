//! The world carries actions out, and has its one fault at one of them.

use std::time::Duration;

use limosa_core::{FragmentId, NodeName};

use super::world::{Fault, World};
use crate::ownership::{Action, Event, Gate, Job, Outcome, Reframing, Step};

/// What a flush takes.
const JOB: Duration = Duration::from_millis(3);

impl World {
    // ---- Actions, and the fault.

    pub(super) fn act(&mut self, name: &NodeName) {
        let Some(action) = self.process(name).and_then(|process| process.out.pop_front()) else { return };
        let Some(step) = Step::of(&action) else {
            if let Action::Report(report) = action {
                self.heed(name, &report);
                self.reports.push((name.clone(), report));
            }
            return;
        };
        let at = self.steps;
        self.steps += 1;
        self.hit.insert(step);
        self.trace.push((name.clone(), step));
        let Some(plan) = self.plan.filter(|plan| plan.at == at) else { return self.carry_out(name, action) };
        (self.happened_at, self.next_write) = (self.now, self.now);
        let victim = |index: usize| self.names[index].clone();
        let later = self.now + Duration::from_secs(7);
        match plan.fault {
            Fault::DiesBefore(index) => {
                let victim = victim(index);
                self.kill(&victim, plan.dead);
                if victim != *name {
                    self.carry_out(name, action);
                }
            }
            Fault::DiesAfter(index) => {
                let victim = victim(index);
                self.carry_out(name, action);
                self.settle_effects(name);
                self.kill(&victim, plan.dead);
            }
            Fault::Cut(index) => {
                let victim = victim(index);
                self.carry_out(name, action);
                self.cut(&victim, Duration::from_secs(7));
            }
            Fault::ManifestAway(index) => {
                let victim = victim(index);
                self.nodes.get_mut(&victim).expect("a node").manifest_away_until = later;
                self.carry_out(name, action);
            }
            Fault::Stalls(index) => {
                let victim = victim(index);
                self.carry_out(name, action);
                self.nodes.get_mut(&victim).expect("a node").stalled_until = later;
            }
            Fault::AnswerLost | Fault::RequestLost | Fault::MadeAndAway | Fault::MadeLate => self.lose(name, action, plan.fault),
        }
    }

    /// Effects of an action that need no answer take place: a change on its way is made.
    pub(super) fn settle_effects(&mut self, name: &NodeName) {
        if let Some(index) = self.changes.iter().position(|(due, node, ..)| node == name && *due <= self.now) {
            self.change(index);
        }
        if let Some(index) = self.reframes.iter().position(|(due, node, ..)| node == name && *due <= self.now) {
            self.reframe(index);
        }
        if let Some(index) = self.jobs.iter().position(|(_, node, ..)| node == name) {
            self.job_done(index);
        }
    }

    /// The answer is lost, or the request, or it is made late.
    pub(super) fn lose(&mut self, name: &NodeName, action: Action, fault: Fault) {
        if let Action::Reframe(reframe) = action {
            return self.lose_reframe(name, *reframe, fault);
        }
        let Action::Change(change) = action else {
            if !matches!(action, Action::Send { .. }) {
                self.carry_out(name, action);
            }
            return;
        };
        let unknown = Event::Changed { fragment: change.fragment, intent: change.intent, outcome: Outcome::Unknown };
        let life = self.nodes[name].starts;
        if matches!(fault, Fault::MadeAndAway | Fault::MadeLate) {
            self.nodes.get_mut(name).expect("a node").manifest_away_until = self.now + Duration::from_secs(7);
        }
        match fault {
            Fault::AnswerLost | Fault::MadeAndAway => {
                self.changes.push_back((self.now, name.clone(), life, *change, false));
                let index = self.changes.len() - 1;
                self.change(index);
            }
            Fault::MadeLate => self.changes.push_back((self.now + Duration::from_secs(5), name.clone(), life, *change, false)),
            _ => {}
        }
        self.tell(name, unknown);
    }

    pub(super) fn carry_out(&mut self, name: &NodeName, action: Action) {
        let (now, life) = (self.now, self.nodes[name].starts);
        let is_away = self.nodes[name].manifest_away_until > now;
        match action {
            Action::Change(change) if is_away => {
                self.tell(name, Event::Changed { fragment: change.fragment, intent: change.intent, outcome: Outcome::Unavailable });
            }
            Action::Change(change) => self.changes.push_back((now, name.clone(), life, *change, true)),
            Action::Reframe(reframe) if is_away => {
                self.tell(name, Event::ReframeAnswered { first: reframe.first(), outcome: Reframing::Unavailable });
            }
            Action::Reframe(reframe) => self.reframes.push_back((now, name.clone(), life, *reframe, true)),
            Action::ReadCell(fragment) => {
                let seen = self.cells.get(&fragment).filter(|_| !is_away).cloned();
                self.fall_in(name); // a driver looks at the whole of its view, too
                seen.into_iter().for_each(|seen| self.tell(name, Event::Cells(vec![seen])));
            }
            Action::Send { to, message } => {
                if self.is_linked(name, &to) {
                    let event = Event::Message { from: name.clone(), message };
                    self.links.entry((name.clone(), to)).or_default().push_back(event);
                }
            }
            Action::SetGate { fragment, gate } => {
                if let Some(process) = self.process(name) {
                    process.gates.insert(fragment, gate);
                    if gate == Gate::Closed {
                        process.waiting.retain(|(waiting, _)| *waiting != fragment); // their clients are told that it is unknown
                    }
                }
            }
            Action::Follow { from, purpose, fragments } => self.follow(name, &from, purpose, &fragments),
            Action::Unfollow { from, fragments } => self.unfollow(name, &from, &fragments),
            Action::Job(job) => {
                self.happened_at = now;
                self.jobs.push_back((now + JOB, name.clone(), life, job));
            }
            Action::Count(count) => {
                let fragment = count.fragment;
                let head = self.nodes.get_mut(name).expect("a node").disk.of(fragment).head();
                if let Some(process) = self.process(name) {
                    process.counts.insert(fragment, count);
                }
                self.tell(name, Event::Counted { fragment, head });
            }
            Action::Slow { .. } | Action::Report(_) => {}
        }
    }

    /// The disk has done a job, unless its process died meanwhile.
    pub(super) fn job_done(&mut self, index: usize) {
        let Some((_, name, life, job)) = self.jobs.remove(index) else { return };
        if self.nodes[&name].process.is_some() && self.nodes[&name].starts == life {
            self.job(&name, job);
        }
    }

    pub(super) fn job(&mut self, name: &NodeName, job: Job) {
        let node = self.nodes.get_mut(name).expect("a node");
        let event = match job {
            Job::Digest { fragment, at } => {
                if let Some(process) = &mut node.process {
                    process.digests.insert(fragment, at);
                }
                return self.answer_digest(name, fragment);
            }
            Job::OpenEpoch { fragment, epoch } => {
                let held = node.disk.of(fragment);
                if held.row >= epoch {
                    Event::EpochRefused { fragment, held: held.row }
                } else {
                    held.row = epoch;
                    let base = held.head();
                    self.oracle.opens(name, fragment, epoch);
                    Event::EpochOpened { fragment, epoch, base }
                }
            }
            Job::PersistFence { fragment, epoch } => {
                let held = node.disk.of(fragment);
                held.fence = held.fence.max(epoch);
                Event::FencePersisted { fragment, epoch, held: held.head() }
            }
            Job::Drop { fragment } => {
                let fence = node.disk.of(fragment).fence;
                *node.disk.of(fragment) = super::disk::Held { fence, ..Default::default() };
                Event::Dropped { fragment }
            }
        };
        self.tell(name, event);
    }

    pub(super) fn answer_digest(&mut self, name: &NodeName, fragment: FragmentId) {
        let node = self.nodes.get_mut(name).expect("a node");
        let held = node.disk.fragments.entry(fragment).or_default();
        let (version, mut state) = (held.head(), held.digest());
        let Some(process) = &mut node.process else { return };
        if process.digests.get(&fragment).is_some_and(|at| version >= *at) {
            process.digests.remove(&fragment);
            if self.wrong_digests.0 == *name && self.wrong_digests.1 > 0 {
                self.wrong_digests.1 -= 1;
                state.0 ^= 1;
            }
            process.inbox.push_back(Event::Digest { fragment, version, state });
        }
    }
}
