//! What a node does: starts, stops, and carries out what its machine asks for.

use limosa_core::{FragmentCell, FragmentId, NodeName, Version};
use limosa_engine::ownership::{Action, Event, Gate, Job, NodeState, SeenCell, Session, Step};

use super::judge::Judge;
use super::node::Follows;
use super::world::{ClusterWorld, Due};
use crate::point::When;

/// Longest time that a process is gone, microseconds.
const GONE_US_MAX: u64 = 12_000_000;

impl ClusterWorld {
    pub(super) fn start(&mut self, node: usize) {
        if self.members[node].life.is_some() {
            return;
        }
        let seed = self.random.draw();
        let standbys = self.standbys;
        self.members[node].start(self.now_us, seed, standbys);
        self.trace.note(self.now_us, format_args!("{} starts", self.members[node].name));
        let nodes = self.members.iter().map(|member| NodeState {
            name: member.name.clone(),
            zone: String::new(),
            is_leaving: false,
            is_alive: true,
            fragments: 0,
        });
        let nodes = Event::Nodes(nodes.collect());
        self.tell(node, Event::Clock { unix_ms: self.now_us / 1_000 });
        self.tell(node, nodes);
        let cells: Vec<SeenCell> = self.manifest.cells.values().cloned().collect();
        let (life, delay) = (self.members[node].lives, 1_000 + self.manifest.away_until_us.saturating_sub(self.now_us));
        self.after(delay, Due::Answer { node, life, event: Box::new(Event::Cells(cells)) });
        for other in (0..self.members.len()).filter(|other| *other != node) {
            self.connect_later(node, other);
        }
    }

    pub(super) fn down(&mut self, node: usize) {
        let Some(life) = self.members[node].life.take() else { return };
        self.members[node].is_reborn &= !life.machine.is_believed();
        for chain in self.members[node].chains.values_mut() {
            let unflushed = chain.links.len() - chain.durable;
            chain.crash(if unflushed == 0 { 0 } else { self.random.index(unflushed + 1) });
        }
        self.members[node].paused_until_us = 0;
        self.trace.note(self.now_us, format_args!("{} is down", self.members[node].name));
        let longest = if self.random.one_in(2) { 300_000 } else { GONE_US_MAX };
        let back = 1 + self.random.below(longest);
        self.after(back, Due::Start(node));
        for other in (0..self.members.len()).filter(|other| *other != node) {
            let pair = (node.min(other), node.max(other));
            if self.connections.remove(&pair).is_some() {
                self.disconnected(node, other);
            }
        }
    }

    /// Whether two nodes reach each other is looked at in a moment.
    pub(super) fn connect_later(&mut self, one: usize, other: usize) {
        let delay = 1_000 + self.random.below(200_000);
        self.after(delay, Due::Connect(one, other));
    }

    pub(super) fn connect(&mut self, one: usize, other: usize) {
        let pair = (one.min(other), one.max(other));
        let until = self.parted.get(&pair).copied().unwrap_or(0);
        let is_parted = until > self.now_us;
        if is_parted {
            self.after(until - self.now_us + 1, Due::Connect(one, other));
        }
        let both_up = self.members[one].life.is_some() && self.members[other].life.is_some();
        match self.connections.get(&pair) {
            Some(_) if is_parted => {
                self.connections.remove(&pair);
                self.disconnected(one, other);
            }
            None if both_up && !is_parted => {
                let number = self.random.draw();
                self.connections.insert(pair, number);
                for (node, peer) in [(one, other), (other, one)] {
                    let peer = self.members[peer].name.clone();
                    self.tell(node, Event::Peer { node: peer, is_connected: true });
                }
            }
            _ => {}
        }
    }

    /// Both ends find out; sessions between them end first.
    fn disconnected(&mut self, one: usize, other: usize) {
        for (node, peer) in [(one, other), (other, one)] {
            if self.members[node].life.is_none() {
                continue;
            }
            self.end_sessions(node, peer);
            let peer = self.members[peer].name.clone();
            self.tell(node, Event::Peer { node: peer, is_connected: false });
        }
    }

    /// Tells a node's machine, and does what it asks for.
    pub(super) fn tell(&mut self, node: usize, event: Event) {
        let now = self.members[node].local(self.now_us);
        let Some(life) = &mut self.members[node].life else { return };
        if self.is_calm && Self::is_order(&event) {
            return;
        }
        life.machine.handle(now, event);
        let lives = self.members[node].lives;
        while let Some(action) = self.members[node].life.as_mut().and_then(|life| life.machine.poll()) {
            let step = Step::of(&action);
            if step.is_some_and(|step| self.strikes(node, step, When::Before)) {
                return;
            }
            let loses = step.is_some_and(|step| self.strikes(node, step, When::ReplyLost));
            self.carry_out(node, action, loses);
            if !self.is_alive(node, lives) || step.is_some_and(|step| self.strikes(node, step, When::Behind)) {
                return;
            }
        }
        self.set_alarm(node);
    }

    fn set_alarm(&mut self, node: usize) {
        let member = &mut self.members[node];
        let Some(life) = &mut member.life else { return };
        let at = life.machine.next_deadline();
        if at == life.tick_at {
            return;
        }
        life.tick_at = at;
        let (at, lives) = (member.world_us(at), member.lives);
        self.after(at.saturating_sub(self.now_us).max(1), Due::Tick(node, lives));
    }

    /// Whether the armed crash point is this one; then it happens. What a lost reply means, the caller knows.
    fn strikes(&mut self, node: usize, step: Step, when: When) -> bool {
        let Some((_, _, until)) = self.armed.filter(|(armed, at, _)| (*armed, *at) == (step, when)) else { return false };
        self.armed = None;
        if until < self.now_us || self.is_calm {
            return false;
        }
        *self.tally.points.entry((step, when)).or_default() += 1;
        self.trace.note(self.now_us, format_args!("FAULT crash point: {when:?} {step:?} ({})", self.members[node].name));
        if when != When::ReplyLost {
            self.down(node);
        }
        true
    }

    fn carry_out(&mut self, node: usize, action: Action, loses_reply: bool) {
        let life = self.members[node].lives;
        match action {
            Action::Change(change) => {
                let delay = 500 + self.random.below(8_000);
                let answered = if loses_reply { u64::MAX } else { life };
                if loses_reply {
                    let (fragment, intent) = (change.fragment, change.intent);
                    let event = Box::new(Event::Changed { fragment, intent, outcome: limosa_engine::ownership::Outcome::Unknown });
                    self.after(delay + 2_000_000, Due::Answer { node, life, event });
                }
                self.after(delay, Due::Change { node, life: answered, change });
            }
            Action::ReadCell(fragment) => {
                let away = self.manifest.away_until_us.saturating_sub(self.now_us);
                let cells = vec![self.manifest.cells[&fragment].clone()];
                let delay = 1_000 + self.random.below(8_000) + away;
                self.after(delay, Due::Answer { node, life, event: Box::new(Event::Cells(cells)) });
            }
            Action::Send { to, message } if !loses_reply => self.send(node, &to, message),
            Action::SetGate { fragment, gate } => self.set_gate(node, fragment, gate),
            Action::Follow { from, purpose, fragments } => {
                let Some(from) = self.node_of(&from) else { return };
                for (fragment, epoch_max) in fragments {
                    let follows = Follows { from, purpose, epoch_max, is_live: false, was_told: false, staged: 0 };
                    if let Some(life) = &mut self.members[node].life {
                        life.follows.insert(fragment, follows);
                    }
                    let delay = 1_000 + self.random.below(50_000);
                    self.after(delay, Due::Session { node, life, fragment });
                }
            }
            Action::Unfollow { fragments, .. } => {
                for fragment in fragments {
                    self.leave(node, fragment);
                }
            }
            Action::Job(job) => self.job(node, job),
            Action::Count(count) => {
                let (fragment, head) = (count.fragment, self.members[node].chains[&count.fragment].head());
                if let Some(life) = &mut self.members[node].life {
                    life.counts.insert(fragment, count);
                }
                self.after(1, Due::Answer { node, life, event: Box::new(Event::Counted { fragment, head }) });
            }
            Action::Report(report) => self.trace.note(self.now_us, format_args!("{}: {report:?}", self.members[node].name)),
            Action::Reframe(_) => unreachable!("nobody splits or merges fragments of these clusters"),
            Action::Slow { .. } | Action::Send { .. } => {}
        }
    }

    fn send(&mut self, node: usize, to: &NodeName, message: limosa_wire::OwnershipMessage) {
        let Some(to) = self.node_of(to) else { return };
        let Some(connection) = self.connections.get(&(node.min(to), node.max(to))).copied() else { return };
        let arrives = (self.now_us + 200 + self.random.below(5_000)).max(self.lanes.get(&(node, to)).copied().unwrap_or(0) + 1);
        self.lanes.insert((node, to), arrives);
        self.after(arrives - self.now_us, Due::Message { from: node, to, connection, message: Box::new(message) });
    }

    fn set_gate(&mut self, node: usize, fragment: FragmentId, gate: Gate) {
        let Some(life) = &mut self.members[node].life else { return };
        life.gates.insert(fragment, gate);
        if gate == Gate::Serving {
            let name = self.members[node].name.clone();
            if let Err(broken) = self.judge.serves(fragment, &self.members[node].chains[&fragment], name.as_str()) {
                self.broken = Some(broken);
            }
        }
    }

    fn job(&mut self, node: usize, job: Job) {
        let life = self.members[node].lives;
        let delay = 500 + self.random.below(6_000);
        let reply = match job {
            Job::Digest { fragment, at } => {
                if let Some(life) = &mut self.members[node].life {
                    life.digests.insert(fragment, at);
                }
                return self.after(delay, Due::Flush { node, life, fragment });
            }
            Job::OpenEpoch { fragment, epoch } => {
                let chain = self.members[node].chains.get_mut(&fragment).expect("every node has a place for it");
                if epoch <= chain.row {
                    Event::EpochRefused { fragment, held: chain.row }
                } else {
                    chain.row = epoch;
                    chain.durable = chain.links.len();
                    Event::EpochOpened { fragment, epoch, base: chain.head() }
                }
            }
            Job::PersistFence { fragment, epoch } => {
                let chain = self.members[node].chains.get_mut(&fragment).expect("every node has a place for it");
                chain.fence = chain.fence.max(epoch);
                chain.durable = chain.links.len();
                Event::FencePersisted { fragment, epoch, held: chain.held() }
            }
            Job::Drop { fragment } => {
                let chain = self.members[node].chains.get_mut(&fragment).expect("every node has a place for it");
                (chain.links, chain.durable, chain.row) = (Vec::new(), 0, 0);
                Event::Dropped { fragment }
            }
        };
        self.after(delay, Due::Answer { node, life, event: Box::new(reply) });
    }

    /// What a node wrote of a fragment is on its disk.
    pub(super) fn flushed(&mut self, node: usize, fragment: FragmentId) {
        let chain = self.members[node].chains.get_mut(&fragment).expect("every node has a place for it");
        chain.durable = chain.links.len();
        let (version, state) = (chain.held(), chain.state());
        let wanted = self.members[node].life.as_ref().and_then(|life| life.digests.get(&fragment).copied());
        if wanted.is_some_and(|at| version >= at) {
            if let Some(life) = &mut self.members[node].life {
                life.digests.remove(&fragment);
            }
            self.tell(node, Event::Digest { fragment, version, state });
        }
        self.settle(node, fragment);
        self.acknowledge_to_owner(node, fragment);
    }

    pub(super) fn node_of(&self, name: &NodeName) -> Option<usize> {
        self.members.iter().position(|member| member.name == *name)
    }

    /// I5 of a change that hands a fragment over.
    pub(super) fn judge_change(&mut self, before: &FragmentCell, next: &FragmentCell) {
        let (Some(from), Some(to)) = (before.owner(), next.owner()) else {
            self.tally.promotions += u64::from(next.owner().is_some());
            return;
        };
        if from == to {
            return;
        }
        self.tally.moves += 1;
        let (Some(from), Some(to)) = (self.node_of(from), self.node_of(to)) else { return };
        if self.members[from].is_reborn || self.members[to].is_reborn {
            return;
        }
        let (source, target) = (&self.members[from].chains[&next.id()], &self.members[to].chains[&next.id()]);
        if let Err(broken) = Judge::changes_hands(before, source, target) {
            self.broken = Some(broken);
        }
    }

    pub(super) fn tell_session(&mut self, node: usize, from: usize, fragment: FragmentId, session: Session, held: Version) {
        let from = self.members[from].name.clone();
        self.tell(node, Event::Session { from, fragment, session, held });
    }

    pub(super) fn tell_follower(&mut self, owner: usize, node: usize, fragment: FragmentId, session: Session, held: Version) {
        let node = self.members[node].name.clone();
        self.tell(owner, Event::Follower { node, fragment, session, held });
    }
}
