//! Why the HTTP door refuses a request, as status and JSON body.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use limosa_core::Retry;
use thiserror::Error;

use super::api::ErrorBody;
use super::control::{ControlError, Turn};

/// A request that got no success.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(super) enum HttpError {
    /// No such path.
    #[error("there is no {path}")]
    NotFound { path: String },
    /// The path has other methods.
    #[error("{path} does not take {method}")]
    Method { method: String, path: String },
    /// A part of the request does not do.
    #[error("{part}: {why}")]
    Malformed { part: &'static str, why: String },
    /// The body is too long.
    #[error("the body is longer than this call takes ({max} bytes)")]
    TooLong { max: usize },
    /// The request names a host that this node is not known by: a browser may have been lured here.
    #[error("this node is not known as `{host}`")]
    ForeignHost { host: String },
    /// The request comes from a page of somebody else.
    #[error("requests from pages of `{origin}` are refused")]
    ForeignOrigin { origin: String },
    /// The caller may not do that.
    #[error("this call needs a connection from this machine or a client certificate of the cluster")]
    Untrusted,
    /// The node did not answer in time.
    #[error("no answer within {limit:?}")]
    TooSlow { limit: Duration },
    /// Not ready to serve; the fragment is absent; and so on: what the node itself says.
    #[error(transparent)]
    Node(#[from] ControlError),
}

/// What this version answers, for whoever asks for something else.
const CALLS: &str = "GET /livez, /readyz, /metrics, /v1/status, /v1/fragments, /v1/fragments/ID, /v1/plan, /v1/transfers, /v1/verify, \
                     /v1/quarantine, /v1/quarantine/FILE, /v1/cells, /v1/locate, /v1/nodes, /v1/nodes/NAME/safe-to-stop, /v1/moves; POST \
                     /v1/promote, /v1/follow, /v1/peers/reset, /v1/flush, /v1/checkpoint, /v1/scrub, /v1/fragments/ID/split, \
                     /v1/fragments/ID/merge, /v1/cluster, /v1/nodes, /v1/orders, /v1/plans, /v1/moves, /v1/stages, /v1/rebalance, /v1/handover, \
                     /v1/decommission, /v1/failover, /v1/quarantine/reapply; DELETE /v1/moves/ID, /v1/nodes/NAME, /v1/quarantine/FILE";

impl HttpError {
    /// The stable code, explained in `docs/errors.md`.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "http.not_found",
            Self::Method { .. } => "http.method",
            Self::Malformed { .. } => "http.malformed",
            Self::TooLong { .. } => "http.too_long",
            Self::ForeignHost { .. } => "http.foreign_host",
            Self::ForeignOrigin { .. } => "http.foreign_origin",
            Self::Untrusted => "http.untrusted",
            Self::TooSlow { .. } => "http.too_slow",
            Self::Node(error) => error.code(),
        }
    }

    /// Whether to try again.
    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::TooSlow { .. } => Retry::Later,
            Self::Node(error) => error.retry(),
            _ => Retry::Never,
        }
    }

    fn action(&self) -> String {
        match self {
            Self::NotFound { .. } | Self::Method { .. } => format!("the calls are {CALLS}"),
            Self::Malformed { .. } => "mend that part of the request".to_owned(),
            Self::TooLong { .. } => "send a shorter body".to_owned(),
            Self::ForeignHost { .. } => "use localhost or an IP address, or start the node with --advertise-http HOST:PORT".to_owned(),
            Self::ForeignOrigin { .. } => "call it from the command line, or from a page that this node serves".to_owned(),
            Self::Untrusted => "run the command on the node's own machine, or present a certificate made by `limosa cert issue`".to_owned(),
            Self::TooSlow { .. } => "look at the node's log, then try again".to_owned(),
            Self::Node(error) => error.action.clone(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ForeignHost { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignOrigin { .. } | Self::Untrusted => StatusCode::FORBIDDEN,
            Self::TooSlow { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Node(error) => match error.turn {
                Turn::Absent => StatusCode::NOT_FOUND,
                Turn::Refused => StatusCode::CONFLICT,
                Turn::Later => StatusCode::SERVICE_UNAVAILABLE,
                Turn::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let body = ErrorBody { code: self.code().to_owned(), message: self.to_string(), action: self.action(), retry: self.retry().into() };
        (self.status(), Json(body)).into_response()
    }
}
