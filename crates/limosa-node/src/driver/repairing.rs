//! Carries the repair machine of one session: damaged blocks in, questions out; the store is asked beside the session's tasks.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use limosa_core::limits::FRAME_BYTES_BULK;
use limosa_core::{FragmentId, Frame, KeyRange, Version};
use limosa_engine::repair::{Action, Damaged, Repair};
use limosa_store::{Extract, Store, StoreError};
use limosa_wire::{Fetch, Fetched, Message, Method, features};
use tokio::sync::mpsc;

use super::link::Link;
use super::node::Shared;
use super::registry::{PeerHandle, PeerRole, TransferKind, TransferRecord};
use super::session_end::SessionEnd;
use crate::transport::CpuSeconds;

/// What was done beside the session.
pub(super) enum Done {
    /// A range was read for the other end.
    Read(Box<Fetched>),
    /// Fetched entries were offered to the store.
    Mended(Mending),
}

/// One try to mend a block.
pub(super) struct Mending {
    fragment: FragmentId,
    first_key: Vec<u8>,
    entries: u64,
    bytes: u64,
    outcome: Result<(), String>,
}

/// The repairs of one session, both ways.
pub(super) struct Repairing {
    shared: Arc<Shared>,
    machine: Repair,
    done: mpsc::UnboundedReceiver<Done>,
    send: mpsc::UnboundedSender<Done>,
    peer: String,
    role: PeerRole,
    session: u64,
    began: Instant,
    asked: Instant,
}

impl Repairing {
    pub(super) fn new(shared: Arc<Shared>, peer: String, role: PeerRole) -> Self {
        let (send, done) = mpsc::unbounded_channel();
        let now = Instant::now();
        Self { shared, machine: Repair::default(), done, send, peer, role, session: 0, began: now, asked: now }
    }

    /// The ends have agreed on features.
    pub(super) fn agreed(&mut self, features: u64, session: u64) {
        self.session = session;
        if features & features::REPAIR != 0 {
            self.machine.open();
        }
    }

    /// Whether a message is for this machine, not for the session's.
    pub(super) fn takes(message: &Message) -> bool {
        matches!(message, Message::Fetch(_) | Message::Fetched(_))
    }

    pub(super) fn handle(&mut self, message: Message) -> Result<(), SessionEnd> {
        Ok(self.machine.handle(self.began.elapsed(), message)?)
    }

    /// Looks for damage, and for what has waited long enough.
    pub(super) fn tick(&mut self) {
        let damaged = self.shared.store.damage().into_iter();
        let blocks = damaged.map(|block| Damaged { fragment: block.fragment, range: block.range, live_bytes: block.live_bytes });
        self.machine.damaged(self.began.elapsed(), blocks.collect());
    }

    /// What was done beside the session next. Safe to drop and call again.
    pub(super) async fn done(&mut self) -> Done {
        self.done.recv().await.expect("this value holds a sender")
    }

    pub(super) fn take(&mut self, done: Done, peer: &PeerHandle) {
        match done {
            Done::Read(fetched) => self.machine.read(*fetched),
            Done::Mended(mending) => {
                if mending.outcome.is_ok() {
                    self.record(&mending, peer);
                }
                self.machine.mended(self.began.elapsed(), mending.outcome);
            }
        }
    }

    /// Sends and starts what the machine wants.
    pub(super) fn act(&mut self, link: &Link) {
        while let Some(action) = self.machine.poll() {
            let (store, send) = (self.shared.store.clone(), self.send.clone());
            match action {
                Action::Send(message) => {
                    if matches!(message, Message::Fetch(_)) {
                        self.asked = Instant::now();
                    }
                    link.send(message);
                }
                Action::Read(fetch) => {
                    tokio::task::spawn_blocking(move || _ = send.send(Done::Read(Box::new(read(&store, fetch))))); // the session has ended
                }
                Action::Mend { fragment, first_key, frames, floor } => {
                    tokio::task::spawn_blocking(move || {
                        let outcome = mend(&store, fragment, &first_key, &frames, floor).map_err(|error| error.to_string());
                        let entries = frames.iter().map(|frame| frame.entries.len() as u64).sum();
                        let bytes = frames.iter().map(|frame| frame.entries.payload_bytes() as u64).sum();
                        let _ = send.send(Done::Mended(Mending { fragment, first_key: first_key.to_vec(), entries, bytes, outcome })); // likewise
                    });
                }
            }
        }
    }

    fn record(&self, mending: &Mending, peer: &PeerHandle) {
        let key = mending.first_key.escape_ascii();
        let why = format!("the block of {} that starts at {key} was damaged on this node's disk", mending.fragment);
        tracing::warn!(peer = self.peer, fragment = %mending.fragment, %key, entries = mending.entries, "a damaged block was repaired");
        peer.record(TransferRecord {
            kind: TransferKind::Repair,
            peer: self.peer.clone(),
            peer_role: self.role,
            session: self.session,
            method: Method::Copy,
            why,
            failure: None,
            entries: mending.entries,
            planned_bytes: mending.bytes,
            moved_bytes: mending.bytes,
            handshake_bytes: 0,
            sent_again_bytes: 0,
            full_copy_bytes: mending.bytes,
            seconds: self.asked.elapsed().as_secs_f64(),
            cpu_seconds: CpuSeconds::default(),
            ended: SystemTime::now(),
        });
    }
}

/// What this node has in a range, or a first part of it.
fn read(store: &Store, fetch: Fetch) -> Fetched {
    let number = fetch.number;
    let none = |why_not| Fetched { number, frame: None, floor: Version::ZERO, why_not };
    let cut = store.cut();
    let Some(view) = cut.fragment(fetch.fragment) else { return none(format!("it has no {}", fetch.fragment)) };
    let facts = view.facts();
    if !facts.range.covers(&fetch.range) {
        return none(format!("{} has another range there", fetch.fragment));
    }
    match view.delta(&fetch.range, Version::ZERO, Extract::WholeRange, FRAME_BYTES_BULK) {
        Ok((frame, next)) => {
            let range = KeyRange { start: frame.range.start.clone(), end: next.or(fetch.range.end) };
            Fetched { number, frame: Some(Frame { range, ..frame }), floor: facts.floor, why_not: String::new() }
        }
        Err(error) => none(error.to_string()),
    }
}

fn mend(store: &Store, fragment: FragmentId, first_key: &[u8], frames: &[Frame], floor: Version) -> Result<(), StoreError> {
    let entries = frames.iter().flat_map(|frame| frame.entries.iter());
    store.mend(fragment, first_key, entries, floor).map(drop)
}
