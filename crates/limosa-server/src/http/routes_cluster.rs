//! The calls about a cluster: path to [`Operate`] method, and nothing else.

use axum::extract::State;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::api::{
    Cancelled, Cell, ClusterNode, Failover, Init, Initialised, Joined, Located, MergeWith, Move, MoveTo, NodeOrder, NodeOrdered, OfNode,
    Operated, Operation, OperationPlan, Removed, SafeToStop, SplitAt,
};
use super::body::{Asked, Body, Named};
use super::operate::Operate;
use super::routes::{Node, Reply};

/// Calls that change nothing and show no stored value.
pub(super) fn reads<C: Operate>() -> Router<Node<C>> {
    Router::new()
        .route("/v1/cells", get(cells::<C>))
        .route("/v1/locate", get(locate::<C>))
        .route("/v1/nodes", get(nodes::<C>))
        .route("/v1/nodes/{name}/safe-to-stop", get(safe_to_stop::<C>))
        .route("/v1/moves", get(moves::<C>))
        .route("/v1/plans", post(plan::<C>))
}

/// Calls that change the cluster.
pub(super) fn changes<C: Operate>() -> Router<Node<C>> {
    Router::new()
        .route("/v1/cluster", post(init::<C>))
        .route("/v1/nodes", post(join::<C>))
        .route("/v1/nodes/{name}", delete(remove::<C>))
        .route("/v1/orders", post(order::<C>))
        .route("/v1/moves", post(begin_move::<C>))
        .route("/v1/moves/{id}", delete(cancel::<C>))
        .route("/v1/stages", post(stage::<C>))
        .route("/v1/rebalance", post(rebalance::<C>))
        .route("/v1/handover", post(handover::<C>))
        .route("/v1/decommission", post(decommission::<C>))
        .route("/v1/failover", post(failover::<C>))
        .route("/v1/fragments/{id}/split", post(split::<C>))
        .route("/v1/fragments/{id}/merge", post(merge::<C>))
}

/// `?plan=ID`: only if the world is still materially as it was planned for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Planned {
    plan: Option<String>,
}

/// `?local=true`: other nodes are not asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MovesQuery {
    #[serde(default)]
    local: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyQuery {
    key: String,
}

async fn cells<C: Operate>(State(node): State<Node<C>>) -> Reply<Vec<Cell>> {
    Ok(Json(node.control.cells().await?))
}

async fn locate<C: Operate>(State(node): State<Node<C>>, Asked(query): Asked<KeyQuery>) -> Reply<Located> {
    Ok(Json(node.control.locate(query.key.into_bytes()).await?))
}

async fn nodes<C: Operate>(State(node): State<Node<C>>) -> Reply<Vec<ClusterNode>> {
    Ok(Json(node.control.nodes().await?))
}

/// `self` is the node that is asked.
async fn safe_to_stop<C: Operate>(State(node): State<Node<C>>, Named(name): Named<String>) -> Reply<SafeToStop> {
    Ok(Json(node.control.safe_to_stop((name != "self").then_some(name)).await?))
}

async fn moves<C: Operate>(State(node): State<Node<C>>, Asked(query): Asked<MovesQuery>) -> Reply<Vec<Move>> {
    Ok(Json(node.control.moves(query.local).await?))
}

async fn order<C: Operate>(State(node): State<Node<C>>, Body(order): Body<NodeOrder>) -> Reply<NodeOrdered> {
    Ok(Json(node.control.order(order).await?))
}

async fn plan<C: Operate>(State(node): State<Node<C>>, Body(operation): Body<Operation>) -> Reply<OperationPlan> {
    Ok(Json(node.control.plan_operation(operation).await?))
}

async fn init<C: Operate>(State(node): State<Node<C>>, Body(body): Body<Init>) -> Reply<Initialised> {
    Ok(Json(node.control.init(body).await?))
}

async fn join<C: Operate>(State(node): State<Node<C>>) -> Reply<Joined> {
    Ok(Json(node.control.join().await?))
}

async fn remove<C: Operate>(State(node): State<Node<C>>, Named(name): Named<String>) -> Reply<Removed> {
    Ok(Json(node.control.remove(name).await?))
}

async fn cancel<C: Operate>(State(node): State<Node<C>>, Named(id): Named<String>) -> Reply<Cancelled> {
    Ok(Json(node.control.cancel(id).await?))
}

async fn operate<C: Operate>(node: Node<C>, operation: Operation, planned: Planned) -> Reply<Operated> {
    Ok(Json(node.control.operate(operation, planned.plan).await?))
}

async fn begin_move<C: Operate>(State(node): State<Node<C>>, Asked(planned): Asked<Planned>, Body(body): Body<MoveTo>) -> Reply<Operated> {
    operate(node, Operation::Move(body), planned).await
}

async fn stage<C: Operate>(State(node): State<Node<C>>, Asked(planned): Asked<Planned>, Body(body): Body<MoveTo>) -> Reply<Operated> {
    operate(node, Operation::Stage(body), planned).await
}

async fn rebalance<C: Operate>(State(node): State<Node<C>>, Asked(planned): Asked<Planned>) -> Reply<Operated> {
    operate(node, Operation::Rebalance, planned).await
}

async fn handover<C: Operate>(State(node): State<Node<C>>, Asked(planned): Asked<Planned>, Body(body): Body<OfNode>) -> Reply<Operated> {
    operate(node, Operation::Handover(body), planned).await
}

async fn decommission<C: Operate>(
    State(node): State<Node<C>>,
    Asked(planned): Asked<Planned>,
    Body(body): Body<OfNode>,
) -> Reply<Operated> {
    operate(node, Operation::Decommission(body), planned).await
}

async fn failover<C: Operate>(State(node): State<Node<C>>, Asked(planned): Asked<Planned>, Body(body): Body<Failover>) -> Reply<Operated> {
    operate(node, Operation::Failover(body), planned).await
}

async fn split<C: Operate>(
    State(node): State<Node<C>>,
    Named(fragment): Named<u32>,
    Asked(planned): Asked<Planned>,
    Body(at): Body<SplitAt>,
) -> Reply<Operated> {
    operate(node, Operation::Split { fragment, at_key: at.at_key, at_slot: at.at_slot }, planned).await
}

async fn merge<C: Operate>(
    State(node): State<Node<C>>,
    Named(left): Named<u32>,
    Asked(planned): Asked<Planned>,
    Body(with): Body<MergeWith>,
) -> Reply<Operated> {
    operate(node, Operation::Merge { left, right: with.right }, planned).await
}
