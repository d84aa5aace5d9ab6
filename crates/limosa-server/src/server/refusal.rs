//! What the node refuses operators, and what they do about it.

use std::io;

use limosa_core::Retry;
use limosa_store::{ReframeError, StoreError};

use crate::config::HostPort;
use crate::http::{ControlError, Turn};

/// The store failed, or refuses work since it failed.
pub(super) fn store(error: &StoreError) -> ControlError {
    broken(error.code(), error.to_string(), error.retry())
}

/// A split or merge that is not done.
pub(super) fn reframe(error: &ReframeError) -> ControlError {
    let (turn, action) = match error {
        ReframeError::Store(error) => return store(error),
        ReframeError::Unknown { .. } => (Turn::Absent, "list the fragments with `limosa fragment show`"),
        ReframeError::NotABoundary { .. } | ReframeError::Outside { .. } => {
            (Turn::Refused, "name a key or slot inside the fragment, not its first")
        }
        ReframeError::OneSlot { .. } => (Turn::Refused, "nothing: the keys of one slot stay together"),
        ReframeError::NotNeighbours { .. } => (Turn::Refused, "name two fragments whose slots follow each other, the lower one first"),
        ReframeError::NotOwner => (Turn::Refused, "ask the owner: `limosa status` names it"),
        ReframeError::StageOpen => (Turn::Later, "wait until the transfer has ended: see `limosa status`"),
        ReframeError::Limit { .. } => (Turn::Refused, "merge fragments that are small first"),
    };
    ControlError { turn, code: error.code(), message: error.to_string(), action: action.to_owned(), retry: error.retry() }
}

/// A split that is told two places.
pub(super) fn two_boundaries() -> ControlError {
    ControlError {
        turn: Turn::Refused,
        code: "control.two_boundaries",
        message: "a key and a slot are given as the place of the split".to_owned(),
        action: "give one of them, or none to halve the bytes".to_owned(),
        retry: Retry::Never,
    }
}

/// A slot that there is not.
pub(super) fn no_slot(slot: u16) -> ControlError {
    ControlError {
        turn: Turn::Refused,
        code: "control.no_slot",
        message: format!("there is no slot {slot}"),
        action: "name one of 0 to 16383".to_owned(),
        retry: Retry::Never,
    }
}

/// The world has changed since the plan was made.
pub(super) fn plan_changed(asked: &str, now: &str) -> ControlError {
    ControlError {
        turn: Turn::Refused,
        code: "cluster.plan_changed",
        message: format!("plan {asked} does not hold any more: the same operation is plan {now} now"),
        action: "plan it again with `limosa plan`, look at what changed, and give the new id".to_owned(),
        retry: Retry::Never,
    }
}

/// Something that only a cluster does.
pub(super) fn no_cluster() -> ControlError {
    ControlError {
        turn: Turn::Refused,
        code: "cluster.none",
        message: "this node is in no cluster".to_owned(),
        action: "start it with --cluster and --manifest, then run `limosa cluster init` or `limosa node join`".to_owned(),
        retry: Retry::Never,
    }
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
