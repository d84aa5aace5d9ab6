//! Why connections end, and the codes under which the log and `docs/errors.md` name it.

use std::io;

use thiserror::Error;

use super::error::KeyspaceError;
use super::gate::Failed;

/// Why a connection ended, other than that the client left.
#[derive(Debug, Error)]
pub(super) enum Ended {
    #[error("the client does not read its replies")]
    Stalled,
    #[error("the client was idle for longer than the timeout")]
    Idle,
    #[error("the requests under way of all clients take all of the memory for them")]
    ReadMemory,
    #[error("the client left in the middle of a command")]
    Left,
    #[error("the client takes a large value too slowly")]
    Slow,
    #[error("a large value can't be read to its end: {0}")]
    NotRead(KeyspaceError),
    #[error("a flush failed: {0}")]
    NotDurable(KeyspaceError),
    #[error(transparent)]
    Socket(#[from] io::Error),
}

impl Ended {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Stalled => "resp.client_stalled",
            Self::Idle => "resp.client_idle",
            Self::ReadMemory => "resp.read_memory",
            Self::Left => "resp.client_left",
            Self::Slow => "resp.client_slow",
            Self::NotRead(error) => error.code,
            Self::NotDurable(_) => "resp.not_durable",
            Self::Socket(_) => "resp.socket",
        }
    }
}

impl From<Failed> for Ended {
    fn from(failed: Failed) -> Self {
        Self::NotDurable(failed.0)
    }
}
