//! Frames under credits, in rounds, until every range stands at one cut; then the seal.
//!
//! A round works through what differs range by range. A snapshot is held for a bounded time and number of bytes, then cut again; the next
//! round sends what changed behind the older cuts. Rounds shrink as long as the transfer is faster than the writers. A last round keeps
//! its cut to the end whatever it takes, so that the transfer ends; the memory that this holds is what the writers touch meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use limosa_core::limits::FRAME_BYTES_BULK;
use limosa_core::planted::{self, Bug};
use limosa_core::{FragmentId, Frame, KeyRange, Version};
use limosa_wire::{Ack, FrameMessage, Message, Method, Ready, Seal};

use super::{Action, Extract, Job, Phase, Source, TailStart};
use crate::credit::{Credit, frame_cost};
use crate::error::SessionError;
use crate::plan;

/// Longest time that a snapshot is held before it is cut again.
const CUT_AGE_MAX: Duration = Duration::from_secs(5);
/// Most payload sent from one snapshot before it is cut again.
const CUT_BYTES_MAX: u64 = 256 << 20;
/// Rounds after which the cut is held to the end.
const ROUNDS_MAX: u32 = 6;

/// A range that is still to be sent.
#[derive(Debug)]
struct Work {
    fragment: FragmentId,
    range: KeyRange,
    /// Where the target's map stands: the frame's `from`.
    from: Version,
    /// Entries changed after this version are sent. Beyond every version when only the listed keys are.
    since: Version,
    replace_keys: Option<Vec<Bytes>>,
}

/// The state of the Sending phase.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) credit: Credit,
    window: u64,
    queue: VecDeque<Work>,
    frames: u64,
    extracting: Extracting,
}

/// What becomes of the frame that is being extracted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Extracting {
    /// None is.
    No,
    /// It is sent.
    Wanted,
    /// Its fragment has left the session meanwhile.
    Dropped,
}

impl Sending {
    pub(super) fn new(window: u64) -> Self {
        Self { credit: Credit::new(window), window, queue: VecDeque::new(), frames: 0, extracting: Extracting::No }
    }

    pub(super) fn restart(&mut self) {
        *self = Self::new(self.window);
    }

    /// Nothing more of these fragments.
    pub(super) fn forget(&mut self, fragments: &[FragmentId]) {
        let goes = |work: &Work| fragments.contains(&work.fragment);
        if self.extracting == Extracting::Wanted && self.queue.front().is_some_and(goes) {
            self.extracting = Extracting::Dropped;
        }
        self.queue.retain(|work| !goes(work));
    }
}

impl Source {
    /// First round: the plan's pieces.
    pub(super) fn start_sending(&mut self) {
        self.phase = Phase::Sending;
        self.progress.rounds = 1;
        let pieces = std::mem::take(&mut self.pieces);
        for (fragment, piece) in &pieces {
            let work = self.first_work(*fragment, piece);
            self.sending.queue.push_back(work);
        }
        self.pieces = pieces;
    }

    fn first_work(&self, fragment: FragmentId, piece: &plan::Piece) -> Work {
        let target = &self.targets[&fragment];
        let work = |from, since, replace_keys| Work { fragment, range: piece.range.clone(), from, since, replace_keys };
        match piece.method {
            Method::Reconcile => {
                let keys = self.reconciling.as_ref().map_or_else(Vec::new, |found| found.keys_within(fragment, &piece.range));
                work(Version::ZERO, self.facts(fragment).head, Some(keys))
            }
            _ if !piece.since.is_zero() && target.is_own_tail(piece) => {
                let keys = target.own_keys.iter().filter(|key| piece.range.contains(key)).cloned().collect();
                work(piece.since, piece.since, Some(keys))
            }
            _ => work(piece.since, piece.since, None),
        }
    }

    /// Later rounds: whatever the cut has beyond the target's map. What had to be replaced was, in the first round.
    pub(super) fn next_round(&mut self) {
        if !self.sending.queue.is_empty() {
            return; // the cut was renewed in the middle of a round
        }
        self.progress.rounds += 1;
        let cut = self.cut.as_ref().expect("a round starts with a cut");
        for (id, target) in &self.targets {
            let head = cut.facts[id].head;
            let behind = target.map.iter().filter(|&(_, version)| version < head);
            self.sending.queue.extend(behind.map(|(range, from)| Work { fragment: *id, range, from, since: from, replace_keys: None }));
        }
    }

    pub(super) fn pump_frames(&mut self, now: Duration) -> Result<(), SessionError> {
        if self.job_under_way || !self.sending.credit.is_open() {
            return Ok(());
        }
        let Some(work) = self.sending.queue.front() else {
            self.end_round();
            return Ok(());
        };
        let extract = Extract {
            fragment: work.fragment,
            range: work.range.clone(),
            since: work.since,
            replace_keys: work.replace_keys.clone(),
            max_bytes: FRAME_BYTES_BULK,
        };
        if self.cut_is_used_up(now) {
            self.release_cut();
            self.job(Job::Cut);
        } else {
            self.sending.extracting = Extracting::Wanted;
            self.job(Job::Extract(extract));
        }
        Ok(())
    }

    fn cut_is_used_up(&self, now: Duration) -> bool {
        let Some(cut) = &self.cut else { return true };
        let renewable = self.reconciling.is_none() && self.progress.rounds < ROUNDS_MAX;
        renewable && cut.bytes_sent > 0 && (now.saturating_sub(cut.taken_at) > CUT_AGE_MAX || cut.bytes_sent > CUT_BYTES_MAX)
    }

    pub(super) fn on_extracted(&mut self, mut frame: Frame, next: Option<Bytes>) {
        if std::mem::replace(&mut self.sending.extracting, Extracting::No) == Extracting::Dropped {
            return;
        }
        let work = self.sending.queue.front_mut().expect("a frame is extracted for the first of the queue");
        frame.from = work.from;
        assert!(work.range.covers(&frame.range) && frame.fragment == work.fragment, "the frame lies in the range asked for");
        let target = self.targets.get_mut(&frame.fragment).expect("work is of known fragments");
        target.map.set(&frame.range, frame.to);
        match next {
            Some(start) => {
                assert!(start > work.range.start, "each frame brings its range forward");
                if let Some(keys) = &mut work.replace_keys {
                    keys.retain(|key| *key >= start);
                }
                work.range.start = start;
            }
            None => {
                self.sending.queue.pop_front();
                if planted::has(Bug::DropLastFrame) && self.sending.queue.is_empty() {
                    return;
                }
            }
        }
        self.send_frame(frame);
    }

    fn send_frame(&mut self, frame: Frame) {
        self.sending.frames += 1;
        self.progress.entries_sent += frame.entries.len() as u64;
        let message = FrameMessage { number: self.sending.frames, drops: Vec::new(), frame };
        let cost = frame_cost(&message);
        self.sending.credit.spend(cost);
        self.progress.bytes_total = self.progress.bytes_total.max(self.sending.credit.returned() + self.sending.credit.on_the_way());
        self.cut.as_mut().expect("frames come from a cut").bytes_sent += cost;
        self.send(Message::Frame(message));
    }

    /// Nothing is left of this round: seal if all of it came from one cut, else go over what changed behind the older ones.
    fn end_round(&mut self) {
        let cut = self.cut.as_ref().expect("a round holds its cut");
        let at_cut = |(id, target): (&FragmentId, &super::TargetState)| target.map.uniform() == Some(cut.facts[id].head);
        if !self.targets.iter().all(at_cut) {
            self.release_cut();
            self.job(Job::Cut);
            return;
        }
        let fragments = cut.facts.values().map(super::action::sealed).collect();
        let heads = cut.facts.values().map(|facts| (facts.id, facts.head)).collect();
        let position = cut.position;
        self.live.seal(position, heads);
        self.send(Message::Seal(Seal { position, fragments }));
        self.phase = Phase::Sealing;
        self.release_cut();
        self.reconciling = None;
        self.open_tail(TailStart::At(position));
    }

    pub(super) fn on_ack(&mut self, ack: Ack) -> Result<(), SessionError> {
        let possible = self.sending.credit.give_back(ack.frame_bytes) && self.live.acknowledge(ack);
        if !possible {
            return Err(SessionError::Malformed { message: "Ack", why: "more bytes than were sent, or fewer than before" });
        }
        if self.phase == Phase::Live {
            self.tell_acknowledged();
        }
        Ok(())
    }

    pub(super) fn on_ready(&mut self, ready: Ready) -> Result<(), SessionError> {
        if self.live.sealed() != Some(ready.position) {
            return Err(SessionError::Malformed { message: "Ready", why: "another position than the seal's" });
        }
        self.phase = Phase::Live;
        let held = self.live.installed();
        self.tell_held(held);
        self.actions.push_back(Action::Acknowledged(ready.position));
        Ok(())
    }
}
