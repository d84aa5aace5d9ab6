//! Whom this node follows, fragment by fragment: sessions are dialled for what is asked, kept up, and left again.
//!
//! Fragments that are asked for together share a session; more of them later are one session more, and they come together again when one
//! of them is dialled anew.
//!
//! # Invariants
//! - When [`Follows::settled`] has ended, nothing of the fragments that were left before is applied any more.

mod batch;
mod wanted;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use limosa_core::{FragmentId, NodeName};
use limosa_wire::Purpose;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::node::Shared;
pub(super) use wanted::Wanted;

/// Where nodes are reached.
type Addresses = Arc<Mutex<BTreeMap<NodeName, String>>>;

/// What a session is told while it goes on.
#[derive(Debug)]
pub(super) enum Command {
    /// These fragments leave it. Answered when nothing of them is applied any more.
    Leave(Vec<FragmentId>, oneshot::Sender<()>),
    /// The session ends: what it is about is another fragment now. Answered when nothing of it is applied any more.
    End(oneshot::Sender<()>),
}

/// Fragments that share a session.
struct Batch {
    from: NodeName,
    purpose: Purpose,
    wanted: Wanted,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

/// The sessions that this node dials.
pub(super) struct Follows {
    shared: Arc<Shared>,
    addresses: Addresses,
    batches: Vec<Batch>,
    /// Asked for since the last [`Follows::begin`].
    fresh: Vec<(NodeName, Purpose, BTreeMap<FragmentId, u32>)>,
    /// Fragments that were left, and are not known to have gone yet.
    leaving: Vec<oneshot::Receiver<()>>,
}

impl Follows {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, addresses: Addresses::default(), batches: Vec::new(), fresh: Vec::new(), leaving: Vec::new() }
    }

    /// Where nodes are reached from now on.
    pub(super) fn set_nodes(&self, nodes: &BTreeMap<NodeName, String>) {
        self.addresses.lock().expect("nothing panics while it holds this lock").clone_from(nodes);
    }

    /// Keeps sessions about these fragments, each with the newest epoch that may be taken over. In force with [`Follows::begin`].
    pub(super) fn follow(&mut self, from: &NodeName, purpose: Purpose, fragments: &[(FragmentId, u32)]) {
        for &(fragment, epoch) in fragments {
            let is_known = |batch: &&Batch| batch.from == *from && batch.purpose == purpose && batch.wanted.has(fragment);
            if let Some(batch) = self.batches.iter().find(is_known) {
                batch.wanted.insert(fragment, epoch);
                continue;
            }
            match self.fresh.iter_mut().find(|(of, what, _)| of == from && *what == purpose) {
                Some((.., wanted)) => drop(wanted.insert(fragment, epoch)),
                None => self.fresh.push((from.clone(), purpose, BTreeMap::from([(fragment, epoch)]))),
            }
        }
    }

    /// Nothing of these fragments is taken from `from` any more, once [`Follows::settled`] has ended.
    pub(super) fn unfollow(&mut self, from: &NodeName, fragments: &[FragmentId]) {
        for (of, _, wanted) in &mut self.fresh {
            if of == from {
                wanted.retain(|id, _| !fragments.contains(id));
            }
        }
        for batch in self.batches.iter().filter(|batch| batch.from == *from) {
            let left = batch.wanted.remove(fragments);
            if left.is_empty() {
                continue;
            }
            let (gone, waits) = oneshot::channel();
            if batch.commands.send(Command::Leave(left, gone)).is_ok() {
                self.leaving.push(waits); // else its task has ended, and with it the session
            }
        }
        self.batches.retain(|batch| !batch.wanted.is_empty() || !batch.task.is_finished());
    }

    /// These fragments are no more: sessions about them end, once [`Follows::settled`] has, and are dialled anew for the others.
    pub(super) fn end_about(&mut self, gone: &[FragmentId]) {
        for (.., wanted) in &mut self.fresh {
            wanted.retain(|id, _| !gone.contains(id));
        }
        for batch in &self.batches {
            if batch.wanted.remove(gone).is_empty() {
                continue;
            }
            let (ended, waits) = oneshot::channel();
            if batch.commands.send(Command::End(ended)).is_ok() {
                self.leaving.push(waits);
            }
        }
    }

    /// Asks again for what a session was to be about and is not.
    pub(super) fn tend(&mut self) {
        for batch in &self.batches {
            let missing = batch.wanted.take_missing();
            if !missing.is_empty() {
                self.fresh.push((batch.from.clone(), batch.purpose, missing));
            }
        }
        self.begin();
    }

    /// Dials for what was asked since the last call.
    pub(super) fn begin(&mut self) {
        self.batches.retain(|batch| !batch.task.is_finished());
        for (from, purpose, fragments) in std::mem::take(&mut self.fresh) {
            if fragments.is_empty() {
                continue;
            }
            // A session that is not made yet takes more in.
            let waiting = self.batches.iter().find(|batch| batch.from == from && batch.purpose == purpose && batch.wanted.join(&fragments));
            if waiting.is_some() {
                continue;
            }
            let (wanted, (commands, queue)) = (Wanted::new(fragments), mpsc::unbounded_channel());
            let task = batch::run(self.shared.clone(), self.addresses.clone(), from.clone(), purpose, wanted.clone(), queue);
            self.batches.push(Batch { from, purpose, wanted, commands, task: tokio::spawn(task) });
        }
    }

    /// Ends when all that was left has gone. Takes what waits; call it again for what is left later.
    pub(super) fn settled(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let leaving: Vec<_> = std::mem::take(&mut self.leaving);
        let leaving: Vec<_> = leaving.into_iter().filter_map(not_yet).collect();
        (!leaving.is_empty()).then_some(async move {
            for gone in leaving {
                let _ = gone.await; // a session that ended instead has applied its last
            }
        })
    }
}

fn not_yet(mut waits: oneshot::Receiver<()>) -> Option<oneshot::Receiver<()>> {
    matches!(waits.try_recv(), Err(oneshot::error::TryRecvError::Empty)).then_some(waits)
}

impl Drop for Follows {
    fn drop(&mut self) {
        self.batches.iter().for_each(|batch| batch.task.abort());
    }
}
