//! Private addresses that jobs may reach, with or without a port.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

/// IPv4 addresses, and maybe a TCP port. Jobs cannot use IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    address: Ipv4Addr,
    bits: u8,
    /// None means every port and protocol.
    pub(crate) port: Option<u16>,
}

/// A text that is not a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 address; write it as 10.0.0.5, 10.0.0.5:9000 or 192.168.7.0/24")]
pub struct InvalidDestination(String);

impl Destination {
    /// The addresses in the form that `iptables` reads.
    pub(super) fn addresses(&self) -> String {
        format!("{}/{}", self.address, self.bits)
    }
}

impl From<SocketAddrV4> for Destination {
    fn from(address: SocketAddrV4) -> Self {
        Self { address: *address.ip(), bits: 32, port: Some(address.port()) }
    }
}

impl FromStr for Destination {
    type Err = InvalidDestination;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDestination(text.chars().take(40).collect());
        let (network, port) = match text.split_once(':') {
            Some((network, port)) => (network, Some(port.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let (address, bits) = match network.split_once('/') {
            Some((address, bits)) => (address, bits.parse().ok().filter(|bits| *bits <= 32).ok_or_else(invalid)?),
            None => (network, 32),
        };
        Ok(Self { address: address.parse().map_err(|_| invalid())?, bits, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.addresses())?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_read_as_people_write_them() {
        for (text, read) in [("10.0.0.5", "10.0.0.5/32"), ("10.0.0.5:90", "10.0.0.5/32:90"), ("10.0.0.0/8:1", "10.0.0.0/8:1")] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), read);
        }
        for text in ["", "10.0.0", "10.0.0.5/33", "10.0.0.5:", "10.0.0.5:70000", "host:80", "::1", "1.1.1.1 -j ACCEPT"] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
