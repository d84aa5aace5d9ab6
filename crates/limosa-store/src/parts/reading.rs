//! Reads a large value, or a stretch of it, piece by piece from one version of it, off the store's lock.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::PartsView;
use crate::error::StoreError;
use crate::store::Counters;
use limosa_core::DecodeError;

/// A stretch of a large value that is being read. While it lives, memory that commands have replaced meanwhile stays.
pub struct Reading {
    view: PartsView,
    /// The next part is the first at or behind this stored key.
    from: Bytes,
    /// Bytes of that part that lie before the stretch.
    skip: u64,
    left: u64,
    counters: Arc<Counters>,
}

pub(crate) const BROKEN: DecodeError = DecodeError::Invalid { field: "parted", why: "the parts of a large value do not add up" };

impl Reading {
    /// `bytes` bytes of the value from `start` on, which must lie in it.
    pub(crate) fn new(view: PartsView, start: u64, bytes: u64, counters: Arc<Counters>) -> Result<Self, StoreError> {
        let (from, skip) = if start == 0 {
            (view.range().start.clone(), 0)
        } else {
            let place = view.place(start)?.ok_or(BROKEN)?;
            (place.key, start - place.before)
        };
        Ok(Self { view, from, skip, left: bytes, counters })
    }

    /// Bytes that were not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Appends the next bytes to `out`: at least one part's, and no further part once there are `bytes` of them.
    ///
    /// # Errors
    /// A block can't be had, or the value's parts do not add up.
    pub fn read(&mut self, out: &mut Vec<u8>, bytes: usize) -> Result<(), StoreError> {
        let (start, mut parts) = (out.len(), 0);
        let Self { view, from, skip, left, .. } = self;
        let mut next = None;
        if *left == 0 {
            return Ok(());
        }
        view.scan(from, |key, part| {
            if *left == 0 || out.len() - start >= bytes {
                next = Some(Bytes::copy_from_slice(key));
                return ControlFlow::Break(());
            }
            parts += 1;
            let part = &part[usize::try_from(*skip).unwrap_or(usize::MAX).min(part.len())..];
            let taken = part.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            out.extend_from_slice(&part[..taken]);
            *skip = 0;
            *left -= taken as u64;
            if *left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        self.counters.read_entries(parts);
        match next {
            Some(next) => self.from = next,
            None if self.left > 0 => return Err(BROKEN.into()),
            None => {}
        }
        Ok(())
    }
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reading({} bytes left)", self.left)
    }
}
