//! What becomes of a command on a fragment here: served, held back, or sent elsewhere.

use std::time::Duration;

use limosa_core::NodeName;
use limosa_engine::ownership::Gate;
use limosa_manifest::FragmentCell;
use limosa_manifest::cell::Holder;

/// How this node stands to a fragment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It serves it.
    Serve,
    /// It serves it soon, or does again: hold the command back.
    Park,
    /// Another node serves it.
    Moved(NodeName),
    /// Another node serves it, and this one has a complete copy that follows.
    Replica {
        /// Who serves, if anybody does.
        owner: Option<NodeName>,
        /// How old what it shows may be.
        staleness: Duration,
    },
    /// Nobody serves it, as far as this node knows.
    Down(String),
}

/// What else decides, beside the cell.
pub(super) struct Here {
    /// The store's gate, as it was set last.
    pub(super) gate: Gate,
    /// The fragment's last step to this node may be under way.
    pub(super) is_arriving: bool,
    /// The age of the copy, where it is complete.
    pub(super) staleness: Option<Duration>,
}

impl Standing {
    pub(super) fn of(cell: Option<&FragmentCell>, me: &NodeName, here: &Here, outage: Option<&str>) -> Self {
        match here.gate {
            Gate::Serving => return Self::Serve,
            Gate::Parked => return Self::Park,
            Gate::Closed => {}
        }
        let Some(cell) = cell else {
            return Self::Down(outage.map_or_else(|| "nobody owns it: run `limosa cluster init`".to_owned(), away));
        };
        let owner = cell.owner().filter(|owner| *owner != me).cloned();
        if here.is_arriving {
            return Self::Park; // its owner may have sent the client here already: sent back, it would go to and fro
        }
        if let Some(staleness) = here.staleness {
            return Self::Replica { owner, staleness };
        }
        match (&cell.holder, outage) {
            (Holder::Serving(owner), None) if owner == me => Self::Park, // it opens its epoch, and serves then
            (Holder::Serving(owner), Some(why)) if owner == me => Self::Down(away(why)),
            (Holder::Serving(owner), _) => Self::Moved(owner.clone()),
            (Holder::Fenced { by, was }, _) => Self::Down(format!("{by} takes it over from {was}")),
        }
    }
}

fn away(why: &str) -> String {
    format!("blocked because the manifest is away ({why})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::{FragmentId, KeyRange};

    fn name(text: &str) -> NodeName {
        text.parse().expect("a good name")
    }

    #[test]
    fn a_closed_gate_sends_clients_to_the_owner_and_holds_them_where_this_node_is_about_to_serve() {
        let cell = FragmentCell::new("0", FragmentId(1), 1, KeyRange::ALL, name("a"));
        let closed = || Here { gate: Gate::Closed, is_arriving: false, staleness: None };
        let at = |me: &str, here: Here, outage| Standing::of(Some(&cell), &name(me), &here, outage);
        assert_eq!(at("b", closed(), None), Standing::Moved(name("a")));
        assert_eq!(at("a", closed(), None), Standing::Park);
        assert!(matches!(at("a", closed(), Some("etcd")), Standing::Down(why) if why.contains("the manifest is away")));
        assert_eq!(at("b", closed(), Some("etcd")), Standing::Moved(name("a")), "an outage does not hide who served last");
        let replica = Here { gate: Gate::Closed, is_arriving: false, staleness: Some(Duration::ZERO) };
        let arriving = Here { gate: Gate::Closed, is_arriving: true, staleness: None };
        assert_eq!(at("b", arriving, None), Standing::Park);
        assert_eq!(at("b", replica, None), Standing::Replica { owner: Some(name("a")), staleness: Duration::ZERO });
    }
}
