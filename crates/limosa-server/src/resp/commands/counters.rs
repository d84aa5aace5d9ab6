//! Values as numbers: INCR and its relatives.

use limosa_core::Expiry;
use limosa_store::ValueBytes;

use super::super::call::{Call, Done};
use super::super::error::CommandError;
use super::super::keyspace::{Keyspace, Looked, Value};
use super::super::long_double::LongDouble;
use super::super::number::{parse_i64, push_i64};

pub(super) fn incr(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    add(call, keys, 1)
}

pub(super) fn decr(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    add(call, keys, -1)
}

pub(super) fn incrby(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let by = call.int(2)?;
    add(call, keys, by)
}

pub(super) fn decrby(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let by = call.int(2)?.checked_neg().ok_or(CommandError::DecrementOverflow)?;
    add(call, keys, by)
}

fn add(call: &mut Call<'_>, keys: &mut dyn Keyspace, by: i64) -> Done {
    let (old, expiry) = match number_text(call, keys)? {
        None => (0, Expiry::NEVER),
        Some(value) => (parse_i64(&value.bytes).ok_or(CommandError::NotInteger)?, value.expiry),
    };
    let new = old.checked_add(by).ok_or(CommandError::Overflow)?;
    let mut text = Vec::with_capacity(20);
    push_i64(&mut text, new);
    keys.set(call.args[1], &text, expiry)?;
    call.reply.int(new);
    Ok(())
}

pub(super) fn incrbyfloat(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let (old, expiry) = match number_text(call, keys)? {
        None => (LongDouble::ZERO, Expiry::NEVER),
        Some(value) => (LongDouble::parse(&value.bytes).ok_or(CommandError::NotFloat)?, value.expiry),
    };
    let by = LongDouble::parse(call.args[2]).ok_or(CommandError::NotFloat)?;
    let text = old.add(by).format().ok_or(CommandError::NotFinite)?;
    keys.set(call.args[1], text.as_bytes(), expiry)?;
    call.reply.bulk(text.as_bytes());
    Ok(())
}

/// Longer text is no number, as Redis reads one.
const NUMBER_BYTES_MAX: u64 = 5 << 10;

/// The value of the call's key, as far as it could be a number.
fn number_text<'k>(call: &Call<'_>, keys: &'k mut dyn Keyspace) -> Result<Option<Value<'k>>, CommandError> {
    let look = keys.look(call.args[1], 0..NUMBER_BYTES_MAX + 1, call.now_ms, usize::MAX)?;
    Ok(look.map(|look| match look {
        Looked::Whole(value) if value.bytes.len() as u64 <= NUMBER_BYTES_MAX => value,
        Looked::Whole(value) => Value { bytes: ValueBytes::Borrowed(b"too long"), expiry: value.expiry },
        Looked::Parts(_, expiry) => Value { bytes: ValueBytes::Borrowed(b"too long"), expiry },
    }))
}
