//! Integers as the Redis protocol writes them: parsed strictly, printed without an allocation.

/// Reads a decimal `i64`. As Redis: no sign but `-`, no leading zeros, no blanks, no `-0`, nothing behind the digits.
pub(crate) fn parse_i64(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, bytes),
    };
    if digits == b"0" && !negative {
        return Some(0);
    }
    let value = parse_digits(digits)?;
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// Digits that start with 1 to 9.
fn parse_digits(digits: &[u8]) -> Option<u64> {
    if !matches!(digits.first()?, b'1'..=b'9') {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Appends `value` in decimal.
pub(crate) fn push_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_u64(out, value.unsigned_abs());
}

/// Appends `value` in decimal.
pub(crate) fn push_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).expect("a remainder below 10");
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_strictly_as_redis_reads_them() {
        let cases: [(&[u8], Option<i64>); 15] = [
            (b"0", Some(0)),
            (b"7", Some(7)),
            (b"-1", Some(-1)),
            (b"9223372036854775807", Some(i64::MAX)),
            (b"-9223372036854775808", Some(i64::MIN)),
            (b"9223372036854775808", None),
            (b"-9223372036854775809", None),
            (b"", None),
            (b"-", None),
            (b"-0", None),
            (b"+1", None),
            (b"01", None),
            (b" 1", None),
            (b"1x", None),
            (b"99999999999999999999999", None),
        ];
        for (bytes, value) in cases {
            assert_eq!(parse_i64(bytes), value, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn printed_integers_are_read_back() {
        for value in [0, 1, -1, 10, 99, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            push_i64(&mut out, value);
            assert_eq!(parse_i64(&out), Some(value));
        }
    }
}
