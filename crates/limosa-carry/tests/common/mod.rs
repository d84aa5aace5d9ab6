//! Nodes with real stores on disks in memory, and sessions between them that are driven step by step.
#![allow(dead_code, unreachable_pub)] // each test file uses a part

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limosa_carry::{SourceCarrier, TargetCarrier, flush, wants_flush};
use limosa_core::{Expiry, FragmentFacts, FragmentId, Scope, SpaceKeys};
use limosa_engine::source::{self, Epochs, Permit, Source};
use limosa_engine::target::{self, Target};
use limosa_engine::{SessionError, shared};
use limosa_store::disk::{MemoryDisk, Survivors};
use limosa_store::{FragmentGate, Identity, Options, Store, StoreError};
use limosa_wire::{Context, Message, Method, Purpose, encode};

const CLUSTER: [u8; 16] = [7; 16];
const WINDOW: u64 = 24 << 10;
pub const FRAGMENTS: u16 = 8;

pub fn keys() -> SpaceKeys {
    SpaceKeys::derive(&[9; 32], "default")
}

/// Fragments `from` to before `to`.
pub fn some(from: u32, to: u32) -> Scope {
    Scope::only((from..to).map(FragmentId))
}

pub struct Node {
    pub name: &'static str,
    pub disk: MemoryDisk,
    pub store: Store,
    pub owned: Vec<FragmentId>,
    epoch: u32,
    drawn: Arc<AtomicU64>,
}

impl Node {
    /// A node that owns these fragments; the gates of the others are closed.
    pub fn new(name: &'static str, owned: &Scope, seed: u64) -> Self {
        let (disk, drawn) = (MemoryDisk::new(), Arc::new(AtomicU64::new(seed << 32)));
        let store = open(name, &disk, &drawn);
        let owned = owned.fragments().into_iter().flatten().copied().collect();
        let mut node = Self { name, disk, store, owned, epoch: 0, drawn };
        node.take_up();
        node
    }

    fn take_up(&mut self) {
        self.epoch += 1;
        let closed: Vec<_> = self.store.facts().iter().map(|facts| (facts.id, FragmentGate::Closed)).collect();
        self.store.set_gates(&closed);
        self.store.open_epochs(&self.owned.iter().map(|id| (*id, self.epoch)).collect::<Vec<_>>()).expect("above what it has");
        self.store.set_gates(&self.owned.iter().map(|id| (*id, FragmentGate::Serving)).collect::<Vec<_>>());
    }

    /// What was not synced is lost; it starts again, and opens its epochs.
    pub fn kill_and_return(&mut self) {
        self.disk = self.disk.restart(Survivors::None); // before the store goes: what it does on its way out does not count
        self.store = open(self.name, &self.disk, &self.drawn);
        self.take_up();
    }

    /// Sets the key if this node serves it; its bytes, key and value, or 0.
    pub fn set(&self, key: &str, value: &str) -> u64 {
        let mut txn = self.store.begin();
        match txn.set(key.as_bytes(), value.as_bytes(), Expiry::NEVER) {
            Ok(()) => {
                txn.commit();
                (key.len() + value.len()) as u64
            }
            Err(StoreError::NotServed { .. }) => 0,
            Err(error) => panic!("{error}"),
        }
    }

    /// Sets every `step`th of `count` keys that this node serves; their bytes.
    pub fn fill(&self, count: u32, step: usize, word: &str) -> u64 {
        let value = |i: u32| format!("{word} {i} {}", noise(u64::from(i) + word.len() as u64 * 77));
        let bytes = (0..count).step_by(step).map(|i| self.set(&format!("key:{i}"), &value(i))).sum();
        self.store.flush().expect("the disk takes it");
        bytes
    }

    pub fn facts_in(&self, scope: &Scope) -> Vec<FragmentFacts> {
        self.store.facts().into_iter().filter(|facts| scope.has(facts.id)).collect()
    }
}

/// 80 characters that do not shrink much.
fn noise(seed: u64) -> String {
    let word = |i: u64| (seed * 31 + i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9 ^ i);
    (0..5).map(|i| format!("{:016x}", word(i))).collect()
}

fn open(name: &str, disk: &MemoryDisk, drawn: &Arc<AtomicU64>) -> Store {
    let identity = Identity { cluster: CLUSTER, node: name.to_owned() };
    let mut options = Options::new(format!("/{name}"), identity, keys());
    options.disk = Arc::new(disk.clone());
    options.fragments = FRAGMENTS;
    options.ring_bytes = 16 << 10;
    options.tail_bytes = 64 << 10;
    options.segment_bytes = 64 << 10;
    options.clock = Arc::new(|| 1_000_000);
    let drawn = Arc::clone(drawn);
    options.entropy = Arc::new(move || Ok(drawn.fetch_add(1, Ordering::Relaxed)));
    Store::open(options).expect("a sound folder")
}

/// A connection: the target follows the source in a scope.
pub struct Session {
    source: Source,
    target: Target,
    source_jobs: VecDeque<source::Job>,
    target_jobs: VecDeque<target::Job>,
    source_carrier: SourceCarrier,
    target_carrier: TargetCarrier,
    to_source: VecDeque<Message>,
    to_target: VecDeque<Message>,
    needs_flush: bool,
    pub wire_bytes: u64,
    pub methods: Vec<Method>,
    pub consistent: bool,
    pub ended: Option<SessionError>,
}

impl Session {
    pub fn new(source: &Node, target: &Node, scope: Scope, id: u64) -> Self {
        let owned = Scope::only(source.owned.iter().copied());
        let (space_keys, features) = (keys().id(), limosa_wire::features::ALL);
        let source = Source::new(source::Config {
            cluster: CLUSTER,
            space_keys,
            peer: target.name.to_owned(),
            session: id,
            credit_window: WINDOW,
            wire_versions: (1, 1),
            features,
            permit: Permit { scope: owned, epochs: Epochs::Given },
        });
        let target = Target::new(target::Config {
            cluster: CLUSTER,
            node: target.name.to_owned(),
            incarnation: target.store.incarnation(),
            space_keys,
            wire_versions: (1, 1),
            features,
            credit_window: WINDOW,
            scope,
            purpose: Purpose::Follow,
            stage: id,
        });
        Self {
            source,
            target,
            source_jobs: VecDeque::new(),
            target_jobs: VecDeque::new(),
            source_carrier: SourceCarrier::default(),
            target_carrier: TargetCarrier::default(),
            to_source: VecDeque::new(),
            to_target: VecDeque::new(),
            needs_flush: false,
            wire_bytes: 0,
            methods: Vec::new(),
            consistent: false,
            ended: None,
        }
    }

    pub fn published(&mut self) {
        self.source.handle(Duration::ZERO, source::Event::Published);
    }

    pub fn leave(&mut self, fragments: &[FragmentId]) {
        self.target.handle(target::Event::Leave(fragments.to_vec()));
    }

    /// Does one thing; false when there is none.
    pub fn step(&mut self, source: &Node, target: &Node) -> bool {
        self.act();
        if self.ended.is_some() {
            return false;
        }
        if let Some(message) = self.to_source.pop_front() {
            self.source.handle(Duration::ZERO, source::Event::Message(message));
        } else if let Some(job) = self.source_jobs.pop_front() {
            let answer = self.source_carrier.carry_out(&source.store, &job, &mut ()).expect("the store is sound");
            answer.into_iter().for_each(|event| self.source.handle(Duration::ZERO, event));
        } else if let Some(message) = self.to_target.pop_front() {
            if let Message::Plan(plan) = &message {
                self.methods.extend(plan.items.iter().map(|item| item.method));
            }
            self.target.handle(target::Event::Message(message));
        } else if let Some(job) = self.target_jobs.pop_front() {
            let answer = self.target_carrier.carry_out(&target.store, &job, &mut ()).expect("the store is sound");
            self.needs_flush |= answer.as_ref().is_some_and(wants_flush);
            answer.into_iter().for_each(|event| self.target.handle(event));
        } else if std::mem::take(&mut self.needs_flush) {
            let (_, events) = flush(&target.store).expect("the disk takes it");
            events.into_iter().for_each(|event| self.target.handle(event));
        } else {
            return false;
        }
        self.act();
        true
    }

    fn act(&mut self) {
        while let Some(action) = self.source.poll() {
            match action {
                source::Action::Send(message) => self.to_target.push_back(counted(&mut self.wire_bytes, message)),
                source::Action::Job(job) => self.source_jobs.push_back(job),
                source::Action::Close(error) => drop(self.ended.get_or_insert(error)),
                source::Action::Acknowledged(_) | source::Action::Held(_) | source::Action::Alternatives(_) => {}
            }
        }
        while let Some(action) = self.target.poll() {
            match action {
                target::Action::Send(message) => self.to_source.push_back(counted(&mut self.wire_bytes, message)),
                target::Action::Job(job) => self.target_jobs.push_back(job),
                target::Action::Consistent => self.consistent = true,
                target::Action::Close(error) => drop(self.ended.get_or_insert(error)),
            }
        }
    }
}

fn counted(bytes: &mut u64, message: Message) -> Message {
    *bytes += encode(&message, &Context::default()).expect("our own messages have a form").len() as u64;
    message
}

/// Both nodes hold the same of `scope`, by digests that cover heads and histories.
pub fn assert_equal(a: &Node, b: &Node, scope: &Scope) {
    assert_eq!(
        shared::shared_digest(&a.facts_in(scope)),
        shared::shared_digest(&b.facts_in(scope)),
        "{:?}\n{:?}",
        a.facts_in(scope),
        b.facts_in(scope)
    );
}
