//! Measured values by metric, one for each round, and their middle and spread.

use std::collections::BTreeMap;

/// What a case measured so far.
#[derive(Default)]
pub(super) struct Samples(BTreeMap<String, Vec<f64>>);

impl Samples {
    /// Adds one round's value.
    pub(super) fn add(&mut self, metric: impl Into<String>, value: f64) {
        self.0.entry(metric.into()).or_default().push(value);
    }

    /// The values of a metric; empty where nothing was measured.
    pub(super) fn of(&self, metric: &str) -> &[f64] {
        self.0.get(metric).map_or(&[], Vec::as_slice)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.0.iter().map(|(metric, values)| (metric.as_str(), values.as_slice()))
    }
}

/// The middle value; of an even number the mean of the two middle ones. NaN of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// (greatest − least) / median; zero of one value.
pub(super) fn spread(values: &[f64]) -> f64 {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = median(values);
    if greatest == least || middle == 0.0 { 0.0 } else { (greatest - least) / middle.abs() }
}

/// A number as people read it: whole above a thousand, else three decimals.
pub(super) fn number(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_is_relative_to_it() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!((spread(&[1.0, 2.0, 3.0]) - 1.0).abs() < 1e-9);
        assert!(spread(&[7.0]).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }
}
