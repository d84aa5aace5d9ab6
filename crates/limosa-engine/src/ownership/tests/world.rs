//! A small world: three nodes, a map of cells with compare-and-set, links that lose nothing unless told to, and one clock.
//!
//! Every action of a machine is one step of the world; a [`Fault`] comes before, behind, or instead of its answer at one of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use limosa_core::{FragmentCell, FragmentId, KeyRange, NodeName, Version};

use super::node::{Node, Process};
use super::oracle::Oracle;
use crate::ownership::{Change, Config, Event, Gate, Job, NodeState, Outcome, Reframe, SeenCell, Session, Step};

/// What goes wrong, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// This node (0, 1, 2) dies before the step has its effect.
    DiesBefore(usize),
    /// It dies behind it: whoever waits for an answer gets none.
    DiesAfter(usize),
    /// The step has its effect, and its answer is lost; a message is lost itself.
    AnswerLost,
    /// A change is lost on its way; what came of it is unknown.
    RequestLost,
    /// A change is made, its answer is lost, and the manifest with it for a while.
    MadeAndAway,
    /// A change is made seconds after it was given up as unknown, and the manifest is away meanwhile.
    MadeLate,
    /// This node loses its links to the others for a while.
    Cut(usize),
    /// It loses the manifest for a while.
    ManifestAway(usize),
    /// It stands still for longer than a lease.
    Stalls(usize),
}

/// A fault at a step, counted from the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) at: usize,
    pub(super) fault: Fault,
    /// How long a dead node stays dead.
    pub(super) dead: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) names: Vec<NodeName>,
    pub(super) nodes: BTreeMap<NodeName, Node>,
    pub(super) cells: BTreeMap<FragmentId, SeenCell>,
    pub(super) revision: u64,
    /// Changes on their way: (due, node, its life, change, whether its answer is told).
    pub(super) changes: VecDeque<(Duration, NodeName, u64, Change, bool)>,
    /// Splits and merges on their way: (due, node, its life, which, whether its answer is told).
    pub(super) reframes: VecDeque<(Duration, NodeName, u64, Reframe, bool)>,
    /// Those that were made, in order.
    pub(super) made: Vec<(Vec<FragmentId>, Vec<FragmentCell>)>,
    /// Jobs that the disks have begun: (due, node, its life, job). One that its process does not live to see is not done.
    pub(super) jobs: VecDeque<(Duration, NodeName, u64, Job)>,
    /// Links: what one node has sent to another.
    pub(super) links: BTreeMap<(NodeName, NodeName), VecDeque<Event>>,
    pub(super) oracle: Oracle,
    pub(super) steps: usize,
    pub(super) trace: Vec<(NodeName, Step)>,
    pub(super) hit: BTreeSet<Step>,
    pub(super) plan: Option<Plan>,
    writes: u64,
    pub(super) next_write: Duration,
    next_id: u64,
    pub(super) leaving: BTreeSet<NodeName>,
    /// Clients write only until then.
    pub(super) writes_until: Duration,
    /// When something was said or went wrong last.
    pub(super) happened_at: Duration,
    /// Lines of the script that were said.
    pub(super) said: usize,
    pub(super) wrong_digests: (NodeName, usize),
    /// When who began to serve the first fragment.
    pub(super) served_at: Vec<(Duration, NodeName)>,
    /// What a source hears of a follower's sessions, whatever they are.
    false_session: Option<(NodeName, Session)>,
    pub(super) steps_at_begin: usize,
    pub(super) reports: Vec<(NodeName, crate::ownership::Report)>,
}

pub(super) const F: FragmentId = FragmentId(0);
const STEP: Duration = Duration::from_micros(100);
/// Between two writes of the clients: while something happens, and else.
const WRITES_EVERY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(500));

pub(super) fn name(text: &str) -> NodeName {
    text.parse().expect("a good name")
}

impl World {
    /// Nodes a, b, c; a owns every one of `fragments`.
    pub(super) fn new(fragments: u32, config: impl Fn(NodeName) -> Config) -> Self {
        let names: Vec<NodeName> = ["a", "b", "c"].map(name).to_vec();
        let cell = |id: u32| {
            let cell = FragmentCell::new("main", FragmentId(id), u64::from(id) + 1, KeyRange::ALL, name("a"));
            (FragmentId(id), SeenCell { cell, revision: 1 })
        };
        Self {
            now: Duration::ZERO,
            nodes: names.iter().map(|name| (name.clone(), Node::new(config(name.clone())))).collect(),
            names,
            cells: (0..fragments).map(cell).collect(),
            revision: 1,
            changes: VecDeque::new(),
            jobs: VecDeque::new(),
            reframes: VecDeque::new(),
            made: Vec::new(),
            links: BTreeMap::new(),
            oracle: Oracle::default(),
            steps: 0,
            trace: Vec::new(),
            hit: BTreeSet::new(),
            plan: None,
            writes: 0,
            next_write: Duration::ZERO,
            next_id: 0,
            leaving: BTreeSet::new(),
            writes_until: Duration::MAX,
            happened_at: Duration::ZERO,
            said: 0,
            wrong_digests: (name("c"), 0),
            served_at: Vec::new(),
            false_session: None,
            steps_at_begin: 0,
            reports: Vec::new(),
        }
    }

    // ---- Life and death.

    pub(super) fn kill(&mut self, victim: &NodeName, dead: Duration) {
        let node = self.nodes.get_mut(victim).expect("a node");
        if node.process.take().is_none() {
            return;
        }
        node.restart_at = Some(self.now + dead);
        self.part(victim);
    }

    /// Sessions with `node`, and its control lanes, end.
    pub(super) fn part(&mut self, node: &NodeName) {
        for other in self.names.clone() {
            if other != *node {
                self.part_pair(&other, node);
                self.part_pair(node, &other);
            }
        }
    }

    /// What `at` sees when its connections with `gone` break.
    pub(super) fn part_pair(&mut self, at: &NodeName, gone: &NodeName) {
        self.links.remove(&(gone.clone(), at.clone()));
        let Some(node) = self.nodes.get_mut(at) else { return };
        let Some(process) = &mut node.process else { return };
        process.inbox.push_back(Event::Peer { node: gone.clone(), is_connected: false });
        for (fragment, session) in &mut process.sessions {
            if session.from == *gone && session.is_live {
                session.is_live = false;
                let held = node.disk.fragments.get(fragment).map_or(Version::ZERO, super::disk::Held::head);
                let event = Event::Session { from: gone.clone(), fragment: *fragment, session: Session::Absent, held };
                process.inbox.push_back(event);
            }
        }
        let followed: Vec<FragmentId> = process.flushed.keys().filter(|(_, node)| node == gone).map(|(fragment, _)| *fragment).collect();
        for fragment in followed {
            let held = process.flushed.remove(&(fragment, gone.clone())).unwrap_or_default();
            process.inbox.push_back(Event::Follower { node: gone.clone(), fragment, session: Session::Absent, held });
        }
    }

    /// A node loses its links for a while.
    pub(super) fn cut(&mut self, victim: &NodeName, long: Duration) {
        let until = self.now + long;
        self.nodes.get_mut(victim).expect("a node").cut_until = until;
        self.part(victim);
    }

    pub(super) fn start_due(&mut self) {
        for name in self.names.clone() {
            let node = &self.nodes[&name];
            if node.process.is_some() || node.restart_at.is_none_or(|at| at > self.now) {
                continue;
            }
            let (now, revision) = (self.now, self.revision);
            let cells: Vec<SeenCell> = self.cells.values().cloned().collect();
            let states = self.node_states();
            let node = self.nodes.get_mut(&name).expect("a node");
            if now < node.manifest_away_until {
                continue; // it waits for the manifest, and says so
            }
            node.start(now);
            self.happened_at = now;
            self.fall_in(&name);
            let node = self.nodes.get_mut(&name).expect("a node");
            let process = node.process.as_mut().expect("started");
            process.watched = revision;
            let unix_ms = 1_000_000 + u64::try_from(now.as_millis()).expect("small");
            process.inbox.extend([Event::Clock { unix_ms }, Event::Nodes(states), Event::Cells(cells)]);
            for other in self.names.clone().into_iter().filter(|other| *other != name) {
                if self.is_linked(&name, &other) {
                    self.connect(&name, &other);
                }
            }
        }
    }

    pub(super) fn node_states(&self) -> Vec<NodeState> {
        let state = |name: &NodeName| NodeState {
            name: name.clone(),
            zone: String::new(),
            is_leaving: self.leaving.contains(name),
            is_alive: true,
            fragments: 0,
        };
        self.names.iter().map(state).collect()
    }

    pub(super) fn connect(&mut self, a: &NodeName, b: &NodeName) {
        for (at, peer) in [(a, b), (b, a)] {
            if let Some(process) = self.nodes.get_mut(at).and_then(|node| node.process.as_mut()) {
                process.inbox.push_back(Event::Peer { node: peer.clone(), is_connected: true });
            }
        }
    }

    pub(super) fn is_linked(&self, a: &NodeName, b: &NodeName) -> bool {
        let is_there = |name: &NodeName| self.nodes[name].process.is_some() && self.nodes[name].cut_until <= self.now;
        is_there(a) && is_there(b)
    }

    pub(super) fn process(&mut self, name: &NodeName) -> Option<&mut Process> {
        self.nodes.get_mut(name)?.process.as_mut()
    }

    pub(super) fn tell(&mut self, name: &NodeName, event: Event) {
        if let Some(process) = self.process(name) {
            process.inbox.push_back(event);
        }
    }

    // ---- One thing after the other.

    /// Everything that could happen next without time passing: the scheduler chooses.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        for (name, node) in &self.nodes {
            let Some(process) = &node.process else { continue };
            if node.stalled_until > self.now {
                continue;
            }
            if !process.out.is_empty() {
                choices.push(Choice::Act(name.clone()));
            } else if !process.inbox.is_empty() {
                choices.push(Choice::Handle(name.clone()));
            }
            if node.manifest_away_until <= self.now && process.watched < self.revision {
                choices.push(Choice::Watch(name.clone()));
            }
        }
        for (index, (due, ..)) in self.changes.iter().enumerate() {
            if *due <= self.now {
                choices.push(Choice::Change(index));
            }
        }
        for (index, (due, ..)) in self.reframes.iter().enumerate() {
            if *due <= self.now {
                choices.push(Choice::Reframe(index));
            }
        }
        for (index, (due, ..)) in self.jobs.iter().enumerate() {
            if *due <= self.now {
                choices.push(Choice::Job(index));
            }
        }
        for ((from, to), queue) in &self.links {
            if !queue.is_empty() && self.nodes[to].process.is_some() {
                choices.push(Choice::Deliver(from.clone(), to.clone()));
            }
        }
        for (name, node) in self.nodes.iter().filter(|(_, node)| node.stalled_until <= self.now) {
            let Some(process) = node.process.as_ref().filter(|process| process.is_idle()) else { continue };
            let fragments = process.sessions.keys().filter(|fragment| self.can_stream(name, **fragment));
            choices.extend(fragments.map(|fragment| Choice::Stream(name.clone(), *fragment)));
        }
        choices
    }

    pub(super) fn choose(&mut self, choice: &Choice) {
        self.now += STEP;
        match choice {
            Choice::Act(name) => self.act(name),
            Choice::Handle(name) => self.handle(name),
            Choice::Watch(name) => self.watch(name),
            Choice::Change(index) => self.change(*index),
            Choice::Reframe(index) => self.reframe(*index),
            Choice::Job(index) => self.job_done(*index),
            Choice::Deliver(from, to) => {
                let event = self.links.get_mut(&(from.clone(), to.clone())).and_then(VecDeque::pop_front);
                if let Some(event) = event.map(|event| self.falsified(event)) {
                    if let Event::Follower { node, fragment, session, held } = &event {
                        self.flushed(to, node, *fragment, *session, *held);
                    }
                    self.tell(to, event);
                }
            }
            Choice::Stream(name, fragment) => self.stream(name, *fragment),
        }
        self.acknowledge();
        self.check();
    }

    /// Nothing else is to be done: time passes until the next deadline, and clients write.
    pub(super) fn wait(&mut self) {
        let mut next = self.now + self.writes_every();
        for node in self.nodes.values() {
            let times = [node.restart_at, Some(node.stalled_until), Some(node.cut_until), Some(node.manifest_away_until)];
            let deadline = node.process.as_ref().map(|process| process.machine.next_deadline());
            for at in times.into_iter().flatten().chain(deadline) {
                if at > self.now {
                    next = next.min(at);
                }
            }
        }
        let due = self.changes.iter().map(|(due, ..)| *due).chain(self.jobs.iter().map(|(due, ..)| *due));
        let due = due.chain(self.reframes.iter().map(|(due, ..)| *due)).filter(|due| *due > self.now).min();
        let was_cut: Vec<NodeName> = self.names.iter().filter(|name| self.nodes[*name].cut_until > self.now).cloned().collect();
        self.now = due.map_or(next, |due| next.min(due));
        for name in was_cut {
            if self.nodes[&name].cut_until <= self.now {
                for other in self.names.clone() {
                    if other != name && self.is_linked(&name, &other) {
                        self.connect(&name, &other);
                    }
                }
            }
        }
        self.start_due();
        for name in self.names.clone() {
            let (now, node) = (self.now, self.nodes.get_mut(&name).expect("a node"));
            let is_awake = node.stalled_until <= now;
            if let Some(process) = node.process.as_mut().filter(|process| is_awake && process.machine.next_deadline() <= now) {
                process.inbox.push_back(Event::Tick);
            }
        }
        if self.now >= self.next_write && self.now < self.writes_until {
            self.next_write = self.now + self.writes_every();
            self.write();
        }
        self.check();
    }

    fn writes_every(&self) -> Duration {
        let happened = self.happened_at;
        let is_busy = self.now < happened + Duration::from_millis(25);
        if is_busy { WRITES_EVERY.0 } else { WRITES_EVERY.1 }
    }

    pub(super) fn falsify_follower(&mut self, node: &str, session: Session) {
        self.false_session = Some((name(node), session));
    }

    fn falsified(&self, event: Event) -> Event {
        match (&self.false_session, event) {
            (Some((liar, session)), Event::Follower { node, fragment, held, .. }) if *liar == node => {
                Event::Follower { node, fragment, session: *session, held }
            }
            (_, event) => event,
        }
    }

    /// A client writes wherever the gate is open.
    pub(super) fn write(&mut self) {
        for name in self.names.clone() {
            let node = self.nodes.get_mut(&name).expect("a node");
            let Some(process) = &mut node.process else { continue };
            let open: Vec<FragmentId> =
                process.gates.iter().filter(|(_, gate)| **gate == Gate::Serving).map(|(fragment, _)| *fragment).collect();
            for fragment in open {
                self.writes += 1;
                let held = node.disk.of(fragment);
                let epoch = process.machine.writes(fragment).map_or(held.row, |(epoch, _)| epoch);
                let write = (Version::new(epoch, held.head().seq + 1), self.writes);
                self.oracle.gives(&name, fragment, write);
                held.writes.push(write);
                process.waiting.push((fragment, write));
            }
        }
        self.acknowledge();
    }

    pub(super) fn acknowledge(&mut self) {
        for node in self.nodes.values_mut() {
            for (fragment, write) in node.process.iter_mut().flat_map(Process::acknowledge) {
                self.oracle.acknowledges(fragment, write);
            }
        }
    }

    pub(super) fn check(&mut self) {
        for fragment in self.cells.keys() {
            let serving: Vec<&NodeName> = self.names.iter().filter(|name| self.nodes[*name].serves(*fragment, self.now)).collect();
            let has = |name: &NodeName, write| self.nodes[name].disk.fragments.get(fragment).is_some_and(|held| held.has(write));
            if let Some(node) =
                serving.first().filter(|node| *fragment == F && self.served_at.last().is_none_or(|(_, last)| last != **node))
            {
                self.served_at.push((self.now, (*node).clone()));
            }
            self.oracle.served_by(*fragment, &serving, has);
        }
        for gone in self.made.iter().flat_map(|(gone, _)| gone) {
            if let Some(name) = self.names.iter().find(|name| self.nodes[*name].serves(*gone, self.now)) {
                self.oracle.serves_what_is_gone(name, *gone);
            }
        }
    }

    pub(super) fn handle(&mut self, name: &NodeName) {
        let now = self.now;
        let Some(process) = self.process(name) else { return };
        let Some(event) = process.inbox.pop_front() else { return };
        process.machine.handle(now, event);
        while let Some(action) = process.machine.poll() {
            process.out.push_back(action);
        }
    }

    pub(super) fn watch(&mut self, name: &NodeName) {
        let revision = self.revision;
        let Some(watched) = self.process(name).map(|process| std::mem::replace(&mut process.watched, revision)) else { return };
        let cells: Vec<SeenCell> = self.cells.values().filter(|seen| seen.revision > watched).cloned().collect();
        self.fall_in(name);
        self.tell(name, Event::Cells(cells));
    }

    /// A change reaches the manifest.
    pub(super) fn change(&mut self, index: usize) {
        let Some((_, name, life, change, is_told)) = self.changes.remove(index) else { return };
        let is_there = self.nodes[&name].process.is_some() && self.nodes[&name].starts == life;
        let held = self.cells.get(&change.fragment).cloned();
        let fits = held.as_ref().is_some_and(|held| held.revision == change.revision);
        let outcome = if fits {
            self.revision += 1;
            let before = &held.expect("it fits").cell;
            change.next.check_follows(before).expect("the machine wishes for legal cells");
            let seen = SeenCell { cell: change.next.clone().marked(change.intent), revision: self.revision };
            self.cells.insert(change.fragment, seen.clone());
            Outcome::Made(Box::new(seen))
        } else {
            let mine = held.as_ref().is_some_and(|held| held.cell.carried_out(change.intent));
            match held {
                Some(held) if mine => Outcome::Made(Box::new(held)),
                held => Outcome::Lost(held.map(Box::new)),
            }
        };
        if is_there && is_told {
            self.tell(&name, Event::Changed { fragment: change.fragment, intent: change.intent, outcome });
        }
    }

    /// What nobody but a scheduler asks for: a number that was never given.
    pub(super) fn draw(&mut self) -> u64 {
        self.next_id = self.next_id.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.next_id >> 33
    }

    pub(super) fn seed(&mut self, seed: u64) {
        self.next_id = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66;
    }
}

/// One thing that may happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    Act(NodeName),
    Handle(NodeName),
    Watch(NodeName),
    Change(usize),
    Job(usize),
    Reframe(usize),
    Deliver(NodeName, NodeName),
    Stream(NodeName, FragmentId),
}
