//! A deleted key never comes back: random histories, collection at random moments, and peers of every age that catch up.

mod world;

use std::collections::BTreeMap;

use limosa_core::{KeyRange, key};
use world::Random;
use world::node::{Image, Node};
use world::pair::Pair;

const FRAGMENTS: u16 = 3;
const KEYS: u64 = 150;

/// What must be live, by user key, with its deadline: the oracle, which knows no versions.
#[derive(Clone, Default)]
struct Truth(BTreeMap<String, (String, u64)>);

/// An owner, what it must hold, and what standbys held when they went away.
struct World {
    owner: Node,
    truth: Truth,
    away: Vec<(&'static str, Image)>,
    now_ms: u64,
    random: Random,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut owner = Node::new(FRAGMENTS, seed);
        owner.open_epoch(0);
        Self { owner, truth: Truth::default(), away: Vec::new(), now_ms: 1_000, random: Random(seed) }
    }

    fn steps(&mut self, count: u64) {
        (0..count).for_each(|_| self.step());
        self.owner.flush();
    }

    fn step(&mut self) {
        let (key, value) = (format!("key{}", self.random.below(KEYS)), format!("{}", self.random.next()));
        match self.random.below(40) {
            0..=19 => {
                self.owner.put(&key, &value);
                self.truth.0.insert(key, (value, u64::MAX));
            }
            20..=29 => {
                self.owner.delete(&key);
                self.truth.0.remove(&key);
            }
            30..=34 => {
                let deadline = self.now_ms + self.random.below(30);
                self.owner.put_until(&key, &value, deadline);
                self.truth.0.insert(key, (value, deadline));
            }
            35 | 36 => {
                self.now_ms += self.random.below(20);
                let now_ms = self.now_ms;
                self.owner.expire(now_ms);
                self.truth.0.retain(|_, (_, deadline)| *deadline > now_ms);
            }
            37 => self.delete_range(),
            38 => self.owner.collect(self.random.below(101)),
            _ => self.owner.keep_commits(self.random.below(30) as usize),
        }
    }

    /// Between two keys, or everything.
    fn delete_range(&mut self) {
        let mut bound = || key::stored(format!("key{}", self.random.below(KEYS)).as_bytes());
        let (a, b) = (bound(), bound());
        let range = match self.random.below(4) {
            0 => KeyRange::ALL,
            _ => KeyRange::new(a.clone().min(b.clone()), Some(a.max(b).into())),
        };
        self.owner.delete_range(&range);
        self.truth.0.retain(|user, _| !range.contains(&key::stored(user.as_bytes())));
    }

    /// A standby that agrees with the owner now goes away.
    fn leave(&mut self, name: &'static str, write: bool) {
        let mut standby = Node::new(FRAGMENTS, self.random.next());
        self.heal(&mut standby);
        if write {
            // It was promoted by mistake, and wrote: nothing of this may be seen again, nor may what it deleted stay away.
            standby.open_epoch(0);
            for _ in 0..self.random.below(30) {
                let key = format!("key{}", self.random.below(KEYS));
                match self.random.below(10) {
                    0 => standby.delete_range(&KeyRange::ALL),
                    1..=4 => standby.delete(&key),
                    _ => standby.put(&key, "written by the standby"),
                }
            }
            standby.flush();
        }
        self.away.push((name, standby.disk_image()));
    }

    /// Brings `standby` to where the owner is, and holds both against the truth.
    fn heal(&mut self, standby: &mut Node) {
        let empty = || Node::new(FRAGMENTS, 0);
        let (owner, other) = (std::mem::replace(&mut self.owner, empty()), std::mem::replace(standby, empty()));
        let mut pair = Pair::new(owner, other, self.random.next());
        pair.heal();
        (self.owner, *standby) = (pair.owner, pair.standby);
        self.check(standby);
    }

    fn check(&self, node: &Node) {
        let contents = node.contents();
        for (stored, (version, value)) in &contents {
            let (user, _) = key::parse(stored).expect("stored keys are well formed");
            let user = String::from_utf8(user).expect("text");
            let truth = self.truth.0.get(&user).map(|(value, _)| value.as_bytes());
            assert_eq!(Some(&value[..]), truth, "{user} at {version}: a deleted key came back, or an old value");
        }
        assert_eq!(contents.len(), self.truth.0.len(), "nothing else is missing");
    }
}

fn history(seed: u64) -> World {
    let mut world = World::new(seed);
    world.steps(60);
    world.leave("long away", false);
    world.steps(80);
    world.leave("diverged", true);
    world.steps(80);
    world.leave("a while away", false);
    world.steps(60);
    world.leave("diverged lately", true);
    world.steps(20);
    world.leave("in sync", false);
    world.away.push(("empty", Node::new(FRAGMENTS, 9).disk_image()));
    world
}

fn node_of(image: Image, seed: u64) -> Node {
    let mut node = Node::new(FRAGMENTS, seed);
    node.restore(image);
    node
}

#[test]
fn a_deleted_key_never_comes_back_to_peers_of_any_age() {
    for seed in 0..40 {
        let mut world = history(seed);
        for (name, image) in std::mem::take(&mut world.away) {
            let mut standby = node_of(image, seed + 1_000);
            world.heal(&mut standby);
            world.steps(5);
            world.heal(&mut standby);
            assert!(standby.facts().iter().zip(world.owner.facts()).all(|(theirs, ours)| theirs.head == ours.head), "{name}, seed {seed}");
        }
    }
}

#[test]
fn floors_are_inherited_so_a_promoted_standby_of_any_age_brings_nothing_back_to_peers_of_any_age() {
    for seed in 40..60 {
        let mut world = history(seed);
        let peers = std::mem::take(&mut world.away);
        let promoted = world.random.below(peers.len() as u64) as usize;
        let mut others = Vec::new();
        for (i, (_, image)) in peers.into_iter().enumerate() {
            if i == promoted {
                let mut heir = node_of(image, seed + 500);
                world.heal(&mut heir);
                // The old owner is gone for good. Deletions of its history that the heir was never told of are behind the heir's floor.
                heir.open_epoch(0);
                heir.flush();
                world.owner = heir;
            } else {
                others.push(image);
            }
        }
        world.steps(30);
        for image in others {
            let mut standby = node_of(image, seed + 1_000);
            world.heal(&mut standby);
        }
    }
}

#[test]
fn a_peer_below_the_floor_is_sent_what_differs_and_no_copy() {
    let mut world = World::new(77);
    for i in 0..600 {
        world.owner.put(&format!("steady{i}"), "v");
        world.truth.0.insert(format!("steady{i}"), ("v".into(), u64::MAX));
    }
    world.owner.flush();
    world.leave("away", false);
    for i in 0..10 {
        world.owner.delete(&format!("steady{i}"));
        world.truth.0.remove(&format!("steady{i}"));
        world.owner.put(&format!("new{i}"), "v");
        world.truth.0.insert(format!("new{i}"), ("v".into(), u64::MAX));
    }
    world.owner.collect(100);
    world.owner.keep_commits(0);
    world.owner.flush();
    world.owner.frame_entries = 0;
    let (_, image) = world.away.remove(0);
    let mut standby = node_of(image, 5);
    world.heal(&mut standby);
    assert_eq!(world.owner.frame_entries, 10, "what is new; what it has too much it finds by itself");
}
