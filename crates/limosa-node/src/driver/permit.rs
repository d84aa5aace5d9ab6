//! What a member of a cluster may send in a session: what it serves to those who follow, what it has fenced to whoever collects.
//!
//! A node that does not own a fragment may have an old copy of it, or none: a standby that asked it by mistake, because it has not seen the
//! cell yet, would be given that in place of what it has.

use limosa_core::{FragmentId, Scope};
use limosa_engine::source::{Epochs, Permit};
use limosa_store::FragmentGate;
use limosa_wire::Purpose;

use super::node::Shared;
use super::ownership::fenced_at;

/// For a session that begins now. `None`: this node is no member, and its one role has decided already.
pub(super) fn of(shared: &Shared, purpose: Purpose) -> Option<Permit> {
    shared.board.as_ref()?;
    let fragments = match purpose {
        Purpose::Follow => served(shared),
        Purpose::Collect { epoch } => fenced_at(&shared.store, epoch),
    };
    Some(Permit { scope: Scope::only(fragments), epochs: Epochs::Given })
}

/// Fragments of a session that this node serves no longer.
pub(super) fn lost(shared: &Shared, purpose: Purpose, scope: &Scope) -> Option<Vec<FragmentId>> {
    let (Some(_), Purpose::Follow, Scope::Only(fragments)) = (&shared.board, purpose, scope) else { return None };
    let served = served(shared);
    let lost: Vec<FragmentId> = fragments.iter().filter(|id| !served.contains(id)).copied().collect();
    (!lost.is_empty()).then_some(lost)
}

/// Served, or about to be again.
fn served(shared: &Shared) -> Vec<FragmentId> {
    shared.store.gates().into_iter().filter(|(_, gate)| *gate != FragmentGate::Closed).map(|(id, _)| id).collect()
}
