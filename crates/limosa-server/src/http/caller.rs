//! Who is at the other end of an HTTP connection.

use std::net::IpAddr;

/// Found out once per connection, before the first request is read, and handed to every request as an extension.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Caller {
    /// The connection comes from this machine.
    pub loopback: bool,
    /// The node or operator named in a client certificate that this cluster signed.
    pub certificate: Option<String>,
}

impl Caller {
    /// A caller without a certificate, seen at `address`.
    pub fn at(address: IpAddr) -> Self {
        Self { loopback: address.to_canonical().is_loopback(), certificate: None }
    }

    /// May change things and see stored values.
    pub fn trusted(&self) -> bool {
        self.loopback || self.certificate.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_or_a_certificate_is_trusted() {
        for (address, trusted) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("::ffff:127.0.0.1", true), ("192.0.2.1", false)]
        {
            assert_eq!(Caller::at(address.parse().expect("an address")).trusted(), trusted, "{address}");
        }
        assert!(Caller { loopback: false, certificate: Some("a".to_owned()) }.trusted());
        assert!(!Caller::default().trusted());
    }
}
