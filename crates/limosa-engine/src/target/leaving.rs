//! Fragments leave a session, in whatever phase it is: what is staged of them is dropped, what readers see of them stays.

use limosa_core::{FragmentId, Scope};
use limosa_wire::{Leave, Message};

use super::{Action, Job, Phase, Target};
use crate::error::SessionError;

impl Target {
    /// This node wants them no longer.
    pub(super) fn on_leave(&mut self, fragments: &[FragmentId]) -> Result<(), SessionError> {
        let fragments = self.forget(fragments);
        // Before Hello the source never hears of them.
        if !fragments.is_empty() && self.phase != Phase::Starting {
            self.leaving.extend(&fragments);
            self.send(Message::Leave(Leave { fragments }));
        }
        self.check_reach()
    }

    /// The source sends them no longer: its first word, or the answer to ours. Behind it nothing of them comes.
    pub(super) fn on_left(&mut self, fragments: &[FragmentId]) -> Result<(), SessionError> {
        self.forget(fragments);
        self.leaving.retain(|id| !fragments.contains(id));
        self.check_reach()
    }

    fn check_reach(&self) -> Result<(), SessionError> {
        if self.reach.is_empty() { Err(SessionError::Scope { why: "every fragment has left it" }) } else { Ok(()) }
    }

    fn forget(&mut self, fragments: &[FragmentId]) -> Vec<FragmentId> {
        let leaving = self.reach.leave(fragments);
        let stays = |id: &FragmentId| !leaving.contains(id);
        if let Some(offer) = &mut self.offer {
            offer.fragments.retain(|offered| stays(&offered.id));
        }
        self.haves.retain(|have| stays(&have.id));
        self.facts.retain(|id, _| stays(id));
        self.drop_keys.retain(|id, _| stays(id));
        self.suspects.retain(stays);
        self.compared.retain(stays);
        if let Some(stage) = &mut self.stage {
            let staged = stage.fragments.len();
            stage.fragments.retain(|(id, ..)| stays(id));
            if stage.fragments.len() < staged {
                self.actions.push_back(Action::Job(Job::AbortStage(Scope::only(leaving.iter().copied()))));
            }
            if stage.fragments.is_empty() {
                self.stage = None;
            }
        }
        leaving
    }
}
