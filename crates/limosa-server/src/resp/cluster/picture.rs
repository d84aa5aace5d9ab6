//! Who serves which slots, as one node knows it: an immutable picture that is replaced as a whole.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use limosa_core::FragmentId;
use limosa_core::slot::SLOTS;

/// A node as clients address it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRef {
    /// 40 hexadecimal digits, see [`node_id`].
    pub id: String,
    /// Its name in the manifest.
    pub name: String,
    /// What clients dial: a host name or an address.
    pub host: String,
    /// Its RESP port.
    pub port: u16,
    /// The port for other nodes; 0 when it is not known.
    pub peer_port: u16,
    /// Since when it has been there for this node, milliseconds since the Unix epoch; `None` while it gives no sign of life: others may be
    /// replacing it, so clients are not sent there, their requests wait.
    pub linked_since_ms: Option<u64>,
}

/// The id under which cluster clients know a node: its name, and the incarnation of its data folder.
pub fn node_id(name: &str, incarnation: u64) -> String {
    let fnv = |seed: u64| name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let hash = fnv(0xCBF2_9CE4_8422_2325) ^ incarnation.rotate_left(32);
    format!("{hash:016x}{incarnation:016x}{:08x}", fnv(hash) & 0xFFFF_FFFF)
}

/// What a request for a slot meets at this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// This node owns the slot and serves it.
    Serve,
    /// The slot changes hands, or its owner is being replaced: the request waits here.
    Park,
    /// Another node serves it.
    Moved,
    /// Another node serves it; this one holds a consistent copy, for those who said READONLY.
    Replica,
    /// Nobody can serve it now; says why.
    Down(Cow<'static, str>),
}

/// A run of slots with one owner, one set of standbys and one standing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotRange {
    /// First slot.
    pub first: u16,
    /// Last slot, not one behind it.
    pub last: u16,
    /// The fragment; where several share a slot, the first of them: they share owner and cutover.
    pub fragment: FragmentId,
    /// Epoch of the ownership.
    pub epoch: u32,
    /// Index of the owner in [`Picture::nodes`]; `None` while there is none.
    pub owner: Option<usize>,
    /// Indexes of the complete standbys.
    pub replicas: Vec<usize>,
    /// What a request meets here.
    pub standing: Standing,
}

/// Who serves what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
    nodes: Vec<NodeRef>,
    myself: usize,
    ranges: Vec<SlotRange>,
}

impl Picture {
    /// A picture by the node with index `myself`. `ranges` are in the order of their slots; slots in none of them are nobody's.
    ///
    /// # Panics
    /// When ranges overlap, are out of order, or name nodes that are not there.
    pub fn new(nodes: Vec<NodeRef>, myself: usize, ranges: Vec<SlotRange>) -> Self {
        assert!(myself < nodes.len(), "this node is one of them");
        assert!(ranges.iter().all(|range| range.first <= range.last && range.last < SLOTS), "ranges are runs of slots");
        assert!(ranges.windows(2).all(|pair| pair[0].last < pair[1].first), "ranges are in order and share no slot");
        let named = ranges.iter().flat_map(|range| range.replicas.iter().chain(&range.owner));
        assert!(named.into_iter().all(|index| *index < nodes.len()), "ranges name nodes of the picture");
        Self { nodes, myself, ranges }
    }

    /// The nodes, this one included.
    pub fn nodes(&self) -> &[NodeRef] {
        &self.nodes
    }

    /// This node.
    pub fn myself(&self) -> &NodeRef {
        &self.nodes[self.myself]
    }

    /// Index of this node.
    pub fn my_index(&self) -> usize {
        self.myself
    }

    /// The ranges, in the order of their slots.
    pub fn ranges(&self) -> &[SlotRange] {
        &self.ranges
    }

    /// The range of `slot`; `None`: it is nobody's.
    pub fn range_of(&self, slot: u16) -> Option<&SlotRange> {
        let after = self.ranges.partition_point(|range| range.first <= slot);
        self.ranges[..after].last().filter(|range| slot <= range.last)
    }

    /// The owner of a range.
    pub fn owner(&self, range: &SlotRange) -> Option<&NodeRef> {
        range.owner.map(|index| &self.nodes[index])
    }

    /// The slots that this node serves itself, in runs as long as they can be.
    pub fn served(&self) -> impl Iterator<Item = RangeInclusive<u16>> {
        let mut own = self.ranges.iter().filter(|range| range.standing == Standing::Serve).peekable();
        std::iter::from_fn(move || {
            let first = own.next()?;
            let mut last = first.last;
            while let Some(next) = own.next_if(|next| next.first == last + 1) {
                last = next.last;
            }
            Some(first.first..=last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeRef {
        let id = node_id(name, 7);
        NodeRef { id, name: name.into(), host: "h".into(), port: 1, peer_port: 2, linked_since_ms: None }
    }

    fn range(first: u16, last: u16) -> SlotRange {
        SlotRange { first, last, fragment: FragmentId(0), epoch: 1, owner: Some(0), replicas: vec![], standing: Standing::Serve }
    }

    #[test]
    fn a_slot_is_found_in_its_range_or_nowhere() {
        let picture = Picture::new(vec![node("a")], 0, vec![range(0, 9), range(20, 20), range(30, SLOTS - 1)]);
        let first = |slot| picture.range_of(slot).map(|range| range.first);
        let cases = [(0, Some(0)), (9, Some(0)), (10, None), (20, Some(20)), (21, None), (30, Some(30)), (SLOTS - 1, Some(30))];
        for (slot, expected) in cases {
            assert_eq!(first(slot), expected, "{slot}");
        }
    }

    #[test]
    fn neighbours_are_served_as_one_run() {
        let parked = SlotRange { standing: Standing::Park, ..range(31, 40) };
        let picture = Picture::new(vec![node("a")], 0, vec![range(0, 9), range(10, 20), range(30, 30), parked, range(41, SLOTS - 1)]);
        assert_eq!(picture.served().collect::<Vec<_>>(), [0..=20, 30..=30, 41..=SLOTS - 1]);
    }

    #[test]
    fn a_node_id_has_forty_digits_and_differs_by_name_and_by_incarnation() {
        let ids = [node_id("a", 1), node_id("b", 1), node_id("a", 2), node_id("a", u64::MAX)];
        assert!(ids.iter().all(|id| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
        assert!((0..4).all(|i| ids.iter().filter(|id| **id == ids[i]).count() == 1));
    }

    #[test]
    #[should_panic(expected = "share no slot")]
    fn ranges_that_overlap_are_refused() {
        Picture::new(vec![node("a")], 0, vec![range(0, 9), range(9, 10)]);
    }
}
