//! Sessions of the world: a follower gets all that its source has in one step, and its acknowledgement travels.

use limosa_core::{FragmentId, NodeName, Version};
use limosa_wire::Purpose;

use super::node::Sess;
use super::world::World;
use crate::ownership::{Event, Session};

impl World {
    // ---- Sessions.

    pub(super) fn follow(&mut self, name: &NodeName, from: &NodeName, purpose: Purpose, fragments: &[(FragmentId, u32)]) {
        let Some(process) = self.process(name) else { return };
        for (fragment, epoch_max) in fragments {
            let same = process.sessions.get(fragment).filter(|session| session.from == *from && session.purpose == purpose);
            let is_live = same.is_some_and(|session| session.is_live);
            let session = Sess { from: from.clone(), purpose, epoch_max: *epoch_max, is_live };
            process.sessions.insert(*fragment, session);
        }
    }

    pub(super) fn unfollow(&mut self, name: &NodeName, from: &NodeName, fragments: &[FragmentId]) {
        for fragment in fragments {
            let Some(process) = self.process(name) else { return };
            let was_live = process.sessions.remove(fragment).is_some_and(|session| session.is_live);
            let held = self.nodes.get_mut(name).expect("a node").disk.of(*fragment).head();
            if was_live && self.is_linked(name, from) {
                let event = Event::Follower { node: name.clone(), fragment: *fragment, session: Session::Absent, held };
                self.links.entry((name.clone(), from.clone())).or_default().push_back(event);
            }
        }
    }

    /// Whether the session of `name` about a fragment has something to do.
    pub(super) fn can_stream(&self, name: &NodeName, fragment: FragmentId) -> bool {
        let Some(session) = self.nodes[name].process.as_ref().and_then(|process| process.sessions.get(&fragment)) else { return false };
        if !self.is_linked(name, &session.from) || self.nodes[&session.from].stalled_until > self.now {
            return false;
        }
        let source = &self.nodes[&session.from];
        let Some(theirs) = source.disk.fragments.get(&fragment) else { return false };
        let writes = source.process.as_ref().and_then(|process| process.machine.writes(fragment));
        let may = match session.purpose {
            Purpose::Follow => writes.is_some(),
            Purpose::Collect { epoch } => theirs.fence >= epoch,
        };
        if !may || !session.is_live && theirs.row > session.epoch_max {
            return false;
        }
        let mine = self.nodes[name].disk.fragments.get(&fragment);
        !session.is_live || mine.is_none_or(|mine| mine.head() != theirs.head() || mine.row < theirs.row)
    }

    /// The follower gets everything that its source has, durably; the acknowledgement is on its way.
    pub(super) fn stream(&mut self, name: &NodeName, fragment: FragmentId) {
        let from = self.nodes[name].process.as_ref().expect("it streams").sessions[&fragment].from.clone();
        let theirs = self.nodes.get_mut(&from).expect("a node").disk.of(fragment).clone();
        let node = self.nodes.get_mut(name).expect("a node");
        node.disk.of(fragment).copy(&theirs);
        let held = node.disk.of(fragment).head();
        let session = Session::Live { behind: 0 };
        let process = node.process.as_mut().expect("it streams");
        let sess = process.sessions.get_mut(&fragment).expect("it streams");
        sess.is_live = true;
        let is_standby = sess.purpose == Purpose::Follow;
        process.inbox.push_back(Event::Session { from: from.clone(), fragment, session, held });
        if is_standby {
            let event = Event::Follower { node: name.clone(), fragment, session, held };
            self.links.entry((name.clone(), from)).or_default().push_back(event);
        }
        self.answer_digest(name, fragment);
    }

    /// A follower's acknowledgement reached its source.
    pub(super) fn flushed(&mut self, at: &NodeName, node: &NodeName, fragment: FragmentId, session: Session, held: Version) {
        let Some(process) = self.process(at) else { return };
        if session == Session::Absent {
            process.flushed.remove(&(fragment, node.clone()));
        } else {
            process.flushed.insert((fragment, node.clone()), held);
        }
    }
}
