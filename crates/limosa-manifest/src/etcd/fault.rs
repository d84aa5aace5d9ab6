//! What etcd's refusals mean.

use tonic::{Code, Status};

use crate::error::ManifestError;

/// A refusal of a call that changes nothing.
pub(super) fn of_read(status: &Status) -> ManifestError {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => ManifestError::Denied { why: said(status) },
        Code::InvalidArgument if is_about_auth(status) => ManifestError::Denied { why: said(status) },
        _ => ManifestError::Unavailable { why: said(status) },
    }
}

/// A refusal of a change of `key`: did etcd refuse it before it was proposed, or is its outcome unknown?
pub(super) fn of_change(status: &Status, key: &str) -> ManifestError {
    let limit = |what| ManifestError::Config { what, why: said(status) };
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => ManifestError::Denied { why: said(status) },
        Code::InvalidArgument if is_about_auth(status) => ManifestError::Denied { why: said(status) },
        // Judged before it is proposed: too large, too many, a key twice; or there is no room, or the lease has gone.
        Code::InvalidArgument => limit("change"),
        Code::NotFound => limit("lease"),
        Code::ResourceExhausted => ManifestError::Unavailable { why: said(status) },
        _ if was_never_sent(status) => ManifestError::Unavailable { why: said(status) },
        // Everything else may come from a server that had proposed it already.
        _ => ManifestError::Unknown { key: key.to_owned(), why: said(status) },
    }
}

/// Whether there was no connection to send it over.
fn was_never_sent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether the token has run out, or etcd forgot it over a restart: a new one helps.
pub(super) fn is_stale_token(status: &Status) -> bool {
    let text = status.message();
    status.code() == Code::Unauthenticated || text.contains("invalid auth token") || text.contains("revision of auth store is old")
}

/// Etcd calls a missing user name or a wrong password an invalid argument.
fn is_about_auth(status: &Status) -> bool {
    ["user name is empty", "authentication", "auth"].iter().any(|word| status.message().contains(word))
}

/// An answer that no etcd gives.
pub(super) fn foreign(why: &str) -> ManifestError {
    ManifestError::Unavailable { why: format!("the server is no etcd: {why}") }
}

fn said(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_unknown_unless_etcd_surely_refused_it() {
        let code = |code, text: &str| of_change(&Status::new(code, text), "k").code();
        assert_eq!(code(Code::Unavailable, "etcdserver: request timed out"), "manifest.unknown_outcome");
        assert_eq!(code(Code::DeadlineExceeded, ""), "manifest.unknown_outcome");
        assert_eq!(code(Code::Cancelled, ""), "manifest.unknown_outcome");
        assert_eq!(code(Code::Unknown, "broken pipe"), "manifest.unknown_outcome");
        assert_eq!(code(Code::PermissionDenied, "etcdserver: permission denied"), "manifest.denied");
        assert_eq!(code(Code::InvalidArgument, "etcdserver: user name is empty"), "manifest.denied");
        assert_eq!(code(Code::InvalidArgument, "etcdserver: request is too large"), "manifest.config");
        assert_eq!(code(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"), "manifest.unavailable");
    }

    #[test]
    fn a_read_that_fails_changed_nothing() {
        assert_eq!(of_read(&Status::unavailable("connection refused")).code(), "manifest.unavailable");
        assert_eq!(of_read(&Status::unauthenticated("etcdserver: invalid auth token")).code(), "manifest.denied");
    }
}
