//! Runs one command: may this node answer it, does it keep the limits, and what becomes of its reply when it fails.

use std::sync::atomic::Ordering;

use super::call::{Call, Done, Run, View, check_key};
use super::commands::table::{Access, Command};
use super::error::CommandError;
use super::keyspace::Keyspace;
use super::reply::Reply;
use super::session::Session;

/// One command of a connection, ready to run.
pub(crate) struct Request<'a> {
    /// What is called.
    pub(crate) command: &'static Command,
    /// Its name and arguments.
    pub(crate) args: &'a [&'a [u8]],
    /// Deadlines up to here have passed, milliseconds since the Unix epoch.
    pub(crate) now_ms: u64,
}

/// How a command at the head ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ran {
    /// It was answered.
    Done,
    /// It did nothing: something that it needs is not in memory. To be run again when that has been loaded.
    Cold,
    /// It did nothing: its fragment's gate is shut. To be routed again.
    Shut,
}

/// Runs a command that needs the connection alone.
pub(crate) fn alone(session: &mut Session, request: &Request<'_>, out: &mut Vec<u8>) {
    let _ = answer(session, request, out, |call| match request.command.run {
        Run::Session(run) => run(call),
        _ => Err(CommandError::Arity(request.command.name.to_owned())), // a container without a subcommand
    });
}

/// Runs a command at the head and commits what it wrote. `is_owner` was asked under the lock that `keys` holds.
pub(crate) fn on_head<K: Keyspace>(session: &mut Session, request: &Request<'_>, keys: &mut K, is_owner: bool, out: &mut Vec<u8>) -> Ran {
    let Run::Keys(run) = request.command.run else { unreachable!("the caller looked at the command") };
    let is_write = request.command.access == Access::Write;
    answer(session, request, out, |call| {
        admit(call.session, request.command, is_owner)?;
        request.command.keys.of(request.args).try_for_each(check_key)?;
        let done = run(call, keys);
        match (&done, is_write) {
            (_, false) => return done,
            (Ok(()), true) => keys.commit(),
            (Err(_), true) => keys.abort(),
        }
        call.session.last_write = call.session.last_write.max(keys.seen());
        done.map_err(as_write)
    })
}

/// Notes the keys of a command that is not run yet, so that what it needs is loaded together with what is needed before it.
pub(crate) fn note_keys<K: Keyspace>(command: &Command, args: &[&[u8]], keys: &mut K) {
    command.keys.of(args).for_each(|key| keys.note(key));
}

/// Runs a command on a snapshot.
pub(crate) fn on_cut(session: &mut Session, request: &Request<'_>, view: &View<'_>, out: &mut Vec<u8>) {
    let Run::Published(run) = request.command.run else { unreachable!("the caller looked at the command") };
    let is_owner = session.cluster.picture.is_some() || session.shared.node.is_owner();
    let _ = answer(session, request, out, |call| {
        admit(call.session, request.command, is_owner)?;
        run(call, view)
    });
}

/// Replies with an error that was found before the command ran.
pub(crate) fn refuse(session: &Session, error: &CommandError, out: &mut Vec<u8>) {
    session.shared.stats.errors.fetch_add(1, Ordering::Relaxed); // not only by the connections' thread
    Reply::new(out, session.protocol).error(&error.to_string());
}

fn answer(session: &mut Session, request: &Request<'_>, out: &mut Vec<u8>, run: impl FnOnce(&mut Call<'_>) -> Done) -> Ran {
    let (start, protocol) = (out.len(), session.protocol);
    let found = session.shared.stats.found();
    let mut call = Call { args: request.args, session, reply: Reply::new(out, protocol), now_ms: request.now_ms };
    let Err(error) = run(&mut call) else { return Ran::Done };
    call.reply.truncate(start);
    call.session.splices.truncate(start);
    if error.is_cold() || error.is_shut() {
        session.shared.stats.set_found(found); // it will count what it finds again
        return if error.is_cold() { Ran::Cold } else { Ran::Shut };
    }
    refuse(session, &told(session, error), out);
    Ran::Done
}

/// In a cluster a value that was arriving is given up by a cutover: the client sends its command again.
fn told(session: &Session, error: CommandError) -> CommandError {
    match error {
        CommandError::NotRead(below) | CommandError::NotWritten(below) if below.is_upload_ended() && session.cluster.picture.is_some() => {
            CommandError::TryAgain("The slot changed hands while the value was arriving")
        }
        other => other,
    }
}

/// A standby answers reads to those who said that they accept them, and never a write.
fn admit(session: &Session, command: &Command, is_owner: bool) -> Done {
    match command.access {
        _ if is_owner => Ok(()),
        Access::None => Ok(()),
        Access::Read if session.is_readonly => Ok(()),
        Access::Read => Err(CommandError::Standby(session.shared.node.owner_address())),
        Access::Write => Err(CommandError::ReadOnly),
    }
}

fn as_write(error: CommandError) -> CommandError {
    match error {
        CommandError::NotRead(error) => CommandError::NotWritten(error),
        other => other,
    }
}
