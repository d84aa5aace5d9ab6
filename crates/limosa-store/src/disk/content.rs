//! The bytes of one file of the disk in memory: what is durable, what is only written, and what a crash leaves of it.
//!
//! What is durable is kept as what the writes since then replaced, so that a flush copies nothing, and a restart only what is written next.

use std::sync::Arc;

/// A crash leaves whole sectors of a write, or none of a sector.
const SECTOR_BYTES: usize = 512;

/// One file.
#[derive(Debug, Default)]
pub(super) struct Content {
    live: Arc<Vec<u8>>,
    /// What is durable, once a failed flush has parted it from what is read.
    parted: Option<Vec<u8>>,
    pending: Vec<Change>,
    pub(super) is_locked: bool,
}

#[derive(Debug)]
struct Change {
    what: What,
    /// Length of the file before.
    bytes_before: usize,
    /// What lay behind `what`'s offset or length, as far as it was replaced.
    before: Vec<u8>,
}

#[derive(Debug)]
enum What {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Content {
    /// A file that has been flushed.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { live: Arc::new(bytes), ..Self::default() }
    }

    /// Other bytes, of the same file.
    pub(super) fn rot(&mut self, bytes: Vec<u8>) {
        *self = Self { is_locked: self.is_locked, ..Self::durable(bytes) };
    }

    /// What the running system reads.
    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let offset = usize::try_from(offset).expect("a test's file fits memory");
        let (held, end) = (self.live.len(), offset + bytes.len());
        let before = self.live[offset.min(held)..end.min(held)].to_vec();
        put(Arc::make_mut(&mut self.live), offset, bytes);
        self.pending.push(Change { what: What::Write { offset, bytes: bytes.to_vec() }, bytes_before: held, before });
    }

    pub(super) fn set_bytes(&mut self, bytes: u64) {
        let bytes = usize::try_from(bytes).expect("a test's file fits memory");
        let held = self.live.len();
        let before = self.live[bytes.min(held)..].to_vec();
        Arc::make_mut(&mut self.live).resize(bytes, 0);
        self.pending.push(Change { what: What::Length(bytes), bytes_before: held, before });
    }

    pub(super) fn flush(&mut self) {
        for change in self.pending.drain(..) {
            if let Some(durable) = &mut self.parted {
                match change.what {
                    What::Write { offset, bytes } => put(durable, offset, &bytes),
                    What::Length(bytes) => durable.resize(bytes, 0),
                }
            }
        }
    }

    /// A failed flush: what should have become durable never will.
    pub(super) fn lose(&mut self) {
        self.parted = Some(self.base());
        self.pending.clear();
    }

    /// The file after a crash; `keeps` is asked about each sector of each write, and each change of length.
    pub(super) fn survivor(&self, keeps: &mut impl FnMut() -> bool) -> Self {
        if self.pending.is_empty() && self.parted.is_none() {
            return Self { live: Arc::clone(&self.live), ..Self::default() };
        }
        let mut bytes = self.base();
        for change in &self.pending {
            match &change.what {
                What::Length(length) if keeps() => bytes.resize(*length, 0),
                What::Length(_) => {}
                What::Write { offset, bytes: written } => {
                    pieces(*offset, written).filter(|_| keeps()).for_each(|(at, piece)| put(&mut bytes, at, piece));
                }
            }
        }
        Self::durable(bytes)
    }

    /// What is durable.
    fn base(&self) -> Vec<u8> {
        if let Some(durable) = &self.parted {
            return durable.clone();
        }
        let mut bytes = self.live.to_vec();
        for change in self.pending.iter().rev() {
            let at = match change.what {
                What::Write { offset, .. } => offset,
                What::Length(length) => length,
            };
            bytes.resize(change.bytes_before, 0);
            let at = at.min(bytes.len());
            bytes[at..at + change.before.len()].copy_from_slice(&change.before);
        }
        bytes
    }
}

/// A write cut at the sectors' boundaries.
fn pieces(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let room = SECTOR_BYTES - (offset + start) % SECTOR_BYTES;
        at = bytes.len().min(start + room);
        (start < at).then(|| (offset + start, &bytes[start..at]))
    })
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if file.len() < offset + bytes.len() {
        file.resize(offset + bytes.len(), 0);
    }
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}
