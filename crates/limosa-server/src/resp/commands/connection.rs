//! The connection itself: greeting, database, mode, end.

use super::super::call::{Call, Done, is};
use super::super::error::CommandError;
use super::super::number::{parse_i64, push_u64};
use super::super::reply::Protocol;
use super::super::session::Session;
use super::client::set_name;
use super::cluster;

/// The version of Redis whose commands and words are followed: clients choose features by it.
pub(super) const REDIS_VERSION: &str = "7.0.15";

pub(super) fn ping(call: &mut Call<'_>) -> Done {
    match call.args {
        [_] => call.reply.simple("PONG"),
        [_, message] => call.reply.bulk(message),
        _ => return Err(CommandError::Arity("ping".to_owned())),
    }
    Ok(())
}

pub(super) fn echo(call: &mut Call<'_>) -> Done {
    call.reply.bulk(call.args[1]);
    Ok(())
}

pub(super) fn select(call: &mut Call<'_>) -> Done {
    if call.int(1)? != 0 {
        let is_clustered = call.session.cluster.picture.is_some();
        return Err(if is_clustered { CommandError::text("ERR SELECT is not allowed in cluster mode") } else { CommandError::Database });
    }
    call.reply.ok();
    Ok(())
}

pub(super) fn quit(call: &mut Call<'_>) -> Done {
    call.session.is_closing = true;
    call.reply.ok();
    Ok(())
}

pub(super) fn reset(call: &mut Call<'_>) -> Done {
    call.session.reset();
    call.reply.simple("RESET");
    Ok(())
}

/// Slots change hands at once, and a node that is about to own one lets requests wait: nobody is ever sent here with -ASK.
pub(super) fn asking(call: &mut Call<'_>) -> Done {
    call.session.cluster.picture()?;
    call.reply.ok();
    Ok(())
}

pub(super) fn readonly(call: &mut Call<'_>) -> Done {
    call.session.is_readonly = true;
    call.reply.ok();
    Ok(())
}

pub(super) fn readwrite(call: &mut Call<'_>) -> Done {
    call.session.is_readonly = false;
    call.reply.ok();
    Ok(())
}

pub(super) fn time(call: &mut Call<'_>) -> Done {
    let now_us = u64::try_from(call.session.shared.now_us()).expect("the clock is before the year 292 million");
    call.reply.array(2);
    for part in [now_us / 1_000_000, now_us % 1_000_000] {
        let mut text = Vec::new();
        push_u64(&mut text, part);
        call.reply.bulk(&text);
    }
    Ok(())
}

pub(super) fn auth(call: &mut Call<'_>) -> Done {
    match call.args {
        [_, _] => Err(CommandError::text(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        )),
        [_, user, _] => {
            check_user(user)?;
            call.reply.ok();
            Ok(())
        }
        _ => Err(CommandError::Syntax),
    }
}

/// There is one user, `default`, without a password: it is let in with any, as in a Redis without users.
fn check_user(user: &[u8]) -> Done {
    if user == b"default" { Ok(()) } else { Err(CommandError::text("WRONGPASS invalid username-password pair or user is disabled.")) }
}

pub(super) fn hello(call: &mut Call<'_>) -> Done {
    let mut protocol = None;
    if let Some(version) = call.args.get(1) {
        protocol = Some(match parse_i64(version) {
            None => return Err(CommandError::text("ERR Protocol version is not an integer or out of range")),
            Some(2) => Protocol::Two,
            Some(3) => Protocol::Three,
            Some(_) => return Err(CommandError::text("NOPROTO unsupported protocol version")),
        });
    }
    let mut rest = call.args.get(2..).unwrap_or_default();
    let mut name = None;
    while let [option, after @ ..] = rest {
        rest = match after {
            [user, _, after @ ..] if is(option, "AUTH") => {
                check_user(user)?;
                after
            }
            [wanted, after @ ..] if is(option, "SETNAME") => {
                name = Some(*wanted);
                after
            }
            _ => {
                let option = super::super::call::excerpt(option, 128);
                return Err(CommandError::text(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        };
    }
    if let Some(name) = name {
        set_name(call, name)?;
    }
    if let Some(protocol) = protocol {
        call.session.protocol = protocol;
        call.session.facts.set_protocol(protocol);
        call.reply.protocol = protocol;
    }
    greet(call);
    Ok(())
}

fn greet(call: &mut Call<'_>) {
    let id = i64::try_from(call.session.facts.id).expect("ids are counted from 1");
    let (protocol, role) = (call.session.protocol, role(call.session));
    let mode = if call.session.cluster.picture.is_some() { "cluster" } else { "standalone" };
    let reply = &mut call.reply;
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    for (field, value) in [("proto", protocol.number()), ("id", id)] {
        reply.bulk(field.as_bytes());
        reply.int(value);
    }
    for (field, value) in [("mode", mode), ("role", role)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

/// In the words of Redis: clients look for these.
pub(super) fn role(session: &Session) -> &'static str {
    match &session.cluster.picture {
        Some(picture) => cluster::role(picture, picture.my_index()),
        None if session.shared.node.is_owner() => "master",
        None => "replica",
    }
}
