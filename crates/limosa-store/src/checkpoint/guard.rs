//! The one place where redb is called: its panics end here, and its errors become the store's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::extent::Failure;
use crate::error::{StoreError, is_full};

/// Whether the checkpoint may still be used, shared by everything that was opened from it.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    path: PathBuf,
    poison: Arc<OnceLock<String>>,
}

impl Guard {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, poison: Arc::default() }
    }

    /// Runs `op`, which calls redb and nothing that must not be interrupted.
    pub(super) fn call<T>(&self, op: &'static str, f: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
        self.check()?;
        // Nothing behind the closure is looked at again after a panic: the poison sees to that.
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(outcome) => outcome.map_err(|error| self.sort(op, error)),
            Err(panic) => Err(self.poisoned(format!("redb panicked while it was to {op} {}: {}", self.path.display(), text(&*panic)))),
        }
    }

    /// Runs `f` even when poisoned, for giving things back; a panic poisons and ends here.
    pub(super) fn give_back(&self, f: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
            self.poisoned(format!("redb panicked while it gave back {}: {}", self.path.display(), text(&*panic)));
        }
    }

    /// Why it may not be used any more.
    pub(super) fn poison(&self) -> Option<StoreError> {
        self.poison.get().map(|why| StoreError::Poisoned { why: why.clone() })
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(super) fn poisoned(&self, why: String) -> StoreError {
        tracing::error!(%why, "the checkpoint is not used any more");
        StoreError::Poisoned { why: self.poison.get_or_init(|| why).clone() }
    }

    pub(super) fn damaged(&self, why: impl Into<String>) -> StoreError {
        StoreError::CheckpointDamaged { path: self.path.clone(), why: why.into() }
    }

    /// A failure while an extent file was written. A full disk passes: no commit names the file. What else a disk means by it is not known.
    pub(super) fn failed(&self, (op, path, source): Failure) -> StoreError {
        if !is_full(&source) {
            self.poisoned(format!("could not {op} {}: {source}", path.display()));
        }
        StoreError::io(op, &path, source)
    }

    /// Whether it may still be used.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.poison.get().map_or(Ok(()), |why| Err(StoreError::Poisoned { why: why.clone() }))
    }

    /// A full disk passes, and the file is as it was. After any other failure of the disk redb answers nothing more, and whether
    /// the last flush took place is not known.
    fn sort(&self, op: &'static str, error: redb::Error) -> StoreError {
        match error {
            redb::Error::Io(source) if is_full(&source) => StoreError::DiskFull { op, path: self.path.clone() },
            redb::Error::Io(source) => {
                self.poisoned(format!("could not {op} {}: {source}", self.path.display()));
                StoreError::Io { op, path: self.path.clone(), source }
            }
            redb::Error::PreviousIo | redb::Error::LockPoisoned(_) | redb::Error::TransactionPoisoned | redb::Error::DatabaseClosed => {
                StoreError::Poisoned { why: format!("could not {op} {}: {error}", self.path.display()) }
            }
            other => self.damaged(other.to_string()),
        }
    }
}

fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
