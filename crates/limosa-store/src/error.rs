//! The one error of the store, sorted by whose turn it is to act; context lies in fields.

use std::io;
use std::path::{Path, PathBuf};

use limosa_core::{DecodeError, FragmentId, Retry};
use thiserror::Error;

use crate::journal::Position;

/// What keeps the store from doing what it was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    // ---- The operator's turn: the folder is not the one that was meant, or not free.
    /// Another process, or another store of this process, holds the folder.
    #[error("{} is in use by {}: stop it, or choose another folder", .dir.display(), holder(*.pid))]
    FolderInUse {
        /// The data folder.
        dir: PathBuf,
        /// Who wrote its id into the lock file last, when that can be read.
        pid: Option<u32>,
    },
    /// The folder belongs to another node, cluster or set of space keys.
    #[error("{} belongs to {what} {found}, but this node was started as {what} {expected}: start the node with its own data folder", .path.display())]
    ForeignFolder {
        /// The file that says so.
        path: PathBuf,
        /// What differs: "node", "cluster", "space keys", "incarnation".
        what: &'static str,
        /// What the caller asked for.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// The folder holds data, and the file that says whose it is has gone.
    #[error("{} is missing, but its folder holds data: put the file back from a copy, or choose an empty folder", .path.display())]
    IdentityMissing {
        /// The identity file that should be there.
        path: PathBuf,
    },
    /// Written by a newer Limosa.
    #[error("{} has {what} {found}; this program knows up to {known}: open it with the newer program", .path.display())]
    FormatNewer {
        /// The file.
        path: PathBuf,
        /// What is newer: "format version", "feature bits", "record kind".
        what: &'static str,
        /// What the file has.
        found: u64,
        /// The newest that this program knows.
        known: u64,
    },

    // ---- The client's turn.
    /// A value that was arriving in pieces can't be completed here: another node became owner meanwhile.
    #[error("another node became owner while the value was arriving: send the command again, to the owner")]
    UploadEnded,
    /// The fragment does not take commands for a moment: it is about to move, or to be served again.
    #[error("{fragment} is about to move: the command waits")]
    Parked {
        /// Which fragment.
        fragment: FragmentId,
    },
    /// Another node serves the fragment, or nobody does.
    #[error("{fragment} is not served here")]
    NotServed {
        /// Which fragment.
        fragment: FragmentId,
    },
    /// An epoch is opened above every epoch that was opened before.
    #[error("{fragment} has epoch {held}: epoch {epoch} can't be opened")]
    EpochHeld {
        /// Which fragment.
        fragment: FragmentId,
        /// The newest epoch here.
        held: u32,
        /// What was to be opened.
        epoch: u32,
    },
    /// An arriving value is to be joined to one that other commands do not stop changing.
    #[error("the key's value changed again and again while a large one was being joined to it: send the command again")]
    Contended,

    // ---- The operator's turn: the disk.
    /// No room. Nothing was written half; the same call works when room has returned.
    #[error("no room to {op} {}: make room on that disk", .path.display())]
    DiskFull {
        /// What was tried.
        op: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("could not {op} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A flush, or a repair behind a failed write, failed, or redb panicked: what the disk holds is not known any more.
    #[error("the store stopped writing ({why}): restart the node; it recovers from what the disk holds")]
    Poisoned {
        /// What failed first.
        why: String,
    },

    // ---- The operator's turn: damage. Never repaired silently; a replica or a backup has the bytes.
    /// Bytes of the journal are not what was written, and they had been flushed.
    #[error("{} is damaged at byte {offset}: {why}; restore the folder from a backup, or empty it and let a standby send its state", .path.display())]
    JournalDamaged {
        /// The segment.
        path: PathBuf,
        /// Where the first group lies that can't be trusted.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A group does not continue the history before it: bytes were exchanged, not merely damaged.
    #[error("{} breaks the hash chain at byte {offset}: the file was exchanged or changed; restore the folder from a backup, or empty it and let a standby send its state", .path.display())]
    JournalChain {
        /// The segment.
        path: PathBuf,
        /// Where the group or the segment header lies.
        offset: u64,
    },
    /// Positions that should be in the journal are in none of its segments.
    #[error("{} lacks positions {from} to {to}: put the missing segment back, or restore the folder from a backup", .dir.display())]
    JournalMissing {
        /// The journal's folder.
        dir: PathBuf,
        /// First missing position.
        from: Position,
        /// Last missing position.
        to: Position,
    },
    /// A block that a summary names is damaged or gone.
    #[error(
        "the block of {fragment} that starts at {first_key:02x?} is corrupt: {why}; it is fetched again as soon as a peer is connected that has it"
    )]
    CorruptBlock {
        /// Its fragment.
        fragment: FragmentId,
        /// Its first key.
        first_key: Vec<u8>,
        /// What is wrong with it.
        why: String,
    },
    /// The checkpoint holds something that was never written so.
    #[error("{} is damaged: {why}; restore the folder from a backup, or empty it and let a standby send its state", .path.display())]
    CheckpointDamaged {
        /// The checkpoint's file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The identity file is not what was written.
    #[error("{} is damaged: {why}; put the file back from a copy", .path.display())]
    IdentityDamaged {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    // ---- The reader's turn: it is behind what the journal still has.
    /// The journal no longer holds this position; take a delta from the tree instead.
    #[error("the journal starts at position {first}, {from} has been released")]
    JournalReleased {
        /// What was asked for.
        from: Position,
        /// The oldest position held.
        first: Position,
    },

    // ---- The caller's turn.
    /// Beyond a limit; nothing was allocated or written for it.
    #[error("{what} is {value}, above its limit of {max}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// How large.
        value: u64,
        /// The limit.
        max: u64,
    },
    /// Blocks that the call needs are not in memory: load them, outside of the transaction, and try again.
    #[error("{count} blocks are not in memory: load them and try again")]
    Cold {
        /// How many the transaction has met so far.
        count: usize,
    },
    /// An argument that can never work.
    #[error("{what}: {why}")]
    Invalid {
        /// The argument.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A record's bytes are not what its kind promises.
    #[error("a record of the journal can't be read: {0}")]
    Record(#[from] DecodeError),
}

impl StoreError {
    /// The stable code; `docs/errors.md` has one entry for each.
    pub fn code(&self) -> &'static str {
        match self {
            Self::FolderInUse { .. } => "store.folder_in_use",
            Self::ForeignFolder { .. } => "store.foreign_folder",
            Self::IdentityMissing { .. } => "store.identity_missing",
            Self::FormatNewer { .. } => "store.format_newer",
            Self::DiskFull { .. } => "store.disk_full",
            Self::Io { .. } => "store.io",
            Self::Poisoned { .. } => "store.poisoned",
            Self::JournalDamaged { .. } => "store.journal_damaged",
            Self::JournalChain { .. } => "store.journal_chain",
            Self::JournalMissing { .. } => "store.journal_missing",
            Self::CorruptBlock { .. } => "store.corrupt_block",
            Self::CheckpointDamaged { .. } => "store.checkpoint_damaged",
            Self::IdentityDamaged { .. } => "store.identity_damaged",
            Self::JournalReleased { .. } => "store.journal_released",
            Self::UploadEnded => "store.upload_ended",
            Self::Contended => "store.contended",
            Self::Parked { .. } => "store.parked",
            Self::NotServed { .. } => "store.not_served",
            Self::EpochHeld { .. } => "store.epoch_held",
            Self::Limit { .. } => "store.limit",
            Self::Cold { .. } => "store.cold",
            Self::Invalid { .. } => "store.invalid",
            Self::Record(_) => "store.record",
        }
    }

    /// What a driver may do about it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::FolderInUse { .. }
            | Self::DiskFull { .. }
            | Self::Cold { .. }
            | Self::UploadEnded
            | Self::Contended
            | Self::Parked { .. } => Retry::Later,
            Self::JournalReleased { .. } => Retry::AfterResync,
            _ => Retry::Never,
        }
    }

    /// Sorts an error of the operating system: a full disk is a state that passes, everything else is not.
    pub(crate) fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        if is_full(&source) { Self::DiskFull { op, path } } else { Self::Io { op, path, source } }
    }
}

/// Whether room, not the disk, is what is missing.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
