//! The first message of a lane: made, and checked against the certificate and this cluster.

use limosa_core::{DecodeError, NodeName};
use limosa_wire::{Greet, Message, WIRE_VERSIONS, WireError, features};

use crate::error::PeerError;

/// What this node says of itself.
#[derive(Clone, Debug)]
pub(in crate::driver) struct Greeting {
    pub(in crate::driver) cluster: [u8; 16],
    pub(in crate::driver) node: NodeName,
    pub(in crate::driver) incarnation: u64,
    /// Random, new for each start of the process.
    pub(in crate::driver) start: u64,
}

impl Greeting {
    pub(super) fn message(&self, revision: u64) -> Message {
        Message::Greet(Greet {
            wire_versions: WIRE_VERSIONS,
            features: features::ALL,
            cluster: self.cluster,
            node: self.node.to_string(),
            incarnation: self.incarnation,
            start: self.start,
            revision,
        })
    }

    /// The other end's greeting, if it is one that fits its certificate.
    pub(super) fn check(&self, peer: &NodeName, message: Message) -> Result<Greet, PeerError> {
        let Message::Greet(greet) = message else { return Err(malformed("a control lane begins with a greeting")) };
        if greet.cluster != self.cluster || greet.node != peer.as_str() {
            return Err(PeerError::OtherCluster {
                detail: format!("it says that it is {:?}, and its certificate says {peer}", greet.node),
            });
        }
        let (ours, theirs) = (WIRE_VERSIONS, greet.wire_versions);
        if theirs.0 > ours.1 || theirs.1 < ours.0 {
            return Err(PeerError::Wire(WireError::NoCommonVersion { ours, theirs }));
        }
        Ok(greet)
    }
}

/// What the contract forbids on a lane.
pub(super) fn malformed(why: &'static str) -> PeerError {
    PeerError::Wire(WireError::Malformed(DecodeError::Invalid { field: "control lane", why }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(node: &str, cluster: u8) -> Greeting {
        Greeting { cluster: [cluster; 16], node: node.parse().expect("a name"), incarnation: 1, start: 2 }
    }

    #[test]
    fn a_greeting_must_fit_the_certificate_and_the_cluster() {
        let (a, b) = (greeting("a", 1), "b".parse().expect("a name"));
        assert!(a.check(&b, greeting("b", 1).message(7)).is_ok_and(|greet| greet.revision == 7));
        assert_eq!(a.check(&b, greeting("c", 1).message(7)).expect_err("another name").code(), "peer.other_cluster");
        assert_eq!(a.check(&b, greeting("b", 2).message(7)).expect_err("another cluster").code(), "peer.other_cluster");
        assert_eq!(a.check(&b, Message::Ping).expect_err("no greeting").code(), "wire.malformed");
    }
}
