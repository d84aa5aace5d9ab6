//! Sends large values piece by piece, as fast as the client takes them, from one version of each.

use std::time::{Duration, Instant};

use super::connection::Connection;
use super::ended::Ended;
use super::keyspace::{Backend, Stretch};

/// A value longer than this is sent in pieces.
pub(super) const STREAMED_BYTES_MIN: usize = 256 << 10;
/// Bytes that are read and sent at a time.
const PIECE_BYTES: usize = 256 << 10;
/// While a value is sent, memory that others have replaced stays. A client may take this long whatever the value's length, and
/// must take [`BYTES_PER_S_MIN`] behind that.
const HELD_MIN: Duration = Duration::from_secs(60);
const BYTES_PER_S_MIN: u64 = 1 << 20;

/// A value that is sent behind the first `at` bytes of a connection's output.
struct Splice {
    at: usize,
    value: Box<dyn Stretch>,
}

/// The values that are sent with a connection's output. A copy of a session, for a command that runs apart, has none of them.
#[derive(Default)]
pub(crate) struct Splices(Vec<Splice>);

impl Clone for Splices {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Splices {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends `value` behind the first `at` bytes of the output.
    pub(crate) fn push(&mut self, at: usize, value: Box<dyn Stretch>) {
        self.0.push(Splice { at, value });
    }

    /// The output between `start` and `end` was replaced by what ends at `new_end`: values that belonged into it are forgotten.
    pub(crate) fn replaced(&mut self, start: usize, end: usize, new_end: usize) {
        self.0.retain(|splice| splice.at <= start || splice.at > end);
        self.0.iter_mut().filter(|splice| splice.at > end).for_each(|splice| splice.at = splice.at - end + new_end);
    }

    /// Forgets those behind the first `at` bytes: the command failed.
    pub(crate) fn truncate(&mut self, at: usize) {
        self.0.retain(|splice| splice.at <= at);
    }
}

impl<B: Backend> Connection<B> {
    /// Sends the output and the values that belong into it.
    pub(super) async fn write_spliced(&mut self) -> Result<(), Ended> {
        let mut sent = 0;
        for splice in std::mem::take(&mut self.session.splices).0 {
            let before = self.out[sent..splice.at].to_vec(); // heads and ends of replies: small
            self.send(&before).await?;
            sent = splice.at;
            self.send_value(splice.value).await?;
        }
        self.out.drain(..sent);
        Ok(())
    }

    async fn send_value(&mut self, mut value: Box<dyn Stretch>) -> Result<(), Ended> {
        let until = Instant::now() + HELD_MIN.max(Duration::from_secs(value.left() / BYTES_PER_S_MIN));
        let mut piece = Vec::with_capacity(PIECE_BYTES + (16 << 10));
        while value.left() > 0 {
            if Instant::now() > until {
                return Err(Ended::Slow);
            }
            piece.clear();
            value.read(&mut piece, PIECE_BYTES).map_err(Ended::NotRead)?; // the head is sent: only the connection's end can tell
            self.send(&piece).await?;
            tokio::task::yield_now().await; // a fast client must not keep others waiting
        }
        Ok(())
    }
}
