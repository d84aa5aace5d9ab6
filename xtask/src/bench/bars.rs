//! The bars, and whether a measured value holds.

use std::fs;

use serde::{Deserialize, Serialize};

use super::samples::{Samples, median, number, spread};
use crate::workspace::root;

const FILE: &str = "bench/bars.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    bar: Vec<Bar>,
}

/// One bar.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bar {
    pub(super) case: String,
    pub(super) metric: String,
    pub(super) unit: String,
    max: Option<f64>,
    min: Option<f64>,
    pub(super) says: String,
}

/// One measured bar, as it is printed and as it stands in the JSON file.
#[derive(Serialize)]
pub(super) struct Row {
    case: String,
    metric: String,
    /// Median of the rounds; null where nothing could be measured.
    value: Option<f64>,
    unit: String,
    bar: String,
    holds: bool,
    full_size: bool,
    rounds: usize,
    spread: Option<f64>,
}

/// Reads and checks the bars.
pub(super) fn read() -> Result<Vec<Bar>, String> {
    let path = root().join(FILE);
    let text = fs::read_to_string(&path).map_err(|error| format!("can't read {}: {error}", path.display()))?;
    let file: File = toml::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
    match file.bar.iter().find(|bar| bar.max.is_some() == bar.min.is_some()) {
        Some(bar) => Err(format!("{FILE}: {} {} needs either max or min", bar.case, bar.metric)),
        None => Ok(file.bar),
    }
}

impl Bar {
    /// The bar in words.
    pub(super) fn limit(&self) -> String {
        let (sign, bound) = self.max.map_or(("≥", self.min.unwrap_or(f64::NAN)), |max| ("≤", max));
        format!("{sign} {bound}")
    }

    /// Holds the median against the bar. What was not measured does not hold.
    pub(super) fn judge(&self, samples: &Samples, full_size: bool) -> Row {
        let values = samples.of(&self.metric);
        let value = Some(median(values)).filter(|value| value.is_finite());
        let holds = value.is_some_and(|value| self.max.is_none_or(|max| value <= max) && self.min.is_none_or(|min| value >= min));
        Row {
            case: self.case.clone(),
            metric: self.metric.clone(),
            value,
            unit: self.unit.clone(),
            bar: self.limit(),
            holds,
            full_size,
            rounds: values.len(),
            spread: value.map(|_| spread(values)),
        }
    }
}

/// One line for each row.
pub(super) fn print(rows: &[Row]) {
    for row in rows {
        let value = row.value.map_or_else(|| "not measured".into(), number);
        let size = if row.full_size { "full" } else { "quick" };
        let spread = row.spread.map_or_else(String::new, |spread| format!(" ±{:.0} %", 50.0 * spread));
        let holds = if row.holds { "holds" } else { "MISSES" };
        println!(
            "  {holds:<6} {:<12} {:<30} {value:>13} {:<6} {:<10} {size}, {} rounds{spread}",
            row.case, row.metric, row.unit, row.bar, row.rounds
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cases::CASES;

    #[test]
    fn every_bar_belongs_to_a_case_and_every_case_has_a_bar() {
        let bars = read().expect("the file in the repository is valid");
        assert!(bars.iter().all(|bar| CASES.iter().any(|case| case.name == bar.case)));
        let mut compared = CASES.iter().filter(|case| case.name != "store-peers"); // what others cost is no bar of ours
        assert!(compared.all(|case| bars.iter().any(|bar| case.name == bar.case)));
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let bar = Bar { case: "c".into(), metric: "m".into(), unit: "ratio".into(), max: Some(1.0), min: None, says: String::new() };
        let mut samples = Samples::default();
        assert!(!bar.judge(&samples, true).holds);
        samples.add("m", 1.0);
        assert!(bar.judge(&samples, true).holds);
        samples.add("m", 1.5);
        let row = bar.judge(&samples, true);
        assert!(!row.holds && row.rounds == 2);
        samples.add("m", f64::NAN);
        samples.add("m", f64::NAN);
        samples.add("m", f64::NAN);
        assert!(!bar.judge(&samples, true).holds, "a value that is no number");
    }
}
