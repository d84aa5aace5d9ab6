//! The fake node's cluster: three nodes, two fragments, one move under way.

use std::collections::BTreeMap;

use limosa_server::http::api::{
    Begun, Cancelled, Cell, ClusterNode, Init, Initialised, Joined, Located, Method, Move, MovePhase, MoveState, NodeOrder, NodeOrdered,
    Operated, Operation, OperationPlan, OrderWord, Removed, SafeToStop, Slots, Step, Version, hex64,
};
use limosa_server::http::{Answer, Operate};

use super::FakeNode;

/// The id of every plan that it makes.
pub(crate) const PLAN: &str = "p00000000000000aa-3";

fn slots(fragment: u32) -> Slots {
    if fragment == 0 { Slots { first: 0, last: 8191 } } else { Slots { first: 8192, last: 16383 } }
}

fn node(name: &str, leaving: bool) -> ClusterNode {
    ClusterNode {
        name: name.to_owned(),
        incarnation: hex64(7),
        resp: format!("{name}.example.org:7600"),
        peer: format!("{name}.example.org:7601"),
        http: format!("{name}.example.org:7602"),
        zone: "east".to_owned(),
        labels: BTreeMap::from([("disk".to_owned(), "fast".to_owned())]),
        leaving,
        alive: true,
        owns: 1,
        copies: 1,
        bytes: 4_096,
    }
}

impl Operate for FakeNode {
    async fn cells(&self) -> Answer<Vec<Cell>> {
        let cell = |fragment| Cell {
            fragment,
            slots: slots(fragment),
            epoch: 3,
            owner: (fragment == 0).then(|| "a".to_owned()),
            fenced_by: (fragment == 1).then(|| "b".to_owned()),
            sync_set: vec!["b".to_owned()],
            replicas: vec!["c".to_owned()],
            flushed_min: 1,
            committed: Version { epoch: 3, seq: 40 },
            moving_to: (fragment == 0).then(|| "c".to_owned()),
            loss_accepted: false,
            bytes: Some(4_096),
        };
        Ok(vec![cell(0), cell(1)])
    }

    async fn locate(&self, key: Vec<u8>) -> Answer<Located> {
        let slot = limosa_core::slot::slot_of(&key);
        Ok(Located {
            slot,
            fragment: u32::from(slot > 8191),
            owner: Some("a".to_owned()),
            resp: Some("a.example.org:7600".to_owned()),
            sync_set: vec!["b".to_owned()],
            moving_to: None,
        })
    }

    async fn nodes(&self) -> Answer<Vec<ClusterNode>> {
        Ok(vec![node("a", false), node("b", false), node("c", true)])
    }

    async fn init(&self, _init: Init) -> Answer<Initialised> {
        self.change("init", Initialised { cluster: "orders".to_owned(), fragments: 2 })
    }

    async fn join(&self) -> Answer<Joined> {
        self.change("join", Joined { node: "a".to_owned(), nodes: 3 })
    }

    async fn remove(&self, node: String) -> Answer<Removed> {
        self.change(&format!("remove {node}"), Removed { node })
    }

    async fn plan_operation(&self, operation: Operation) -> Answer<OperationPlan> {
        let step = Step {
            fragment: 0,
            slots: slots(0),
            action: "move".to_owned(),
            from: Some("a".to_owned()),
            to: Some("c".to_owned()),
            method: Method::Copy,
            bytes: 4_096,
            why: "c holds nothing of it".to_owned(),
        };
        Ok(OperationPlan {
            id: PLAN.to_owned(),
            operation,
            steps: vec![step],
            bytes: 4_096,
            seconds: Some(0.5),
            pause_ms: 12.0,
            slowing_percent: 50,
            risk: "none: a move that fails leaves the source serving".to_owned(),
            blocked_because: Vec::new(),
        })
    }

    async fn operate(&self, operation: Operation, plan: Option<String>) -> Answer<Operated> {
        let json = serde_json::to_value(&operation).expect("operations become JSON");
        let plan = plan.unwrap_or_else(|| "-".to_owned());
        let done = Operated {
            plan: PLAN.to_owned(),
            begun: vec![Begun { fragment: 0, order: OrderWord::Move, to: "c".to_owned() }],
            refused: Vec::new(),
            made: vec![64],
            message: "one move was begun".to_owned(),
        };
        self.change(&format!("{json} plan {plan}"), done)
    }

    async fn order(&self, order: NodeOrder) -> Answer<NodeOrdered> {
        let json = serde_json::to_value(&order).expect("orders become JSON");
        self.change(&format!("order {json}"), NodeOrdered { taken: order.fragments, refused: Vec::new() })
    }

    async fn moves(&self, _local: bool) -> Answer<Vec<Move>> {
        Ok(vec![Move {
            id: hex64(9),
            fragment: 0,
            slots: slots(0),
            from: "a".to_owned(),
            to: "c".to_owned(),
            phase: MovePhase::Copying,
            state: MoveState::Running,
            bytes_done: 1 << 20,
            bytes_total: 4 << 20,
            rate_bytes_per_s: 1_048_576.0,
            eta_s: Some(3.0),
            blocked_because: None,
            pause_ms: None,
        }])
    }

    async fn cancel(&self, id: String) -> Answer<Cancelled> {
        self.change(&format!("cancel {id}"), Cancelled { moves: vec![id] })
    }

    async fn safe_to_stop(&self, node: Option<String>) -> Answer<SafeToStop> {
        let safe = node.as_deref() == Some("b");
        let because = if safe { "every fragment of it has a complete copy elsewhere" } else { "f1 has no complete copy elsewhere" };
        Ok(SafeToStop { node: node.unwrap_or_else(|| "a".to_owned()), safe, because: vec![because.to_owned()] })
    }
}
