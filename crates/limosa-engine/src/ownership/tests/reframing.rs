//! Splits and merges in the world: the manifest's part, and how a node's store falls in with it.

use std::time::Duration;

use limosa_core::{FragmentCell, FragmentId, NodeName, Version};

use super::disk::{Disk, Held, Written};
use super::scenario::{InOrder, Scenario, all};
use super::world::{F, Fault, World, name};
use crate::ownership::{Event, HeldFragment, Made, Reframe, ReframeError, Reframing, Report, SeenCell, Session};

impl World {
    /// A split or merge reaches the manifest.
    pub(super) fn reframe(&mut self, index: usize) {
        let Some((_, node, life, reframe, is_told)) = self.reframes.remove(index) else { return };
        let fits = reframe.gone.iter().all(|(id, revision)| self.cells.get(id).is_some_and(|seen| seen.revision == *revision))
            && reframe.made.iter().all(|cell| !self.cells.contains_key(&cell.id()));
        let outcome = if fits {
            self.replace(&node, &reframe);
            Reframing::Made
        } else if reframe.gone.iter().any(|(id, _)| !self.cells.contains_key(id)) {
            Reframing::Made // nobody but this node could have taken it out
        } else {
            Reframing::Lost
        };
        if is_told && self.nodes[&node].process.is_some() && self.nodes[&node].starts == life {
            self.tell(&node, Event::ReframeAnswered { first: reframe.first(), outcome });
        }
    }

    fn replace(&mut self, node: &NodeName, reframe: &Reframe) {
        self.revision += 1;
        let gone: Vec<FragmentId> = reframe.gone.iter().map(|(id, _)| *id).collect();
        for id in &gone {
            self.cells.remove(id);
        }
        for cell in &reframe.made {
            self.cells.insert(cell.id(), SeenCell { cell: cell.clone(), revision: self.revision });
        }
        let made: Vec<FragmentId> = reframe.made.iter().map(FragmentCell::id).collect();
        match (&gone[..], &made[..]) {
            ([whole], parts) => self.oracle.splits(*whole, parts),
            ([left, right], [whole]) => {
                let disk = &mut self.nodes.get_mut(node).expect("a node").disk;
                let (one, other) = (disk.of(*left).clone(), disk.of(*right).clone());
                let write = merged(&reframe.made[0], &one, &other).expect("its owner has what it sealed");
                self.oracle.merges([(*left, &one), (*right, &other)], *whole, write);
            }
            other => unreachable!("{other:?} is neither split nor merge"),
        }
        self.made.push((gone, reframe.made.clone()));
    }

    /// The answer is lost, or the request, or it is made late.
    pub(super) fn lose_reframe(&mut self, name: &NodeName, reframe: Reframe, fault: Fault) {
        let unknown = Event::ReframeAnswered { first: reframe.first(), outcome: Reframing::Unknown };
        let life = self.nodes[name].starts;
        if matches!(fault, Fault::MadeAndAway | Fault::MadeLate) {
            self.nodes.get_mut(name).expect("a node").manifest_away_until = self.now + Duration::from_secs(7);
        }
        match fault {
            Fault::AnswerLost | Fault::MadeAndAway => {
                self.reframes.push_back((self.now, name.clone(), life, reframe, false));
                self.reframe(self.reframes.len() - 1);
            }
            Fault::MadeLate => self.reframes.push_back((self.now + Duration::from_secs(5), name.clone(), life, reframe, false)),
            _ => {}
        }
        self.tell(name, unknown);
    }

    /// What a node's driver does before its machine hears of cells that others stand for: sessions end, the store follows, the machine is told.
    pub(super) fn fall_in(&mut self, name: &NodeName) {
        while let Some((gone, made)) = self.made.get(self.nodes[name].disk.followed).cloned() {
            self.leave(name, &gone);
            let node = self.nodes.get_mut(name).expect("a node");
            let made: Vec<Made> = made.iter().map(|cell| follow(&mut node.disk, name, &gone, cell)).collect();
            gone.iter().for_each(|id| drop(node.disk.fragments.remove(id)));
            node.disk.followed += 1;
            self.tell(name, Event::Reframed { gone, made });
        }
    }

    fn leave(&mut self, name: &NodeName, gone: &[FragmentId]) {
        for fragment in gone {
            let Some(process) = self.process(name) else { return };
            if let Some(session) = process.sessions.remove(fragment).filter(|session| session.is_live) {
                let event = Event::Follower { node: name.clone(), fragment: *fragment, session: Session::Absent, held: Version::ZERO };
                self.links.entry((name.clone(), session.from)).or_default().push_back(event);
            }
        }
    }

    /// What a driver does about a report: answers that wait for members wait no more.
    pub(super) fn heed(&mut self, name: &NodeName, report: &Report) {
        let Report::Reframed { gone } = report else { return };
        let Some(process) = self.process(name) else { return };
        let (over, waiting) = std::mem::take(&mut process.waiting).into_iter().partition(|(fragment, _)| gone.contains(fragment));
        process.waiting = waiting;
        let (_, made) = self.made.iter().find(|(of, _)| of == gone).cloned().expect("it was made");
        let over: Vec<(FragmentId, Written)> = over;
        for cell in made.iter().filter(|cell| cell.joined.is_none()) {
            over.iter().for_each(|(_, write)| self.oracle.acknowledges(cell.id(), *write));
        }
    }
}

/// One fragment as the disk has it, out of those that go.
fn follow(disk: &mut Disk, name: &NodeName, gone: &[FragmentId], cell: &FragmentCell) -> Made {
    let is_needed = cell.holder.last_served() == name || cell.sync_set.contains(name);
    let (mut held, mut is_lost) = (Held::default(), false);
    match gone {
        [whole] => held = Held { fence: 0, ..disk.of(*whole).clone() },
        [left, right] => {
            let (one, other) = (disk.of(*left).clone(), disk.of(*right).clone());
            match merged(cell, &one, &other) {
                Some(write) => held = Held { writes: vec![write], row: write.0.epoch, fence: 0 },
                None => is_lost = is_needed && !(one.head().is_zero() && other.head().is_zero()),
            }
        }
        other => unreachable!("{other:?} is neither split nor merge"),
    }
    let of = HeldFragment { fragment: cell.id(), version: held.head(), epoch: held.row, fence: 0 };
    disk.fragments.insert(cell.id(), held);
    Made { held: of, from: gone.to_vec(), is_lost }
}

/// The one write that stands for two halves, if they are at the seal.
fn merged(cell: &FragmentCell, left: &Held, right: &Held) -> Option<Written> {
    let joined = cell.joined.as_ref().expect("a merge made it");
    let is_sealed = (left.head(), right.head()) == (joined.left, joined.right);
    let sum = left.digest().0.wrapping_mul(31).wrapping_add(right.digest().0);
    is_sealed.then(|| (joined.head(), u64::try_from(sum & u128::from(u64::MAX >> 1)).expect("small") | 1 << 63))
}

fn scenario(name: &str) -> Scenario {
    all().into_iter().find(|scenario| scenario.name == name).expect("such a scenario")
}

#[test]
fn halves_are_served_by_the_owner_of_the_whole_within_moments_and_come_together_again() {
    let scenario = scenario("a split and a merge");
    let mut world = scenario.world();
    while world.now < Duration::from_secs(7) {
        scenario.turn(&mut world, &mut InOrder);
    }
    let ids: Vec<u32> = world.cells.keys().map(|id| id.0).collect();
    assert_eq!(ids, [10, 11]);
    assert!(world.cells.keys().all(|id| world.nodes[&name("a")].serves(*id, world.now)));
    while world.now < Duration::from_secs(9) {
        scenario.turn(&mut world, &mut InOrder);
    }
    let whole = &world.cells[&FragmentId(12)].cell;
    assert!(world.nodes[&name("a")].serves(FragmentId(12), world.now));
    assert_eq!((world.cells.len(), whole.epoch), (1, 5), "the start, the split, the merge's own version, the whole");
    let merged = |node: &str| world.nodes[&name(node)].disk.fragments[&FragmentId(12)].writes[0];
    assert!(whole.sync_set.iter().all(|member| merged(member.as_str()) == merged("a")), "its standbys made the same of their halves");
}

#[test]
fn a_split_is_refused_while_a_standby_is_away_and_the_fragment_is_served_on() {
    let scenario =
        Scenario { script: vec![(Duration::from_secs(6), super::scenario::Say::Kill("b", Duration::from_secs(9)))], ..scenario("a split") };
    let mut world = scenario.world();
    while world.now < Duration::from_secs(7) {
        scenario.turn(&mut world, &mut InOrder);
    }
    super::scenario::Scenario::order(&mut world, "a", super::scenario::split());
    while world.now < Duration::from_secs(8) {
        scenario.turn(&mut world, &mut InOrder);
    }
    let failed: Vec<&ReframeError> = world
        .reports
        .iter()
        .filter_map(|(_, report)| match report {
            Report::ReframeFailed { error, .. } => Some(error),
            _ => None,
        })
        .collect();
    assert!(matches!(&failed[..], [ReframeError::Members { missing, .. }] if missing == &[name("b")]), "{failed:?}");
    assert!(world.cells.contains_key(&F) && world.nodes[&name("a")].serves(F, world.now));
}
