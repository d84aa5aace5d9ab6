//! The HTTP door over real connections, in front of a node that only remembers what it was asked.

mod fake;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::{Request, Response, StatusCode};
use fake::FakeNode;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use limosa_node::PeerError;
use limosa_node::transport::Caller;
use limosa_server::http::{Admit, Hosts, api, listen, router, serve_connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const LOCAL: Caller = Caller { loopback: true, certificate: None };
const REMOTE: Caller = Caller { loopback: false, certificate: None };

/// Plain HTTP from this machine.
struct Plain;

impl Admit for Plain {
    type Stream = TcpStream;

    async fn admit(&self, stream: TcpStream) -> Result<(TcpStream, Caller), PeerError> {
        Ok((stream, LOCAL))
    }
}

/// Sends one request over a connection of its own and reads the answer.
async fn send(node: &Arc<FakeNode>, caller: Caller, method: &str, path: &str, body: &str) -> (StatusCode, String) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let routes = router(Arc::clone(node), Hosts::default());
    tokio::spawn(serve_connection(far, caller, routes, std::future::pending()));
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.expect("a fresh connection");
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:7602").header("content-type", "application/json");
    let request = request.body(Full::new(bytes::Bytes::from(body.to_owned()))).expect("a valid request");
    let response: Response<_> = client.send_request(request).await.expect("an answer");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

async fn get(node: &Arc<FakeNode>, path: &str) -> (StatusCode, String) {
    send(node, LOCAL, "GET", path, "").await
}

fn error(body: &str) -> api::ErrorBody {
    serde_json::from_str(body).expect("an error body")
}

#[tokio::test]
async fn every_read_answers_in_json() {
    let node = Arc::new(FakeNode::default());
    for path in [
        "status",
        "fragments",
        "fragments/1",
        "plan",
        "transfers",
        "verify",
        "verify?peer=c",
        "quarantine",
        "quarantine/tail-1.jsonl?count=1",
        "cells",
        "locate?key=user:1",
        "nodes",
        "nodes/b/safe-to-stop",
        "nodes/self/safe-to-stop",
        "moves",
    ] {
        let (status, body) = get(&node, &format!("/v1/{path}")).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str::<serde_json::Value>(&body).expect("JSON");
    }
    let (_, body) = get(&node, "/v1/status").await;
    let status: api::Status = serde_json::from_str(&body).expect("a status");
    assert_eq!((status.node.as_str(), status.role, status.head), ("a", api::Role::Owner, 42));
    let (_, body) = get(&node, "/v1/verify?peer=c").await;
    let verified: Vec<api::Verification> = serde_json::from_str(&body).expect("verifications");
    assert_eq!(verified[0].peer, "c");
    assert!(node.called().is_empty(), "a read changes nothing");
}

#[tokio::test]
async fn changing_calls_and_stored_values_need_loopback_or_a_certificate() {
    let node = Arc::new(FakeNode::default());
    let certified = Caller { loopback: false, certificate: Some("ops".parse().expect("a name")) };
    let changes = [
        ("promote", "", "promote"),
        ("follow", r#"{"owner":"db1:7601"}"#, "follow db1:7601"),
        ("peers/reset", "", "reset"),
        ("flush", "", "flush"),
        ("checkpoint", "", "checkpoint"),
        ("scrub", "", "scrub"),
        ("quarantine/reapply", r#"{"records":[{"key":"a"}]}"#, "reapply a"),
        ("cluster", "{}", "init"),
        ("nodes", "", "join"),
        ("moves", r#"{"fragments":[1],"to":"c"}"#, r#"{"fragments":[1],"operation":"move","slots":[],"to":"c"} plan -"#),
        (
            "stages?plan=p1-2",
            r#"{"slots":[{"first":0,"last":9}],"to":"c"}"#,
            r#"{"fragments":[],"operation":"stage","slots":[{"first":0,"last":9}],"to":"c"} plan p1-2"#,
        ),
        (
            "orders",
            r#"{"order":"cancel","fragments":[1],"node":null}"#,
            r#"order {"accept_loss":false,"fragments":[1],"node":null,"order":"cancel"}"#,
        ),
        ("rebalance", "", r#"{"operation":"rebalance"} plan -"#),
        ("handover", r#"{"node":"a"}"#, r#"{"node":"a","operation":"handover"} plan -"#),
        ("decommission", r#"{"node":"a"}"#, r#"{"node":"a","operation":"decommission"} plan -"#),
        (
            "failover",
            r#"{"node":"a","accept_loss":true}"#,
            r#"{"accept_loss":true,"fragments":[],"node":"a","operation":"failover"} plan -"#,
        ),
        ("fragments/7/split", r#"{"at_slot":9}"#, r#"{"at_key":null,"at_slot":9,"fragment":7,"operation":"split"} plan -"#),
        ("fragments/7/merge", r#"{"right":8}"#, r#"{"left":7,"operation":"merge","right":8} plan -"#),
    ];
    for (path, body, call) in changes {
        let path = format!("/v1/{path}");
        let (status, answer) = send(&node, REMOTE, "POST", &path, body).await;
        assert_eq!((status, error(&answer).code.as_str()), (StatusCode::FORBIDDEN, "http.untrusted"), "{path}");
        assert!(node.called().is_empty(), "{path} reached the node");
        for caller in [LOCAL, certified.clone()] {
            let (status, answer) = send(&node, caller, "POST", &path, body).await;
            assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        }
        assert_eq!(std::mem::take(&mut *node.calls.lock().expect("not poisoned")), [call, call]);
    }
    for (path, call) in [("moves/09", "cancel 09"), ("nodes/c", "remove c"), ("quarantine/tail-1.jsonl", "drop tail-1.jsonl")] {
        let path = format!("/v1/{path}");
        assert_eq!(send(&node, REMOTE, "DELETE", &path, "").await.0, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(send(&node, LOCAL, "DELETE", &path, "").await.0, StatusCode::OK, "{path}");
        assert_eq!(std::mem::take(&mut *node.calls.lock().expect("not poisoned")), [call]);
    }
    let (status, body) = send(&node, REMOTE, "POST", "/v1/plans", r#"{"operation":"rebalance"}"#).await;
    let plan: api::OperationPlan = serde_json::from_str(&body).expect("a plan");
    assert_eq!((status, plan.operation, node.called().len()), (StatusCode::OK, api::Operation::Rebalance, 0), "a plan changes nothing");
    assert_eq!(send(&node, REMOTE, "GET", "/v1/quarantine", "").await.0, StatusCode::FORBIDDEN);
    assert_eq!(send(&node, REMOTE, "GET", "/v1/quarantine/tail-1.jsonl", "").await.0, StatusCode::FORBIDDEN);
    assert_eq!(send(&node, REMOTE, "GET", "/v1/status", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_the_node_refuses_comes_with_its_code_and_what_to_do() {
    let node = Arc::new(FakeNode::default());
    node.refusing.store(true, Ordering::Relaxed);
    let (status, body) = send(&node, LOCAL, "POST", "/v1/promote", "").await;
    assert_eq!(status, StatusCode::CONFLICT);
    let error = error(&body);
    assert_eq!((error.code.as_str(), error.retry), ("control.not_a_standby", api::RetryWord::Never));
    assert!(!error.action.is_empty());
}

#[tokio::test]
async fn what_does_not_do_is_refused_in_json() {
    let node = Arc::new(FakeNode::default());
    let long = format!(r#"{{"owner":"{}"}}"#, "a".repeat(300_000));
    for (method, path, body, status, code) in [
        ("GET", "/", "", 404, "http.not_found"),
        ("GET", "/v1/nothing", "", 404, "http.not_found"),
        ("GET", "/v1/fragments/9", "", 404, "control.no_fragment"),
        ("GET", "/v1/fragments/x", "", 400, "http.malformed"),
        ("GET", "/v1/verify?pear=b", "", 400, "http.malformed"),
        ("GET", "/v1/quarantine/..%2Fpki%2Fca.key", "", 400, "http.malformed"),
        ("GET", "/v1/quarantine/.hidden", "", 400, "http.malformed"),
        ("GET", "/v1/promote", "", 405, "http.method"),
        ("DELETE", "/v1/status", "", 405, "http.method"),
        ("POST", "/v1/follow", "", 400, "http.malformed"),
        ("POST", "/v1/follow", r#"{"owner":"nobody"}"#, 400, "http.malformed"),
        ("POST", "/v1/follow", r#"{"owner":"a:1","force":true}"#, 400, "http.malformed"),
        ("POST", "/v1/follow", long.as_str(), 413, "http.too_long"),
    ] {
        let (found, answer) = send(&node, LOCAL, method, path, body).await;
        assert_eq!((found.as_u16(), error(&answer).code.as_str()), (status, code), "{method} {path}");
    }
    assert!(node.called().is_empty());
}

#[tokio::test]
async fn health_tells_alive_from_ready() {
    let node = Arc::new(FakeNode::default());
    assert_eq!(get(&node, "/readyz").await.0, StatusCode::OK);
    node.waiting.store(true, Ordering::Relaxed);
    let (status, body) = get(&node, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("first copy"), "{body}");
    assert_eq!(get(&node, "/livez").await.0, StatusCode::OK);
    let (status, text) = get(&node, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("limosa_ready 0\n") && text.contains("limosa_horizon 42\n"), "{text}");
}

/// Sends raw bytes to a listener and reads until it closes.
async fn raw(bytes: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = watch::channel(false);
    let routes = router(Arc::new(FakeNode::default()), Hosts::default());
    let door = tokio::spawn(listen(listener, Plain, routes, stopped));
    let mut client = TcpStream::connect(address).await.expect("it listens");
    // The door may close before all was sent.
    let _ = client.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), client.read_to_end(&mut answer)).await.expect("it closes");
    stop.send(true).expect("the door listens");
    tokio::time::timeout(Duration::from_secs(5), door).await.expect("it stops").expect("without a panic");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_foreign_host_or_page_does_not_reach_a_loopback_node() {
    let answer = raw(b"POST /v1/promote HTTP/1.1\r\nHost: evil.example:7602\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 421 ") && answer.contains("http.foreign_host"), "{answer}");
    let page = b"POST /v1/promote HTTP/1.1\r\nHost: 127.0.0.1:7602\r\nOrigin: https://evil.example\r\nConnection: close\r\n\r\n";
    let answer = raw(page).await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("http.foreign_origin"), "{answer}");
    let answer = raw(b"POST /v1/promote HTTP/1.1\r\nHost: localhost:7602\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn bytes_that_are_not_http_or_too_many_end_the_connection_only() {
    assert!(raw(b"*1\r\n$4\r\nPING\r\n").await.starts_with("HTTP/1.1 400 "));
    let mut long = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec();
    long.resize(64 << 10, b'a');
    let answer = raw(&long).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn stopping_lets_an_idle_connection_go_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = watch::channel(false);
    let routes = router(Arc::new(FakeNode::default()), Hosts::default());
    let door = tokio::spawn(listen(listener, Plain, routes, stopped));
    let mut client = TcpStream::connect(address).await.expect("it listens");
    client.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it reads");
    let mut first = [0; 12];
    client.read_exact(&mut first).await.expect("it answers");
    assert_eq!(&first, b"HTTP/1.1 200");
    drop(stop);
    tokio::time::timeout(Duration::from_secs(5), door).await.expect("it stops").expect("without a panic");
}
