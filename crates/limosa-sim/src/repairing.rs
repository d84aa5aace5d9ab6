//! Carries the repair machine of one end of a session: damaged blocks in, questions and answers out. Decides nothing.

use std::time::Duration;

use limosa_core::limits::FRAME_BYTES_BULK;
use limosa_core::{Frame, KeyRange, Version};
use limosa_engine::error::SessionError;
use limosa_engine::repair::{Action, Damaged, Repair};
use limosa_store::{Extract, Store};
use limosa_wire::{Fetch, Fetched, Message, features};

#[derive(Default)]
pub(crate) struct Repairing {
    machine: Repair,
    /// When something was last told to the machine.
    now: Duration,
}

impl Repairing {
    pub(crate) fn agreed(&mut self, features: u64) {
        if features & features::REPAIR != 0 {
            self.machine.open();
        }
    }

    /// Whether a message is for this machine.
    pub(crate) fn takes(message: &Message) -> bool {
        matches!(message, Message::Fetch(_) | Message::Fetched(_))
    }

    /// Why a damaged block is not mended yet, if the other end could not help.
    pub(crate) fn waits_for(&self) -> Option<&str> {
        self.machine.waits_for()
    }

    pub(crate) fn handle(&mut self, now: Duration, message: Message) -> Result<(), SessionError> {
        self.now = now;
        self.machine.handle(now, message)
    }

    pub(crate) fn tick(&mut self, now: Duration, store: &Store) {
        self.now = now;
        let blocks = store.damage().into_iter();
        let blocks = blocks.map(|block| Damaged { fragment: block.fragment, range: block.range, live_bytes: block.live_bytes });
        self.machine.damaged(now, blocks.collect());
    }

    /// Does what the machine wants; answers what is to be sent.
    pub(crate) fn act(&mut self, store: &Store) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(action) = self.machine.poll() {
            match action {
                Action::Send(message) => messages.push(message),
                Action::Read(fetch) => self.machine.read(read(store, fetch)),
                Action::Mend { fragment, first_key, frames, floor } => {
                    let entries = frames.iter().flat_map(|frame| frame.entries.iter());
                    let outcome = store.mend(fragment, &first_key, entries, floor);
                    self.machine.mended(self.now, outcome.map(drop).map_err(|error| error.to_string()));
                }
            }
        }
        messages
    }
}

/// What a node has in a range, or a first part of it.
fn read(store: &Store, fetch: Fetch) -> Fetched {
    let number = fetch.number;
    let none = |why_not| Fetched { number, frame: None, floor: Version::ZERO, why_not };
    let cut = store.cut();
    let Some(view) = cut.fragment(fetch.fragment) else { return none(format!("it has no {}", fetch.fragment)) };
    let facts = view.facts();
    if !facts.range.covers(&fetch.range) {
        return none(format!("{} has another range there", fetch.fragment));
    }
    match view.delta(&fetch.range, Version::ZERO, Extract::WholeRange, FRAME_BYTES_BULK) {
        Ok((frame, next)) => {
            let range = KeyRange { start: frame.range.start.clone(), end: next.or(fetch.range.end) };
            Fetched { number, frame: Some(Frame { range, ..frame }), floor: facts.floor, why_not: String::new() }
        }
        Err(error) => none(error.to_string()),
    }
}
