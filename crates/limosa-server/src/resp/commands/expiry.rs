//! Deadlines of keys: setting them under conditions, reading them, taking them away.

use limosa_core::Expiry;

use super::super::call::{Call, Done, excerpt, is};
use super::super::error::CommandError;
use super::super::keyspace::Keyspace;
use super::deadline::{Deadline, Unit};

pub(super) fn expire(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    set_deadline(call, keys, Deadline { unit: Unit::Seconds, is_absolute: false }, "expire")
}

pub(super) fn pexpire(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    set_deadline(call, keys, Deadline { unit: Unit::Millis, is_absolute: false }, "pexpire")
}

pub(super) fn expireat(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    set_deadline(call, keys, Deadline { unit: Unit::Seconds, is_absolute: true }, "expireat")
}

pub(super) fn pexpireat(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    set_deadline(call, keys, Deadline { unit: Unit::Millis, is_absolute: true }, "pexpireat")
}

/// When a new deadline counts, by comparison with the one that is there.
#[derive(Clone, Copy, Default)]
struct Condition {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_sooner: bool,
}

impl Condition {
    fn parse(options: &[&[u8]]) -> Result<Self, CommandError> {
        let mut condition = Self::default();
        for option in options {
            match () {
                () if is(option, "NX") => condition.if_none = true,
                () if is(option, "XX") => condition.if_some = true,
                () if is(option, "GT") => condition.if_later = true,
                () if is(option, "LT") => condition.if_sooner = true,
                () => return Err(CommandError::UnsupportedOption(excerpt(option, 128))),
            }
        }
        if condition.if_none && (condition.if_some || condition.if_later || condition.if_sooner) {
            return Err(CommandError::ExpireNx);
        }
        if condition.if_later && condition.if_sooner {
            return Err(CommandError::ExpireGtLt);
        }
        Ok(condition)
    }

    /// No deadline counts as infinitely late.
    fn holds(self, millis: i64, old: Option<u64>) -> bool {
        let is_later = old.is_some_and(|old| i128::from(millis) > i128::from(old));
        let is_sooner = old.is_none_or(|old| i128::from(millis) < i128::from(old));
        !(self.if_none && old.is_some() || self.if_some && old.is_none() || self.if_later && !is_later || self.if_sooner && !is_sooner)
    }
}

fn set_deadline(call: &mut Call<'_>, keys: &mut dyn Keyspace, deadline: Deadline, command: &'static str) -> Done {
    let key = call.args[1];
    let condition = Condition::parse(&call.args[3..])?;
    let millis = deadline.millis(call.int(2)?, call.now_ms).ok_or(CommandError::ExpireTime(command))?;
    let Some(stat) = keys.stat(key, call.now_ms)? else {
        call.reply.int(0);
        return Ok(());
    };
    if !condition.holds(millis, stat.expiry.deadline()) {
        call.reply.int(0);
        return Ok(());
    }
    match u64::try_from(millis) {
        Ok(millis) if millis > call.now_ms => keys.set_expiry(key, Expiry::at(millis), call.now_ms)?,
        _ => keys.delete(key, call.now_ms)?,
    };
    call.reply.int(1);
    Ok(())
}

pub(super) fn ttl(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let now_ms = call.now_ms;
    reply_deadline(call, keys, |deadline| deadline.saturating_sub(now_ms).saturating_add(500) / 1000)
}

pub(super) fn pttl(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let now_ms = call.now_ms;
    reply_deadline(call, keys, |deadline| deadline.saturating_sub(now_ms))
}

pub(super) fn expiretime(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    reply_deadline(call, keys, |deadline| deadline.saturating_add(500) / 1000)
}

pub(super) fn pexpiretime(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    reply_deadline(call, keys, |deadline| deadline)
}

/// -2 without a key, -1 without a deadline.
fn reply_deadline(call: &mut Call<'_>, keys: &mut dyn Keyspace, show: impl Fn(u64) -> u64) -> Done {
    match keys.stat(call.args[1], call.now_ms)?.map(|stat| stat.expiry.deadline()) {
        None => call.reply.int(-2),
        Some(None) => call.reply.int(-1),
        Some(Some(deadline)) => call.reply.count(show(deadline)),
    }
    Ok(())
}

pub(super) fn persist(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let key = call.args[1];
    let had = keys.stat(key, call.now_ms)?.is_some_and(|stat| stat.expiry != Expiry::NEVER);
    if had {
        keys.set_expiry(key, Expiry::NEVER, call.now_ms)?;
    }
    call.reply.bool_int(had);
    Ok(())
}
