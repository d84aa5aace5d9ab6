//! A record of every entry sent, for audits of what was sent twice: one line an entry, with the operating system before it is sent.
//!
//! A line is `KEY_HASH EPOCH.SEQ BYTES`: the first 16 hexadecimal digits of the stored key's BLAKE3, the version, key and value bytes.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use limosa_carry::SourceHooks;
use limosa_core::EntryRef;
use limosa_store::StoreError;

/// An open log; lines are appended.
pub(super) struct TransferLog {
    path: PathBuf,
    file: File,
    lines: String,
}

impl TransferLog {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { path: path.to_owned(), file, lines: String::new() })
    }

    /// Appends a line for each entry; all of them are with the operating system when this returns.
    fn entries(&mut self, entries: &mut dyn Iterator<Item = EntryRef<'_>>) -> Result<(), StoreError> {
        self.lines.clear();
        for entry in entries {
            let hash = blake3::hash(entry.key).to_hex();
            writeln!(self.lines, "{} {} {}", &hash[..16], entry.version, entry.payload_bytes()).expect("writing into a string never fails");
        }
        let written = self.file.write_all(self.lines.as_bytes());
        written.map_err(|source| StoreError::Io { op: "appending to the transfer log", path: self.path.clone(), source })
    }
}

/// What a session shows to its log, if it has one.
pub(super) struct Logged(pub(super) Option<TransferLog>);

impl SourceHooks for Logged {
    fn sending(&mut self, entries: &mut dyn Iterator<Item = EntryRef<'_>>) -> Result<(), StoreError> {
        self.0.as_mut().map_or(Ok(()), |log| log.entries(entries))
    }

    fn wants_entries(&self) -> bool {
        self.0.is_some()
    }
}
