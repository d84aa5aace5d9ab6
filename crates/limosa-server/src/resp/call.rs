//! One command being executed: its arguments, who sent it, and where its reply goes.

use limosa_core::limits::{USER_KEY_BYTES_MAX, USER_VALUE_BYTES_MAX};

use super::error::CommandError;
use super::keyspace::{Keyspace, Published, Stretch};
use super::number::parse_i64;
use super::reply::Reply;
use super::session::Session;
use limosa_core::Expiry;

/// What a handler gives back; on an error nothing of its reply is sent but the error.
pub(crate) type Done = Result<(), CommandError>;

/// One command being executed.
pub(crate) struct Call<'a> {
    /// Name first, then the arguments; at least as many as the command's arity demands.
    pub(crate) args: &'a [&'a [u8]],
    /// Who sent it.
    pub(crate) session: &'a mut Session,
    /// Where the reply goes.
    pub(crate) reply: Reply<'a>,
    /// Deadlines up to here have passed, milliseconds since the Unix epoch. One value for a whole batch.
    pub(crate) now_ms: u64,
}

/// A value to set.
#[derive(Clone, Copy)]
pub(crate) enum NewValue<'a> {
    /// At hand.
    Bytes(&'a [u8]),
    /// Taken from the socket in pieces.
    Arrived { id: u64, bytes: usize },
}

impl NewValue<'_> {
    /// Length in bytes.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Arrived { bytes, .. } => bytes,
        }
    }

    /// Makes it the value of `key`.
    pub(crate) fn set(self, keys: &mut dyn Keyspace, key: &[u8], expiry: Expiry) -> Done {
        match self {
            Self::Bytes(bytes) => keys.set(key, bytes, expiry)?,
            Self::Arrived { id, .. } => keys.set_uploaded(key, id, expiry)?,
        }
        Ok(())
    }
}

/// How a command is run, by what it needs.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// The connection alone.
    Session(fn(&mut Call<'_>) -> Done),
    /// The head, under the store's lock.
    Keys(fn(&mut Call<'_>, &mut dyn Keyspace) -> Done),
    /// A snapshot and figures, off the lock, behind everything that the batch wrote.
    Published(fn(&mut Call<'_>, &View<'_>) -> Done),
    /// The standbys: the connection waits.
    Replicas,
    /// A name that only leads to subcommands.
    Container,
}

/// What a [`Run::Published`] handler sees.
pub(crate) struct View<'a> {
    /// The snapshot.
    pub(crate) keys: &'a dyn Published,
    /// Figures of the state below, gathered when they are asked for.
    pub(crate) facts: &'a dyn Fn() -> super::keyspace::BackendFacts,
    /// Random for this call alone.
    pub(crate) random: u64,
}

impl Call<'_> {
    /// Argument `index` as an integer.
    pub(crate) fn int(&self, index: usize) -> Result<i64, CommandError> {
        parse_i64(self.args[index]).ok_or(CommandError::NotInteger)
    }

    /// Argument `index` as a value to set.
    pub(crate) fn value(&self, index: usize) -> Result<NewValue<'_>, CommandError> {
        match self.session.arrived.iter().find(|arrived| arrived.index == index) {
            None => Ok(NewValue::Bytes(self.args[index])),
            Some(arrived) => Ok(NewValue::Arrived { id: arrived.upload.clone()?, bytes: arrived.bytes }),
        }
    }

    /// Replies with a string whose bytes are sent in pieces.
    pub(crate) fn stream(&mut self, value: Box<dyn Stretch>) {
        self.reply.bulk_head(value.left());
        self.session.splices.push(self.reply.len(), value);
        self.reply.bulk_end();
    }

    /// Refuses to go on once the connection's output is beyond [`REPLY_BYTES_MAX`].
    pub(crate) fn check_reply_len(&self) -> Done {
        if self.reply.len() > REPLY_BYTES_MAX { Err(CommandError::ReplyTooLong(REPLY_BYTES_MAX)) } else { Ok(()) }
    }
}

/// Most bytes that wait in one connection's output. Two of the longest values fit.
pub(crate) const REPLY_BYTES_MAX: usize = 2 * USER_VALUE_BYTES_MAX + (1 << 20);

/// Whether `arg` is `word` (upper case), in any case.
pub(crate) fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// Refuses a key that is too long.
pub(crate) fn check_key(key: &[u8]) -> Done {
    if key.len() > USER_KEY_BYTES_MAX { Err(CommandError::KeyTooLong) } else { Ok(()) }
}

/// Refuses a value that would be longer than `USER_VALUE_BYTES_MAX`.
pub(crate) fn check_value_len(len: usize) -> Done {
    if len > USER_VALUE_BYTES_MAX { Err(CommandError::ValueTooLong) } else { Ok(()) }
}

/// Bytes for an error's text: at most `max`, anything that is not text replaced.
pub(crate) fn excerpt(bytes: &[u8], max: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(max)]).into_owned()
}
