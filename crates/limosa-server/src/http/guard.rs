//! Stands before the routes: whom a request may be addressed to, where it may come from, who may change things, how long an answer takes.
//!
//! A browser on an operator's machine reaches loopback ports for any page. Two checks keep those pages out: a page can lend its own *name* to
//! 127.0.0.1 (DNS rebinding), so the Host must be an address or a name of ours; and it can send requests blindly, so an Origin must be our own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use limosa_node::transport::Caller;

use super::error::HttpError;

/// The names under which a node is addressed, beside `localhost` and IP addresses (which nobody else can point at it).
#[derive(Clone, Debug, Default)]
pub struct Hosts(Arc<BTreeSet<String>>);

impl Hosts {
    /// `names` without ports.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(names.into_iter().map(|name| name.to_ascii_lowercase()).collect()))
    }

    fn knows(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = host.to_ascii_lowercase();
        bare.parse::<IpAddr>().is_ok() || name == "localhost" || self.0.contains(&name)
    }
}

/// Refuses requests that a foreign page may have caused.
pub(super) async fn addressed(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    match check(&hosts, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check(hosts: &Hosts, uri: &Uri, headers: &HeaderMap) -> Result<(), HttpError> {
    let authority = host(uri, headers)?;
    if !hosts.knows(authority.host()) {
        return Err(HttpError::ForeignHost { host: authority.to_string() });
    }
    let foreign = headers.get_all(ORIGIN).iter().find(|origin| !same_origin(origin, &authority));
    foreign.map_or(Ok(()), |origin| Err(HttpError::ForeignOrigin { origin: text(origin) }))
}

/// The one host that a request names; the target's authority, where it has one, counts (RFC 9112, section 3.2.2).
fn host(uri: &Uri, headers: &HeaderMap) -> Result<Authority, HttpError> {
    if let Some(authority) = uri.authority() {
        return Ok(authority.clone());
    }
    let mut named = headers.get_all(HOST).iter();
    let malformed = |why: &str| HttpError::Malformed { part: "Host header", why: why.to_owned() };
    match (named.next(), named.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).map_err(|_| malformed("not a host")),
        (None, _) => Err(malformed("missing")),
        (Some(_), Some(_)) => Err(malformed("given twice")),
    }
}

/// Whether a page at `origin` was served under the very host and port that the request names.
fn same_origin(origin: &HeaderValue, authority: &Authority) -> bool {
    let bare = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
    bare.is_some_and(|bare| bare.eq_ignore_ascii_case(authority.as_str()))
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Lets only callers through that may change things. A request without a [`Caller`] is nobody's.
pub(super) async fn trusted(request: Request, next: Next) -> Response {
    if request.extensions().get::<Caller>().is_some_and(Caller::may_change) {
        next.run(request).await
    } else {
        HttpError::Untrusted.into_response()
    }
}

/// Gives up on an answer after `limit`. What the call began may still finish.
pub(super) async fn timed(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| HttpError::TooSlow { limit }.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(uri: &'static str, headers: &[(&'static str, &'static str)]) -> Result<(), &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        check(&Hosts::new(["DB1.example.org".to_owned()]), &Uri::from_static(uri), &map).map_err(|error| error.code())
    }

    #[test]
    fn a_name_that_somebody_else_controls_is_refused() {
        for host in ["127.0.0.1:7602", "[::1]:7602", "192.0.2.7", "localhost:1", "LocalHost", "db1.example.org:7602"] {
            assert_eq!(checked("/v1/status", &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:7602", "db1"] {
            assert_eq!(checked("/v1/status", &[("host", host)]), Err("http.foreign_host"), "{host}");
        }
        assert_eq!(checked("http://evil.example/v1/status", &[("host", "localhost")]), Err("http.foreign_host"));
        assert_eq!(checked("/v1/status", &[]), Err("http.malformed"));
        assert_eq!(checked("/v1/status", &[("host", "localhost"), ("host", "evil.example")]), Err("http.malformed"));
    }

    #[test]
    fn a_page_from_elsewhere_is_refused() {
        let from = |origin| checked("/v1/promote", &[("host", "127.0.0.1:7602"), ("origin", origin)]);
        assert_eq!(from("http://127.0.0.1:7602"), Ok(()));
        for origin in ["http://127.0.0.1:8080", "http://127.0.0.1", "https://evil.example", "null", ""] {
            assert_eq!(from(origin), Err("http.foreign_origin"), "{origin}");
        }
    }
}
