//! Why a command failed, and with which exit code.

use std::io;
use std::process::ExitCode;

use limosa_core::Retry;
use limosa_node::{PeerError, PkiError};
use limosa_server::ServerError;
use limosa_server::config::ConfigError;
use limosa_server::http::api::{ErrorBody, RetryWord};
use thiserror::Error;

use crate::demo::DemoError;

/// What the program's exit code says; listed in `limosa --help`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// It worked, or the answer is yes.
    Yes = 0,
    /// The answer is no: ends disagree, damage was found.
    No = 1,
    /// Wrong flags or configuration.
    Usage = 2,
    /// The node can't be reached, or does not speak like one.
    Unreachable = 3,
    /// The node, or the data folder, refuses.
    Refused = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not do its work.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// Nobody answers there.
    #[error("no node answers at {node}: {source}")]
    Unreachable {
        /// Where.
        node: String,
        /// What happened on the way.
        source: PeerError,
    },
    /// Somebody answers who is not a node of ours, or one of another version.
    #[error("{node} does not answer like a Limosa node: {why}")]
    Foreign {
        /// Where.
        node: String,
        /// What was wrong with the answer.
        why: String,
    },
    /// The node says no.
    #[error("{}", .0.message)]
    Refused(ErrorBody),
    /// A configuration that a node can't start with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Certificates that can't be used or made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A node that can't start or go on.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A demo that did not come to its end.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The answer can't be printed.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// The stable code, explained in `docs/errors.md`.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Unreachable { .. } => "cli.unreachable",
            Self::Foreign { .. } => "cli.foreign",
            Self::Refused(body) => &body.code,
            Self::Config(error) => error.code(),
            Self::Pki(error) => error.code(),
            Self::Server(error) => error.code(),
            Self::Demo(error) => error.code(),
            Self::Output(_) => "cli.output",
        }
    }

    /// Whether the same command may work later.
    pub(crate) fn retry(&self) -> RetryWord {
        match self {
            Self::Unreachable { .. } => RetryWord::Later,
            Self::Refused(body) => body.retry,
            Self::Config(error) => error.retry().into(),
            Self::Pki(error) => error.retry().into(),
            Self::Server(error) => error.retry().into(),
            Self::Demo(error) => error.retry().into(),
            Self::Foreign { .. } | Self::Output(_) => Retry::Never.into(),
        }
    }

    /// What to do; empty where the message says it.
    pub(crate) fn action(&self) -> &str {
        match self {
            Self::Unreachable { .. } => "start one with `limosa serve`, or name another with --node ADDR or LIMOSA_NODE",
            Self::Foreign { .. } => "name the node's HTTP address (port 7602 by default), not its RESP or peer address",
            Self::Refused(body) => &body.action,
            Self::Demo(error) => error.action(),
            Self::Config(_) | Self::Pki(_) | Self::Server(_) | Self::Output(_) => "",
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } | Self::Foreign { .. } => Exit::Unreachable,
            Self::Config(_) => Exit::Usage,
            Self::Demo(error) if error.is_usage() => Exit::Usage,
            Self::Refused(_) | Self::Demo(_) | Self::Pki(_) | Self::Server(_) | Self::Output(_) => Exit::Refused,
        }
    }

    /// The error as `--json` prints it: like a node's own.
    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody { code: self.code().to_owned(), message: self.to_string(), action: self.action().to_owned(), retry: self.retry() }
    }
}
