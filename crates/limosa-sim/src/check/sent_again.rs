//! I7: a transfer that is interrupted sends again at most what was on its way, also when the source has moved on meanwhile.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use limosa_core::{Frame, limits};
use limosa_store::Store;
use limosa_wire::Message;

use super::Broken;
use crate::session::CREDIT_WINDOW_BYTES;

/// Late frames that are kept for later.
const LATE_FRAMES: usize = 4;

/// What the frames of one transfer, over all its sessions, have brought into the standby's journal.
#[derive(Default)]
pub(crate) struct Sent {
    /// Entries, by fragment, key and version, that a stage has durably.
    staged: HashSet<u64>,
    /// Entries that arrived and are not durable yet.
    arrived: Vec<u64>,
    /// Their bytes.
    arrived_bytes: u64,
    /// As they were before the last frame.
    undurable_bytes: u64,
    /// Bytes that came again since the last interruption.
    again_bytes: u64,
    /// Some frames, for a network that delivers them late.
    late: VecDeque<Frame>,
}

impl Sent {
    /// A message reaches the standby.
    pub(crate) fn arrives(&mut self, message: &Message) -> Result<(), Broken> {
        let Message::Frame(message) = message else { return Ok(()) };
        let frame = &message.frame;
        self.undurable_bytes = self.arrived_bytes;
        for entry in frame.entries.iter() {
            let mut hasher = DefaultHasher::new(); // fixed keys: the same in every run
            (frame.fragment.0, entry.key, entry.version.to_bytes()).hash(&mut hasher);
            let hash = hasher.finish();
            if self.staged.contains(&hash) {
                self.again_bytes += entry.payload_bytes() as u64;
            }
            self.arrived.push(hash);
            self.arrived_bytes += entry.payload_bytes() as u64;
        }
        if self.late.len() == LATE_FRAMES {
            self.late.pop_front();
        }
        self.late.push_back(frame.clone());
        let max = CREDIT_WINDOW_BYTES + limits::FRAME_BYTES_INTERACTIVE as u64;
        if self.again_bytes <= max {
            return Ok(());
        }
        let what = format!("{} bytes that were durable at the standby came again, {max} may", self.again_bytes);
        Err(Broken { rule: "I7 a cut transfer goes on where it was", what })
    }

    /// The standby's journal has what arrived.
    pub(crate) fn durable(&mut self, standby: &Store) {
        (self.arrived_bytes, self.undurable_bytes) = (0, 0);
        if standby.stages().is_empty() {
            self.arrived.clear();
        } else {
            self.staged.extend(self.arrived.drain(..));
        }
    }

    /// Bytes of frames that had arrived before the last one and that the standby's journal does not have durably yet.
    pub(crate) fn undurable_bytes(&self) -> u64 {
        self.undurable_bytes
    }

    /// The connection was cut: what was on its way may come again.
    pub(crate) fn interrupted(&mut self) {
        self.arrived.clear();
        (self.arrived_bytes, self.undurable_bytes, self.again_bytes) = (0, 0, 0);
    }

    /// The transfer is over, or began anew for a reason that is not an interruption.
    pub(crate) fn agreed(&mut self) {
        self.staged.clear();
        self.arrived.clear();
        (self.arrived_bytes, self.undurable_bytes, self.again_bytes) = (0, 0, 0);
    }

    /// A frame that some session brought.
    pub(crate) fn late_frame(&self, index: usize) -> Option<&Frame> {
        self.late.get(index % self.late.len().max(1))
    }
}
