//! The bytes of one file of the disk in memory: what is durable, what is only written, and what a crash leaves of it.

/// A crash leaves whole sectors of a write, or none of a sector.
const SECTOR_BYTES: usize = 512;

/// One file.
#[derive(Debug, Default)]
pub(super) struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    pub(super) is_locked: bool,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Content {
    /// A file that has been flushed.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { live: bytes.clone(), durable: bytes, ..Self::default() }
    }

    /// What the running system reads.
    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let offset = usize::try_from(offset).expect("a test's file fits memory");
        put(&mut self.live, offset, bytes);
        self.pending.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn set_bytes(&mut self, bytes: u64) {
        let bytes = usize::try_from(bytes).expect("a test's file fits memory");
        self.live.resize(bytes, 0);
        self.pending.push(Change::Length(bytes));
    }

    pub(super) fn flush(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write { offset, bytes } => put(&mut self.durable, offset, &bytes),
                Change::Length(bytes) => self.durable.resize(bytes, 0),
            }
        }
    }

    /// A failed flush: what should have become durable never will.
    pub(super) fn lose(&mut self) {
        self.pending.clear();
    }

    /// The file after a crash; `keeps` is asked about each sector of each write, and each change of length.
    pub(super) fn survivor(&self, keeps: &mut impl FnMut() -> bool) -> Self {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::Length(length) if keeps() => bytes.resize(*length, 0),
                Change::Length(_) => {}
                Change::Write { offset, bytes: written } => {
                    pieces(*offset, written).filter(|_| keeps()).for_each(|(at, piece)| put(&mut bytes, at, piece));
                }
            }
        }
        Self::durable(bytes)
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
