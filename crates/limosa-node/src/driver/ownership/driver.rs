//! The task that feeds the machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use limosa_core::{FragmentId, NodeName, Version};
use limosa_engine::ownership::{Event, NodeState, Ownership};
use limosa_manifest::Manifest;
use limosa_wire::OwnershipMessage;
use tokio::sync::mpsc;

use super::changing::seen;
use super::falling_in::Frames;
use super::jobs::{self, Answer, Batch};
use super::orders::Orders;
use super::sessions::Sessions;
use super::{standing, start};
use crate::driver::cluster::Board;
use crate::driver::control::{Heard, Lanes};
use crate::driver::follows::Follows;
use crate::driver::jobs::JobThread;
use crate::driver::node::Shared;

/// How often the wall clock and the load of fragments are told.
const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// Shortest time between two looks at the sessions.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Longest time between two.
const LOOK_AT_LEAST: Duration = Duration::from_millis(50);
/// A job that failed is tried again after this: the disk may have room by then.
const JOB_RETRY: Duration = Duration::from_millis(200);

pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) board: Arc<Board>,
    pub(super) manifest: Manifest,
    pub(super) machine: Ownership,
    pub(super) lanes: Lanes,
    pub(super) following: Follows,
    /// The machine's zero of time.
    pub(super) began: Instant,
    pub(super) jobs: JobThread<Batch, Answer>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    /// Digests that wait until the fragment is at a version.
    pub(super) digests: BTreeMap<FragmentId, Version>,
    pub(super) orders: Orders,
    pub(super) frames: Frames,
    pub(super) sessions: Sessions,
    /// What it was told of the nodes last.
    nodes: Vec<NodeState>,
    /// The machine was told something since its actions were looked at.
    is_touched: bool,
    /// The lane of each node that counts.
    up: BTreeMap<NodeName, u64>,
}

/// Drives this node's fragments until it is dropped.
pub(in crate::driver) async fn run(shared: Arc<Shared>, board: Arc<Board>, manifest: Manifest, lanes: Lanes, heard: mpsc::Receiver<Heard>) {
    // What the manifest says of this node's folder, and a first list of cells, come before anything is decided.
    let mut reborn = board.reborn.subscribe();
    let reborn = match reborn.wait_for(Option::is_some).await {
        Ok(known) => known.unwrap_or(false),
        Err(_) => return,
    };
    if board.view.subscribe().wait_for(|view| view.known).await.is_err() {
        return;
    }
    let (events, answers) = mpsc::unbounded_channel();
    let began = Instant::now();
    let seed = shared.random().unwrap_or(1);
    let config = start::config(&shared, &board.options, board.me.clone(), seed, reborn);
    let store = shared.store.clone();
    let jobs = JobThread::spawn("limosa-ownership", move |batch, answers| jobs::carry_out(&store, batch, answers));
    let driver = Driver {
        machine: Ownership::new(Duration::ZERO, config, &start::held(&shared.store)),
        following: Follows::new(shared.clone()),
        frames: Frames::of(&shared.store),
        sessions: Sessions::new(shared.clone()),
        orders: Orders::default(),
        up: BTreeMap::new(),
        nodes: Vec::new(),
        is_touched: true,
        digests: BTreeMap::new(),
        shared,
        board,
        manifest,
        lanes,
        began,
        jobs,
        events,
    };
    driver.drive(heard, answers).await;
}

impl Driver {
    async fn drive(mut self, mut heard: mpsc::Receiver<Heard>, mut answers: mpsc::UnboundedReceiver<Event>) {
        let Some(mut orders) = self.board.take_orders() else { return };
        let board = self.board.clone();
        let mut published = self.shared.published.subscribe();
        let mut sessions = self.shared.sessions.changed();
        let mut clock = tokio::time::interval(CLOCK_EVERY);
        let mut look_due = tokio::time::Instant::now();
        let (mut rested, mut is_noted) = (look_due, false);
        // The first list: everything is new.
        board.changed.notify_one();
        loop {
            let deadline = tokio::time::Instant::from_std(self.began + self.machine.next_deadline());
            tokio::select! {
                () = board.changed.notified() => self.take_changes(),
                Some(heard) = heard.recv() => self.hear(heard),
                Some(event) = answers.recv() => self.handle(event),
                answer = self.jobs.answer() => self.answered(answer),
                Some(asked) = orders.recv() => self.order(asked),
                _ = published.changed(), if !self.digests.is_empty() => self.look_at_digests(),
                _ = sessions.changed(), if !is_noted => {
                    is_noted = true;
                    look_due = look_due.min(rested);
                }
                () = tokio::time::sleep_until(look_due) => {
                    let looked = tokio::time::Instant::now();
                    self.look_at_sessions();
                    is_noted = false;
                    look_due = looked + LOOK_AT_LEAST;
                    // At a tenth of one core at most, however many fragments there are.
                    rested = looked + LOOK_EVERY.max(looked.elapsed() * 10);
                }
                _ = clock.tick() => self.tell_time(),
                () = tokio::time::sleep_until(deadline) => self.handle(Event::Tick),
            }
            if std::mem::take(&mut self.is_touched) {
                self.act();
                standing::post(&self.board, &self.machine, self.began);
            }
        }
    }

    /// An event now, and what follows from it.
    pub(super) fn handle(&mut self, event: Event) {
        let now = self.began.elapsed();
        self.machine.handle(now, event);
        self.is_touched = true;
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Up { from, lane, start } => {
                if self.up.insert(from.clone(), lane).is_some() {
                    self.handle(Event::Peer { node: from.clone(), is_connected: false });
                }
                // The end of its former life's sessions is told before anything that the new one says.
                for event in self.sessions.new_life(&from, start) {
                    self.handle(event);
                }
                self.handle(Event::Peer { node: from, is_connected: true });
            }
            Heard::Down { from, lane } => {
                if self.up.get(&from) == Some(&lane) {
                    self.up.remove(&from);
                    self.handle(Event::Peer { node: from, is_connected: false });
                }
            }
            Heard::Said { from, lane, message } => {
                if self.up.get(&from) == Some(&lane) {
                    self.note_freshness(&message);
                    self.handle(Event::Message { from, message });
                }
            }
        }
    }

    /// A beat names what is known to be acknowledged: a copy that has all of that was, at that moment, as fresh as any reader may ask.
    fn note_freshness(&mut self, message: &OwnershipMessage) {
        let OwnershipMessage::Renew { fragments, .. } = message else { return };
        let heads = crate::driver::pulse::heads(&self.shared.store);
        let now = Instant::now();
        let mut fast = self.board.fast();
        for renewal in fragments {
            if heads.get(&renewal.fragment).is_some_and(|head| !head.is_zero() && *head >= renewal.acknowledged) {
                fast.fresh_at.insert(renewal.fragment, now);
            }
        }
    }

    fn take_changes(&mut self) {
        let (cells, nodes) = self.board.take_changes();
        let view = self.board.view.borrow().clone();
        if nodes {
            let peers = view.nodes.values().map(|facts| (facts.entry.name.clone(), facts.entry.peer.clone())).collect();
            self.lanes.set_nodes(&peers, view.revision);
            self.following.set_nodes(&peers);
            self.tell_nodes();
        }
        let (there, gone): (Vec<_>, Vec<_>) = cells.into_iter().partition(|id| view.cells.contains_key(id));
        // Those that were split or merged are told of when the store has fallen in; what they came out of goes then, too.
        let there: Vec<FragmentId> = there.into_iter().filter(|id| self.frames.has(*id)).collect();
        if !there.is_empty() {
            self.handle(Event::Cells(there.iter().filter_map(|id| view.cells.get(id)).map(|held| seen(held)).collect()));
        }
        for fragment in gone.into_iter().filter(|_| view.cells.is_empty()) {
            self.handle(Event::Gone { fragment, revision: view.revision });
        }
        self.fall_in(&view);
        if *self.board.reborn.borrow() == Some(true) && self.machine.is_believed() {
            self.board.reborn.send_replace(Some(false));
        }
        self.shared.set_ready();
    }

    /// What is known of the nodes, when it is another than was told last: how many fragments each has decides where copies go.
    fn tell_nodes(&mut self) {
        let view = self.board.view.borrow().clone();
        let mut counts: BTreeMap<&NodeName, usize> = BTreeMap::new();
        for held in view.cells.values() {
            let cell = &held.value;
            for name in cell.owner().into_iter().chain(&cell.sync_set).chain(&cell.replicas) {
                *counts.entry(name).or_default() += 1;
            }
        }
        let state = |facts: &crate::driver::cluster::NodeFacts| NodeState {
            name: facts.entry.name.clone(),
            zone: facts.entry.zone.clone(),
            is_leaving: facts.entry.leaving,
            is_alive: facts.alive,
            fragments: counts.get(&facts.entry.name).copied().unwrap_or(0),
        };
        let nodes: Vec<NodeState> = view.nodes.values().map(state).collect();
        if nodes != self.nodes {
            self.nodes.clone_from(&nodes);
            self.handle(Event::Nodes(nodes));
        }
    }

    fn answered(&mut self, answer: Answer) {
        // The job flushed: streams may send what it published.
        let position = self.shared.store.horizon().0;
        self.shared.publish(position);
        match answer {
            Answer::Event(event) => {
                self.note_durable(&event);
                self.handle(event);
            }
            Answer::Fallen(fallen) => self.fallen_in(fallen),
            Answer::NotYet(fragment, at) => drop(self.digests.insert(fragment, at)),
            Answer::Failed(batch, error) => {
                tracing::error!(code = error.code(), "work on ownership failed and is tried again: {error}");
                let jobs = self.jobs.sender();
                tokio::spawn(async move {
                    tokio::time::sleep(JOB_RETRY).await;
                    jobs.push(batch);
                });
            }
        }
    }

    /// Sessions tell the machine what this node has durably: never less than a job has told it already.
    fn note_durable(&self, event: &Event) {
        match event {
            Event::Digest { fragment, version, .. } => self.shared.durable.note(*fragment, *version),
            Event::FencePersisted { fragment, held, .. } => self.shared.durable.note(*fragment, *held),
            Event::Dropped { fragment } => self.shared.durable.note(*fragment, Version::ZERO),
            _ => {}
        }
    }

    fn look_at_digests(&mut self) {
        self.jobs.push(Batch::Digests(std::mem::take(&mut self.digests).into_iter().collect()));
    }

    fn look_at_sessions(&mut self) {
        self.following.tend();
        for event in self.sessions.look(&self.board, &self.frames.names()) {
            self.handle(event);
        }
    }

    fn tell_time(&mut self) {
        let unix_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        self.handle(Event::Clock { unix_ms: u64::try_from(unix_ms).unwrap_or(u64::MAX) });
        self.tell_nodes();
        for event in self.sessions.loads(&self.board) {
            self.handle(event);
        }
    }
}
