//! Fragments leave a session, in whatever phase it is; the rest goes on.

use limosa_core::FragmentId;
use limosa_wire::{Leave, Message};

use super::{Action, Job, Phase, Source};
use crate::error::SessionError;

impl Source {
    /// The target, or this end, wants these fragments no longer in the session. The Leave that goes to the target is the last word about them.
    pub(super) fn on_leave(&mut self, fragments: &[FragmentId]) -> Result<(), SessionError> {
        let leaving = self.reach.leave(fragments);
        if leaving.is_empty() {
            return Ok(());
        }
        if self.phase == Phase::Hello {
            return Ok(()); // the target never hears of them
        }
        self.forget(&leaving);
        self.actions.push_back(Action::Job(Job::NarrowTail(leaving.clone())));
        self.live.leave(&leaving);
        if !self.live.is_reading() {
            self.tell_left();
        }
        if self.reach.is_empty() { Err(SessionError::Scope { why: "every fragment has left it" }) } else { Ok(()) }
    }

    fn forget(&mut self, leaving: &[FragmentId]) {
        let stays = |id: &FragmentId| !leaving.contains(id);
        if let Some(cut) = &mut self.cut {
            cut.facts.retain(|id, _| stays(id));
        }
        self.targets.retain(|id, _| stays(id));
        if let Some(reconciling) = &mut self.reconciling {
            reconciling.forget(leaving);
        }
        if self.phase != Phase::Planning {
            self.pieces.retain(|(id, _)| stays(id)); // while planning, estimates that were asked for go by their order
        }
        self.sending.forget(leaving);
    }

    /// Behind everything that was read of them.
    pub(super) fn tell_left(&mut self) {
        let fragments = self.live.take_left();
        if !fragments.is_empty() {
            self.send(Message::Leave(Leave { fragments }));
        }
    }
}
