//! Values as bytes: length, pieces, appending and overwriting.

use std::ops::Range;

use super::super::call::{Call, Done, NewValue, check_value_len};
use super::super::error::CommandError;
use super::super::keyspace::{Keyspace, Looked};
use super::super::stream_out::STREAMED_BYTES_MIN;

pub(super) fn strlen(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let bytes = keys.stat(call.args[1], call.now_ms)?.map_or(0, |stat| stat.bytes);
    call.reply.count(bytes);
    Ok(())
}

pub(super) fn append(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let old = keys.stat(call.args[1], call.now_ms)?.map_or(0, |stat| stat.bytes);
    let value = call.value(2)?;
    check_value_len(usize::try_from(old).unwrap_or(usize::MAX).saturating_add(value.len()))?;
    let bytes = match value {
        NewValue::Bytes(bytes) => keys.append(call.args[1], bytes, call.now_ms)?,
        NewValue::Arrived { id, .. } => joined(call, keys, id)?,
    };
    call.reply.count(bytes);
    Ok(())
}

/// Sets what was joined to the old value before this command's turn.
fn joined(call: &Call<'_>, keys: &mut dyn Keyspace, id: u64) -> Result<u64, CommandError> {
    keys.set_joined(call.args[1], id, call.now_ms)?.ok_or_else(|| CommandError::text("TRYAGAIN The key's value changed meanwhile"))
}

pub(super) fn getrange(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let (start, end) = (call.int(2)?, call.int(3)?);
    let len = keys.stat(call.args[1], call.now_ms)?.map_or(0, |stat| stat.bytes);
    match keys.look(call.args[1], stretch(len, start, end), call.now_ms, STREAMED_BYTES_MIN)? {
        Some(Looked::Whole(value)) => call.reply.bulk(&value.bytes),
        Some(Looked::Parts(value, _)) => call.stream(value),
        None => call.reply.bulk(b""),
    }
    Ok(())
}

/// `start` to `end` inclusive of `len` bytes; negative positions count from the end.
fn stretch(len: u64, start: i64, end: i64) -> Range<u64> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let position = |at: i64| if at < 0 { len.saturating_sub(at.unsigned_abs()) } else { at.unsigned_abs() };
    let (start, behind) = (position(start), position(end).saturating_add(1).min(len));
    if start < behind { start..behind } else { 0..0 }
}

pub(super) fn setrange(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let offset = u64::try_from(call.int(2)?).map_err(|_| CommandError::Offset)?;
    let value = call.value(3)?;
    if value.len() == 0 {
        return strlen(call, keys);
    }
    let end = usize::try_from(offset).unwrap_or(usize::MAX).checked_add(value.len()).ok_or(CommandError::ValueTooLong)?;
    check_value_len(end)?;
    let bytes = match value {
        NewValue::Bytes(bytes) => keys.set_range(call.args[1], offset, bytes, call.now_ms)?,
        NewValue::Arrived { id, .. } => joined(call, keys, id)?,
    };
    call.reply.count(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::stretch;

    fn piece(bytes: &[u8], start: i64, end: i64) -> &[u8] {
        let stretch = stretch(bytes.len() as u64, start, end);
        let index = |at: u64| usize::try_from(at).expect("inside the bytes");
        &bytes[index(stretch.start)..index(stretch.end)]
    }

    #[test]
    fn pieces_are_cut_as_redis_cuts_them() {
        let cases =
            [(0, 3, "This"), (-3, -1, "ing"), (0, -1, "This is a string"), (10, 100, "string"), (5, 3, ""), (-1, -5, ""), (100, 200, "")];
        for (start, end, expected) in cases {
            assert_eq!(piece(b"This is a string", start, end), expected.as_bytes(), "{start} {end}");
        }
        assert_eq!(piece(b"", 0, -1), b"");
        assert_eq!(piece(b"abc", i64::MIN, i64::MAX), b"abc");
        assert_eq!(piece(b"abc", 0, -100), b"a");
    }
}
