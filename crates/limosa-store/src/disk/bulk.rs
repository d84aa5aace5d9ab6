//! Large writes past the page cache (`O_DIRECT`), from one aligned buffer that is used again and again.
//!
//! A transfer writes as many bytes to the journal as it brings, and nobody reads them soon. Through the page cache each of them costs a
//! fresh page, which on a virtual machine may have to come from the host first; past it, a write costs the disk alone.
//!
//! ```text
//! offset ........ aligned ................ aligned ..... end
//!        through the cache | past the cache | through the cache
//! ```
//! The two ways never touch the same page in one write, and the kernel keeps them coherent between writes: a later write through the
//! cache to the last page finds what is there. Both are durable with the file's next flush.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::{Mutex, PoisonError};

/// What offset, length and memory are multiples of: no disk asks for more, or its file system refuses and the cache is used.
const ALIGN: usize = 4096;
/// Below this the cache is cheaper: it does not wait for the disk.
const BULK_BYTES_MIN: usize = 256 << 10;
/// Bytes of one write.
const PIECE_BYTES: usize = 1 << 20;

/// The way past the cache for one file.
#[derive(Debug, Default)]
pub(super) struct Bulk(Mutex<Way>);

#[derive(Debug, Default)]
enum Way {
    /// Nothing large was written yet.
    #[default]
    Untried,
    Open {
        file: File,
        buffer: Vec<u8>,
    },
    /// The file system does not offer it.
    Refused,
}

impl Bulk {
    /// Writes all of `bytes` at `offset` of `file`. After an error any part may be there.
    pub(super) fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let first = usize::try_from(offset.next_multiple_of(ALIGN as u64) - offset).expect("less than a page");
        if bytes.len() < BULK_BYTES_MIN {
            return file.write_all_at(bytes, offset);
        }
        let count = (bytes.len() - first) / ALIGN * ALIGN;
        let (before, rest) = bytes.split_at(first);
        let (middle, behind) = rest.split_at(count);
        let from = offset + first as u64;
        file.write_all_at(before, offset)?;
        let done = self.0.lock().unwrap_or_else(PoisonError::into_inner).write(file, from, middle)?;
        file.write_all_at(&middle[done..], from + done as u64)?;
        file.write_all_at(behind, from + count as u64)
    }
}

impl Way {
    /// Writes `bytes` as far as the file system takes them past the cache; answers how many.
    fn write(&mut self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        if matches!(self, Self::Untried) {
            *self = Self::open(file);
        }
        let Self::Open { file, buffer } = self else { return Ok(0) };
        let start = buffer.as_ptr().align_offset(ALIGN);
        let aligned = &mut buffer[start..start + PIECE_BYTES];
        let mut done = 0;
        for piece in bytes.chunks(PIECE_BYTES) {
            let aligned = &mut aligned[..piece.len()];
            aligned.copy_from_slice(piece);
            match write_piece(file, offset + done as u64, aligned) {
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    *self = Self::Refused;
                    break;
                }
                Err(error) => return Err(error),
            }
            if !done.is_multiple_of(ALIGN) {
                break; // a short write off the grid: the cache takes the rest
            }
        }
        Ok(done)
    }

    fn open(file: &File) -> Self {
        // By descriptor, not by name: the name may belong to another file by now.
        let name = format!("/proc/self/fd/{}", file.as_raw_fd());
        let opened = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(name);
        opened.map_or(Self::Refused, |file| Self::Open { file, buffer: vec![0; PIECE_BYTES + ALIGN] })
    }
}

/// Writes `bytes`, all of them unless the system stops off the grid.
fn write_piece(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() && done.is_multiple_of(ALIGN) {
        match file.write_at(&bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
