//! The three nodes: founded, joined, ordered about and asked.

use std::time::{Duration, Instant};

use limosa_node::pki::Pki;
use limosa_server::http::api::{Cell, Init, Initialised, Joined, Method, MoveTo, OfNode, Operated, Outcome, Transfer};

use super::client::Door;
use crate::demo::children::Children;
use crate::demo::content::Content;
use crate::demo::error::DemoError;
use crate::demo::model::Model;
use crate::demo::node::{self, Node};
use crate::demo::pen::Pen;
use crate::demo::play::Play;
use crate::demo::screen::Unit;
use crate::demo::wait::{self, Seen};

/// For fragments to be where they shall be.
const MOVE_MAX: Duration = Duration::from_secs(300);
/// Fragments, each with its own owner.
pub(super) const FRAGMENTS: u32 = 24;

/// Three nodes, of which `a` holds the manifest.
pub(super) struct Trio {
    pub(super) a: Node,
    pub(super) b: Node,
    pub(super) c: Node,
    pub(super) model: Model,
    children: Children,
}

impl Trio {
    /// Three nodes, none of which runs.
    pub(super) fn new(play: &Play) -> Result<Self, DemoError> {
        let flags = ["--cluster", "demo", "--fragments", &FRAGMENTS.to_string(), "--checkpoint-bytes", "64MiB"].map(str::to_owned).to_vec();
        let node = |index, name| Node::new(name, play.folder.path(), play.ports.member(index), flags.clone(), &play.children);
        Ok(Self { a: node(0, "a")?, b: node(1, "b")?, c: node(2, "c")?, model: Model::default(), children: play.children.clone() })
    }

    /// `a` alone with all the state, then `b` as its copy, which is handed everything.
    pub(super) fn found(&mut self, play: &Play, content: &mut Content, entries: u64) -> Result<(), DemoError> {
        play.screen.step("starting three nodes");
        self.a.start(&["--manifest", "embedded"])?;
        let _: Initialised = self.a.control.post_json("/v1/cluster", &Init::default())?;
        self.a.ready()?;
        let keys = content.first_keys(entries);
        play.screen.count("loading the cluster", keys.len() as u64, Unit::Entries);
        let mut pen = Pen::new(self.a.ports.resp(), &mut self.model)?;
        for (done, key) in keys.iter().enumerate() {
            let put = crate::demo::content::Put { expiry_ms: 0, ..content.first(key) };
            pen.begin(put)?;
            if done % 256 == 0 {
                play.children.check()?;
                play.screen.at(done as u64);
            }
        }
        pen.finish()?;
        play.screen.step("making copies of it");
        self.join(&self.b, play)?;
        self.until("complete at b", |cell| cell.sync_set.iter().any(|name| name == "b"))?;
        let _: Operated = self.a.control.post_json("/v1/handover", &OfNode { node: "a".to_owned() })?;
        self.until("owned by b", |cell| cell.owner.as_deref() == Some("b"))?;
        self.until("complete at a", |cell| cell.sync_set.iter().any(|name| name == "a"))
    }

    /// Starts a node that was never there, and waits until the others see it.
    pub(super) fn join(&self, node: &Node, play: &Play) -> Result<(), DemoError> {
        let bundle = play.folder.path().join(format!("{}.pem", node.name));
        Pki::load(&self.a.data)?.issue(&node.name.parse().expect("a valid name"))?.write(&bundle)?;
        let bundle = bundle.display().to_string();
        node.start(&["--bundle", &bundle, "--manifest", &self.a.ports.peer().to_string()])?;
        let _: Joined = node.control.post("/v1/nodes")?;
        Ok(())
    }

    /// Orders a move; the owner is asked.
    pub(super) fn order(&self, at: &Node, fragments: &[u32], to: &Node) -> Result<(), DemoError> {
        let body = MoveTo { fragments: fragments.to_vec(), slots: Vec::new(), to: to.name.to_owned() };
        let done: Operated = at.control.post_json("/v1/moves", &body)?;
        match done.refused.first() {
            Some(refused) => Err(DemoError::Refused { node: at.name, message: refused.why.clone() }),
            None => Ok(()),
        }
    }

    /// Until this is so of every fragment, as `a` sees them.
    pub(super) fn until(&self, what: &str, is_so: impl Fn(&Cell) -> bool) -> Result<(), DemoError> {
        wait::until(&self.children, &format!("every fragment to be {what}"), MOVE_MAX, || {
            self.a.check()?;
            let cells = self.cells()?;
            let left = cells.iter().filter(|cell| !is_so(cell)).count();
            Ok(if left == 0 && !cells.is_empty() { Seen::Done(()) } else { Seen::NotYet(format!("{left} are not")) })
        })
    }

    pub(super) fn cells(&self) -> Result<Vec<Cell>, DemoError> {
        self.a.control.get("/v1/cells")
    }

    /// Where clients ask, `first` before the others.
    pub(super) fn doors(&self, first: &str) -> Vec<Door> {
        let mut doors: Vec<Door> = [&self.a, &self.b, &self.c].map(|node| (node.name, node.ports.resp())).to_vec();
        doors.sort_by_key(|(name, _)| *name != first);
        doors
    }

    /// Ends all three.
    pub(super) fn end(&self) {
        [&self.c, &self.b, &self.a].into_iter().for_each(Node::kill);
    }
}

/// Bytes of this node's sockets with some others.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Bytes {
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) handshakes: u64,
}

impl Bytes {
    /// With `peers`, since the node's start.
    pub(super) fn of(at: &Node, peers: &[&Node]) -> Result<Self, DemoError> {
        let status = at.control.status()?;
        let mut sum = Self::default();
        for peer in peers.iter().filter_map(|peer| node::peer(&status, peer.name)) {
            sum.received += peer.moved_bytes_in;
            sum.sent += peer.moved_bytes_out;
            sum.handshakes += peer.handshake_bytes;
        }
        Ok(sum)
    }

    pub(super) fn since(self, before: Self) -> Self {
        let less = u64::saturating_sub;
        Self {
            received: less(self.received, before.received),
            sent: less(self.sent, before.sent),
            handshakes: less(self.handshakes, before.handshakes),
        }
    }

    /// Both directions, handshakes apart.
    pub(super) fn moved(self) -> u64 {
        (self.received + self.sent).saturating_sub(self.handshakes)
    }
}

/// The dearest method of the transfers that a node had part in since `began`.
pub(super) fn method(at: &Node, began: Instant) -> Result<Method, DemoError> {
    let transfers: Vec<Transfer> = at.control.get("/v1/transfers")?;
    let window = began.elapsed().as_secs_f64() * 1000.0;
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1000.0);
    #[allow(clippy::cast_precision_loss)] // milliseconds since 1970
    let is_new = |transfer: &&Transfer| transfer.outcome == Outcome::Installed && transfer.ended_ms as f64 >= now_ms - window;
    Ok(transfers.iter().filter(is_new).map(|transfer| transfer.method).max().unwrap_or(Method::Nothing))
}
