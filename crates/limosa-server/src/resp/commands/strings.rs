//! Whole values: GET and SET with all their options, their relatives, and the commands over several keys.

use limosa_core::Expiry;

use super::super::call::{Call, Done, check_value_len, is};
use super::super::error::CommandError;
use super::super::keyspace::{Keyspace, Looked};
use super::super::number::parse_i64;
use super::super::shared::Stats;
use super::super::stream_out::STREAMED_BYTES_MIN;
use super::deadline::{Deadline, Unit};

pub(super) fn get(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    reply_value(call, keys, call.args[1])?;
    Ok(())
}

/// Replies with the value of `key` or null, and counts hit or miss.
fn reply_value(call: &mut Call<'_>, keys: &mut dyn Keyspace, key: &[u8]) -> Result<Option<Expiry>, CommandError> {
    let value = keys.look(key, 0..u64::MAX, call.now_ms, STREAMED_BYTES_MIN)?;
    let stats = &call.session.shared.stats;
    match value {
        Some(Looked::Whole(value)) => {
            Stats::add(&stats.hits, 1);
            call.reply.bulk(&value.bytes);
            Ok(Some(value.expiry))
        }
        Some(Looked::Parts(value, expiry)) => {
            Stats::add(&stats.hits, 1);
            call.stream(value);
            Ok(Some(expiry))
        }
        None => {
            Stats::add(&stats.misses, 1);
            call.reply.null();
            Ok(None)
        }
    }
}

/// Options of SET and GETEX.
#[derive(Clone, Copy, Default)]
struct Options<'a> {
    if_absent: bool,
    if_present: bool,
    get: bool,
    keep: bool,
    persist: bool,
    deadline: Option<(Deadline, &'a [u8])>,
}

impl<'a> Options<'a> {
    /// Reads the options from `first` on. Whether an option may stand at all depends on the command.
    fn parse(args: &[&'a [u8]], first: usize, is_set: bool) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut index = first;
        while let Some(&option) = args.get(index) {
            index += 1;
            if is_set && is(option, "NX") && !options.if_present {
                options.if_absent = true;
            } else if is_set && is(option, "XX") && !options.if_absent {
                options.if_present = true;
            } else if is_set && is(option, "GET") {
                options.get = true;
            } else if is_set && is(option, "KEEPTTL") && options.deadline.is_none() {
                options.keep = true;
            } else if !is_set && is(option, "PERSIST") && options.deadline.is_none() {
                options.persist = true;
            } else {
                let deadline = Deadline::option(option).ok_or(CommandError::Syntax)?;
                let value = *args.get(index).ok_or(CommandError::Syntax)?;
                index += 1;
                if options.keep || options.persist || options.deadline.is_some() {
                    return Err(CommandError::Syntax);
                }
                options.deadline = Some((deadline, value));
            }
        }
        Ok(options)
    }

    fn expiry(&self, now_ms: u64, command: &'static str) -> Result<Option<Expiry>, CommandError> {
        let Some((deadline, value)) = self.deadline else { return Ok(None) };
        let value = parse_i64(value).ok_or(CommandError::NotInteger)?;
        deadline.positive(value, now_ms, command).map(Some)
    }
}

pub(super) fn set(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let key = call.args[1];
    if call.args.len() == 3 {
        let value = call.value(2)?;
        check_value_len(value.len())?;
        value.set(keys, key, Expiry::NEVER)?;
        call.reply.ok();
        return Ok(());
    }
    let options = Options::parse(call.args, 3, true)?;
    let expiry = options.expiry(call.now_ms, "set")?;
    check_value_len(call.value(2)?.len())?;
    let old = if options.get {
        reply_value(call, keys, key)?
    } else if options.if_absent || options.if_present || options.keep {
        keys.stat(key, call.now_ms)?.map(|stat| stat.expiry)
    } else {
        None
    };
    if (options.if_absent && old.is_some()) || (options.if_present && old.is_none()) {
        if !options.get {
            call.reply.null();
        }
        return Ok(());
    }
    let kept = if options.keep { old.unwrap_or_default() } else { Expiry::NEVER };
    call.value(2)?.set(keys, key, expiry.unwrap_or(kept))?;
    if !options.get {
        call.reply.ok();
    }
    Ok(())
}

pub(super) fn setnx(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let is_absent = keys.stat(call.args[1], call.now_ms)?.is_none();
    if is_absent {
        call.value(2)?.set(keys, call.args[1], Expiry::NEVER)?;
    }
    call.reply.bool_int(is_absent);
    Ok(())
}

pub(super) fn setex(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    set_with_ttl(call, keys, Unit::Seconds, "setex")
}

pub(super) fn psetex(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    set_with_ttl(call, keys, Unit::Millis, "psetex")
}

fn set_with_ttl(call: &mut Call<'_>, keys: &mut dyn Keyspace, unit: Unit, command: &'static str) -> Done {
    let expiry = Deadline { unit, is_absolute: false }.positive(call.int(2)?, call.now_ms, command)?;
    call.value(3)?.set(keys, call.args[1], expiry)?;
    call.reply.ok();
    Ok(())
}

pub(super) fn getset(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    reply_value(call, keys, call.args[1])?;
    call.value(2)?.set(keys, call.args[1], Expiry::NEVER)
}

pub(super) fn getdel(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    if reply_value(call, keys, call.args[1])?.is_some() {
        keys.delete(call.args[1], call.now_ms)?;
    }
    Ok(())
}

pub(super) fn getex(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let options = Options::parse(call.args, 2, false)?;
    let key = call.args[1];
    if keys.stat(key, call.now_ms)?.is_none() {
        call.reply.null();
        return Ok(());
    }
    let expiry = options.expiry(call.now_ms, "getex")?;
    let old = reply_value(call, keys, key)?;
    match expiry {
        Some(expiry) if expiry.is_past(call.now_ms) => {
            keys.delete(key, call.now_ms)?;
        }
        Some(expiry) => {
            keys.set_expiry(key, expiry, call.now_ms)?;
        }
        None if options.persist && old.is_some_and(|old| old != Expiry::NEVER) => {
            keys.set_expiry(key, Expiry::NEVER, call.now_ms)?;
        }
        None => {}
    }
    Ok(())
}

pub(super) fn mget(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let wanted = &call.args[1..];
    call.reply.array(wanted.len());
    for key in wanted {
        reply_value(call, keys, key)?;
        call.check_reply_len()?;
    }
    Ok(())
}

pub(super) fn mset(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let pairs = pairs(call.args, "mset")?;
    set_pairs(call, pairs, keys)?;
    call.reply.ok();
    Ok(())
}

pub(super) fn msetnx(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let pairs = pairs(call.args, "msetnx")?;
    for pair in pairs {
        if keys.stat(pair[0], call.now_ms)?.is_some() {
            call.reply.int(0);
            return Ok(());
        }
    }
    set_pairs(call, pairs, keys)?;
    call.reply.int(1);
    Ok(())
}

fn pairs<'a, 'b>(args: &'b [&'a [u8]], command: &str) -> Result<&'b [[&'a [u8]; 2]], CommandError> {
    match args[1..].as_chunks::<2>() {
        (pairs, []) => Ok(pairs),
        _ => Err(CommandError::Arity(command.to_owned())),
    }
}

fn set_pairs(call: &Call<'_>, pairs: &[[&[u8]; 2]], keys: &mut dyn Keyspace) -> Done {
    (0..pairs.len()).try_for_each(|pair| call.value(2 * pair + 2)?.set(keys, pairs[pair][0], Expiry::NEVER))
}
