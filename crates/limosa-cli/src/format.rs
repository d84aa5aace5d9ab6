//! Numbers as people read them.

/// Bytes with a binary unit: `512 B`, `1.5 KiB`, `104.0 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = UNITS.into_iter().find(|(_, shift)| count >> shift > 0);
    unit.map_or_else(|| format!("{count} B"), |(name, shift)| format!("{:.1} {name}", count as f64 / (1u64 << shift) as f64))
}

/// A count with separators: `1,204,000`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Seconds with the two largest units that matter: `0.25 s`, `12 s`, `1 m 2 s`, `3 h 5 m`, `2 d 4 h`.
pub(crate) fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "-".to_owned();
    }
    if seconds < 10.0 {
        return format!("{seconds:.2} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} m {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} m", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// The word for one or several: `1 entry`, `2 entries`.
pub(crate) fn several(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

/// A share of a whole, rounded down, so that 100 % is only said of what is complete.
pub(crate) fn percent(done: u64, total: u64) -> u64 {
    if total == 0 { 100 } else { u64::try_from(u128::from(done.min(total)) * 100 / u128::from(total)).expect("at most 100") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([bytes(0), bytes(1_023), bytes(1_536), bytes(104 << 20)], ["0 B", "1023 B", "1.5 KiB", "104.0 MiB"]);
        assert_eq!([count(0), count(999), count(1_000), count(1_204_000)], ["0", "999", "1,000", "1,204,000"]);
        assert_eq!([seconds(0.25), seconds(62.0), seconds(11_100.0), seconds(187_200.0)], ["0.25 s", "1 m 2 s", "3 h 5 m", "2 d 4 h"]);
        assert_eq!([seconds(f64::NAN), seconds(-1.0)], ["-", "-"]);
        assert_eq!([several(1, "entry", "entries"), several(2_000, "entry", "entries")], ["1 entry", "2,000 entries"]);
    }

    #[test]
    fn a_percentage_is_never_above_a_hundred_and_never_rounds_up_to_it() {
        assert_eq!([percent(0, 0), percent(999, 1_000), percent(5, 4), percent(u64::MAX, u64::MAX)], [100, 99, 100, 100]);
    }
}
