//! CLIENT: what a connection says of itself, and what is known of all of them.

use super::super::call::{Call, Done, excerpt, is};
use super::super::error::CommandError;
use super::super::number::parse_i64;

pub(super) fn id(call: &mut Call<'_>) -> Done {
    call.reply.count(call.session.facts.id);
    Ok(())
}

pub(super) fn getname(call: &mut Call<'_>) -> Done {
    let name = call.session.facts.name();
    call.reply.bulk_or_null((!name.is_empty()).then_some(&name));
    Ok(())
}

pub(super) fn setname(call: &mut Call<'_>) -> Done {
    set_name(call, call.args[2])?;
    call.reply.ok();
    Ok(())
}

/// Names stand in lines of CLIENT LIST, separated by blanks.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

pub(super) fn set_name(call: &Call<'_>, name: &[u8]) -> Done {
    if !is_plain(name) {
        return Err(CommandError::text("ERR Client names cannot contain spaces, newlines or special characters."));
    }
    call.session.facts.set_name(name);
    Ok(())
}

pub(super) fn setinfo(call: &mut Call<'_>) -> Done {
    let (attribute, value) = (call.args[2], call.args[3]);
    let (name, set): (_, fn(&super::super::registry::ClientFacts, &[u8])) = match () {
        () if is(attribute, "LIB-NAME") => ("lib-name", |facts, value| facts.set_library(value)),
        () if is(attribute, "LIB-VER") => ("lib-ver", |facts, value| facts.set_library_version(value)),
        () => return Err(CommandError::text(format!("ERR Unrecognized option '{}'", excerpt(attribute, 128)))),
    };
    if !is_plain(value) {
        return Err(CommandError::text(format!("ERR {name} cannot contain spaces, newlines or special characters.")));
    }
    set(&call.session.facts, value);
    call.reply.ok();
    Ok(())
}

pub(super) fn info(call: &mut Call<'_>) -> Done {
    let line = call.session.facts.line(call.now_ms) + "\n";
    call.reply.verbatim(&line);
    Ok(())
}

pub(super) fn list(call: &mut Call<'_>) -> Done {
    let clients = call.session.shared.registry.list();
    let mut wanted_ids = None;
    match call.args[2..] {
        [] => {}
        [option, kind] if is(option, "TYPE") => {
            if !["NORMAL", "MASTER", "REPLICA", "SLAVE", "PUBSUB"].iter().any(|known| is(kind, known)) {
                return Err(CommandError::text(format!("ERR Unknown client type '{}'", excerpt(kind, 128))));
            }
            if !is(kind, "NORMAL") {
                wanted_ids = Some(vec![]);
            }
        }
        [option, ref ids @ ..] if is(option, "ID") && !ids.is_empty() => {
            let ids: Option<Vec<_>> = ids.iter().map(|id| parse_i64(id).filter(|id| *id > 0)).collect();
            wanted_ids = Some(ids.ok_or_else(|| CommandError::text("ERR Invalid client ID"))?);
        }
        _ => return Err(CommandError::Syntax),
    }
    let is_wanted = |id: u64| wanted_ids.as_ref().is_none_or(|ids| ids.iter().any(|wanted| wanted.unsigned_abs() == id));
    let lines: String = clients.iter().filter(|client| is_wanted(client.id)).map(|client| client.line(call.now_ms) + "\n").collect();
    call.reply.verbatim(&lines);
    Ok(())
}

/// NO-EVICT and NO-TOUCH: nothing is evicted, and access times are not kept, so both are what they ask for already.
pub(super) fn on_off(call: &mut Call<'_>) -> Done {
    if !is(call.args[2], "ON") && !is(call.args[2], "OFF") {
        return Err(CommandError::Syntax);
    }
    call.reply.ok();
    Ok(())
}
