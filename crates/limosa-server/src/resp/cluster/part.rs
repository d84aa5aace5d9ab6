//! What one connection has to do with the cluster: how its commands are let in, and what is kept of what they saw.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use limosa_core::FragmentId;

use super::super::commands::table::Access;
use super::super::dispatch::Request;
use super::super::error::CommandError;
use super::super::keyspace::{Keyspace, Place};
use super::super::session::Session;
use super::acks::{Due, Need, Stint};
use super::picture::{Picture, Standing};
use super::route::{Route, moved, route};
use super::slowing::Pace;
use super::token::Token;

/// A connection's part in the cluster.
#[derive(Clone, Default)]
pub(crate) struct Part {
    /// Who serves what, as of the turn's beginning.
    pub(crate) picture: Option<Arc<Picture>>,
    /// Something below is kept, or commands are routed: where this is false, nothing here costs anything.
    pub(crate) is_kept: bool,
    /// The newest versions that this connection has seen.
    pub(crate) token: Token,
    /// What LIMOSA.TOKEN SET asks reads to cover.
    pub(crate) wanted: Option<Token>,
    /// The last write to each fragment, in its last stint: what WAIT waits for.
    pub(crate) written: BTreeMap<Stint, u64>,
    /// Replies of the output that wait for standbys.
    pub(crate) dues: Vec<Due>,
    /// When this connection rested last for a move that can't keep up with its writers.
    pub(crate) pace: Pace,
    /// The newest position that the turn's commands saw.
    pub(crate) seen: u64,
}

/// Whether a command is evaluated.
pub(crate) enum Entry {
    /// As at an owner.
    Serve,
    /// As at a standby, which may be behind.
    Follow,
    /// Not before the picture changes.
    Park,
    /// Not before this node has caught up with the connection's token.
    Behind,
    /// Never.
    Refuse(CommandError),
}

/// Decides about a command. `is_owner` is the node's one role, which counts while it is in no cluster.
pub(crate) fn enter<K: Keyspace>(session: &Session, request: &Request<'_>, keys: &mut K, is_owner: bool) -> Entry {
    let (part, command) = (&session.cluster, request.command);
    let entry = match &part.picture {
        None if is_owner => Entry::Serve,
        None => Entry::Follow, // `dispatch` asks for READONLY
        Some(picture) => match route(picture, command, request.args, session.is_readonly) {
            Route::Serve => Entry::Serve,
            Route::Park => return Entry::Park,
            Route::Refuse(error) => return Entry::Refuse(error),
            Route::Follow(range) if is_fresh(session, range.fragment) => Entry::Follow,
            Route::Follow(range) => return Entry::Refuse(moved(picture, range, slot_of_first(request))),
        },
    };
    match &part.wanted {
        Some(wanted) if command.access != Access::None => covered(session, wanted, request, keys, entry),
        _ => entry,
    }
}

/// Whether this node is no further behind the owner than a standby may be that answers.
fn is_fresh(session: &Session, fragment: FragmentId) -> bool {
    let shared = &session.shared;
    let staleness = || shared.cluster.as_ref().and_then(|cluster| cluster.staleness(fragment));
    shared.options.staleness_max.is_none_or(|max| staleness().is_some_and(|staleness| staleness <= max))
}

/// `entry`, unless the token names something that this node does not hold yet.
fn covered<K: Keyspace>(session: &Session, wanted: &Token, request: &Request<'_>, keys: &mut K, entry: Entry) -> Entry {
    for key in request.command.keys.of(request.args) {
        let place = keys.place(key);
        match wanted.of(place.fragment) {
            Some(version) if place.version < version => return Entry::Behind,
            Some(_) => {}
            // Fragments that a split or merge ended: what is above them can't be told from their names, so only the owner is sure.
            None if matches!(entry, Entry::Follow) && wanted.iter().any(|(id, _)| keys.version_of(id).is_none()) => {
                return elsewhere(session, request).map_or(Entry::Behind, Entry::Refuse);
            }
            None => {}
        }
    }
    entry
}

fn elsewhere(session: &Session, request: &Request<'_>) -> Option<CommandError> {
    let (picture, slot) = (session.cluster.picture.as_ref()?, slot_of_first(request));
    picture.range_of(slot).map(|range| moved(picture, range, slot))
}

fn slot_of_first(request: &Request<'_>) -> u16 {
    request.command.keys.of(request.args).next().map_or(0, limosa_core::slot::slot_of)
}

/// What a command did, and where its reply lies in the output.
#[derive(Clone, Copy)]
struct Did {
    is_write: bool,
    /// It was a standby's read.
    follows: bool,
    /// Its reply waits for standbys.
    is_held: bool,
    seen: u64,
    start: usize,
    end: usize,
}

impl Part {
    /// The picture, for commands that a node outside of a cluster refuses.
    pub(crate) fn picture(&self) -> Result<&Arc<Picture>, CommandError> {
        self.picture.as_ref().ok_or(CommandError::NoCluster)
    }

    fn note(&mut self, did: Did, place: Place, stint: u64) {
        let of = Stint { fragment: place.fragment, number: stint };
        let position = place.position.max(did.seen);
        if self.picture.is_some() {
            self.token.see(place.fragment, place.version);
        }
        if did.follows {
            return; // its positions are another node's
        }
        if did.is_write {
            if !self.written.contains_key(&of) {
                self.written.retain(|before, _| before.fragment != of.fragment);
            }
            self.written.entry(of).and_modify(|last| *last = position.max(*last)).or_insert(position);
        }
        let need = Need { position, is_read: !did.is_write, is_write: did.is_write };
        match self.dues.last_mut() {
            _ if !did.is_held => {}
            Some(due) if due.start == did.start && due.of == of => due.need = due.need.and(need),
            _ => self.dues.push(Due { start: did.start, end: did.end, of, need }),
        }
    }
}

/// Notes what a command saw whose reply lies in `reply` of the output.
pub(crate) fn note<K: Keyspace>(session: &mut Session, request: &Request<'_>, keys: &mut K, follows: bool, reply: Range<usize>) {
    let seen = keys.take_seen();
    let (is_write, is_held) = (request.command.access == Access::Write, session.shared.acks.is_some());
    let did = Did { is_write, follows, is_held, seen, start: reply.start, end: reply.end };
    let part = &mut session.cluster;
    part.seen = part.seen.max(seen);
    // Under the hold of the store's lock in which the command was evaluated.
    let cluster = session.shared.cluster.clone();
    let stint = |fragment| cluster.as_ref().map_or(0, |cluster| cluster.stint(fragment));
    let mut has_keys = false;
    for key in request.command.keys.of(request.args) {
        has_keys = true;
        let place = keys.place(key);
        part.note(did, place, stint(place.fragment));
    }
    if !has_keys && is_write {
        let fragments: Vec<_> = match &part.picture {
            Some(picture) => {
                picture.ranges().iter().filter(|range| range.standing == Standing::Serve).map(|range| range.fragment).collect()
            }
            None => vec![keys.place(b"").fragment], // one role for all of them: one stands for all
        };
        for fragment in fragments {
            let version = keys.version_of(fragment).unwrap_or_default();
            part.note(did, Place { fragment, version, position: seen }, stint(fragment));
        }
    }
}
