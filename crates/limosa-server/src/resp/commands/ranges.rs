//! Values as bytes: length, pieces, appending and overwriting.

use limosa_core::Expiry;

use super::super::call::{Call, Done, check_value_len};
use super::super::error::CommandError;
use super::super::keyspace::Keyspace;

pub(super) fn strlen(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let bytes = keys.stat(call.args[1], call.now_ms)?.map_or(0, |stat| stat.bytes);
    call.reply.count(bytes);
    Ok(())
}

pub(super) fn append(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let (mut bytes, expiry) = take(call, keys)?;
    check_value_len(bytes.len() + call.args[2].len())?;
    bytes.extend_from_slice(call.args[2]);
    keys.set(call.args[1], &bytes, expiry)?;
    call.reply.count(bytes.len() as u64);
    Ok(())
}

/// A copy of the value to change, and its deadline.
fn take(call: &Call<'_>, keys: &mut dyn Keyspace) -> Result<(Vec<u8>, Expiry), CommandError> {
    let value = keys.get(call.args[1], call.now_ms)?;
    Ok(value.map_or((Vec::new(), Expiry::NEVER), |value| (value.bytes.into_owned(), value.expiry)))
}

pub(super) fn getrange(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let (start, end) = (call.int(2)?, call.int(3)?);
    match keys.get(call.args[1], call.now_ms)? {
        Some(value) => call.reply.bulk(piece(&value.bytes, start, end)),
        None => call.reply.bulk(b""),
    }
    Ok(())
}

/// `start` to `end` inclusive; negative positions count from the end.
fn piece(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let len = bytes.len();
    let position = |at: i64| {
        let distance = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
        if at < 0 { len.saturating_sub(distance) } else { distance }
    };
    let (start, behind) = (position(start), position(end).saturating_add(1).min(len));
    bytes.get(start..behind).unwrap_or_default()
}

pub(super) fn setrange(call: &mut Call<'_>, keys: &mut dyn Keyspace) -> Done {
    let offset = usize::try_from(call.int(2)?).map_err(|_| CommandError::Offset)?;
    let piece = call.args[3];
    if piece.is_empty() {
        return strlen(call, keys);
    }
    let end = offset.checked_add(piece.len()).ok_or(CommandError::ValueTooLong)?;
    check_value_len(end)?;
    let (mut bytes, expiry) = take(call, keys)?;
    bytes.resize(bytes.len().max(end), 0);
    bytes[offset..end].copy_from_slice(piece);
    keys.set(call.args[1], &bytes, expiry)?;
    call.reply.count(bytes.len() as u64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::piece;

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
