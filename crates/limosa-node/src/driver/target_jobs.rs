//! A target's jobs as this node carries them out: patient with damaged blocks, and flushed behind on a thread of its own.

use std::path::Path;
use std::sync::{Arc, mpsc as sync};
use std::thread;

use limosa_carry::{TargetCarrier, TargetHooks, flush, wants_flush};
use limosa_core::Frame;
use limosa_engine::target::{Event, Job};
use limosa_store::{FragmentView, Store, StoreError};
use limosa_wire::Refusal;
use tokio::sync::{mpsc, watch};

use super::patience::patiently;
use super::warm;
use crate::transport::{Counters, Stage};

/// What a job or a flush gave.
pub(super) enum Answer {
    /// For the machine.
    Event(Box<Event>),
    /// For the machine: a frame that the stage had already.
    Stale(Box<Event>),
    /// This node's store failed.
    Failed(StoreError),
}

type Answers = mpsc::UnboundedSender<Answer>;

/// What a target's jobs keep between them.
pub(super) struct TargetJobs {
    store: Store,
    carrier: TargetCarrier,
    flusher: Option<sync::Sender<()>>,
    published: watch::Sender<u64>,
    counters: Arc<Counters>,
}

impl TargetJobs {
    pub(super) fn new(store: Store, published: watch::Sender<u64>, counters: Arc<Counters>) -> Self {
        Self { store, carrier: TargetCarrier::default(), flusher: None, published, counters }
    }

    pub(super) fn carry_out(&mut self, job: &Job, answers: &Answers) {
        let store = self.store.clone();
        let mut hooks = Hooks { published: self.published.clone() };
        let mut done = patiently(&store, || answers.is_closed(), || self.carrier.carry_out(&store, job, &mut hooks));
        if let Err(error) = &done
            && let Err(error) = self.carrier.give_up(&store, job, error)
        {
            done = Err(error);
        }
        let mut wants = false;
        let answer = match done {
            Ok(Some(event @ Event::Refused { why: Refusal::Stale, .. })) => Answer::Stale(Box::new(event)),
            Ok(Some(event)) => {
                wants = wants_flush(&event);
                Answer::Event(Box::new(event))
            }
            Ok(None) => return,
            Err(error) => Answer::Failed(error),
        };
        let _ = answers.send(answer); // the session has ended
        if wants {
            self.flush_behind(answers); // behind the answer: that it is durable is told behind that it was taken
        }
    }

    /// Wakes the thread that flushes: applying goes on while the disk works, and one flush serves all that was appended meanwhile.
    fn flush_behind(&mut self, answers: &Answers) {
        let flusher = self
            .flusher
            .get_or_insert_with(|| spawn_flusher(self.store.clone(), self.published.clone(), self.counters.clone(), answers.clone()));
        let _ = flusher.send(()); // it ended with a failed flush, which it has answered
    }
}

struct Hooks {
    published: watch::Sender<u64>,
}

impl TargetHooks for Hooks {
    fn published(&mut self, position: u64) {
        self.published.send_replace(position);
    }

    fn set_aside(&mut self, path: &Path, entries: usize) {
        tracing::warn!(path = %path.display(), entries, "entries that the owner does not have were set aside");
    }

    fn applying(&mut self, fork: &FragmentView, frame: &Frame) -> Result<(), StoreError> {
        warm::blocks(fork, frame)
    }
}

fn spawn_flusher(store: Store, published: watch::Sender<u64>, counters: Arc<Counters>, answers: Answers) -> sync::Sender<()> {
    let (wake, woken) = sync::channel::<()>();
    let run = move || {
        while woken.recv().is_ok() {
            while woken.try_recv().is_ok() {}
            // A commit onto a damaged block waits, with all behind it, until that is mended.
            let flushed = patiently(&store, || answers.is_closed(), || counters.cpu().measure(Stage::Journal, || flush(&store)));
            match flushed {
                Ok((position, events)) => {
                    published.send_replace(position.0);
                    events.into_iter().for_each(|event| drop(answers.send(Answer::Event(Box::new(event)))));
                }
                Err(error) => drop(answers.send(Answer::Failed(error))), // if nobody hears it, the session has ended
            }
        }
    };
    thread::Builder::new()
        .name("limosa-flush".to_owned())
        .spawn(run)
        .expect("the operating system gives a thread for each of a bounded number of peers");
    wake
}
