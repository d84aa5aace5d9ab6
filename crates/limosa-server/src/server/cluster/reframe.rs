//! Splits and merges in a cluster: whom to ask, what stands in the way by the manifest, and giving the order at the owner.

use bytes::Bytes;
use limosa_core::{FragmentId, Retry};

use super::carry::refused;
use super::gather;
use super::member::Member;
use crate::cluster::Unplanned;
use crate::http::api::{Cell, Operated, Operation, OperationPlan};
use crate::http::{Answer, ControlError, Turn};

/// What can happen to requests, and what not.
pub(in crate::server) const RISK: &str = "none to what was acknowledged: requests for it wait until every standby has all of it on its disk, \
    the manifest has changed and the new epoch is on the disk (some flushes and one change of the manifest), a lease at most; no entry moves";

impl Member {
    /// The HTTP address of the node that must plan and do it; `None`: this one.
    pub(in crate::server) fn reframes_at(&self, operation: &Operation) -> Answer<Option<String>> {
        let id = of(operation).0;
        let world = gather::known(&self.cluster);
        let cell = world.cell(id).ok_or_else(|| super::member::unplanned(&Unplanned::NoFragment(id)))?;
        let owner = cell.owner.clone().ok_or_else(|| fenced(id))?;
        if owner == self.cluster.me().as_str() {
            return Ok(None);
        }
        let node = world.node(&owner).ok_or_else(|| super::carry::no_node(&owner))?;
        Ok(Some(node.http.clone()))
    }

    pub(in crate::server) async fn plan_there(&self, node: &str, operation: &Operation) -> Answer<OperationPlan> {
        self.ask.post(node, "/v1/plans", operation).await
    }

    pub(in crate::server) async fn reframe_there(&self, node: &str, operation: &Operation, plan: Option<String>) -> Answer<Operated> {
        let planned = plan.map_or_else(String::new, |plan| format!("?plan={plan}"));
        match operation {
            Operation::Split { fragment, at_key, at_slot } => {
                let body = crate::http::api::SplitAt { at_key: at_key.clone(), at_slot: *at_slot };
                self.ask.post(node, &format!("/v1/fragments/{fragment}/split{planned}"), &body).await
            }
            Operation::Merge { left, right } => {
                let body = crate::http::api::MergeWith { right: *right };
                self.ask.post(node, &format!("/v1/fragments/{left}/merge{planned}"), &body).await
            }
            other => unreachable!("{} is neither split nor merge", other.word()),
        }
    }

    /// What stands in the way, by the manifest as this node knows it.
    pub(in crate::server) fn blocks_reframe(&self, operation: &Operation) -> Answer<Vec<String>> {
        let world = gather::known(&self.cluster);
        let cell = |id: u32| world.cell(id).ok_or_else(|| super::member::unplanned(&Unplanned::NoFragment(id)));
        let (first, second) = of(operation);
        let left = cell(first)?;
        let mut why: Vec<String> = moving(left).into_iter().collect();
        if let Some(second) = second {
            let right = cell(second)?;
            why.extend(moving(right));
            if left.owner != right.owner {
                let owner = |cell: &Cell| cell.owner.clone().unwrap_or_else(|| "nobody".to_owned());
                why.push(format!("{} owns f{first} and {} owns f{second}: move one of them first", owner(left), owner(right)));
            } else if (&left.sync_set, &left.replicas) != (&right.sync_set, &right.replicas) {
                let list = |cell: &Cell| cell.sync_set.iter().chain(&cell.replicas).cloned().collect::<Vec<_>>().join(", ");
                why.push(format!(
                    "their copies are elsewhere: f{first} at {}; f{second} at {}: `limosa stage` one of them to the other's nodes first",
                    list(left),
                    list(right)
                ));
            }
        }
        why.extend(world.outage.map(|why| format!("the manifest does not answer: {why}")));
        Ok(why)
    }

    pub(in crate::server) async fn split(&self, fragment: u32, at: Vec<u8>) -> Answer<(u32, u32)> {
        let (left, right) = self.node.split_in_cluster(FragmentId(fragment), Bytes::from(at)).await.map_err(|error| refused(&error))?;
        Ok((left.0, right.0))
    }

    pub(in crate::server) async fn merge(&self, left: u32, right: u32) -> Answer<u32> {
        let made = self.node.merge_in_cluster(FragmentId(left), FragmentId(right)).await.map_err(|error| refused(&error))?;
        Ok(made.0)
    }
}

fn of(operation: &Operation) -> (u32, Option<u32>) {
    match operation {
        Operation::Split { fragment, .. } => (*fragment, None),
        Operation::Merge { left, right } => (*left, Some(*right)),
        other => unreachable!("{} is neither split nor merge", other.word()),
    }
}

fn moving(cell: &Cell) -> Option<String> {
    cell.moving_to.as_ref().map(|to| format!("f{} is moving to {to}: wait for it, or cancel it", cell.fragment))
}

fn fenced(id: u32) -> ControlError {
    ControlError {
        turn: Turn::Later,
        code: "cluster.blocked",
        message: format!("nobody owns f{id} at the moment: a standby takes it over"),
        action: "try again when `limosa cluster cells` names its owner".to_owned(),
        retry: Retry::Later,
    }
}
