//! What clients waited: percentiles of all requests, and the longest wait of each fragment in a window of time.
#![allow(clippy::cast_precision_loss)] // milliseconds as numbers

use std::collections::BTreeMap;
use std::time::Duration;

use super::client::SLOTS;
use super::load::Request;

/// The wait below which `share` (0 to 1) of them lie, ms. NaN of none.
pub(crate) fn percentile(waits: impl Iterator<Item = Duration>, share: f64) -> f64 {
    let mut sorted: Vec<Duration> = waits.collect();
    sorted.sort_unstable();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // an index below the length
    let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(place).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
}

/// The longest wait among the requests of each fragment that overlapped the window, where a space has `fragments` equal ones.
pub(crate) fn longest_by_fragment(requests: &[Request], window: (Duration, Duration), fragments: u16) -> BTreeMap<u16, Duration> {
    let mut longest = BTreeMap::new();
    for request in requests.iter().filter(|request| request.sent <= window.1 && request.sent + request.wait >= window.0) {
        let wait = longest.entry(request.slot / (SLOTS / fragments)).or_insert(Duration::ZERO);
        *wait = request.wait.max(*wait);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_waits_that_happened_and_windows_count_what_overlaps_them() {
        let ms = Duration::from_millis;
        assert!((percentile((1..=100).map(ms), 0.99) - 99.0).abs() < 1e-9);
        assert!((percentile([ms(5)].into_iter(), 0.5) - 5.0).abs() < 1e-9);
        assert!(percentile(std::iter::empty(), 0.5).is_nan());
        let request = |sent, wait, slot| Request { sent: ms(sent), wait: ms(wait), slot, is_write: true };
        let requests = [request(0, 5, 0), request(8, 4, 0), request(12, 3, 300), request(30, 9, 0)];
        let longest = longest_by_fragment(&requests, (ms(10), ms(20)), 64);
        assert_eq!(longest.into_iter().collect::<Vec<_>>(), [(0, ms(4)), (1, ms(3))]);
    }
}
