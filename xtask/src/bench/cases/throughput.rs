//! `redis-benchmark` against both, one after the other in each round, both flushing once a second.

use std::process::Command;

use super::demo;
use crate::bench::Bench;
use crate::bench::samples::Samples;
use crate::bench::servers::{self, Peer};
use crate::process::{is_installed, output_of};

/// Keys are drawn from this many: one key alone would be written again and again with the value that it has.
const KEYS: &str = "1000000";
const REQUESTS: u64 = 1_000_000;
const REQUESTS_PIPELINED: u64 = 4_000_000;

pub(super) fn run(bench: &Bench, samples: &mut Samples) -> Result<(), String> {
    if !is_installed("redis-benchmark") {
        return Err("no redis-benchmark here: install it (Debian: apt-get install redis-tools)".into());
    }
    demo::build(bench)?;
    for _ in 0..bench.rounds {
        let redis = measure(bench, &servers::redis(bench, &["--appendonly", "yes", "--appendfsync", "everysec"])?)?;
        for (name, rate) in &redis {
            samples.add(format!("{name}_redis_per_second"), *rate);
        }
        let ours = measure(bench, &servers::limosa(bench, &["--durability", "interval"])?)?;
        for ((name, ours), (_, redis)) in ours.iter().zip(&redis) {
            samples.add(format!("{name}_limosa_per_second"), *ours);
            samples.add(format!("{name}_per_redis"), ours / redis);
        }
    }
    Ok(())
}

/// Requests a second by name: set, get, `set_p16`, `get_p16`.
fn measure(bench: &Bench, peer: &Peer) -> Result<Vec<(String, f64)>, String> {
    let mut rates = Vec::new();
    for (depth, suffix, requests) in [("1", "", REQUESTS), ("16", "_p16", REQUESTS_PIPELINED)] {
        let mut command = Command::new("redis-benchmark");
        command.args(["-p", &peer.port.to_string(), "-t", "set,get", "-d", "100", "-c", "50", "-r", KEYS, "--csv"]);
        command.args(["-P", depth, "-n", &bench.sized(requests).to_string()]);
        let text = output_of(command)?;
        for test in ["SET", "GET"] {
            let rate = rate_of(&text, test).ok_or_else(|| format!("redis-benchmark says nothing about {test}: {text}"))?;
            rates.push((format!("{}{suffix}", test.to_lowercase()), rate));
        }
    }
    Ok(rates)
}

/// The second column of the line that begins with the test's name.
fn rate_of(csv: &str, test: &str) -> Option<f64> {
    let line = csv.lines().find_map(|line| line.strip_prefix(&format!("\"{test}\",\"")))?;
    line.split('"').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_from_the_csv() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"90909.09\",\"0.5\"\n\"GET\",\"100000.00\",\"0.4\"\n";
        assert_eq!((rate_of(csv, "SET"), rate_of(csv, "GET"), rate_of(csv, "MSET")), (Some(90909.09), Some(100_000.0), None));
    }
}
