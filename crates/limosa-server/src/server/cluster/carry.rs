//! Carries plans out: gives their steps as orders to the fragments' owners, this node or others.

use std::collections::BTreeMap;

use limosa_core::{FragmentId, NodeName, Retry};
use limosa_node::driver::cluster::{Order, OrderError};

use super::member::Member;
use crate::cluster::World;
use crate::http::api::{Begun, NodeOrder, NodeOrdered, OperationPlan, OrderWord, RefusedFragment, Step};
use crate::http::{Answer, ControlError, Turn};

/// What became of the steps.
#[derive(Default)]
pub(super) struct Carried {
    pub(super) begun: Vec<Begun>,
    pub(super) refused: Vec<RefusedFragment>,
}

impl Carried {
    /// A node that is marked as leaving moves what it owns by itself, perhaps before its orders come: that is no refusal.
    pub(super) fn leaves_by_itself(&mut self, node: &str) {
        let (gone, refused) = std::mem::take(&mut self.refused).into_iter().partition(|one| one.why.starts_with("move.moving"));
        self.refused = refused;
        let gone: Vec<RefusedFragment> = gone;
        self.begun.extend(gone.into_iter().map(|one| Begun { fragment: one.fragment, order: OrderWord::Leave, to: node.to_owned() }));
    }
}

impl Member {
    /// Gives every step's order, those of one node together, in the order of the plan.
    pub(super) async fn carry(&self, world: &World, plan: &OperationPlan, accept_loss: bool) -> Carried {
        let mut carried = Carried::default();
        for ((at, word, node), fragments) in grouped(world, &plan.steps) {
            let order = NodeOrder { order: word, fragments: fragments.clone(), node: node.clone(), accept_loss };
            match self.give(&at, &order).await {
                Ok(done) => {
                    let to = node.unwrap_or_else(|| at.clone());
                    carried.begun.extend(done.taken.iter().map(|&fragment| Begun { fragment, order: word, to: to.clone() }));
                    carried.refused.extend(done.refused);
                }
                Err(error) => {
                    let why = format!("{}: {}", error.code, error.message);
                    carried.refused.extend(fragments.into_iter().map(|fragment| RefusedFragment { fragment, why: why.clone() }));
                }
            }
        }
        carried
    }

    /// Gives an order at the node that must take it up.
    pub(super) async fn give(&self, at: &str, order: &NodeOrder) -> Answer<NodeOrdered> {
        if at == self.cluster.me().as_str() {
            return self.take(order).await;
        }
        let entry = self.cluster.nodes().into_iter().find(|(name, _)| name.as_str() == at).map(|(_, facts)| facts.entry);
        let entry = entry.ok_or_else(|| no_node(at))?;
        self.ask.post(&entry.http, "/v1/orders", order).await
    }

    /// Takes an order up, at this node.
    pub(in crate::server) async fn take(&self, order: &NodeOrder) -> Answer<NodeOrdered> {
        let fragments: Vec<FragmentId> = order.fragments.iter().map(|id| FragmentId(*id)).collect();
        let node = || -> Answer<NodeName> {
            let name = order.node.as_deref().unwrap_or_default();
            name.parse().map_err(|_| no_node(name))
        };
        let order = match order.order {
            OrderWord::Move => Order::Move { fragments, to: node()? },
            OrderWord::Stage => Order::Assign { fragments, node: node()? },
            OrderWord::Leave => Order::Unassign { fragments, node: node()? },
            OrderWord::Cancel => Order::Cancel { fragments },
            OrderWord::Promote => Order::Failover { fragments, accept_loss: order.accept_loss },
        };
        let done = self.cluster.order(order).await.map_err(|error| refused(&error))?;
        Ok(NodeOrdered {
            taken: done.taken.iter().map(|id| id.0).collect(),
            refused: done.refused.into_iter().map(|(id, why)| RefusedFragment { fragment: id.0, why }).collect(),
        })
    }
}

/// Who must be told what about whom.
type Group = (String, OrderWord, Option<String>);

/// Steps by the node that must take them up: the owner, or who is to be promoted. In the order of the plan.
fn grouped(world: &World, steps: &[Step]) -> Vec<(Group, Vec<u32>)> {
    let (mut groups, mut order): (BTreeMap<Group, Vec<u32>>, Vec<Group>) = (BTreeMap::new(), Vec::new());
    for step in steps {
        let owner = || world.cell(step.fragment).and_then(|cell| cell.owner.clone()).unwrap_or_default();
        let group = match step.action.as_str() {
            "move" => (owner(), OrderWord::Move, step.to.clone()),
            "stage" => (owner(), OrderWord::Stage, step.to.clone()),
            "leave" => (owner(), OrderWord::Leave, step.from.clone()),
            "promote" => (step.to.clone().unwrap_or_default(), OrderWord::Promote, None),
            other => unreachable!("no plan over a cluster has {other}"),
        };
        let fragments = groups.entry(group.clone()).or_default();
        if fragments.is_empty() {
            order.push(group);
        }
        fragments.push(step.fragment);
    }
    order.into_iter().map(|group| (group.clone(), groups.remove(&group).expect("it was put there"))).collect()
}

/// A node that the manifest does not name.
pub(super) fn no_node(name: &str) -> ControlError {
    ControlError {
        turn: Turn::Absent,
        code: "cluster.no_node",
        message: format!("the cluster has no node {name}"),
        action: "list them with `limosa node list`".to_owned(),
        retry: Retry::Never,
    }
}

/// The ownership driver did not take an order.
pub(super) fn refused(error: &OrderError) -> ControlError {
    ControlError {
        turn: if error.retry() == Retry::Later { Turn::Later } else { Turn::Refused },
        code: error.code(),
        message: error.to_string(),
        action: "read the entry of this code in docs/errors.md".to_owned(),
        retry: error.retry(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::{Method, Slots};

    #[test]
    fn orders_of_one_kind_to_one_place_go_together_and_in_the_order_of_the_plan() {
        let step = |fragment, action: &str, to: Option<&str>| Step {
            fragment,
            slots: Slots { first: 0, last: 0 },
            action: action.to_owned(),
            from: Some("a".to_owned()),
            to: to.map(str::to_owned),
            method: Method::Nothing,
            bytes: 0,
            why: String::new(),
        };
        let steps = [step(1, "stage", Some("c")), step(1, "leave", None), step(2, "stage", Some("c")), step(3, "promote", Some("b"))];
        let groups = grouped(&World::default(), &steps);
        let words: Vec<_> = groups.iter().map(|((_, word, node), fragments)| (*word, node.clone(), fragments.clone())).collect();
        let expected = [
            (OrderWord::Stage, Some("c".to_owned()), vec![1, 2]),
            (OrderWord::Leave, Some("a".to_owned()), vec![1]),
            (OrderWord::Promote, None, vec![3]),
        ];
        assert_eq!(words, expected);
        assert_eq!(groups[2].0.0, "b", "the one that is promoted is told");
    }
}
