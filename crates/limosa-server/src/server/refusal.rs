//! What the node refuses operators, and what they do about it.

use std::io;

use limosa_core::Retry;
use limosa_store::StoreError;

use crate::config::HostPort;
use crate::http::{ControlError, Turn};

/// The store failed, or refuses work since it failed.
pub(super) fn store(error: &StoreError) -> ControlError {
    broken(error.code(), error.to_string(), error.retry())
}

/// Something below failed in its own words.
pub(super) fn broken(code: &'static str, message: String, retry: Retry) -> ControlError {
    let turn = if retry == Retry::Later { Turn::Later } else { Turn::Broken };
    ControlError { turn, code, message, action: "read the entry of this code in docs/errors.md, and the node's log".to_owned(), retry }
}

/// A quarantine file can't be read.
pub(super) fn unreadable(error: &io::Error) -> ControlError {
    let absent = error.kind() == io::ErrorKind::NotFound;
    ControlError {
        turn: if absent { Turn::Absent } else { Turn::Broken },
        code: "control.quarantine",
        message: format!("the quarantine file can't be read: {error}"),
        action: "list the files with `limosa quarantine list`".to_owned(),
        retry: Retry::Never,
    }
}

/// Nobody of that name was ever connected.
pub(super) fn no_peer(name: &str) -> ControlError {
    ControlError {
        turn: Turn::Absent,
        code: "control.no_peer",
        message: format!("this node knows no peer {name}"),
        action: "list them with `limosa status`".to_owned(),
        retry: Retry::Never,
    }
}

/// A peer is not at a version of this node.
pub(super) fn not_comparable(name: &str, phase: &str) -> ControlError {
    ControlError {
        turn: Turn::Later,
        code: "control.not_comparable",
        message: format!("{name} is {phase}: it is not at a version of this node"),
        action: "wait until `limosa status` shows it live".to_owned(),
        retry: Retry::Later,
    }
}

/// A node can't follow itself.
pub(super) fn itself(owner: &HostPort) -> ControlError {
    ControlError {
        turn: Turn::Refused,
        code: "control.follows_itself",
        message: format!("{owner} is this node's own peer address"),
        action: "name the owner's peer address".to_owned(),
        retry: Retry::Never,
    }
}
