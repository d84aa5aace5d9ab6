//! Fetches damaged blocks from the other end of a session, and answers when that one asks: beside the transfer, at both ends alike.
//!
//! # The machine in four families
//! - **in**: [`Repair::open`], [`Repair::damaged`], [`Repair::handle`], [`Repair::read`], [`Repair::mended`], [`Repair::tick`]
//! - **out**: [`Repair::poll`]
//! - **asked by the driver**: [`Repair::waits_for`]
//!
//! ```text
//! damaged block > Fetch > Fetched > [Fetch the rest > Fetched]* > Mend > mended
//!       ^                    |                                      |
//!       +---- a while -------+----- what came is not the block -----+
//! ```
//! Whether what came is the block, its summary says, which is in memory: the store refuses anything else. An end that is ahead or behind
//! in that range has another block; it is asked again after a while.
//!
//! # Invariants
//! - One question and one answer are under way in each direction; parts of an answer join without a gap.
//! - What is held of an answer is bounded by what the block had, and one frame.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use limosa_core::limits::FRAME_BYTES_BULK;
use limosa_core::{FragmentId, Frame, KeyRange, Version};
use limosa_wire::{Fetch, Fetched, Message};

use crate::error::SessionError;

/// First wait before a block is asked for again.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// Longest wait before a block is asked for again.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A block of this end that another one must send again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damaged {
    /// Which fragment.
    pub fragment: FragmentId,
    /// All keys that can lie in it.
    pub range: KeyRange,
    /// Bytes of its live keys and values.
    pub live_bytes: u64,
}

/// What the machine wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Send to the other end.
    Send(Message),
    /// Read every entry of a range of this end's state. Answer: [`Repair::read`].
    Read(Fetch),
    /// Put these entries in the place of a damaged block. Answer: [`Repair::mended`].
    Mend {
        /// Which fragment.
        fragment: FragmentId,
        /// What the block is filed under.
        first_key: Bytes,
        /// Every entry of the block's range, in parts, in key order.
        frames: Vec<Frame>,
        /// The other end's floor of the fragment.
        floor: Version,
    },
}

/// What this end has asked for.
#[derive(Debug)]
struct Asked {
    block: Damaged,
    /// Where the part that is awaited starts.
    next: Bytes,
    frames: Vec<Frame>,
    bytes: u64,
    floor: Version,
    /// All parts are here, and are being put in the block's place.
    mending: bool,
}

/// A block that waits for its turn.
#[derive(Debug)]
struct Wanted {
    block: Damaged,
    not_before: Duration,
    wait: Duration,
    why: String,
}

/// The machine. See the module's text.
#[derive(Debug, Default)]
pub struct Repair {
    is_open: bool,
    actions: VecDeque<Action>,
    wanted: VecDeque<Wanted>,
    asked: Option<Asked>,
    /// How long the block that is asked for has waited so far.
    wait: Duration,
    questions: u64,
    answering: bool,
}

impl Repair {
    /// The ends have agreed on [`limosa_wire::features::REPAIR`]; without it nothing is ever asked.
    pub fn open(&mut self) {
        self.is_open = true;
    }

    /// All blocks of this end that are damaged now.
    pub fn damaged(&mut self, now: Duration, blocks: Vec<Damaged>) {
        self.wanted.retain(|wanted| blocks.contains(&wanted.block));
        for block in blocks {
            let is_known = self.wanted.iter().any(|wanted| wanted.block == block) || self.asked.as_ref().is_some_and(|a| a.block == block);
            if !is_known {
                self.wanted.push_back(Wanted { block, not_before: now, wait: WAIT_MIN, why: String::new() });
            }
        }
        self.tick(now);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        if !self.is_open || self.asked.is_some() {
            return;
        }
        let Some(due) = self.wanted.iter().position(|wanted| wanted.not_before <= now) else { return };
        let wanted = self.wanted.remove(due).expect("found above");
        self.wait = wanted.wait;
        let next = wanted.block.range.start.clone();
        self.asked = Some(Asked { block: wanted.block, next, frames: Vec::new(), bytes: 0, floor: Version::ZERO, mending: false });
        self.ask();
    }

    /// Takes a Fetch or a Fetched.
    ///
    /// # Errors
    /// One that does not belong here.
    ///
    /// # Panics
    /// If it is another message: those are the session's.
    pub fn handle(&mut self, now: Duration, message: Message) -> Result<(), SessionError> {
        match message {
            Message::Fetch(fetch) => self.on_fetch(fetch),
            Message::Fetched(fetched) => self.on_fetched(now, *fetched),
            other => panic!("a message of the session's own: {other:?}"),
        }
    }

    /// What [`Action::Read`] gave.
    pub fn read(&mut self, fetched: Fetched) {
        assert!(self.answering, "an answer without a question");
        self.answering = false;
        self.actions.push_back(Action::Send(Message::Fetched(Box::new(fetched))));
    }

    /// How [`Action::Mend`] ended; `Err`: what came is not the block, in words.
    pub fn mended(&mut self, now: Duration, outcome: Result<(), String>) {
        let asked = self.asked.take().expect("a mend ends once");
        assert!(asked.mending, "nothing was being mended");
        if let Err(why) = outcome {
            self.later(now, asked.block, why);
        }
        self.tick(now);
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Why a damaged block is not mended yet, if the other end could not help so far.
    pub fn waits_for(&self) -> Option<&str> {
        self.wanted.iter().map(|wanted| &wanted.why[..]).find(|why| !why.is_empty())
    }

    fn on_fetch(&mut self, fetch: Fetch) -> Result<(), SessionError> {
        let malformed = |why| Err(SessionError::Malformed { message: "Fetch", why });
        if !self.is_open {
            return malformed("a feature that was not agreed on");
        }
        if std::mem::replace(&mut self.answering, true) {
            return malformed("a question before the last one was answered");
        }
        self.actions.push_back(Action::Read(fetch));
        Ok(())
    }

    fn on_fetched(&mut self, now: Duration, fetched: Fetched) -> Result<(), SessionError> {
        let malformed = |why| Err(SessionError::Malformed { message: "Fetched", why });
        let Some(mut asked) = self.asked.take_if(|asked| !asked.mending && fetched.number == self.questions) else {
            return malformed("an answer to no question");
        };
        let Some(frame) = fetched.frame else {
            self.later(now, asked.block, fetched.why_not);
            self.tick(now);
            return Ok(());
        };
        let block = &asked.block;
        let goes_on = frame.fragment == block.fragment && frame.range.start == asked.next && block.range.covers(&frame.range);
        if !goes_on {
            return malformed("another range than was asked for");
        }
        asked.bytes += frame.entries.payload_bytes() as u64;
        asked.floor = asked.floor.max(fetched.floor);
        if asked.bytes > block.live_bytes + 2 * FRAME_BYTES_BULK as u64 {
            self.later(now, asked.block, "the other end has more in the block's range than the block had".to_owned());
            self.tick(now);
            return Ok(());
        }
        let end = frame.range.end.clone();
        let is_last = end == block.range.end;
        asked.frames.push(frame);
        asked.mending = is_last;
        match end {
            Some(end) if !is_last => asked.next = end,
            _ => self.actions.push_back(Action::Mend {
                fragment: block.fragment,
                first_key: block.range.start.clone(),
                frames: std::mem::take(&mut asked.frames),
                floor: asked.floor,
            }),
        }
        self.asked = Some(asked);
        if !is_last {
            self.ask();
        }
        Ok(())
    }

    fn ask(&mut self) {
        let asked = self.asked.as_ref().expect("there is something to ask");
        self.questions += 1;
        let range = KeyRange { start: asked.next.clone(), end: asked.block.range.end.clone() };
        let fetch = Fetch { number: self.questions, fragment: asked.block.fragment, range };
        self.actions.push_back(Action::Send(Message::Fetch(fetch)));
    }

    /// Other blocks first; this one again after a while, each time a longer one.
    fn later(&mut self, now: Duration, block: Damaged, why: String) {
        let wait = self.wait;
        self.wanted.push_back(Wanted { block, not_before: now + wait, wait: (wait * 2).min(WAIT_MAX), why });
    }
}

#[cfg(test)]
mod tests;
