//! The ports of a demo: one block, printed before the first scene, so that an outside counter can watch them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::error::DemoError;

/// Where the demo looks for free blocks: below the ports that systems give to outgoing connections, one of which could otherwise take
/// the port of a node that is down for a moment.
const BASES: std::ops::Range<u16> = 7700..30_000;
/// Distance of blocks that are tried.
const STEP: usize = 100;
const STANDBY: u16 = 10;
const RELAY: u16 = 20;
/// The first of three nodes of a cluster.
const MEMBERS: u16 = 30;
/// From a node's first port to the next node's.
const NODE_STEP: u16 = 10;

/// Where one node listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NodePorts {
    base: u16,
}

impl NodePorts {
    pub(super) fn resp(self) -> SocketAddr {
        loopback(self.base)
    }

    pub(super) fn peer(self) -> SocketAddr {
        loopback(self.base + 1)
    }

    pub(super) fn http(self) -> SocketAddr {
        loopback(self.base + 2)
    }
}

/// Where everything listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ports {
    base: u16,
}

impl Ports {
    /// The block at `base`, or the first free one.
    pub(super) fn choose(base: Option<u16>) -> Result<Self, DemoError> {
        if let Some(base) = base {
            let ports = Self { base };
            return ports.taken().map_or(Ok(ports), |port| Err(DemoError::PortTaken { port }));
        }
        let mut blocks = BASES.step_by(STEP).map(|base| Self { base });
        blocks.find(|ports| ports.taken().is_none()).ok_or(DemoError::PortTaken { port: BASES.start })
    }

    pub(super) fn owner(self) -> NodePorts {
        NodePorts { base: self.base }
    }

    pub(super) fn standby(self) -> NodePorts {
        NodePorts { base: self.base + STANDBY }
    }

    /// One of the three nodes of the last scenes.
    pub(super) fn member(self, index: u16) -> NodePorts {
        NodePorts { base: self.base + MEMBERS + NODE_STEP * index }
    }

    /// Where the relay of scene 6 listens.
    pub(super) fn relay(self) -> SocketAddr {
        loopback(self.base + RELAY)
    }

    fn taken(self) -> Option<u16> {
        let nodes = [self.owner(), self.standby(), self.member(0), self.member(1), self.member(2)];
        let mut all = nodes.iter().flat_map(|node| [node.resp(), node.peer(), node.http()]).chain([self.relay()]);
        all.find(|address| TcpListener::bind(address).is_err()).map(|address| address.port())
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_and_avoided() {
        let free = Ports::choose(None).expect("some block is free");
        let held = TcpListener::bind(free.standby().peer()).expect("it was free");
        let error = Ports::choose(Some(free.base)).expect_err("one of them is taken");
        assert!(error.to_string().contains(&held.local_addr().expect("bound").port().to_string()), "{error}");
        assert_ne!(Ports::choose(None).expect("another block"), free);
    }
}
