//! Numbers as Redis' INCRBYFLOAT has them: the 80-bit extended format of x86 (64-bit significand), printed with 17 decimals less
//! trailing zeros.
//!
//! The arithmetic is done here with integers, so that the same command gives the same bytes on every machine: read, sum and printed
//! form are each rounded to nearest, ties to even, as the x87 unit and the C library do. Not read, though C does: hexadecimal floats.
//!
//! # Not here
//! - Numbers below 2^-16382 in size: they are taken as out of range, as the C library reports them.

use std::cmp::Ordering;

use super::big::Big;

const PRECISION: u32 = 64;
/// Exponent of the first number that the format can't hold.
const EXPONENT_MAX: i32 = 16384;
const EXPONENT_MIN: i32 = -16382;
/// Longest text that is read.
const TEXT_BYTES_MAX: usize = 5119;
const DECIMALS: u32 = 17;

/// A number, or what is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LongDouble {
    /// ± significand × 2^exponent; the significand's top bit is set unless the number is zero.
    Finite {
        /// Sign.
        negative: bool,
        /// 64 bits.
        significand: u64,
        /// Of the significand's lowest bit.
        exponent: i32,
    },
    /// An infinity, or a sum of two that cancel out: no result for a client.
    NotFinite,
}

impl LongDouble {
    /// Nothing.
    pub(crate) const ZERO: Self = Self::Finite { negative: false, significand: 0, exponent: 0 };

    /// Reads a decimal: digits with or without a point and an exponent, or an infinity. No blanks.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, rest) = match text[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::NotFinite);
        }
        let (digits, exponent) = decimal(rest)?;
        Self::from_decimal(negative, &digits, exponent)
    }

    /// `digits` × 10^`exponent`; `None` when it is beyond the format.
    fn from_decimal(negative: bool, digits: &[u8], exponent: i32) -> Option<Self> {
        let mut big = Big::default();
        for group in digits.chunks(9) {
            let power = u32::try_from(group.len()).expect("at most 9");
            big.mul_add(10u32.pow(power), group.iter().fold(0, |value, digit| value * 10 + u32::from(*digit)));
        }
        if big.is_zero() {
            return Some(Self::Finite { negative, significand: 0, exponent: 0 });
        }
        // Beyond these bounds the number is out of range whatever its digits: at most 5119 of them.
        if !(-11_000..=6000).contains(&exponent) {
            return None;
        }
        let mut shift = 0;
        let mut is_inexact = false;
        if exponent >= 0 {
            big.mul_pow10(exponent.unsigned_abs());
        } else {
            // Room so that the quotient keeps more than 64 bits: 10^n is below 2^(4n).
            shift = 4 * exponent.unsigned_abs() + PRECISION + 8;
            big.shift_left(shift);
            is_inexact = big.div_pow10(exponent.unsigned_abs());
        }
        let lowest = -i32::try_from(shift).expect("bounded above");
        Self::round(negative, &big, lowest, is_inexact).in_range()
    }

    /// The nearest number to `big` × 2^`exponent`; `is_inexact`: the true value is a little more.
    fn round(negative: bool, big: &Big, exponent: i32, is_inexact: bool) -> Self {
        let bits = big.bits();
        if bits <= PRECISION {
            assert!(!is_inexact, "an inexact number keeps more bits than are kept here");
            let significand = big.low_u64();
            let up = significand.leading_zeros();
            let exponent = exponent - i32::try_from(up).expect("at most 64");
            return Self::Finite { negative, significand: if significand == 0 { 0 } else { significand << up }, exponent };
        }
        let drop = bits - PRECISION;
        let (kept, half, rest) = big.split(drop);
        let mut exponent = exponent + i32::try_from(drop).expect("a number has at most 40,000 bits");
        let is_up = half && (rest || is_inexact || kept & 1 == 1);
        let significand = match kept.checked_add(u64::from(is_up)) {
            Some(significand) => significand,
            None => {
                exponent += 1;
                1 << (PRECISION - 1)
            }
        };
        Self::Finite { negative, significand, exponent }
    }

    fn in_range(self) -> Option<Self> {
        match self {
            Self::Finite { significand, exponent, .. } if significand != 0 => {
                let top = exponent + i32::try_from(PRECISION).expect("64");
                (EXPONENT_MIN < top && top <= EXPONENT_MAX).then_some(self)
            }
            _ => Some(self),
        }
    }

    /// The nearest number to the sum.
    pub(crate) fn add(self, other: Self) -> Self {
        let (Self::Finite { negative, significand, exponent }, Self::Finite { negative: n2, significand: s2, exponent: e2 }) =
            (self, other)
        else {
            return Self::NotFinite;
        };
        if significand == 0 || s2 == 0 {
            return if significand == 0 { other } else { self };
        }
        let lowest = exponent.min(e2);
        let widen = |significand, exponent: i32| {
            let mut big = Big::from(significand);
            big.shift_left(exponent.abs_diff(lowest));
            big
        };
        let (a, b) = (widen(significand, exponent), widen(s2, e2));
        let (negative, sum) = match (negative == n2, a.cmp(&b)) {
            (true, _) => (negative, a.plus(&b)),
            (false, Ordering::Equal) => return Self::ZERO,
            (false, Ordering::Greater) => (negative, a.minus(&b)),
            (false, Ordering::Less) => (n2, b.minus(&a)),
        };
        Self::round(negative, &sum, lowest, false).in_range().unwrap_or(Self::NotFinite)
    }

    /// 17 decimals, then without trailing zeros; `None` for what is no number.
    pub(crate) fn format(self) -> Option<String> {
        let Self::Finite { negative, significand, exponent } = self else { return None };
        let digits = scaled_digits(significand, exponent);
        let point = digits.len() - DECIMALS as usize;
        let mut text = format!("{}{}.{}", if negative { "-" } else { "" }, &digits[..point], &digits[point..]);
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        Some(if text == "-0" { "0".to_owned() } else { text })
    }
}

/// Decimal digits of the number × 10^17, rounded; at least 18 of them.
fn scaled_digits(significand: u64, exponent: i32) -> String {
    let mut big = Big::from(significand);
    big.mul_pow10(DECIMALS);
    if exponent >= 0 {
        big.shift_left(exponent.unsigned_abs());
    } else {
        big = big.shift_right_rounded(exponent.unsigned_abs());
    }
    format!("{:0>18}", big.to_decimal())
}

/// Digits of a decimal and the power of ten of the last one.
fn decimal(text: &[u8]) -> Option<(Vec<u8>, i32)> {
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        None => (text, 0),
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        None => (mantissa, &[][..]),
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
    };
    let digits: Vec<u8> = whole.iter().chain(fraction).map(|byte| byte.is_ascii_digit().then(|| byte - b'0')).collect::<Option<_>>()?;
    let places = i32::try_from(fraction.len()).ok()?;
    (!digits.is_empty()).then_some((digits, exponent.checked_sub(places)?))
}

/// A signed integer of at least one digit; one beyond ±99999 is taken as that, which no number of this length brings back into range.
fn exponent(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text.split_first()? {
        (b'-', digits) => (-1, digits),
        (b'+', digits) => (1, digits),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(sign * digits.iter().fold(0i32, |value, digit| (value * 10 + i32::from(digit - b'0')).min(99_999)))
}

#[cfg(test)]
mod tests {
    use super::LongDouble;

    fn sum(a: &str, b: &str) -> Option<String> {
        LongDouble::parse(a.as_bytes())?.add(LongDouble::parse(b.as_bytes())?).format()
    }

    #[test]
    fn sums_are_what_redis_prints() {
        let cases = [
            ("10.50", "0.1", "10.6"),
            ("10.6", "-5", "5.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("0.1", "0.2", "0.3"),
            ("3", "1", "4"),
            ("0", "-0", "0"),
            ("1", "-1", "0"),
            ("-1.5", "0.25", "-1.25"),
            ("1e-18", "0", "0"),
            ("100000000000000000", "0.1", "100000000000000000.1015625"),
            ("0.123456789012345678", "0", "0.12345678901234568"),
            (".5", "5.", "5.5"),
        ];
        for (a, b, expected) in cases {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", " 1", "1 ", "a", "1e", "1e+", ".", "-", "1.2.3", "1e5000", "nan", "1x"] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("1e4932", "1e4932"), None);
    }
}
