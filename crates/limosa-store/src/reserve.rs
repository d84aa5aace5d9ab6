//! Room kept on the disk: a file of zeros that is given up when the disk is full, so that a checkpoint can let journal go, or a delete can be
//! written.
//!
//! Nobody reads the file, and it is not flushed: a crash may leave any part of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, Open};

const PIECE_BYTES: usize = 1 << 20;

/// The file.
#[derive(Debug)]
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// `bytes` in `dir`; none when 0.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, bytes: u64) -> Self {
        Self { disk, path: dir.join("reserve"), bytes }
    }

    /// Takes the room, as far as it is not taken. A disk without room, or without the will, is no reason not to go on: it is told.
    pub(crate) fn keep(&self) {
        if self.bytes == 0 {
            return;
        }
        if let Err(error) = self.fill() {
            tracing::warn!(path = %self.path.display(), %error, "no room is kept for a full disk");
            self.release();
        }
    }

    /// Gives the room up. Answers whether there was any.
    pub(crate) fn release(&self) -> bool {
        self.bytes > 0 && self.disk.remove(&self.path).is_ok()
    }

    fn fill(&self) -> io::Result<()> {
        let file = self.disk.open(&self.path, Open::Create)?;
        let mut at = file.bytes()?;
        // Written, not just set: a length alone takes no room.
        let zeros = vec![0; PIECE_BYTES];
        while at < self.bytes {
            let piece = usize::try_from(self.bytes - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            file.write_at(at, &zeros[..piece])?;
            at += piece as u64;
        }
        Ok(())
    }
}
