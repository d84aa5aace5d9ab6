//! Asks other nodes of the cluster over their HTTP ports, showing this node's certificate.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use limosa_core::Retry;
use limosa_node::transport::{Tls, connect_control};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::api::{ErrorBody, RetryWord};
use crate::http::{Answer, ControlError, Turn};

/// Longest wait for what only reads: an operator waits for the sum of it.
const READ_TIME_MAX: Duration = Duration::from_secs(2);
/// Longest wait for an order to be taken up.
const ORDER_TIME_MAX: Duration = Duration::from_secs(15);
/// Longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A way to other nodes. Cloning gives another one.
#[derive(Clone)]
pub(in crate::server) struct Ask {
    tls: Tls,
}

impl Ask {
    pub(in crate::server) fn new(tls: Tls) -> Self {
        Self { tls }
    }

    /// `GET path` at `node`.
    pub(super) async fn get<T: DeserializeOwned>(&self, node: &str, path: &str) -> Answer<T> {
        self.call(node, Method::GET, path, Bytes::new(), READ_TIME_MAX).await
    }

    /// `POST path` at `node`.
    pub(super) async fn post<T: DeserializeOwned>(&self, node: &str, path: &str, body: &impl Serialize) -> Answer<T> {
        let body = serde_json::to_vec(body).expect("bodies of calls become JSON");
        self.call(node, Method::POST, path, body.into(), ORDER_TIME_MAX).await
    }

    async fn call<T: DeserializeOwned>(&self, node: &str, method: Method, path: &str, body: Bytes, limit: Duration) -> Answer<T> {
        let exchange = self.exchange(node, method, path, body);
        tokio::time::timeout(limit, exchange).await.map_err(|_| silent(node, &format!("no answer within {limit:?}")))?
    }

    async fn exchange<T: DeserializeOwned>(&self, node: &str, method: Method, path: &str, body: Bytes) -> Answer<T> {
        let failed = |error: &dyn std::error::Error| silent(node, &error.to_string());
        let stream = connect_control(node, Some(&self.tls)).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // Carries the bytes; ends with the exchange, and its error is the exchange's.
        tokio::spawn(connection);
        let request =
            Request::builder().method(method).uri(path).header(header::HOST, node).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(body)).map_err(|error| failed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| failed(&*error))?.to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&answer).map_err(|error| failed(&error));
        }
        match serde_json::from_slice::<ErrorBody>(&answer) {
            Ok(refused) => Err(passed_on(node, &refused)),
            Err(_) => Err(silent(node, &format!("HTTP status {status}"))),
        }
    }
}

/// Another node did not answer.
fn silent(node: &str, why: &str) -> ControlError {
    ControlError {
        turn: Turn::Later,
        code: "cluster.node_silent",
        message: format!("the node at {node} does not answer: {why}"),
        action: "look at it with `limosa status --node`, then try again".to_owned(),
        retry: Retry::Later,
    }
}

/// Another node refused; its words, under one code of ours, since codes of a newer node may be unknown here.
fn passed_on(node: &str, refused: &ErrorBody) -> ControlError {
    ControlError {
        turn: if refused.retry == RetryWord::Later { Turn::Later } else { Turn::Refused },
        code: "cluster.refused",
        message: format!("the node at {node} refuses: {}: {}", refused.code, refused.message),
        action: refused.action.clone(),
        retry: if refused.retry == RetryWord::Later { Retry::Later } else { Retry::Never },
    }
}
