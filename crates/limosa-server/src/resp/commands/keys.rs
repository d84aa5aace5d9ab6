//! Keys whatever their value: deleting, asking for them, and everything at once.

use super::super::call::{Call, Done, is};
use super::super::error::CommandError;
use super::super::keyspace::Keyspace;
use super::super::number::parse_i64;

pub(super) fn del(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let mut deleted = 0;
    for key in &call.args[1..] {
        deleted += u64::from(keys.delete(key, call.now_ms)?);
    }
    call.reply.count(deleted);
    Ok(())
}

/// EXISTS and TOUCH: how many of the keys are there, each mention counted.
pub(super) fn exists(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let mut found = 0;
    for key in &call.args[1..] {
        found += u64::from(keys.stat(key, call.now_ms)?.is_some());
    }
    call.reply.count(found);
    Ok(())
}

pub(super) fn type_of(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let is_there = keys.stat(call.args[1], call.now_ms)?.is_some();
    call.reply.simple(if is_there { "string" } else { "none" });
    Ok(())
}

/// FLUSHDB and FLUSHALL. One commit with a range delete on each fragment, so ASYNC and SYNC are the same. A node of a cluster clears what it
/// serves: clients send it to every owner.
pub(super) fn flush(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    match call.args[1..] {
        [] => {}
        [mode] if is(mode, "ASYNC") || is(mode, "SYNC") => {}
        _ => return Err(CommandError::Syntax),
    }
    match &call.session.cluster.picture {
        None => keys.clear()?,
        Some(picture) => picture.served().try_for_each(|slots| keys.clear_slots(slots))?,
    }
    call.reply.ok();
    Ok(())
}

/// As Redis names the encodings of strings; longest embedded string as there.
const EMBEDDED_BYTES_MAX: usize = 44;

pub(super) fn object_encoding(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    match keys.get(call.args[2], call.now_ms)? {
        None => call.reply.null(),
        Some(value) if parse_i64(&value.bytes).is_some() => call.reply.bulk(b"int"),
        Some(value) if value.bytes.len() <= EMBEDDED_BYTES_MAX => call.reply.bulk(b"embstr"),
        Some(_) => call.reply.bulk(b"raw"),
    }
    Ok(())
}
