//! What `/metrics` shows, as OpenMetrics text made anew at each scrape from what node and client door counted.
//!
//! # Invariants
//! - Every family exists at zero from the first scrape on, with every value of its fixed labels: an alert never waits for a first event.
//!   Only the families with one sample for each standby begin empty.

mod counts;
mod families;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use counts::{ByMethod, ClientCounts, Counts, PeerLag};

use families::Scrape;

/// The text of one scrape.
pub fn text(counts: Counts, ready: bool) -> String {
    let mut registry = Registry::with_prefix("limosa");
    registry.register_collector(Box::new(Scrape { counts, ready }));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a String takes any text");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::Method;

    #[test]
    fn every_family_exists_at_zero_from_the_start() {
        let text = text(Counts::default(), false);
        for line in [
            "limosa_ready 0",
            "limosa_client_connections 0",
            "limosa_commands_total 0",
            "limosa_transfers_total{method=\"delta\"} 0",
            "limosa_transfer_bytes_total{method=\"copy\"} 0",
            "limosa_frames_total{direction=\"sent\"} 0",
            "limosa_peer_bytes_total{direction=\"received\"} 0",
            "limosa_sent_again_bytes_total 0",
            "limosa_lag_commits 0",
            "limosa_lag_bytes 0",
            "limosa_commits_total 0",
            "limosa_horizon 0",
            "limosa_journal_bytes 0",
            "limosa_checkpoints_total 0",
            "limosa_splits_total 0",
            "limosa_merges_total 0",
            "limosa_last_reframe_timestamp_seconds 0",
            "limosa_certificate_expiry_seconds 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
        }
        for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = family.split(' ').next().expect("a family has a name");
            let samples = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#')).count();
            assert!(samples > 0 || name.starts_with("limosa_peer_lag_"), "{name} has no sample");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_scrape_shows_what_was_counted() {
        let mut counts = Counts { horizon: 7, ..Counts::default() };
        counts.clients.commands = 3;
        counts.transfer_bytes[Method::Delta] = 99;
        counts.peers =
            vec![PeerLag { peer: "b".to_owned(), commits: 5, bytes: 500 }, PeerLag { peer: "c".to_owned(), commits: 2, bytes: 900 }];
        let text = text(counts, true);
        for line in [
            "limosa_ready 1",
            "limosa_commands_total 3",
            "limosa_horizon 7",
            "limosa_transfer_bytes_total{method=\"delta\"} 99",
            "limosa_lag_commits 5",
            "limosa_lag_bytes 900",
            "limosa_peer_lag_commits{peer=\"b\"} 5",
            "limosa_peer_lag_bytes{peer=\"c\"} 900",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
        }
    }
}
