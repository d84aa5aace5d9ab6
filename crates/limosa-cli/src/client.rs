//! A small HTTP client for `/v1`: one request, one connection.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use limosa_core::limits::HTTP_CHANGE_TIME_MAX;
use limosa_node::PeerError;
use limosa_node::pki::Bundle;
use limosa_node::transport::{ControlStream, Tls, connect_control};
use limosa_server::config::HostPort;
use limosa_server::http::api::ErrorBody;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Ask;
use crate::error::CliError;

/// `text` as it may stand behind a question mark: everything but letters, digits and `-_.~` as `%XX` (RFC 3986, section 2).
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Longest time for an answer: the node gives up before.
const ANSWER_TIME_MAX: Duration = HTTP_CHANGE_TIME_MAX.saturating_add(Duration::from_secs(10));
/// Longest answer, bytes: 16,384 fragments with long histories fit.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Asks one node.
pub(crate) struct Client {
    node: HostPort,
    tls: Option<Tls>,
}

impl Client {
    /// With TLS when there is a bundle to show.
    pub(crate) fn new(ask: &Ask) -> Result<Self, CliError> {
        let tls = ask.bundle.as_deref().map(|path| Bundle::read(path).map(|bundle| Tls::new(bundle.credentials()))).transpose()?;
        Ok(Self { node: ask.node.clone(), tls })
    }

    /// `GET path`, read as `T`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// `POST path` without a body.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.call(Method::POST, path, Bytes::new()).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.call(Method::DELETE, path, Bytes::new()).await
    }

    /// `POST path` with a JSON body.
    pub(crate) async fn post_json<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CliError> {
        let body = serde_json::to_vec(body).expect("bodies of calls become JSON");
        self.call(Method::POST, path, body.into()).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, CliError> {
        let stream = self.connect().await?;
        let exchange = self.exchange(stream, method, path, body);
        let (status, answer) = tokio::time::timeout(ANSWER_TIME_MAX, exchange).await.map_err(|_| self.silent())??;
        if status.is_success() {
            return serde_json::from_slice(&answer).map_err(|error| self.foreign(format!("{path}: {error}")));
        }
        let refusal: ErrorBody = serde_json::from_slice(&answer).map_err(|_| self.foreign(format!("{path}: HTTP status {status}")))?;
        Err(CliError::Refused(refusal))
    }

    async fn connect(&self) -> Result<ControlStream, CliError> {
        let connected = connect_control(&self.node.to_string(), self.tls.as_ref()).await;
        connected.map_err(|source| CliError::Unreachable { node: self.node.to_string(), source })
    }

    async fn exchange(&self, stream: ControlStream, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), CliError> {
        let broken = |error: hyper::Error| self.foreign(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Carries the bytes; ends with the exchange, and its error is the exchange's.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.node.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.foreign(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, answer.map_err(|error| self.foreign(error.to_string()))?.to_bytes()))
    }

    fn silent(&self) -> CliError {
        CliError::Unreachable { node: self.node.to_string(), source: PeerError::TimedOut { what: "an answer", waited: ANSWER_TIME_MAX } }
    }

    fn foreign(&self, why: String) -> CliError {
        CliError::Foreign { node: self.node.to_string(), why }
    }
}
