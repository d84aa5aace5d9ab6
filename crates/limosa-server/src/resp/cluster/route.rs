//! Decides what becomes of a command at this node, from its keys' slot and the picture. Does nothing itself.

use limosa_core::slot::slot_of;

use super::super::commands::table::{Access, Command};
use super::super::error::CommandError;
use super::picture::{Picture, SlotRange, Standing};

/// What becomes of a command.
#[derive(Debug)]
pub(crate) enum Route<'p> {
    /// It is evaluated as at an owner.
    Serve,
    /// It is a read that a standby may answer.
    Follow(&'p SlotRange),
    /// It waits until the picture changes.
    Park,
    /// It is refused, mostly by naming the node that serves it.
    Refuse(CommandError),
}

/// Chooses for one command. `args` start with its name.
pub(crate) fn route<'p>(picture: &'p Picture, command: &Command, args: &[&[u8]], is_readonly: bool) -> Route<'p> {
    let mut slots = command.keys.of(args).map(slot_of);
    match slots.next() {
        None if command.access == Access::Write => everywhere(picture),
        None => Route::Serve,
        Some(slot) if slots.any(|other| other != slot) => Route::Refuse(CommandError::CrossSlot),
        Some(slot) => at(picture, slot, is_readonly && command.access == Access::Read),
    }
}

/// Chooses for a key that is written.
pub(crate) fn route_write<'p>(picture: &'p Picture, key: &[u8]) -> Route<'p> {
    at(picture, slot_of(key), false)
}

fn at(picture: &Picture, slot: u16, may_follow: bool) -> Route<'_> {
    let Some(range) = picture.range_of(slot) else { return Route::Refuse(CommandError::Down { why: "it has no owner".into() }) };
    match &range.standing {
        Standing::Serve => Route::Serve,
        Standing::Park => Route::Park,
        Standing::Replica if may_follow => Route::Follow(range),
        Standing::Moved | Standing::Replica if is_silent(picture, range) => Route::Park,
        Standing::Moved | Standing::Replica => Route::Refuse(moved(picture, range, slot)),
        Standing::Down(why) => Route::Refuse(CommandError::Down { why: why.to_string() }),
    }
}

/// Whether the owner may be about to be replaced: a client that is sent there finds nobody.
fn is_silent(picture: &Picture, range: &SlotRange) -> bool {
    picture.owner(range).is_some_and(|owner| owner.linked_since_ms.is_none() && owner.id != picture.myself().id)
}

/// A command on every key of this node waits while one of its ranges does: it would leave that one out.
fn everywhere(picture: &Picture) -> Route<'_> {
    let is_mine = |range: &SlotRange| range.owner == Some(picture.my_index());
    let waits = picture.ranges().iter().any(|range| is_mine(range) && range.standing == Standing::Park);
    if waits { Route::Park } else { Route::Serve }
}

/// Names the owner of `slot`.
pub(crate) fn moved(picture: &Picture, range: &SlotRange, slot: u16) -> CommandError {
    match picture.owner(range) {
        Some(owner) => CommandError::Moved { slot, host: owner.host.clone(), port: owner.port },
        None => CommandError::Down { why: "its owner is not known".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::commands::table::resolve;
    use super::super::scripted::Script;
    use super::super::seam::Cluster;
    use super::*;

    fn told(script: &std::sync::Arc<Script>, node: usize, command: &str, is_readonly: bool) -> String {
        let picture = script.node(node).pictures().borrow().clone().expect("a cluster");
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        let command = resolve(&args).expect("a command");
        match route(&picture, command, &args, is_readonly) {
            Route::Refuse(error) => error.to_string(),
            Route::Serve => "serve".into(),
            Route::Park => "park".into(),
            Route::Follow(range) => format!("follow {}", range.fragment),
        }
    }

    #[test]
    fn a_command_goes_where_its_slot_is() {
        // slots: foo 12182 (run 1), a 15495 (run 1), b 3300 (run 0)
        let script = Script::new(&[("one", 1), ("two", 2)], 2);
        assert_eq!(told(&script, 1, "GET foo", false), "serve");
        assert_eq!(told(&script, 0, "GET foo", false), "MOVED 12182 two:2");
        assert_eq!(told(&script, 1, "GET b", true), "MOVED 3300 one:1");
        assert_eq!(told(&script, 1, "MGET a foo", false), "CROSSSLOT Keys in request don't hash to the same slot");
        assert_eq!(told(&script, 1, "MSET {foo}1 {b}a {foo}2 2", false), "serve", "values have no slot");
        assert_eq!(told(&script, 0, "FLUSHALL", false), "serve");
        script.park(1);
        for node in [0, 1] {
            assert_eq!(told(&script, node, "SET foo 1", false), "park");
        }
        assert_eq!(told(&script, 1, "FLUSHALL", false), "park");
        assert_eq!(told(&script, 0, "FLUSHALL", false), "serve", "the run is not its own");
        script.hand_over(1, 0);
        assert_eq!(told(&script, 0, "SET foo 1", false), "serve");
        assert_eq!(told(&script, 1, "GET foo", false), "MOVED 12182 one:1");
        assert_eq!(told(&script, 1, "GET foo", true), "follow f1");
        assert_eq!(told(&script, 1, "SET foo 1", true), "MOVED 12182 one:1");
        script.set_silent(0, true);
        assert_eq!(told(&script, 1, "SET foo 1", true), "park", "its owner may be about to be replaced");
        assert_eq!(told(&script, 1, "GET foo", true), "follow f1");
        script.set_down(1, true);
        assert_eq!(told(&script, 1, "GET foo", true), "CLUSTERDOWN Hash slot not served: a script says so");
    }
}
