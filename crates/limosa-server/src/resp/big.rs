//! Natural numbers of any size, as far as exact decimal conversion needs them.

use std::cmp::Ordering;

/// Digits to base 2^32, lowest first, no zero on top.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Big {
    digits: Vec<u32>,
}

impl From<u64> for Big {
    fn from(value: u64) -> Self {
        Self { digits: vec![low(value), low(value >> 32)] }.trimmed()
    }
}

/// The low 32 bits.
fn low(value: u64) -> u32 {
    u32::try_from(value & 0xFFFF_FFFF).expect("32 bits")
}

/// 10^power as factors that fit a digit.
fn pow10_factors(power: u32) -> impl Iterator<Item = u32> {
    (0..power).step_by(9).map(move |done| 10u32.pow((power - done).min(9)))
}

impl Big {
    fn trimmed(mut self) -> Self {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        self
    }

    pub(super) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// Number of significant bits.
    pub(super) fn bits(&self) -> u32 {
        let len = u32::try_from(self.digits.len()).expect("far below 2^32 digits");
        self.digits.last().map_or(0, |top| len * 32 - top.leading_zeros())
    }

    pub(super) fn low_u64(&self) -> u64 {
        let digit = |index: usize| u64::from(self.digits.get(index).copied().unwrap_or(0));
        digit(1) << 32 | digit(0)
    }

    /// self × factor + addend.
    pub(super) fn mul_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for digit in &mut self.digits {
            let product = u64::from(*digit) * u64::from(factor) + carry;
            *digit = low(product);
            carry = product >> 32;
        }
        if carry > 0 {
            self.digits.push(low(carry));
        }
    }

    pub(super) fn mul_pow10(&mut self, power: u32) {
        pow10_factors(power).for_each(|factor| self.mul_add(factor, 0));
    }

    /// Divides by 10^power, rounding down; whether a remainder was left.
    pub(super) fn div_pow10(&mut self, power: u32) -> bool {
        let mut is_inexact = false;
        for factor in pow10_factors(power) {
            is_inexact |= self.div(factor) != 0;
        }
        is_inexact
    }

    /// Divides, rounding down; returns the remainder.
    fn div(&mut self, divisor: u32) -> u32 {
        let mut rest = 0u64;
        for digit in self.digits.iter_mut().rev() {
            let part = rest << 32 | u64::from(*digit);
            *digit = low(part / u64::from(divisor));
            rest = part % u64::from(divisor);
        }
        *self = std::mem::take(self).trimmed();
        low(rest)
    }

    pub(super) fn shift_left(&mut self, bits: u32) {
        if self.is_zero() {
            return;
        }
        self.mul_add(1 << (bits % 32), 0);
        let whole = (bits / 32) as usize;
        self.digits.splice(0..0, std::iter::repeat_n(0, whole));
    }

    fn bit(&self, index: u32) -> bool {
        self.digits.get((index / 32) as usize).is_some_and(|digit| digit >> (index % 32) & 1 == 1)
    }

    fn shift_right(&self, bits: u32) -> Self {
        let whole = ((bits / 32) as usize).min(self.digits.len());
        let mut shifted = Self { digits: self.digits[whole..].to_vec() };
        shifted.div_pow2(bits % 32);
        shifted
    }

    fn div_pow2(&mut self, bits: u32) {
        if bits > 0 {
            self.div(1 << bits);
        }
    }

    /// The number without its `drop` lowest bits (of which 64 must remain), the highest dropped bit, and whether any other one is set.
    pub(super) fn split(&self, drop: u32) -> (u64, bool, bool) {
        assert!(drop > 0 && self.bits() - drop <= 64, "64 bits are kept");
        (self.shift_right(drop).low_u64(), self.bit(drop - 1), (0..drop - 1).any(|index| self.bit(index)))
    }

    /// Divides by 2^bits, rounding to nearest, ties to even.
    pub(super) fn shift_right_rounded(&self, bits: u32) -> Self {
        if bits == 0 {
            return self.clone();
        }
        let mut shifted = self.shift_right(bits);
        let is_over_half = self.bit(bits - 1) && ((0..bits - 1).any(|index| self.bit(index)) || shifted.bit(0));
        if is_over_half {
            shifted = shifted.plus(&Self::from(1));
        }
        shifted
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let len = self.digits.len().max(other.digits.len()) + 1;
        let mut carry = 0u64;
        let digit = |big: &Self, index| u64::from(big.digits.get(index).copied().unwrap_or(0));
        let digits = (0..len)
            .map(|index| {
                let sum = digit(self, index) + digit(other, index) + carry;
                carry = sum >> 32;
                low(sum)
            })
            .collect();
        Self { digits }.trimmed()
    }

    /// `other` must not be larger.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let mut borrow = 0i64;
        let digits = (0..self.digits.len())
            .map(|index| {
                let difference = i64::from(self.digits[index]) - i64::from(other.digits.get(index).copied().unwrap_or(0)) - borrow;
                borrow = i64::from(difference < 0);
                u32::try_from(difference + (borrow << 32)).expect("0 to 2^32 - 1")
            })
            .collect();
        assert_eq!(borrow, 0, "the smaller number is taken from the larger");
        Self { digits }.trimmed()
    }

    pub(super) fn to_decimal(&self) -> String {
        let mut rest = self.clone();
        let mut groups = Vec::new();
        while !rest.is_zero() {
            groups.push(rest.div(1_000_000_000));
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        groups.iter().rev().for_each(|group| text.push_str(&format!("{group:09}")));
        text
    }
}

impl PartialOrd for Big {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Big {
    fn cmp(&self, other: &Self) -> Ordering {
        self.digits.len().cmp(&other.digits.len()).then_with(|| self.digits.iter().rev().cmp(other.digits.iter().rev()))
    }
}

#[cfg(test)]
mod tests {
    use super::Big;

    #[test]
    fn arithmetic_agrees_with_128_bits() {
        let values: [u64; 5] = [1, 7, 0xFFFF_FFFF, 0x1_0000_0000, u64::MAX];
        for a in values {
            for b in values {
                let (big_a, big_b) = (Big::from(a), Big::from(b));
                assert_eq!(big_a.plus(&big_b).to_decimal(), (u128::from(a) + u128::from(b)).to_string());
                if a >= b {
                    assert_eq!(big_a.minus(&big_b).to_decimal(), (a - b).to_string());
                }
                assert_eq!(big_a.cmp(&big_b), a.cmp(&b));
            }
            let mut shifted = Big::from(a);
            shifted.shift_left(40);
            assert_eq!(shifted.to_decimal(), (u128::from(a) << 40).to_string());
            assert_eq!(shifted.shift_right_rounded(40), Big::from(a));
        }
    }

    #[test]
    fn halves_are_rounded_to_even() {
        for (value, expected) in [(2, 1), (3, 2), (5, 2), (6, 3), (7, 4)] {
            assert_eq!(Big::from(value).shift_right_rounded(1), Big::from(expected), "{value}");
        }
    }
}
