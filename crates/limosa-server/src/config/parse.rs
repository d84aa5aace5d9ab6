//! Text to values: sizes, times, addresses and names, each with a sentence that says what would do.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use limosa_node::pki::{NODE_NAME_BYTES_MAX, NodeName};

/// A host (name or address) and port that somebody dials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPort {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl HostPort {
    /// `example.org:7601`, `10.0.0.1:7601` or `[::1]:7601`.
    ///
    /// # Errors
    /// What would do instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = || "a host and port such as db1.example.org:7601 or [::1]:7601".to_owned();
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(address).filter(|address| address.port() != 0).map(Self::from).ok_or_else(wanted);
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wanted)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wanted)?;
        if !is_host(host) {
            return Err(wanted());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// A DNS name: labels of letters, digits and hyphens, 253 bytes at most (RFC 1123, section 2.1).
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// An address to listen on: `127.0.0.1:7600`, `[::1]:7600`, `localhost:7600`. Port 0 lets the system choose.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| "an IP address and port such as 127.0.0.1:7600 or [::1]:7600".to_owned())
}

/// A node's name.
pub(super) fn name(text: &str) -> Result<NodeName, String> {
    text.parse()
        .map_err(|_| format!("a node name: 1 to {NODE_NAME_BYTES_MAX} of a-z, 0-9, `-`, `_` and `.`, beginning with a letter or digit"))
}

/// A count of bytes: `4194304`, `4MiB`, `64 KiB`, `1GB`; within `min` and `max`.
pub(super) fn bytes(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let wanted = || format!("a size of {min} to {max} bytes, such as 64MiB");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(wanted()),
    };
    let count: u64 = digits.parse().map_err(|_| wanted())?;
    count.checked_mul(unit).filter(|bytes| (min..=max).contains(bytes)).ok_or_else(wanted)
}

/// A time: `25s`, `500ms`, `2m`, or a plain count of seconds; within `min` and `max`.
pub(super) fn time(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let wanted = || format!("a time of {min:?} to {max:?}, such as 25s");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit_ms: u64 = match text[digits.len()..].trim() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        _ => return Err(wanted()),
    };
    let count: u64 = digits.parse().map_err(|_| wanted())?;
    let time = count.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wanted)?;
    if time < min || time > max { Err(wanted()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_units_and_stay_inside_their_bounds() {
        for (text, expected) in
            [("4096", Some(4096)), ("4KiB", Some(4096)), ("64 MiB", Some(64 << 20)), ("5kb", Some(5000)), ("1g", Some(1 << 30))]
        {
            assert_eq!(bytes(text, 4096, 1 << 30).ok(), expected, "{text}");
        }
        for text in ["", "MiB", "-1", "4.5MiB", "4TiB", "4095", "2GiB", "99999999999999999999", "18446744073709551615k", "4é"] {
            assert!(bytes(text, 4096, 1 << 30).is_err(), "{text}");
        }
    }

    #[test]
    fn times_take_units_and_stay_inside_their_bounds() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(3600));
        assert_eq!(time("25s", min, max), Ok(Duration::from_secs(25)));
        assert_eq!(time("25", min, max), Ok(Duration::from_secs(25)));
        assert_eq!(time("500ms", min, max), Ok(Duration::from_millis(500)));
        assert_eq!(time("2m", min, max), Ok(Duration::from_secs(120)));
        for text in ["", "s", "0", "99ms", "61m", "1h", "-1s", "18446744073709551615m"] {
            assert!(time(text, min, max).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_a_port() {
        for text in ["127.0.0.1:7601", "[::1]:7601", "db1.example.org:7601", "localhost:1", "node_2:65535"] {
            assert_eq!(HostPort::parse(text).map(|host| host.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "db1", ":7601", "db1:", "db1:0", "127.0.0.1:0", "db1:70000", "a b:1", "::1:7601", "-a:1", "http://db1:7601"] {
            assert!(HostPort::parse(text).is_err(), "{text}");
        }
    }
}
