//! The body of every answer that is not a success.

use limosa_core::Retry;
use serde::{Deserialize, Serialize};

/// Whether the same call may succeed later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryWord {
    /// Somebody must act first.
    Never,
    /// It may.
    Later,
    /// Only after both ends have compared again.
    AfterResync,
}

impl From<Retry> for RetryWord {
    fn from(retry: Retry) -> Self {
        match retry {
            Retry::Never => Self::Never,
            Retry::Later => Self::Later,
            Retry::AfterResync => Self::AfterResync,
        }
    }
}

/// What went wrong and what to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Stable; explained in `docs/errors.md`.
    pub code: String,
    /// What and where.
    pub message: String,
    /// What to do.
    pub action: String,
    /// Whether to try again.
    pub retry: RetryWord,
}
