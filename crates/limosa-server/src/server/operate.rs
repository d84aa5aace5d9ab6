//! The cluster as the HTTP door sees it through this node.

use super::cluster::{self, Member};
use super::control::NodeControl;
use super::{reframe, refusal};
use crate::cluster::id;
use crate::http::api::{
    Cancelled, Cell, ClusterNode, Init, Initialised, Joined, Located, Move, NodeOrder, NodeOrdered, Operated, Operation, OperationPlan,
    Removed, SafeToStop,
};
use crate::http::{Answer, Operate};

impl NodeControl {
    fn member(&self) -> Answer<&Member> {
        self.member.as_ref().ok_or_else(refusal::no_cluster)
    }

    async fn reframe(&self, operation: Operation, asked: Option<String>) -> Answer<Operated> {
        if let Some(member) = &self.member
            && let Some(owner) = member.reframes_at(&operation)?
        {
            return member.reframe_there(&owner, &operation, asked).await;
        }
        let now = self.plan_operation(operation.clone()).await?;
        if let Some(asked) = asked
            && !id::still_holds(&asked, &now.id)
        {
            return Err(refusal::plan_changed(&asked, &now.id));
        }
        if let Some(member) = &self.member {
            return self.reframe_in_cluster(member, operation, now).await;
        }
        let done = self.blocking(move |node| reframe::run(node.store(), &operation, now.id)).await?;
        self.node.published(self.node.store().horizon().0);
        Ok(done)
    }

    async fn reframe_in_cluster(&self, member: &Member, operation: Operation, now: OperationPlan) -> Answer<Operated> {
        if !now.blocked_because.is_empty() {
            return Err(cluster::blocked(&now));
        }
        let (made, message) = match operation {
            Operation::Split { fragment, at_key, at_slot } => {
                let at = self.blocking(move |node| reframe::boundary(node.store(), fragment, at_key.as_deref(), at_slot)).await?;
                let (left, right) = member.split(fragment, at).await?;
                (vec![left, right], reframe::split_done(fragment, left, right))
            }
            Operation::Merge { left, right } => {
                let made = member.merge(left, right).await?;
                (vec![made], reframe::merge_done(left, right, made))
            }
            other => unreachable!("{} is done elsewhere", other.word()),
        };
        Ok(Operated { plan: now.id, made, message, ..Operated::default() })
    }

    async fn plan_reframe(&self, operation: Operation) -> Answer<OperationPlan> {
        let Some(member) = &self.member else {
            return self.blocking(move |node| reframe::plan(node.store(), operation)).await;
        };
        if let Some(owner) = member.reframes_at(&operation)? {
            return member.plan_there(&owner, &operation).await;
        }
        let blocked_because = member.blocks_reframe(&operation)?;
        let plan = self.blocking(move |node| reframe::plan(node.store(), operation)).await?;
        Ok(OperationPlan { risk: cluster::RISK.to_owned(), blocked_because, ..plan })
    }
}

fn is_reframe(operation: &Operation) -> bool {
    matches!(operation, Operation::Split { .. } | Operation::Merge { .. })
}

impl Operate for NodeControl {
    async fn cells(&self) -> Answer<Vec<Cell>> {
        Ok(self.member()?.cells().await)
    }

    async fn locate(&self, key: Vec<u8>) -> Answer<Located> {
        self.member()?.locate(&key)
    }

    async fn nodes(&self) -> Answer<Vec<ClusterNode>> {
        Ok(self.member()?.nodes().await)
    }

    async fn init(&self, init: Init) -> Answer<Initialised> {
        self.member()?.init(init.from).await
    }

    async fn join(&self) -> Answer<Joined> {
        self.member()?.join().await
    }

    async fn remove(&self, node: String) -> Answer<Removed> {
        self.member()?.remove(&node).await
    }

    async fn plan_operation(&self, operation: Operation) -> Answer<OperationPlan> {
        if is_reframe(&operation) {
            return self.plan_reframe(operation).await;
        }
        self.member()?.plan(operation).await
    }

    async fn operate(&self, operation: Operation, plan: Option<String>) -> Answer<Operated> {
        if is_reframe(&operation) {
            return self.reframe(operation, plan).await;
        }
        self.member()?.operate(operation, plan).await
    }

    async fn order(&self, order: NodeOrder) -> Answer<NodeOrdered> {
        self.member()?.take(&order).await
    }

    async fn moves(&self, local: bool) -> Answer<Vec<Move>> {
        Ok(self.member()?.moves(local).await)
    }

    async fn cancel(&self, id: String) -> Answer<Cancelled> {
        self.member()?.cancel(&id).await
    }

    async fn safe_to_stop(&self, node: Option<String>) -> Answer<SafeToStop> {
        self.member()?.safe_to_stop(node)
    }
}
