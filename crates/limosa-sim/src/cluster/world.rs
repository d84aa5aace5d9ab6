//! A world of a cluster: what happens next, chaos, then calm in which every fragment must be served and complete again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::time::Duration;

use limosa_core::{FragmentId, NodeName, Version};
use limosa_engine::ownership::{Blocked, Change, Event, Gate, Order, Outcome, SeenCell, Step};
use limosa_wire::OwnershipMessage;

use super::judge::Judge;
use super::manifest::Manifest;
use super::node::Member;
use super::trouble::Trouble;
use crate::check::Broken;
use crate::point::When;
use crate::random::Random;
use crate::trace::Trace;
use crate::world::Failure;

/// How long chaos lasts, microseconds.
const CHAOS_US: u64 = 240_000_000;
/// Time within which everything must heal, microseconds.
const CALM_US: u64 = 300_000_000;
const FRAGMENTS: u32 = 4;

/// What many worlds came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Worlds that ran.
    pub worlds: u64,
    /// Virtual time, microseconds.
    pub simulated_us: u64,
    /// Events.
    pub events: u64,
    /// Commits acknowledged.
    pub acknowledgements: u64,
    /// Reads judged.
    pub reads: u64,
    /// Moves that committed.
    pub moves: u64,
    /// Promotions.
    pub promotions: u64,
    /// Worlds in the end of which an operator must accept a loss: a disk was lost.
    pub blocked: u64,
    /// What went wrong, by kind.
    pub troubles: BTreeMap<Trouble, u64>,
    /// Crash points hit.
    pub points: BTreeMap<(Step, When), u64>,
}

impl Tally {
    /// Adds another one's sums.
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.simulated_us += other.simulated_us;
        self.events += other.events;
        self.acknowledgements += other.acknowledgements;
        self.reads += other.reads;
        self.moves += other.moves;
        self.promotions += other.promotions;
        self.blocked += other.blocked;
        other.troubles.iter().for_each(|(kind, count)| *self.troubles.entry(*kind).or_default() += count);
        other.points.iter().for_each(|(point, count)| *self.points.entry(*point).or_default() += count);
    }
}

impl Tally {
    /// Troubles that no world had.
    pub fn missing(&self) -> Vec<Trouble> {
        Trouble::all().filter(|kind| !self.troubles.contains_key(kind)).collect()
    }

    /// Crash points that no world hit; without those that are known never to be met.
    pub fn points_missing(&self) -> Vec<String> {
        let missing = points().filter(|point| !self.points.contains_key(point)).map(|(step, when)| format!("{when:?} {step:?}"));
        missing.filter(|point| !NEVER_MET.contains(&point.as_str())).collect()
    }
}

/// Crash points at steps that these worlds hardly come to: 1,500 of them met none of these. They are counted as not hit wherever the count is
/// printed, and `docs/faults.md` names them.
const NEVER_MET: &[&str] = &[
    "Before Change(Abort)",
    "Behind Change(Abort)",
    "ReplyLost Change(Abort)",
    "Before Change(Require)",
    "Behind Change(Require)",
    "ReplyLost Change(Require)",
    "ReplyLost Change(Shrink)",
    "Before Reframe", // nobody splits or merges fragments of these clusters
    "Behind Reframe",
    "Before NotReady",
    "Behind NotReady",
];

/// The table of crash points. A step that nobody answers has no reply to lose.
fn points() -> impl Iterator<Item = (Step, When)> {
    let has_reply = |step: Step| {
        matches!(
            step,
            Step::Change(_) | Step::Renew | Step::Renewed | Step::Seal | Step::Ready | Step::Committed | Step::Fence | Step::Fenced
        )
    };
    let is_there = move |step: Step, when: When| when != When::ReplyLost || has_reply(step);
    Step::ALL.into_iter().flat_map(move |step| {
        [When::Before, When::Behind, When::ReplyLost].into_iter().filter(move |when| is_there(step, *when)).map(move |when| (step, when))
    })
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = Duration::from_micros(self.simulated_us).as_secs_f64() / 3_600.0;
        writeln!(f, "clusters: {} worlds, {} events, {hours:.1} simulated hours", self.worlds, self.events)?;
        writeln!(
            f,
            "checked: {} acknowledgements, {} reads, {} moves, {} promotions",
            self.acknowledgements, self.reads, self.moves, self.promotions
        )?;
        writeln!(f, "{} worlds wait for an operator in the end: a disk was lost", self.blocked)?;
        let troubles: Vec<String> = self.troubles.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(f, "{} troubles: {}", self.troubles.values().sum::<u64>(), troubles.join(", "))?;
        let hit = points().filter(|point| self.points.contains_key(point)).count();
        write!(f, "crash points: {hit} of {} hit, {} times in all", points().count(), self.points.values().sum::<u64>())
    }
}

/// What is to come.
#[derive(Clone, Debug)]
pub(super) enum Due {
    Start(usize),
    /// The machine's alarm, of one life.
    Tick(usize, u64),
    /// A message over a connection of that number.
    Message {
        from: usize,
        to: usize,
        connection: u64,
        message: Box<OwnershipMessage>,
    },
    /// Whether two nodes reach each other is looked at.
    Connect(usize, usize),
    /// A change reaches the manifest, from a life of a node.
    Change {
        node: usize,
        life: u64,
        change: Box<Change>,
    },
    /// An answer for the machine of one life.
    Answer {
        node: usize,
        life: u64,
        event: Box<Event>,
    },
    /// A flush of one fragment is done.
    Flush {
        node: usize,
        life: u64,
        fragment: FragmentId,
    },
    /// A session of a follower goes on.
    Session {
        node: usize,
        life: u64,
        fragment: FragmentId,
    },
    /// An acknowledgement reaches the owner, and so does what it means.
    Acknowledge {
        from: usize,
        to: usize,
        connection: u64,
        fragment: FragmentId,
        held: Version,
    },
    Client,
    Trouble,
}

/// A world.
pub struct ClusterWorld {
    seed: u64,
    pub(super) random: Random,
    pub(super) now_us: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    dues: BTreeMap<u64, Due>,
    count: u64,
    pub(super) members: Vec<Member>,
    pub(super) manifest: Manifest,
    pub(super) judge: Judge,
    pub(super) parted: BTreeMap<(usize, usize), u64>,
    /// Connections between nodes that reach each other, by number.
    pub(super) connections: BTreeMap<(usize, usize), u64>,
    /// When the last message of a connection arrives, by sender and receiver.
    pub(super) lanes: BTreeMap<(usize, usize), u64>,
    pub(super) armed: Option<(Step, When, u64)>,
    /// Complete standbys wanted.
    pub(super) standbys: usize,
    pub(super) disk_lost_at_us: u64,
    pub(super) trace: Trace,
    pub(super) tally: Tally,
    pub(super) is_calm: bool,
    pub(super) broken: Option<Broken>,
}

impl ClusterWorld {
    /// The world of `seed`. With `is_told` its story is kept.
    pub fn new(seed: u64, is_told: bool) -> Self {
        let mut random = Random::new(seed);
        let (nodes, standbys) = [(3, 2), (3, 2), (3, 1), (4, 2)][random.index(4)];
        let names: Vec<NodeName> = ["a", "b", "c", "d"].iter().take(nodes).map(|name| name.parse().expect("a name")).collect();
        let mut world = Self {
            seed,
            random,
            now_us: 1,
            queue: BinaryHeap::new(),
            dues: BTreeMap::new(),
            count: 0,
            members: names.iter().map(|name| Member::new(name.clone(), FRAGMENTS)).collect(),
            manifest: Manifest::new(FRAGMENTS, &names),
            judge: Judge::default(),
            parted: BTreeMap::new(),
            connections: BTreeMap::new(),
            lanes: BTreeMap::new(),
            armed: None,
            standbys,
            disk_lost_at_us: 0,
            trace: Trace::new(is_told),
            tally: Tally { worlds: 1, ..Tally::default() },
            is_calm: false,
            broken: None,
        };
        (0..nodes).for_each(|node| world.after(1, Due::Start(node)));
        world.after(1_000_000, Due::Client);
        world.after(10_000_000, Due::Trouble);
        world
    }

    /// Lives through chaos and calm.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn run(mut self) -> Result<(Tally, u64), Box<Failure>> {
        let lived = self.live();
        self.tally.simulated_us = self.now_us;
        (self.tally.acknowledgements, self.tally.reads) = (self.judge.acknowledgements, self.judge.reads);
        match lived {
            Ok(()) => Ok((self.tally, self.trace.hash())),
            Err(broken) => Err(Box::new(Failure { seed: self.seed, step: self.tally.events, broken, story: self.trace.take_lines() })),
        }
    }

    fn live(&mut self) -> Result<(), Broken> {
        while self.now_us < CHAOS_US {
            self.step()?;
        }
        self.calm();
        let (mut looks_at, end) = (self.now_us, self.now_us + CALM_US);
        while self.now_us < end {
            self.step()?;
            if self.now_us >= looks_at {
                looks_at = self.now_us + 500_000;
                if self.has_healed() {
                    self.trace.note(self.now_us, "healed");
                    return Ok(());
                }
            }
        }
        if self.waits_for_an_operator() {
            self.tally.blocked += 1;
            return Ok(());
        }
        let cells: Vec<String> = self.manifest.cells.values().map(|seen| format!("{:?} {:?}", seen.cell.id(), seen.cell.holder)).collect();
        let blocked: Vec<String> = self
            .members
            .iter()
            .filter_map(|member| Some(format!("{}: {:?}", member.name, member.life.as_ref()?.machine.blocked())))
            .collect();
        Err(Broken { rule: "I9 once faults stop, every fragment is served and complete", what: format!("{cells:?}; blocked: {blocked:?}") })
    }

    fn calm(&mut self) {
        self.trace.note(self.now_us, "calm");
        self.is_calm = true;
        self.armed = None;
        self.parted.clear();
        (self.manifest.away_until_us, self.manifest.lossy_until_us, self.manifest.stale_until_us) = (0, 0, 0);
        for node in 0..self.members.len() {
            self.members[node].paused_until_us = 0;
            if self.members[node].life.is_none() {
                self.after(1, Due::Start(node));
            }
            (0..node).for_each(|other| self.connect_later(node, other));
        }
    }

    fn has_healed(&self) -> bool {
        self.manifest.cells.iter().all(|(fragment, seen)| {
            let owner = seen.cell.owner().and_then(|owner| self.members.iter().find(|member| member.name == *owner));
            let serves = owner.and_then(|owner| owner.life.as_ref()).is_some_and(|life| life.gates.get(fragment) == Some(&Gate::Serving));
            serves && seen.cell.running.is_none() && seen.cell.sync_set.len() >= self.standbys
        })
    }

    /// Whether every fragment that is not served waits for an operator, and says so: a disk was lost, and then more than one failure is
    /// to be survived. Nobody else may decide to lose what was on it.
    fn waits_for_an_operator(&self) -> bool {
        let says_so = |fragment: &FragmentId| {
            let blocked = self.members.iter().filter_map(|member| member.life.as_ref()).flat_map(|life| life.machine.blocked());
            blocked.into_iter().any(|(of, why)| {
                of == *fragment
                    && matches!(why, Blocked::Quorum { .. } | Blocked::Behind { .. } | Blocked::Reborn | Blocked::Disbelieved { .. })
            })
        };
        let is_fenced = |seen: &SeenCell| seen.cell.owner().is_none();
        self.disk_lost_at_us > 0 && self.manifest.cells.iter().filter(|(_, seen)| is_fenced(seen)).all(|(fragment, _)| says_so(fragment))
    }

    /// Something happens so many microseconds from now.
    pub(super) fn after(&mut self, us: u64, due: Due) {
        self.count += 1;
        self.queue.push(Reverse((self.now_us + us, self.count)));
        self.dues.insert(self.count, due);
    }

    fn step(&mut self) -> Result<(), Broken> {
        self.tally.events += 1;
        let Reverse((at, number)) = self.queue.pop().expect("clients never end");
        self.now_us = at.max(self.now_us);
        let due = self.dues.remove(&number).expect("queued with its number");
        if let Some(until) = self.paused(&due) {
            self.after(until - self.now_us + 1, due);
            return Ok(());
        }
        self.happen(due);
        self.broken.take().map_or(Ok(()), Err)
    }

    /// Until when whoever this concerns stands still.
    fn paused(&self, due: &Due) -> Option<u64> {
        let node = match due {
            Due::Tick(node, _) | Due::Answer { node, .. } | Due::Flush { node, .. } | Due::Session { node, .. } => *node,
            Due::Message { to, .. } | Due::Acknowledge { to, .. } => *to,
            _ => return None,
        };
        Some(self.members[node].paused_until_us).filter(|until| *until > self.now_us)
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Start(node) => self.start(node),
            Due::Tick(node, life) => {
                if self.is_alive(node, life) {
                    self.tell(node, Event::Tick);
                }
            }
            Due::Message { from, to, connection, message } => {
                if self.connections.get(&(from.min(to), from.max(to))) == Some(&connection) && self.members[to].life.is_some() {
                    let from = self.members[from].name.clone();
                    self.tell(to, Event::Message { from, message: *message });
                }
            }
            Due::Connect(one, other) => self.connect(one, other),
            Due::Change { node, life, change } => self.change(node, life, &change),
            Due::Answer { node, life, event } => {
                if self.is_alive(node, life) {
                    self.tell(node, *event);
                }
            }
            Due::Flush { node, life, fragment } => {
                if self.is_alive(node, life) {
                    self.flushed(node, fragment);
                }
            }
            Due::Session { node, life, fragment } => {
                if self.is_alive(node, life) {
                    self.session(node, fragment);
                }
            }
            Due::Acknowledge { from, to, connection, fragment, held } => self.acknowledged(from, to, connection, fragment, held),
            Due::Client => {
                self.client();
                let gap = if self.random.one_in(8) { 2_000_000 } else { 120_000 };
                let gap = 1 + self.random.below(gap);
                self.after(gap, Due::Client);
            }
            Due::Trouble => {
                if !self.is_calm {
                    self.make_trouble();
                    let gap = if self.random.one_in(3) { 100_000 } else { 6_000_000 };
                    let gap = 1 + self.random.below(gap);
                    self.after(gap, Due::Trouble);
                }
            }
        }
    }

    pub(super) fn is_alive(&self, node: usize, life: u64) -> bool {
        self.members[node].life.is_some() && self.members[node].lives == life
    }

    /// A client writes to, or reads from, whoever serves.
    fn client(&mut self) {
        let node = self.random.index(self.members.len());
        let fragment = FragmentId(u32::try_from(self.random.below(u64::from(FRAGMENTS))).expect("few"));
        let (now, life_number) = (self.members[node].local(self.now_us), self.members[node].lives);
        if self.members[node].paused_until_us > self.now_us {
            return;
        }
        let Some(life) = &self.members[node].life else { return };
        if life.gates.get(&fragment) != Some(&Gate::Serving) {
            return;
        }
        if self.random.one_in(2) {
            return self.read(node, fragment);
        }
        let Some((epoch, Gate::Serving)) = life.machine.writes(fragment) else { return };
        let is_leased = matches!(life.machine.standing(fragment), limosa_engine::ownership::Standing::Serving { until, .. } if until.is_none_or(|until| now < until));
        let value = self.random.draw();
        let chain = self.members[node].chains.get_mut(&fragment).expect("every node has a place for it");
        let link = chain.write(epoch, value);
        if let Err(broken) = self.judge.writes(fragment, epoch, node, life_number) {
            self.broken = Some(broken);
        }
        let name = &self.members[node].name;
        self.trace.note(
            self.now_us,
            format_args!("{name} writes {} of {fragment}{}", link.version, if is_leased { "" } else { ", its lease is over" }),
        );
        let takes = 500 + self.random.below(4_000);
        self.after(takes, Due::Flush { node, life: life_number, fragment });
    }

    fn read(&mut self, node: usize, fragment: FragmentId) {
        let now = self.members[node].local(self.now_us);
        let Some(life) = &self.members[node].life else { return };
        let chain = &self.members[node].chains[&fragment];
        let standing = life.machine.standing(fragment);
        let is_leased =
            matches!(standing, limosa_engine::ownership::Standing::Serving { until, .. } if until.is_none_or(|until| now < until));
        let agreed = life.agreed(fragment, chain.held(), |node| self.members[node].name.clone());
        let is_replicated = life.counts.get(&fragment).is_some_and(|count| count.needed > 0);
        if is_leased && is_replicated && agreed == chain.head() {
            let name = self.members[node].name.clone();
            if let Err(broken) = self.judge.read(fragment, agreed, name.as_str()) {
                self.broken = Some(broken);
            }
        }
    }

    /// A change reaches the manifest.
    fn change(&mut self, node: usize, life: u64, change: &Change) {
        let (fragment, intent) = (change.fragment, change.intent);
        let answer = |outcome| Box::new(Event::Changed { fragment, intent, outcome });
        let delay = 500 + self.random.below(8_000);
        if self.manifest.away_until_us > self.now_us {
            return self.after(delay + 1_000_000, Due::Answer { node, life, event: answer(Outcome::Unavailable) });
        }
        let (outcome, before) = match self.manifest.change(change) {
            Ok(made) => made,
            Err(what) => {
                self.broken = Some(Broken { rule: "I2 a cell changes by its rules", what });
                return;
            }
        };
        if let Some(before) = before {
            self.trace.note(self.now_us, format_args!("manifest: {:?} of {fragment} by {}", change.wish, self.members[node].name));
            self.judge_change(&before, &change.next);
            self.tell_watchers(fragment);
        }
        if self.manifest.lossy_until_us > self.now_us && self.random.one_in(2) {
            return self.after(delay + 2_000_000, Due::Answer { node, life, event: answer(Outcome::Unknown) });
        }
        let again = self.random.one_in(30); // a request that was sent twice, the second one late
        if again {
            let late = self.random.below(3_000_000);
            self.after(late, Due::Change { node, life: u64::MAX, change: Box::new(change.clone()) });
        }
        if life != u64::MAX {
            self.after(delay, Due::Answer { node, life, event: answer(outcome) });
        }
    }

    fn tell_watchers(&mut self, fragment: FragmentId) {
        let seen = self.manifest.cells[&fragment].clone();
        for node in 0..self.members.len() {
            let late = if self.manifest.stale_until_us > self.now_us { self.random.below(6_000_000) } else { 0 };
            let away = self.manifest.away_until_us.saturating_sub(self.now_us);
            let delay = 500 + self.random.below(6_000) + late + away;
            let life = self.members[node].lives;
            self.after(delay, Due::Answer { node, life, event: Box::new(Event::Cells(vec![seen.clone()])) });
        }
    }

    /// Orders that a calm operator gives: none.
    pub(super) fn is_order(event: &Event) -> bool {
        matches!(event, Event::Order(order) if !matches!(order, Order::Unstage { .. }))
    }
}
