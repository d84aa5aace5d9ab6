//! Reads groups out of one segment, forward, a large piece of the file at a time.

use std::path::PathBuf;
use std::sync::Arc;

use super::Position;
use super::group::{self, GroupHeader, GroupView, HEADER_BYTES, Salt};
use super::record::RecordError;
use crate::disk::DiskFile;
use crate::error::StoreError;

/// Bytes read at once, unless a group is larger.
const READ_BYTES: usize = 256 << 10;

/// A segment being read.
#[derive(Debug)]
pub(crate) struct Window {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    salt: Salt,
    bytes: Vec<u8>,
    /// Where in the file `bytes` starts.
    start: u64,
}

/// Why no group can be taken from an offset.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Not a whole valid group: torn, or damaged. What is known of it decides which.
    Bytes(String),
    /// A whole valid group with a record of a kind that this program does not know.
    NewerKind(u8),
    /// The disk did not answer.
    Disk(StoreError),
}

impl Window {
    pub(crate) fn new(file: Arc<dyn DiskFile>, path: PathBuf, salt: Salt) -> Self {
        Self { file, path, salt, bytes: Vec::new(), start: 0 }
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(crate) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// The group at `offset`, which must lie before `limit`. Nothing behind `limit` is read, because a writer may be at work there.
    pub(crate) fn group(&mut self, offset: u64, limit: u64) -> Result<GroupView<'_>, Fault> {
        let header = self.header(offset, limit)?;
        // The length is bounded by the header's limits and by the file before anything is allocated for it.
        if header.bytes() > limit - offset {
            return Err(Fault::Bytes("the group is cut short".into()));
        }
        let salt = self.salt;
        let whole = self.piece(offset, usize_of(header.bytes()), limit)?;
        let body = whole.get(HEADER_BYTES..).filter(|body| body.len() == header.body_bytes as usize);
        let Some(body) = body else { return Err(Fault::Bytes("the group is cut short".into())) };
        if header.body_crc != salt.crc(body) {
            return Err(Fault::Bytes("the checksum of the group does not match".into()));
        }
        match group::check_body(body, header.count) {
            Ok(()) => Ok(GroupView { header, body }),
            Err(RecordError::Kind(code)) => Err(Fault::NewerKind(code)),
            Err(RecordError::Bytes(error)) => Err(Fault::Bytes(error.to_string())),
        }
    }

    /// The group that [`Window::group`] has just checked.
    pub(crate) fn held_group(&self, offset: u64, header: GroupHeader) -> GroupView<'_> {
        let body = usize_of(offset - self.start) + HEADER_BYTES;
        GroupView { header, body: &self.bytes[body..body + header.body_bytes as usize] }
    }

    /// The header of the group at `offset`.
    pub(crate) fn header(&mut self, offset: u64, limit: u64) -> Result<GroupHeader, Fault> {
        let salt = self.salt;
        let bytes = self.piece(offset, HEADER_BYTES, limit)?;
        let whole = bytes.first_chunk().ok_or_else(|| Fault::Bytes("the group's header is cut short".into()))?;
        GroupHeader::decode(whole, salt).map_err(|why| Fault::Bytes(why.into()))
    }

    /// `count` bytes at `offset`, fewer at `limit` or at the end of the file.
    pub(crate) fn piece(&mut self, offset: u64, count: usize, limit: u64) -> Result<&[u8], Fault> {
        let held = self.piece_and_more(offset, count, limit)?;
        Ok(&held[..held.len().min(count)])
    }

    /// As [`Window::piece`], with whatever else has been read behind it.
    fn piece_and_more(&mut self, offset: u64, count: usize, limit: u64) -> Result<&[u8], Fault> {
        let count = count.min(usize_of(limit.saturating_sub(offset)));
        let held = offset.checked_sub(self.start).map(usize_of).filter(|from| from.saturating_add(count) <= self.bytes.len());
        let from = match held {
            Some(from) => from,
            None => self.refill(offset, count, limit)?,
        };
        Ok(&self.bytes[from..])
    }

    fn refill(&mut self, offset: u64, count: usize, limit: u64) -> Result<usize, Fault> {
        let count = count.max(READ_BYTES).min(usize_of(limit.saturating_sub(offset)));
        self.start = offset;
        self.bytes.resize(count, 0);
        let read = self.file.read_at(offset, &mut self.bytes);
        let read = read.map_err(|error| Fault::Disk(StoreError::io("read", &self.path, error)))?;
        self.bytes.truncate(read);
        Ok(0)
    }

    /// Looks behind `offset` for a group's header that says that the record at `position` had been flushed when it was written.
    /// Answers where. Bytes of values do not pass for a header: its checksum is salted.
    pub(crate) fn witness_behind(&mut self, offset: u64, limit: u64, position: Position) -> Result<Option<u64>, StoreError> {
        let mut at = offset + 1;
        while at < limit {
            let held = match self.piece_and_more(at, HEADER_BYTES, limit) {
                Ok(held) => held,
                Err(Fault::Disk(error)) => return Err(error),
                Err(_) => unreachable!("reading bytes judges nothing"),
            };
            let Some(found) = held.windows(group::MAGIC.len()).position(|four| four == group::MAGIC) else {
                if held.len() < HEADER_BYTES {
                    return Ok(None); // the end of the file: no header fits any more
                }
                at += (held.len() - group::MAGIC.len() + 1) as u64; // the magic may lie across the end of what is held
                continue;
            };
            at += found as u64;
            match self.header(at, limit) {
                Ok(header) if header.flushed >= position => return Ok(Some(at)),
                Err(Fault::Disk(error)) => return Err(error),
                _ => at += 1,
            }
        }
        Ok(None)
    }

    /// The fault as an error of the store, where nothing can be cut.
    pub(crate) fn damage(&self, offset: u64, fault: Fault) -> StoreError {
        match fault {
            Fault::Bytes(why) => StoreError::JournalDamaged { path: self.path.clone(), offset, why },
            Fault::NewerKind(code) => StoreError::FormatNewer {
                path: self.path.clone(),
                what: "record kind",
                found: code.into(),
                known: super::RecordKind::NEWEST.into(),
            },
            Fault::Disk(error) => error,
        }
    }
}

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
