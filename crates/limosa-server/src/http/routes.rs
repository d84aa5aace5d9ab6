//! The calls: path to [`Control`] method, and nothing else.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use limosa_core::Retry;
use serde::Deserialize;

use super::api::{
    Checkpointed, Dropped, Flushed, Follow, Followed, Fragment, PeersReset, Plan, Promoted, QuarantineFile, QuarantinePage, Reapplied,
    Reapply, Scrubbed, Status, Transfer, Verification,
};
use super::body::{Asked, Body, Named};
use super::control::{Control, ControlError, Turn};
use super::error::HttpError;
use super::guard::{self, Hosts};
use super::operate::Operate;
use super::routes_cluster;
use crate::config::HostPort;
use crate::metrics;
use limosa_core::limits::{HTTP_BODY_BYTES_MAX, HTTP_CHANGE_TIME_MAX, HTTP_PAGE_RECORDS_MAX, HTTP_READ_TIME_MAX, HTTP_RECORDS_BYTES_MAX};

/// What every handler has.
pub(super) struct Node<C> {
    pub(super) control: Arc<C>,
}

impl<C> Clone for Node<C> {
    fn clone(&self) -> Self {
        Self { control: Arc::clone(&self.control) }
    }
}

pub(super) type Reply<T> = Result<Json<T>, HttpError>;

/// Every route of the HTTP door. Requests need a [`Caller`](limosa_node::transport::Caller) extension for calls that change something.
pub fn router<C: Control + Operate>(control: Arc<C>, hosts: Hosts) -> Router {
    let reads = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz::<C>))
        .route("/metrics", get(scrape::<C>))
        .route("/v1/status", get(status::<C>))
        .route("/v1/fragments", get(fragments::<C>))
        .route("/v1/fragments/{id}", get(fragment::<C>))
        .route("/v1/plan", get(plan::<C>))
        .route("/v1/transfers", get(transfers::<C>))
        .merge(routes_cluster::reads::<C>())
        .layer(from_fn_with_state(HTTP_READ_TIME_MAX, guard::timed));
    // Quarantined records hold users' values: who sees them needs the same trust as who writes.
    let trusted = Router::new()
        .route("/v1/quarantine", get(quarantine::<C>))
        .route("/v1/quarantine/{name}", get(quarantined::<C>).merge(delete(drop_quarantined::<C>)))
        .route("/v1/quarantine/reapply", post(reapply::<C>).layer(DefaultBodyLimit::max(HTTP_RECORDS_BYTES_MAX)))
        .route("/v1/promote", post(promote::<C>))
        .route("/v1/follow", post(follow::<C>))
        .route("/v1/peers/reset", post(reset_peers::<C>))
        .route("/v1/flush", post(flush::<C>))
        .route("/v1/checkpoint", post(checkpoint::<C>))
        .route("/v1/scrub", post(scrub::<C>))
        .merge(routes_cluster::changes::<C>())
        .layer(from_fn(guard::trusted))
        .layer(from_fn_with_state(HTTP_CHANGE_TIME_MAX, guard::timed));
    // Only reads, but reads a lot and may have to ask the other node.
    let verify = Router::new().route("/v1/verify", get(verify::<C>)).layer(from_fn_with_state(HTTP_CHANGE_TIME_MAX, guard::timed));
    reads
        .merge(trusted)
        .merge(verify)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(HTTP_BODY_BYTES_MAX))
        .layer(from_fn_with_state(hosts, guard::addressed))
        .with_state(Node { control })
}

/// The process runs and answers; nothing more, so that a node that waits for another one is not restarted for it.
async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz<C: Control>(State(node): State<Node<C>>) -> Response {
    let readiness = node.control.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn scrape<C: Control>(State(node): State<Node<C>>) -> Response {
    let text = metrics::text(node.control.counts(), node.control.readiness().ready);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

async fn status<C: Control>(State(node): State<Node<C>>) -> Reply<Status> {
    Ok(Json(node.control.status().await?))
}

async fn fragments<C: Control>(State(node): State<Node<C>>) -> Reply<Vec<Fragment>> {
    Ok(Json(node.control.fragments().await?))
}

async fn fragment<C: Control>(State(node): State<Node<C>>, Named(id): Named<u32>) -> Reply<Fragment> {
    let found = node.control.fragments().await?.into_iter().find(|fragment| fragment.id == id);
    let absent = || ControlError {
        turn: Turn::Absent,
        code: "control.no_fragment",
        message: format!("this node holds no fragment {id}"),
        action: "list them with `limosa fragment show`".to_owned(),
        retry: Retry::Never,
    };
    Ok(Json(found.ok_or_else(absent)?))
}

async fn plan<C: Control>(State(node): State<Node<C>>) -> Reply<Vec<Plan>> {
    Ok(Json(node.control.plan().await?))
}

async fn transfers<C: Control>(State(node): State<Node<C>>) -> Reply<Vec<Transfer>> {
    Ok(Json(node.control.transfers().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyQuery {
    peer: Option<String>,
}

async fn verify<C: Control>(State(node): State<Node<C>>, Asked(query): Asked<VerifyQuery>) -> Reply<Vec<Verification>> {
    Ok(Json(node.control.verify(query.peer).await?))
}

async fn quarantine<C: Control>(State(node): State<Node<C>>) -> Reply<Vec<QuarantineFile>> {
    Ok(Json(node.control.quarantine().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    #[serde(default)]
    first: u64,
    count: Option<u64>,
}

async fn quarantined<C: Control>(
    State(node): State<Node<C>>,
    Named(name): Named<String>,
    Asked(page): Asked<PageQuery>,
) -> Reply<QuarantinePage> {
    if !is_file_name(&name) {
        return Err(HttpError::Malformed { part: "path", why: "not a plain file name".to_owned() });
    }
    let count = page.count.unwrap_or(HTTP_PAGE_RECORDS_MAX).min(HTTP_PAGE_RECORDS_MAX);
    Ok(Json(node.control.quarantined(name, page.first, count).await?))
}

/// No way out of the quarantine folder.
fn is_file_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.bytes().all(plain)
}

async fn reapply<C: Control>(State(node): State<Node<C>>, Body(body): Body<Reapply>) -> Reply<Reapplied> {
    Ok(Json(node.control.reapply(body).await?))
}

async fn drop_quarantined<C: Control>(State(node): State<Node<C>>, Named(name): Named<String>) -> Reply<Dropped> {
    if !is_file_name(&name) {
        return Err(HttpError::Malformed { part: "path", why: "not a plain file name".to_owned() });
    }
    Ok(Json(node.control.drop_quarantined(name).await?))
}

async fn promote<C: Control>(State(node): State<Node<C>>) -> Reply<Promoted> {
    Ok(Json(node.control.promote().await?))
}

async fn follow<C: Control>(State(node): State<Node<C>>, Body(body): Body<Follow>) -> Reply<Followed> {
    let owner = HostPort::parse(&body.owner)
        .map_err(|wanted| HttpError::Malformed { part: "owner", why: format!("`{}` is not {wanted}", body.owner) })?;
    Ok(Json(node.control.follow(owner).await?))
}

async fn reset_peers<C: Control>(State(node): State<Node<C>>) -> Reply<PeersReset> {
    Ok(Json(node.control.reset_peers().await?))
}

async fn flush<C: Control>(State(node): State<Node<C>>) -> Reply<Flushed> {
    Ok(Json(node.control.flush().await?))
}

async fn checkpoint<C: Control>(State(node): State<Node<C>>) -> Reply<Checkpointed> {
    Ok(Json(node.control.checkpoint().await?))
}

async fn scrub<C: Control>(State(node): State<Node<C>>) -> Reply<Scrubbed> {
    Ok(Json(node.control.scrub().await?))
}

async fn not_found(request: Request) -> HttpError {
    HttpError::NotFound { path: request.uri().path().to_owned() }
}

async fn method_not_allowed(request: Request) -> HttpError {
    HttpError::Method { method: request.method().to_string(), path: request.uri().path().to_owned() }
}
