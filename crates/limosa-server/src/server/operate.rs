//! The cluster as the HTTP door sees it through this node.

use super::control::NodeControl;
use super::{reframe, refusal};
use crate::cluster::id;
use crate::http::api::{
    Cancelled, Cell, ClusterNode, Init, Initialised, Joined, Located, Move, Operated, Operation, OperationPlan, Removed, SafeToStop,
};
use crate::http::{Answer, Operate};

impl Operate for NodeControl {
    async fn cells(&self) -> Answer<Vec<Cell>> {
        Err(refusal::no_cluster())
    }

    async fn locate(&self, _key: Vec<u8>) -> Answer<Located> {
        Err(refusal::no_cluster())
    }

    async fn nodes(&self) -> Answer<Vec<ClusterNode>> {
        Err(refusal::no_cluster())
    }

    async fn init(&self, _init: Init) -> Answer<Initialised> {
        Err(refusal::no_cluster())
    }

    async fn join(&self) -> Answer<Joined> {
        Err(refusal::no_cluster())
    }

    async fn remove(&self, _node: String) -> Answer<Removed> {
        Err(refusal::no_cluster())
    }

    async fn plan_operation(&self, operation: Operation) -> Answer<OperationPlan> {
        match operation {
            Operation::Split { .. } | Operation::Merge { .. } => self.blocking(move |node| reframe::plan(node.store(), operation)).await,
            _ => Err(refusal::no_cluster()),
        }
    }

    async fn operate(&self, operation: Operation, plan: Option<String>) -> Answer<Operated> {
        let now = self.plan_operation(operation.clone()).await?;
        if let Some(asked) = plan
            && !id::still_holds(&asked, &now.id)
        {
            return Err(refusal::plan_changed(&asked, &now.id));
        }
        let done = self.blocking(move |node| reframe::run(node.store(), &operation, now.id)).await?;
        self.node.published(self.node.store().horizon().0);
        Ok(done)
    }

    async fn moves(&self) -> Answer<Vec<Move>> {
        Err(refusal::no_cluster())
    }

    async fn cancel(&self, _id: String) -> Answer<Cancelled> {
        Err(refusal::no_cluster())
    }

    async fn safe_to_stop(&self, _node: Option<String>) -> Answer<SafeToStop> {
        Err(refusal::no_cluster())
    }
}
