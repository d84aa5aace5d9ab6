//! An owner and a standby, their machines, and a connection between them on a virtual clock: ordered, delayed, and cut at will.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use limosa_core::{FragmentId, Scope, Version};
use limosa_engine::source::{self, Permit, Source};
use limosa_engine::target::{self, Target};
use limosa_engine::{SessionError, shared};
use limosa_wire::{Message, Method, Purpose};

use super::Random;
use super::node::Node;

const CLUSTER: [u8; 16] = [9; 16];

/// One connection's two machines and the messages between them.
struct Session {
    source: Source,
    target: Target,
    to_source: VecDeque<Message>,
    to_target: VecDeque<Message>,
    source_jobs: VecDeque<source::Job>,
    target_jobs: VecDeque<target::Job>,
}

pub struct Pair {
    pub owner: Node,
    pub standby: Node,
    session: Option<Session>,
    random: Random,
    now: Duration,
    /// Messages delivered, as names, in order.
    pub trace: Vec<String>,
    pub methods: Vec<Method>,
    pub acknowledged: u64,
    /// What the owner knows the standby to have durably.
    pub held: BTreeMap<FragmentId, Version>,
    pub consistent: bool,
    pub errors: Vec<SessionError>,
    /// What the next sessions are about, and what for.
    pub scope: Scope,
    pub purpose: Purpose,
    pub permit: Permit,
}

impl Pair {
    pub fn new(owner: Node, standby: Node, seed: u64) -> Self {
        Self {
            owner,
            standby,
            session: None,
            random: Random(seed),
            now: Duration::ZERO,
            trace: Vec::new(),
            methods: Vec::new(),
            acknowledged: 0,
            held: BTreeMap::new(),
            consistent: false,
            errors: Vec::new(),
            scope: Scope::All,
            purpose: Purpose::Follow,
            permit: Permit::default(),
        }
    }

    pub fn connect(&mut self) {
        let versions = (1, 1);
        let window = 2000;
        let source = Source::new(source::Config {
            cluster: CLUSTER,
            space_keys: 1,
            peer: "b".into(),
            session: self.random.next(),
            credit_window: window,
            wire_versions: versions,
            features: limosa_wire::features::ALL,
            permit: self.permit.clone(),
        });
        let target = Target::new(target::Config {
            cluster: CLUSTER,
            node: "b".into(),
            incarnation: 1,
            space_keys: 1,
            wire_versions: versions,
            features: limosa_wire::features::ALL,
            credit_window: window,
            scope: self.scope.clone(),
            purpose: self.purpose,
            stage: self.random.next(),
        });
        self.consistent = false;
        self.session = Some(Session {
            source,
            target,
            to_source: VecDeque::new(),
            to_target: VecDeque::new(),
            source_jobs: VecDeque::new(),
            target_jobs: VecDeque::new(),
        });
    }

    pub fn cut_connection(&mut self) {
        self.session = None;
    }

    /// Takes one step of whatever can go on, chosen at random; false when nothing can.
    pub fn step(&mut self) -> bool {
        self.now += Duration::from_millis(1 + self.random.below(20));
        self.carry_out();
        let Some(session) = &mut self.session else { return false };
        let mut choices = Vec::new();
        for (choice, possible) in [
            (0, !session.to_source.is_empty()),
            (1, !session.to_target.is_empty()),
            (2, !session.source_jobs.is_empty()),
            (3, !session.target_jobs.is_empty()),
            (4, self.standby.is_dirty()),
        ] {
            if possible {
                choices.push(choice);
            }
        }
        if choices.is_empty() {
            return false;
        }
        match choices[self.random.below(choices.len() as u64) as usize] {
            0 => {
                let message = session.to_source.pop_front().expect("chosen because there is one");
                session.source.handle(self.now, source::Event::Message(message));
            }
            1 => {
                let message = session.to_target.pop_front().expect("chosen because there is one");
                self.trace.push(format!("{message:?}").split(['(', ' ']).next().unwrap_or_default().to_owned());
                if let Message::Plan(plan) = &message {
                    self.methods.extend(plan.items.iter().map(|item| item.method));
                }
                session.target.handle(target::Event::Message(message));
            }
            2 => {
                let job = session.source_jobs.pop_front().expect("chosen because there is one");
                if let Some(event) = self.owner.source_job(job) {
                    session.source.handle(self.now, event);
                }
            }
            3 => {
                let job = session.target_jobs.pop_front().expect("chosen because there is one");
                if let Some(event) = self.standby.target_job(job) {
                    session.target.handle(event);
                }
            }
            _ => {
                self.standby.flush();
                session.target.handle(target::Event::Durable(self.standby.position()));
            }
        }
        self.carry_out();
        true
    }

    fn carry_out(&mut self) {
        let Some(session) = &mut self.session else { return };
        let mut closed = None;
        while let Some(action) = session.source.poll() {
            match action {
                source::Action::Send(message) => session.to_target.push_back(message),
                source::Action::Job(job) => session.source_jobs.push_back(job),
                source::Action::Acknowledged(position) => self.acknowledged = position,
                source::Action::Held(held) => self.held.extend(held),
                source::Action::Alternatives(_) => {}
                source::Action::Close(error) => closed = Some(error),
            }
        }
        while let Some(action) = session.target.poll() {
            match action {
                target::Action::Send(message) => session.to_source.push_back(message),
                target::Action::Job(job) => session.target_jobs.push_back(job),
                target::Action::Consistent => self.consistent = true,
                target::Action::Close(error) => closed = Some(error),
            }
        }
        if let Some(error) = closed {
            self.errors.push(error);
            self.session = None;
        }
    }

    pub fn owner_published(&mut self) {
        if let Some(session) = &mut self.session {
            session.source.handle(self.now, source::Event::Published);
        }
    }

    /// One end wants these fragments out of the session, if there is one.
    pub fn leave(&mut self, source: bool, fragments: &[FragmentId]) {
        let Some(session) = &mut self.session else { return };
        if source {
            session.source.handle(self.now, source::Event::Leave(fragments.to_vec()));
        } else {
            session.target.handle(target::Event::Leave(fragments.to_vec()));
        }
        self.carry_out();
    }

    /// So many steps, or fewer when nothing is left to do.
    pub fn steps(&mut self, count: u64) {
        (0..count).all(|_| self.step());
    }

    pub fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    /// Both ends hold the same of the fragments in `scope`.
    pub fn assert_equal_in(&self, scope: &Scope) {
        let of = |node: &Node| node.facts().into_iter().filter(|facts| scope.has(facts.id)).collect::<Vec<_>>();
        assert_eq!(shared::shared_digest(&of(&self.owner)), shared::shared_digest(&of(&self.standby)), "trace {:?}", self.trace);
        for facts in of(&self.owner) {
            let within = |node: &Node| -> Vec<_> { node.contents().into_iter().filter(|(key, _)| facts.range.contains(key)).collect() };
            assert!(within(&self.owner) == within(&self.standby), "every entry of {}", facts.id);
        }
    }

    /// Runs until nothing is left to do.
    pub fn settle(&mut self) {
        for _ in 0..2_000_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the session does not come to rest: {:?}", &self.trace[self.trace.len().saturating_sub(20)..]);
    }

    /// Connects and settles; the ends must then be equal, by digests and by content.
    pub fn heal(&mut self) {
        self.connect();
        self.settle();
        self.assert_equal();
    }

    pub fn assert_equal(&self) {
        assert_eq!(self.errors, [], "no session ended with an error");
        assert!(self.consistent, "the standby was told that it is consistent; trace {:?}", self.trace);
        assert_eq!(
            shared::shared_digest(&self.owner.facts()),
            shared::shared_digest(&self.standby.facts()),
            "digests, heads and tables agree"
        );
        let held: Vec<_> = self.owner.facts().iter().map(|facts| (facts.id, facts.head)).collect();
        // Of fragments that were split or merged nothing is asked any more.
        let is_there = |id: &FragmentId| held.iter().any(|(there, _)| there == id);
        let known: Vec<_> = self.held.iter().filter(|(id, _)| is_there(id)).map(|(id, version)| (*id, *version)).collect();
        assert_eq!(known, held, "the owner knows of every fragment what its standby has");
        assert!(self.owner.contents() == self.standby.contents(), "every entry agrees");
    }
}
