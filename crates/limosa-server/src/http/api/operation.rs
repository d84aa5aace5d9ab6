//! What operators ask of fragments and nodes, and the plan of it: bytes, time, pause, risk, and what blocks.

use serde::{Deserialize, Serialize};

use super::fragment::Slots;
use super::plan::Method;

/// Which fragments an operation is about: those named, and those that lie in the slots named.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chosen {
    /// By number.
    pub fragments: Vec<u32>,
    /// By slots; a fragment that lies only partly in them is refused, never cut.
    pub slots: Vec<Slots>,
}

/// `POST /v1/moves` and `POST /v1/stages`: fragments, and the node that they go to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveTo {
    /// Numbers of fragments.
    #[serde(default)]
    pub fragments: Vec<u32>,
    /// Slots.
    #[serde(default)]
    pub slots: Vec<Slots>,
    /// The node's name.
    pub to: String,
}

impl MoveTo {
    /// Which fragments.
    pub fn chosen(&self) -> Chosen {
        Chosen { fragments: self.fragments.clone(), slots: self.slots.clone() }
    }
}

/// `POST /v1/handover` and `POST /v1/decommission`: a node gives its roles, or its copies too, away.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfNode {
    /// Its name.
    pub node: String,
}

/// `POST /v1/failover`: somebody else is promoted for these fragments, or for all that a node owned.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failover {
    /// Numbers of fragments.
    #[serde(default)]
    pub fragments: Vec<u32>,
    /// The node that is lost.
    pub node: Option<String>,
    /// Promote also when acknowledged writes may be missing; the cell stays marked.
    #[serde(default)]
    pub accept_loss: bool,
}

/// `POST /v1/fragments/{id}/split`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitAt {
    /// The right part begins with the slot of this key.
    pub at_key: Option<String>,
    /// The right part begins with this slot. Neither: the live bytes are halved.
    pub at_slot: Option<u16>,
}

/// `POST /v1/fragments/{id}/merge`: `id` is the left one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeWith {
    /// The number of its right neighbour.
    pub right: u32,
}

/// What an operator asks: the body of `POST /v1/plans`. Each has a call of its own that does it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// Ownership goes to another node.
    Move(MoveTo),
    /// Bytes go ahead to another node and are kept fresh there; a later move only cuts over.
    Stage(MoveTo),
    /// Moves until the nodes hold about equal bytes.
    Rebalance,
    /// A node's roles go to complete standbys; data stays.
    Handover(OfNode),
    /// A node's roles and copies leave it.
    Decommission(OfNode),
    /// Somebody is promoted in place of an owner that is lost.
    Failover(Failover),
    /// A fragment is parted.
    Split {
        /// Which.
        fragment: u32,
        /// The right part begins with the slot of this key.
        #[serde(default)]
        at_key: Option<String>,
        /// The right part begins with this slot. Neither: the live bytes are halved.
        #[serde(default)]
        at_slot: Option<u16>,
    },
    /// Two neighbours become one fragment.
    Merge {
        /// The left one.
        left: u32,
        /// The right one.
        right: u32,
    },
}

impl Operation {
    /// The word that bodies, tables and messages use.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Move(_) => "move",
            Self::Stage(_) => "stage",
            Self::Rebalance => "rebalance",
            Self::Handover(_) => "handover",
            Self::Decommission(_) => "decommission",
            Self::Failover(_) => "failover",
            Self::Split { .. } => "split",
            Self::Merge { .. } => "merge",
        }
    }
}

/// What an operation does to one fragment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Which fragment.
    pub fragment: u32,
    /// Its slots.
    pub slots: Slots,
    /// What happens: `move`, `stage`, `leave`, `promote`, `split`, `merge`.
    pub action: String,
    /// Who owns it, or held it; none where nobody does.
    pub from: Option<String>,
    /// Who gets it.
    pub to: Option<String>,
    /// How the bytes get there, as far as this node can tell.
    pub method: Method,
    /// Bytes that have to move, estimated.
    pub bytes: u64,
    /// Why this node, this place, this way, in one sentence.
    pub why: String,
}

/// What an operation would do and cost.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OperationPlan {
    /// Names what was planned: given with the operation, that is refused once the world has changed materially.
    pub id: String,
    /// What was asked.
    pub operation: Operation,
    /// What happens to each fragment, in order.
    pub steps: Vec<Step>,
    /// Bytes that have to move, estimated.
    pub bytes: u64,
    /// Seconds until all is done, estimated; none where nothing was measured yet.
    pub seconds: Option<f64>,
    /// Longest time for which requests on one fragment wait, milliseconds, estimated; 0 where nobody waits.
    pub pause_ms: f64,
    /// By how much writers may be slowed at most while it runs, in hundredths.
    pub slowing_percent: u8,
    /// What can go wrong and what then holds, in one sentence.
    pub risk: String,
    /// What keeps it from being done, and who must act; empty: nothing.
    pub blocked_because: Vec<String>,
}

/// What the owner of fragments, or who is promoted for them, is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderWord {
    /// Ownership goes to the node.
    Move,
    /// The node becomes a copy and stays one.
    Stage,
    /// The node is a copy no longer.
    Leave,
    /// Their moves end where they are.
    Cancel,
    /// The node that is told takes them over.
    Promote,
}

/// `POST /v1/orders`: what one node of a cluster tells another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeOrder {
    /// What.
    pub order: OrderWord,
    /// Numbers of fragments.
    pub fragments: Vec<u32>,
    /// Which node; none where the one that is told is meant.
    pub node: Option<String>,
    /// Acknowledged writes may be lost.
    #[serde(default)]
    pub accept_loss: bool,
}

/// Answer to [`NodeOrder`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NodeOrdered {
    /// For these it goes on.
    pub taken: Vec<u32>,
    /// For these it does not.
    pub refused: Vec<RefusedFragment>,
}

/// A fragment for which something is not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefusedFragment {
    /// Which.
    pub fragment: u32,
    /// Why, in one sentence.
    pub why: String,
}

/// Something that goes on with a fragment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Begun {
    /// Which.
    pub fragment: u32,
    /// What.
    pub order: OrderWord,
    /// The node that it is about.
    pub to: String,
}

/// Answer to a call that carries an operation out: what was begun. Moves go on behind it, see `GET /v1/moves`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Operated {
    /// The plan that was carried out.
    pub plan: String,
    /// What goes on behind the answer.
    pub begun: Vec<Begun>,
    /// Fragments for which it was refused.
    pub refused: Vec<RefusedFragment>,
    /// Fragments that were made.
    pub made: Vec<u32>,
    /// What happened, in one sentence.
    pub message: String,
}
