//! What comes next: the world's time jumps to the earliest of all that is due.

use super::World;
use crate::check::Broken;
use crate::session;

/// One thing that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// Something breaks.
    Fault,
    Start(usize),
    Dial(usize),
    Client,
    Commit,
    Upkeep,
    Session(usize, session::Turn),
}

impl World {
    /// Goes to the next event and lets it happen. Of those that are due at once, chance says which comes first.
    pub(super) fn step(&mut self) -> Result<(), Broken> {
        self.report.steps += 1;
        let (at, turn) = self.next();
        self.now.jump_to(at);
        match turn {
            Turn::Fault => self.break_something(),
            Turn::Start(index) => self.start(index),
            Turn::Dial(index) => {
                self.dial(index);
                Ok(())
            }
            Turn::Client => self.client(),
            Turn::Commit => self.owner_flushes(),
            Turn::Upkeep => self.upkeep(),
            Turn::Session(index, turn) => self.session_turn(index, turn),
        }
    }

    fn next(&mut self) -> (u64, Turn) {
        let now = self.now.us();
        let (mut best, mut count) = ((u64::MAX, Turn::Client), 0);
        let random = &mut self.random;
        let mut offer = |at: u64, turn: Turn| {
            let at = at.max(now);
            if at < best.0 {
                (best, count) = ((at, turn), 1);
            } else if at == best.0 {
                count += 1;
                if random.one_in(count) {
                    best = (at, turn);
                }
            }
        };
        if !self.is_calm {
            offer(self.fault_at_us, Turn::Fault);
        }
        offer(self.client_at_us, Turn::Client);
        offer(self.upkeep_at_us, Turn::Upkeep);
        let owner = &self.nodes[self.owner];
        let has_damage = |index: usize| self.nodes[index].may_rot && self.nodes[index].store.is_some();
        if let (Some(at), Some(_)) = (self.flush_at_us, &owner.store) {
            offer(at.max(owner.paused_until_us), Turn::Commit);
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if node.store.is_none() {
                offer(node.back_at_us, Turn::Start(index));
            } else if index != self.owner && owner.store.is_some() {
                match &self.sessions[index] {
                    None => offer(self.dials_at_us[index].max(node.paused_until_us), Turn::Dial(index)),
                    Some(session) => {
                        for (at, turn) in session.turns(has_damage(index) || has_damage(self.owner)) {
                            let paused = match turn {
                                session::Turn::SourceReceives | session::Turn::SourceJob => owner.paused_until_us,
                                session::Turn::Tick => 0,
                                _ => node.paused_until_us,
                            };
                            offer(at.max(paused), Turn::Session(index, turn));
                        }
                    }
                }
            }
        }
        best
    }
}
