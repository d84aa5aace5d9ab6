//! Orders of operators and of the node's own shutdown, given to the machine; its reports are the answers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use limosa_core::{FragmentId, NodeName, Scope};
use limosa_engine::ownership::{self, Event, ReframeError, Report};
use tokio::sync::oneshot;

use super::driver::Driver;
use crate::driver::cluster::{Asked, MoveEnd, Order, OrderError, Ordered};

/// Who waits for the answer to an order.
type Answer = oneshot::Sender<Result<Ordered, OrderError>>;

/// What the machine said while it took up an order.
#[derive(Default)]
pub(super) struct Orders {
    refused: BTreeMap<FragmentId, String>,
    /// Who waits for a split or merge, by the first of its fragments.
    reframing: BTreeMap<FragmentId, Answer>,
}

impl Driver {
    /// Takes an order up: what the machine refuses it reports at once.
    pub(super) fn order(&mut self, asked: Asked) {
        let view = self.board.view.borrow().clone();
        if let Some(why) = &view.outage {
            return say(asked.answer, Err(OrderError::Outage(why.clone())));
        }
        let to = match &asked.order {
            Order::Move { to, .. } | Order::Assign { node: to, .. } => Some(to),
            _ => None,
        };
        if let Some(unknown) = to.filter(|to| !view.nodes.contains_key(*to)) {
            return say(asked.answer, Err(OrderError::NoSuchNode(unknown.clone())));
        }
        let owned = || view.cells.values().filter(|held| held.value.owner() == Some(&self.board.me)).map(|held| held.value.id()).collect();
        let (order, fragments): (_, Vec<FragmentId>) = match asked.order {
            Order::Move { fragments, to, .. } => (ownership::Order::Move { fragments: fragments.clone(), to }, fragments),
            Order::Assign { fragments, node } => (ownership::Order::Stage { fragments: fragments.clone(), to: node }, fragments),
            Order::Unassign { fragments, node } => (ownership::Order::Unstage { fragments: fragments.clone(), to: node }, fragments),
            Order::Cancel { fragments } => (ownership::Order::Cancel { fragments: fragments.clone() }, fragments),
            Order::Shrink { fragments } => (ownership::Order::Shrink { fragments: fragments.clone() }, fragments),
            Order::Failover { fragments, accept_loss } => {
                (ownership::Order::FailOver { fragments: fragments.clone(), accept_loss }, fragments)
            }
            Order::HandOver => (ownership::Order::HandOver, owned()),
            Order::Split { fragment, at, left, right } => {
                return self.reframe(fragment, ownership::Order::Split { fragment, at, left, right }, asked.answer);
            }
            Order::Merge { left, right, made } => return self.reframe(left, ownership::Order::Merge { left, right, made }, asked.answer),
        };
        self.orders.refused.clear();
        self.handle(Event::Order(order));
        self.act();
        let refused = std::mem::take(&mut self.orders.refused);
        let taken = fragments.iter().filter(|id| !refused.contains_key(id)).copied().collect();
        let refused = fragments.iter().filter_map(|id| refused.get(id).map(|why| (*id, why.clone()))).collect();
        say(asked.answer, Ok(Ordered { taken, refused }));
    }

    /// A split or merge is answered when it has ended.
    fn reframe(&mut self, first: FragmentId, order: ownership::Order, answer: Answer) {
        if self.orders.reframing.contains_key(&first) {
            return say(answer, Err(ReframeError::Busy { fragment: first }.into()));
        }
        self.orders.reframing.insert(first, answer);
        self.handle(Event::Order(order));
        self.act();
    }

    /// What the machine tells people.
    pub(super) fn report(&mut self, report: &Report) {
        match report {
            Report::MoveFailed { fragment, to, error } => {
                tracing::warn!(%fragment, %to, code = error.code(), "a move ended without a change of owner: {error}");
                self.orders.refused.insert(*fragment, format!("{}: {error}", error.code()));
                self.ended(*fragment, to, Duration::ZERO, Some((error.code(), error.to_string())));
            }
            Report::Blocked { fragment, why } => {
                tracing::warn!(%fragment, code = why.code(), "blocked: {why}");
            }
            Report::MoveDone { fragment, to, parked, .. } => {
                let parked_ms = parked.as_secs_f64() * 1000.0;
                tracing::info!(%fragment, %to, parked_ms, "moved");
                // Order: only what a committed move of this node took away; after a failover nobody can say what the new owner has.
                self.board.fast().stints.given(*fragment);
                self.board.progress.send_modify(|changes| *changes += 1);
                self.ended(*fragment, to, *parked, None);
            }
            Report::Lost { fragment, .. } => {
                tracing::info!("{report:?}");
                // Told behind the end of a move, so that what was given is known to be. Answers that wait learn that nobody will know.
                self.board.fast().stints.lost(*fragment);
                // Whoever follows the next owner is waited for there: here its leases would hold deletions back once the fragment returns.
                for lease in self.shared.store.leases().iter().filter(|lease| lease.held.contains_key(fragment)) {
                    self.shared.store.end_lease(&lease.peer, &Scope::only([*fragment]));
                }
                self.board.progress.send_modify(|changes| *changes += 1);
            }
            Report::Reframed { gone } => {
                // Order: told before their gates close. What waits for acknowledgements of them waits no more: every member has it on its disk.
                {
                    let mut fast = self.board.fast();
                    gone.iter().for_each(|fragment| fast.stints.given(*fragment));
                }
                self.board.progress.send_modify(|changes| *changes += 1);
                let waiting: Vec<Answer> = gone.iter().filter_map(|first| self.orders.reframing.remove(first)).collect();
                for answer in waiting {
                    say(answer, Ok(Ordered { taken: gone.clone(), refused: Vec::new() }));
                }
            }
            Report::ReframeFailed { fragment, error } => {
                tracing::warn!(%fragment, code = error.code(), "a split or merge was not done: {error}");
                if let Some(answer) = self.orders.reframing.remove(fragment) {
                    say(answer, Err(error.clone().into()));
                }
            }
            other => tracing::info!("{other:?}"),
        }
    }
}

impl Driver {
    fn ended(&self, fragment: FragmentId, to: &NodeName, parked: Duration, failure: Option<(&'static str, String)>) {
        let mut fast = self.board.fast();
        fast.slowed.remove(&fragment); // behind a move nobody is slowed for it, however it ended
        let known = fast.moves.get(&fragment).filter(|known| known.to == *to);
        let (id, bytes, took) = known.map_or((0, (0, 0), Duration::ZERO), |known| (known.id, known.bytes, known.since.elapsed()));
        drop(fast);
        self.board.ended(MoveEnd { id, bytes, took, fragment, to: to.clone(), parked, failure, ended: SystemTime::now() });
    }
}

fn say(answer: Answer, said: Result<Ordered, OrderError>) {
    let _ = answer.send(said); // whoever asked has gone
}
